--- News of a country that does not exist: short articles, each with a summary of one or two sentences. `news.story(random)` ->
-- article, highlights. The names belong to nobody.
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local grammar = dofile(here .. "/grammar.lua")
local words = grammar.words

local news = {}

local lists = {
  company = words "Alder Group, Bexley Foods, Corvin Steel, Dorado Air, Elmore Bank, Farrow Motors, Gable Software, Harwick Energy, Juno Media, Kestrel Labs, Lumen Power, Marlow Stores, Norvik Shipping, Orbis Telecom, Redfern Paper, Tarn Chemicals, Umbra Games, Westmoor Rail",
  city = words "Ashford, Brindle, Calder, Dunmore, Eastvale, Fenwick, Glenport, Halden, Ironbridge, Kingsley, Larkhill, Milbrook, Newhaven, Oakridge, Penrose, Stonegate, Thornbury, Upton, Westport, Yarmouth",
  first = words "Adele, Boris, Clara, David, Elena, Frank, Greta, Hugo, Irene, Jonas, Karen, Louis, Maria, Nils, Olga, Peter, Rosa, Simon, Tara, Victor, Wanda, Yusuf, Zoe, Martin",
  last = words "Brook, Lane, Finch, Moss, Park, Hale, Stone, Reed, Vale, Hill, Wood, Marsh, Frost, Berg, Hart, Dale, Field, Webb, Quinn, Nash, Ford, Amin, Carter, Grey",
  day = words "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
  month = words "January, February, March, April, May, June, July, August, September, October, November, December",
  few = words "two, three, four, five, six, seven, eight, nine",
  many = words "twelve, fifteen, twenty, thirty, forty, fifty, sixty, eighty, two hundred, three hundred",
  sum = words "two million, five million, twelve million, twenty million, forty million, ninety million, one billion, three billion",
  percent = words "3, 4, 5, 6, 8, 10, 12, 15, 20, 25",
  team = words "the Falcons, the Wolves, the Rovers, the Tigers, the Hawks, the Pirates, the Giants, the Bears, the Comets, the Knights, the Ravens, the Sharks",
  score = words "1-0, 2-0, 2-1, 3-0, 3-1, 3-2, 4-1, 4-2",
  goods = words "trucks, ferries, radios, tools, lamps, bicycles, trains, clocks, ovens, tractors",
  animal = words "wolves, otters, eagles, turtles, herons, bees, seals, owls",
  place = words "the river, the old forest, the harbour, the northern hills, the marshes, the lake",
  building = words "museum, hospital, library, bridge, theatre, school, station, market hall",
  crop = words "wheat, barley, apples, potatoes, corn, grapes",
  loot = words "paintings, violins, gold coins, rare books, silver cups, old maps",
}

