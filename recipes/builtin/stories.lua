--- The project's own little world: short news told in several ways. `stories.draw(random)` invents an event, `stories.tell`
-- words it, `stories.distort` changes one thing in it. Everything is a function of the random numbers given, so the same seed
-- writes the same corpus.
--
-- A template is plain text with slots {name} and choices [this|that|]. Two templates of one kind say the same thing.
local stories = {}

-- ---- what slots are filled with

local function words(text)
  local list = {}
  for item in text:gmatch "[^,]+" do list[#list + 1] = (item:gsub("^%s+", ""):gsub("%s+$", "")) end
  return list
end

local lists = {
  company = words "Alder Group, Bexley Foods, Corvin Steel, Dorado Air, Elmore Bank, Farrow Motors, Gable Software, Harwick Energy, Iberon, Juno Media, Kestrel Labs, Lumen Power, Marlow Stores, Norvik Shipping, Orbis Telecom, Pinnacle Mining, Quillon, Redfern Paper, Solvane, Tarn Chemicals, Umbra Games, Vantor, Westmoor Rail, Xandria, Yarrow Textiles, Zephyr Airlines",
  city = words "Ashford, Brindle, Calder, Dunmore, Eastvale, Fenwick, Glenport, Halden, Ironbridge, Jasper, Kingsley, Larkhill, Milbrook, Newhaven, Oakridge, Penrose, Quarry Bay, Ravenna, Stonegate, Thornbury, Upton, Valmont, Westport, Yarmouth",
  country = words "Arvonia, Belmar, Castria, Drava, Elsund, Ferrania, Galdor, Hespera, Istria, Jorvik, Kelland, Lorraine, Morava, Norland, Ostia, Palmyra",
  person = words "Adele Brook, Boris Lane, Clara Finch, David Moss, Elena Park, Frank Hale, Greta Stone, Hugo Reed, Irene Vale, Jonas Hill, Karen Wood, Louis Marsh, Maria Frost, Nils Berg, Olga Hart, Peter Dale, Rosa Field, Simon Webb, Tara Quinn, Victor Nash, Wanda Ford, Yusuf Amin, Zoe Carter, Martin Grey",
  day = words "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
  month = words "January, February, March, April, May, June, July, August, September, October, November, December",
  number = words "two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, fifteen, twenty, thirty, forty, fifty, sixty",
  amount = words "10 million, 25 million, 40 million, 75 million, 120 million, 250 million, 300 million, 480 million, 600 million, 750 million, 900 million, 1.2 billion, 2.5 billion, 3.4 billion, 5 billion, 8 billion",
  percent = words "2, 3, 4, 5, 6, 7, 9, 10, 12, 13, 14, 15, 16, 20, 25, 30, 40",
  score = words "1 - 0, 2 - 0, 2 - 1, 3 - 0, 3 - 1, 3 - 2, 4 - 0, 4 - 1, 4 - 2, 4 - 3, 5 - 1, 5 - 2",
  team = words "the Falcons, the Wolves, the Rovers, the Tigers, the Hawks, the Pirates, the Giants, the Bears, the Comets, the Knights, the Ravens, the Sharks",
  disease = words "measles, influenza, malaria, diabetes, asthma, cholera, hepatitis, pneumonia",
  animal = words "whales, wolves, elephants, eagles, tigers, turtles, salmon, bees",
  crop = words "wheat, rice, coffee, cotton, sugar, corn, cocoa, barley",
  crime = words "fraud, theft, bribery, smuggling, forgery, tax evasion, robbery",
  building = words "a museum, a hospital, a library, a bridge, a stadium, a school, a power station, an airport",
  disaster = words "flood, storm, cyclone, fire, landslide, drought, heat wave, blizzard",
  product = words "a phone, a car, a tablet, a camera, a bicycle, a watch, a drone, a printer",
}

-- ---- kinds of news: slots { name = list }, ways of telling, and the pairs of slots whose exchange changes the meaning

local kinds = {
  { slots = { a = "company", b = "company", price = "amount", day = "day" }, swap = { "a", "b" }, tell = {
    "{a} [agreed|decided] to [buy|acquire|purchase] {b} for {price} dollars on {day} .",
    "{b} will be [bought|acquired|taken over] by {a} for {price} dollars , the companies said on {day} .",
    "In a deal [worth|valued at] {price} dollars , {a} is [buying|acquiring] {b} , [officials said|it was announced] on {day} .",
    "On {day} , {a} [said|announced] it would pay {price} dollars [for|to acquire] {b} ." } },
  { slots = { a = "team", b = "team", score = "score", city = "city" }, swap = { "a", "b" }, tell = {
    "{a} [beat|defeated] {b} {score} in {city} .",
    "{b} lost {score} to {a} in {city} .",
    "In {city} , {b} were [defeated|beaten] by {a} , {score} .",
    "It ended {score} in {city} , where {a} [won against|overcame] {b} ." } },
  { slots = { a = "person", b = "person", c = "company", month = "month" }, swap = { "a", "b" }, tell = {
    "{a} will [replace|succeed] {b} as [head|chief executive] of {c} in {month} .",
    "{b} will be [replaced|succeeded] by {a} as [head|chief executive] of {c} in {month} .",
    "In {month} , {a} takes over from {b} at the [top|head] of {c} .",
    "{c} [said|announced] that {b} is handing over to {a} in {month} ." } },
  { slots = { a = "company", p = "percent", month = "month", q = "percent" }, swap = { "p", "q" }, tell = {
    "Profit at {a} [rose|climbed|grew] {p} percent in {month} while [sales|revenue] fell {q} percent .",
    "In {month} , {a} [reported|posted] a {p} percent [rise|increase] in profit and a {q} percent [drop|decline] in [sales|revenue] .",
    "{a} saw [sales|revenue] [drop|decline] by {q} percent in {month} , but its profit was up {p} percent .",
    "While [sales|revenue] of {a} fell by {q} percent in {month} , profit [increased|went up] by {p} percent ." } },
  { slots = { d = "disaster", city = "city", n = "number", day = "day" }, tell = {
    "A {d} [killed|left dead] {n} people in {city} on {day} .",
    "{n} people [died|were killed] in {city} on {day} in a {d} .",
    "On {day} , a {d} [hit|struck] {city} and {n} people [died|lost their lives] .",
    "[Officials|Police] said {n} people were killed by the {d} that [hit|struck] {city} on {day} ." } },
  { slots = { a = "person", crime = "crime", city = "city", n = "number" }, tell = {
    "{a} was [sentenced to|given] {n} years in prison for {crime} by a [court|judge] in {city} .",
    "A [court|judge] in {city} [sentenced|sent] {a} to [prison|jail] for {n} years for {crime} .",
    "{a} must [spend|serve] {n} years in [prison|jail] for {crime} , a [court|judge] in {city} ruled .",
    "For {crime} , {a} will go to [prison|jail] for {n} years , a court in {city} [ruled|decided] ." } },
  { slots = { b = "building", city = "city", price = "amount", month = "month" }, tell = {
    "{city} will [build|construct] {b} for {price} dollars , starting in {month} .",
    "Work on {b} [costing|worth] {price} dollars [begins|starts] in {city} in {month} .",
    "In {month} , {city} will [begin|start] to [build|construct] {b} at a cost of {price} dollars .",
    "{b} is to be [built|constructed] in {city} from {month} , at a [cost|price] of {price} dollars ." } },
  { slots = { a = "country", b = "country", crop = "crop", p = "percent" }, swap = { "a", "b" }, tell = {
    "{a} [put|imposed] a {p} percent [tax|duty] on {crop} from {b} .",
    "{crop} from {b} will be [taxed|charged] at {p} percent by {a} .",
    "A {p} percent [tax|duty] on {crop} that comes from {b} was [imposed|introduced] by {a} .",
    "{b} must now pay {a} a {p} percent [tax|duty] on its {crop} ." } },
  { slots = { d = "disease", a = "country", p = "percent", n = "number" }, tell = {
    "Cases of {d} in {a} [fell|dropped] {p} percent in {n} years .",
    "In {n} years , {a} has seen {d} cases [decline|fall] by {p} percent .",
    "Over {n} years the number of {d} [cases|patients] in {a} [decreased|went down] by {p} percent .",
    "{a} has {p} percent fewer cases of {d} than {n} years ago ." } },
  { slots = { a = "company", p = "product", month = "month", price = "percent" }, tell = {
    "{a} will [launch|release] {p} in {month} that is {price} percent [cheaper|less expensive] .",
    "In {month} , {a} [brings out|introduces] {p} which costs {price} percent less .",
    "{p} from {a} , to be [launched|released] in {month} , will cost {price} percent less .",
    "{price} percent [cheaper|less expensive] is {p} that {a} plans to [sell|launch] from {month} ." } },
  { slots = { a = "person", b = "person", city = "city", day = "day" }, swap = { "a", "b" }, tell = {
    "{a} accused {b} of lying [to the press|to reporters] in {city} on {day} .",
    "In {city} on {day} , {b} was accused by {a} of lying [to the press|to reporters] .",
    "{b} lied [to the press|to reporters] in {city} , {a} [said|claimed] on {day} .",
    "On {day} , {a} [said|claimed] that {b} had lied [to the press|to reporters] in {city} ." } },
  { slots = { a = "animal", country = "country", n = "number", p = "percent" }, tell = {
    "The number of {a} in {country} has [doubled|grown] by {p} percent in {n} years , [scientists|researchers] say .",
    "[Scientists|Researchers] found that {a} in {country} [increased|grew] by {p} percent over {n} years .",
    "Over {n} years , {country} has [gained|seen] {p} percent more {a} , a study [says|found] .",
    "A study [says|found] there are {p} percent more {a} in {country} than {n} years ago ." } },
  { slots = { a = "company", n = "number", city = "city", month = "month" }, tell = {
    "{a} will [cut|eliminate] {n} hundred jobs in {city} by {month} .",
    "{n} hundred [workers|employees] of {a} in {city} will lose their jobs by {month} .",
    "By {month} , {a} plans to [dismiss|lay off] {n} hundred [workers|employees] in {city} .",
    "In {city} , {n} hundred jobs at {a} will be [cut|gone] by {month} ." } },
  { slots = { a = "country", b = "country", city = "city", day = "day", n = "number" }, swap = { "a", "b" }, tell = {
    "{a} [agreed|promised] to [return|hand back] {n} prisoners to {b} after talks in {city} on {day} .",
    "After talks in {city} on {day} , {n} prisoners will be [returned|handed back] to {b} by {a} .",
    "{b} will get {n} prisoners back from {a} , it was [agreed|decided] in {city} on {day} .",
    "On {day} in {city} , {a} [said|announced] it would [free|return] {n} prisoners from {b} ." } },
}

-- ---- inventing, telling, distorting

local function pick(random, list) return list[random(#list)] end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

--- An event: its kind and the values of its slots. random(n) gives a whole number in 1 .. n. No value is used twice.
function stories.draw(random)
  local kind, values, used = pick(random, kinds), {}, {}
  for _, slot in ipairs(sorted_keys(kind.slots)) do
    local value
    repeat value = pick(random, lists[kind.slots[slot]]) until not used[value]
    used[value], values[slot] = true, value
  end
  return { kind = kind, values = values }
end

--- The event in words; way is a number in 1 .. stories.ways(event).
function stories.tell(event, way, random)
  local text = event.kind.tell[way]:gsub("%[(.-)%]", function(choices)
    local list = {}
    for choice in (choices .. "|"):gmatch "(.-)|" do list[#list + 1] = choice end
    return pick(random, list)
  end)
  text = text:gsub("{(%w+)}", event.values)
  return (text:gsub("^%l", string.upper))
end

--- How many ways there are to tell the event.
function stories.ways(event) return #event.kind.tell end

-- Gives one slot another value.
local function change(values, event, slot, random)
  repeat values[slot] = pick(random, lists[event.kind.slots[slot]]) until values[slot] ~= event.values[slot]
end

--- The same kind of event with something else in it: two slots exchanged, or `count` slots given other values.
function stories.distort(event, random, count)
  local values, kind, slots = {}, event.kind, sorted_keys(event.kind.slots)
  for slot, value in pairs(event.values) do values[slot] = value end
  if kind.swap and count == 1 then
    local a, b = kind.swap[1], kind.swap[2]
    values[a], values[b] = values[b], values[a]
  else
    for _ = 1, count do change(values, event, table.remove(slots, random(#slots)), random) end
  end
  return { kind = kind, values = values }
end

--- Another event that shares what it can with this one: a news item of another kind about the same people and places.
function stories.relate(event, random)
  local other
  repeat other = stories.draw(random) until other.kind ~= event.kind
  for slot, list in pairs(other.kind.slots) do
    for own, own_list in pairs(event.kind.slots) do
      if list == own_list and slot == own then other.values[slot] = event.values[own] end
    end
  end
  return other
end

--- A pair of sentences and whether they say the same (1) or not (0), worded in two different ways.
-- share: how many in a hundred pairs say the same; close: how many in a hundred of the others tell of the same kind of event with a
-- detail changed.
function stories.pair(random, share, close)
  local event, other = stories.draw(random), nil
  local same = random(100) <= share
  if same then other = event
  elseif random(100) <= close then other = stories.distort(event, random, 1)
  else other = stories.relate(event, random) end
  local first = random(stories.ways(event))
  local second = (first + random(stories.ways(event) - 1) - 1) % stories.ways(event) + 1
  return stories.tell(event, first, random), stories.tell(other, second, random), same and 1 or 0
end

return stories
