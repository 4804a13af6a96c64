--- Reviews of films, books, meals and stays that never were, with one to five stars. `reviews.review(random[, stars])` -> text, stars.
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local grammar = dofile(here .. "/grammar.lua")
local words = grammar.words

local reviews = {}

local lists = {
  who = words "my sister, my brother, a friend, my parents, our neighbours, my husband, my wife",
  day = words "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
  few = words "two, three, four, five, six",
  part = words "the opening, the second half, the ending, the middle, the last scene, the first hour",
  role = words "the lead, the young actor, the villain, the grandmother, the detective, the captain",
  dish = words "the soup, the fish, the bread, the lamb, the dessert, the salad, the pasta, the coffee",
  room = words "the room, the bed, the bathroom, the breakfast, the view, the garden",
}

-- How good things are said about each subject, and how bad things are; plain facts; and what remains.
local subjects = {
  film = {
    facts = { "I saw this film with {who} on {day}.", "This is the story of {role} and a [lost letter|long journey|stolen boat|summer by the sea].", "The film lasts about {few} hours [too|in all]." },
    good = { "{part} is [wonderful|moving|very funny|a joy].", "{role} is [superb|a delight|perfectly cast].", "I [laughed|cried|smiled] more than I have in years.", "The music [stays with you|fits every scene|is beautiful]." },
    bad = { "{part} is [dull|far too long|a mess|painful].", "{role} is [wooden|badly cast|hard to watch].", "I [looked at my watch|nearly fell asleep|wanted to leave] after {few} minutes.", "The music [never stops|drowns every word|is awful]." } },
  book = {
    facts = { "{who} gave me this book on {day}.", "It took me {few} days to read.", "The book follows {few} families through one winter." },
    good = { "{part} is [gripping|tender|full of surprises].", "I [could not put it down|read it twice|missed my stop because of it].", "Every sentence [shines|is a pleasure].", "The people in it feel [real|like friends]." },
    bad = { "{part} is [tedious|full of mistakes|hard to follow].", "I [gave up|skipped pages|lost interest] after {few} chapters.", "Every sentence [drags|is clumsy].", "The people in it feel [flat|like cardboard]." } },
  meal = {
    facts = { "We went there on {day} with {who}.", "We were a party of {few}.", "We sat [outside|by the window|near the kitchen]." },
    good = { "{dish} was [delicious|fresh and light|the best I have had].", "The waiter was [kind|attentive|charming].", "Prices are [fair|lower than elsewhere].", "{dish} alone is worth the trip." },
    bad = { "{dish} was [cold|salty|burnt|tasteless].", "The waiter was [rude|slow|nowhere to be seen].", "Prices are [absurd|far too high].", "We waited {few} hours for {dish}." } },
  stay = {
    facts = { "We stayed for {few} nights.", "I came with {who} on a {day}.", "The house stands [near the station|on a hill|by the lake]." },
    good = { "{room} was [lovely|spotless|better than in the pictures].", "The people at the desk were [helpful|warm|patient].", "I [slept like a child|felt at home].", "{room} made our mornings." },
    bad = { "{room} was [dirty|tiny|damp|broken].", "The people at the desk were [unfriendly|careless|bored].", "I [hardly slept|could hear every word next door].", "Nobody repaired {room} in {few} days." } },
}

local names = { "book", "film", "meal", "stay" }

local verdicts = {
  { "Avoid it.", "A waste of money.", "Never again.", "The worst in years." },
  { "I would not recommend it.", "Disappointing.", "There are better ones.", "I expected more." },
  { "It was all right.", "Neither good nor bad.", "One can do worse.", "Fine, but no more than that." },
  { "I would come back to it.", "Well worth it.", "I liked it a lot.", "Recommended." },
  { "I loved it.", "Simply perfect.", "Go, you will not regret it.", "The best in years." },
}

-- How many good and bad sentences go with 1 .. 5 stars.
local balance = { { 0, 3 }, { 1, 2 }, { 1, 1 }, { 2, 1 }, { 3, 0 } }

--- A review of three to five sentences; stars 1 .. 5.
function reviews.review(random, stars)
  stars = stars or random(5)
  local subject, kept, out = subjects[grammar.pick(names, random)], {}, {}
  local function add(templates, count)
    local shuffled = grammar.shuffled(templates, random)
    for i = 1, count do out[#out + 1] = grammar.capital(grammar.fill(shuffled[i], lists, random, kept)) end
  end
  add(subject.facts, 1)
  local middle = table.move(out, 1, #out, 1, {})
  out = {}
  add(subject.good, balance[stars][1])
  if balance[stars][1] > 0 and balance[stars][2] > 0 then
    local sentences = #out
    add(subject.bad, balance[stars][2])
    out[sentences + 1] = "But " .. (out[sentences + 1]:gsub("^(%a)", string.lower):gsub("^i ", "I "))
  else
    add(subject.bad, balance[stars][2])
  end
  table.move(out, 1, #out, #middle + 1, middle)
  middle[#middle + 1] = grammar.pick(verdicts[stars], random)
  return table.concat(middle, " "), stars
end

return reviews