-- Each kind: how it begins, what may follow (in this order), how it is summed up. {p:a} is "first last" of a person.
local kinds = {
  { lead = { "{company:a} said on {day:a} that it will buy {company:b} for {sum:a} dollars.",
      "{company:b}, which makes {goods:a}, is to be bought by {company:a} for {sum:a} dollars, the companies said on {day:a}." },
    body = { "{company:b} has {many:a} workers, most of them in {city:a}.", "The head of {company:a}, {p:a}, said the two would [be stronger together|learn from each other|keep both names].",
      "No jobs will be lost, {p:a} said.", "The talks [took {few:a} weeks|began in {month:a}] and were [quiet|difficult|friendly].", "Shares of {company:b} rose by {percent:a} percent on the news.",
      "The deal should be [done|closed] by {month:b}, if the authorities agree." },
    highlights = { "{company:a} will buy {company:b} for {sum:a} dollars.", "{company:a} to buy {company:b}, a maker of {goods:a}, for {sum:a} dollars." } },
  { lead = { "{team:a} beat {team:b} {score:a} in {city:a} on {day:a}.", "It ended {score:a} for {team:a} against {team:b} on {day:a} in front of a full ground in {city:a}." },
    body = { "{p:a} scored the first goal after {few:a} minutes.", "{team:b} had the ball for most of the [first half|second half|evening], but [missed their chances|hit the post twice|could not find a way through].",
      "Rain [fell all evening|made the grass slow|kept some supporters at home].", "\"We were patient, and it paid off,\" said {p:a}.", "The keeper of {team:b}, {p:b}, saved {few:b} shots.",
      "{team:a} are now {few:c} points ahead of {team:c}." },
    highlights = { "{team:a} win {score:a} against {team:b} in {city:a}.", "{p:a} scores as {team:a} beat {team:b} {score:a}." } },
  { lead = { "A(n) [flood|storm|fire] forced {many:a} families out of their homes in {city:a} on {day:a}.",
      "{many:a} families in {city:a} had to leave their homes on {day:a} after a(n) [flood|storm|fire] in the night." },
    body = { "It began [before dawn|shortly after midnight|late in the evening] near {place:a}.", "Nobody was hurt, but {few:a} houses were destroyed.", "The families are staying in a school, where neighbours brought [soup and blankets|bread and dry clothes].",
      "\"I have lived here for {many:b} years and never seen this,\" said {p:a}.", "Firefighters from {city:b} came to help.", "The mayor, {p:b}, promised {sum:a} dollars for repairs." },
    highlights = { "{many:a} families leave their homes in {city:a}; nobody was hurt.", "{few:a} houses are lost in {city:a}, and {many:a} families stay in a school." } },
  { lead = { "{p:a} was elected mayor of {city:a} on {day:a}, ahead of {p:b}.", "The people of {city:a} have chosen {p:a} as their new mayor." },
    body = { "{p:a}, a former [teacher|doctor|farmer|engineer], won by {many:a} votes.", "{p:b} had been mayor for {few:a} years.", "The new mayor wants to [build a {building:a}|repair the {building:a}|plant {many:b} trees near {place:a}] first.",
      "\"Thank you, {city:a}; tomorrow we begin,\" {p:a} said.", "{p:b} [wished the winner luck|called the count fair|said it had been an honour].", "More people voted than at any time in {many:c} years." },
    highlights = { "{p:a} is elected mayor of {city:a}.", "{p:a} beats {p:b} and becomes mayor of {city:a}." } },
  { lead = { "Police in {city:a} have found the {loot:a} that were stolen from a {building:a} in {month:a}.",
      "The {loot:a} stolen from a {building:a} in {city:a} in {month:a} are back." },
    body = { "They were [hidden in a barn|buried in a garden|lying in a boat] near {city:b}.", "Two men were arrested on {day:a}; one of them used to work at the {building:a}.", "The {loot:a} are worth {sum:a} dollars.",
      "\"I could hardly believe it when they rang,\" said the director, {p:a}.", "A walker had noticed [a light|fresh tracks|a strange van] {few:a} nights in a row.", "They can be seen again from {month:b}." },
    highlights = { "Police find {loot:a} stolen from a {building:a} in {city:a}.", "Two men are arrested after stolen {loot:a} are found near {city:b}." } },
  { lead = { "{city:a} opened its new {building:a} on {day:a} after {few:a} years of work.", "After {few:a} years, the new {building:a} of {city:a} opened its doors on {day:a}." },
    body = { "It stands [beside|not far from|across from] {place:a} and cost {sum:a} dollars.", "{p:a}, who drew the plans, said the [light|quiet|view] mattered most.", "{many:a} people waited [in the rain|since early morning|with flowers] for the first tour.",
      "Children of a nearby school [sang|read poems|played the flute].", "The old {building:a} was [too small|damaged by a flood|closed in {month:a}].", "It is open every day but {day:b}." },
    highlights = { "{city:a} opens a new {building:a} after {few:a} years.", "A new {building:a} for {sum:a} dollars opens in {city:a}." } },
  { lead = { "{animal:a} have come back to {place:a} near {city:a}, after {many:a} years.", "For the first time in {many:a} years, {animal:a} live near {city:a} again." },
    body = { "{p:a}, who [counts animals|teaches biology|keeps a farm] there, saw {few:a} of them on {day:a}.", "They had vanished when {place:a} was [dirty|dry|full of boats].", "The town has spent {sum:a} dollars on cleaning it.",
      "\"They are shy, and one should leave them alone,\" said {p:a}.", "Farmers [are worried about their sheep|welcome the guests|want to build fences].", "A path near {place:a} will be closed until {month:a}." },
    highlights = { "{animal:a} are back near {city:a} after {many:a} years.", "{p:a} sees {few:a} {animal:a} near {city:a}, where there had been none." } },
  { lead = { "Farmers around {city:a} expect [the best|a poor|an early|a late] harvest of {crop:a} this year.", "The harvest of {crop:a} around {city:a} has begun." },
    body = { "It began {few:a} days [earlier|later] than last year, said {p:a} of the farmers' union.", "The spring was [dry|wet|cold|mild], and {month:a} [dry|wet|cold|mild].", "Prices for {crop:a} [rose|fell] by {percent:b} percent in {month:b}.",
      "{company:a} buys most of the {crop:a} and ships them from {city:b}.", "\"We work from dawn until it is dark,\" said {p:b}, who has {many:a} fields.", "A festival is planned for {day:a}." },
    highlights = { "The harvest of {crop:a} around {city:a} is under way.", "Farmers near {city:a} bring in {crop:a}; prices move by {percent:b} percent." } },
}

-- The persons {p:k} of a template as slots of first and last names.
local function with_persons(template) return (template:gsub("{p:(%a)}", "{first:%1} {last:%1}")) end

local function sentence(templates, random, kept) return grammar.capital(grammar.fill(with_persons(grammar.pick(templates, random)), lists, random, kept)) end

--- An article of four to six sentences, and its highlights.
function news.story(random)
  local kind, kept = grammar.pick(kinds, random), {}
  local out, left = { sentence(kind.lead, random, kept) }, 2 + random(3)
  for i, template in ipairs(kind.body) do
    if random() * (#kind.body - i + 1) < left then
      out[#out + 1] = sentence({ template }, random, kept)
      left = left - 1
    end
  end
  return table.concat(out, " "), sentence(kind.highlights, random, kept)
end

return news
