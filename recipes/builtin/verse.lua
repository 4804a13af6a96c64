--- Verse of the project's own: poems of fourteen lines in iambic pentameter, rhymed ABAB CDCD EFEF GG. `verse.poem(random)`.
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local grammar = dofile(here .. "/grammar.lua")
local words = grammar.words

local verse = {}

-- Slots by their stress: n, ns, a, v are one syllable; A2, ing are two with the stress on the first.
local lists = {
  n = words "moon, star, wind, rain, rose, bird, stream, leaf, cloud, song, dawn, dusk, lark, bell, snow, stone, boat, sail, thrush, lamp, field, bough, wave, pine, frost, swan, hearth, lane, brook, hawk, vine, flute",
  ns = words "stars, winds, birds, streams, leaves, clouds, songs, larks, bells, stones, boats, sails, thorns, dreams, hours, years, waves, pines, swans, lamps, fields, words, bees, hills",
  a = words "cold, soft, sweet, slow, still, dark, pale, warm, deep, kind, young, old, green, grey, late, near, small, clear",
  A2 = words "silver, quiet, gentle, golden, lonely, patient, tender, silent, amber, distant, early, winter, summer, evening, broken, hidden, weary, sunlit, crimson, mellow, nameless, ancient, slender, shining, humble, restless, misty, sleepy",
  vs = words "sings, sleeps, shines, waits, moves, turns, glows, rests, wakes, falls, stirs, drifts, fades, dreams",
  ing = words "singing, sleeping, shining, waiting, turning, falling, dreaming, drifting, calling, fading, roaming, burning, dancing, leaning",
  pp = words "known, loved, kept, lost, found, missed, praised, sought, learned, left",
  mine = words "heart, hand, song, friend, love, youth, hope, grief",
}

-- Rhymes: nouns, verbs, adjectives of one sound, all of one syllable.
local rhymes = {
  { N = words "night, light, sight, flight, height", A = words "bright, white" },
  { N = words "day, way, bay, clay, spray", V = words "stay, play, sway, pray", A = words "grey" },
  { N = words "sea, tree, key, bee", V = words "be, see, flee", A = words "free" },
  { N = words "snow, glow, crow", V = words "grow, flow, know, go", A = words "slow, low" },
  { N = words "shore, door, floor, moor", V = words "soar, pour" },
  { N = words "fire, choir, spire, lyre", V = words "tire" },
  { N = words "year, tear", V = words "hear, fear", A = words "dear, clear, near" },
  { N = words "rain, plain, lane, grain, pain", V = words "reign", A = words "plain, vain" },
  { N = words "sound, ground, mound", V = words "sound", A = words "round, bound, found" },
  { N = words "sleep, deep, sheep", V = words "keep, weep, creep, sleep", A = words "deep, steep" },
  { N = words "name, flame, fame, game", A = words "tame, same" },
  { N = words "song, throng", V = words "long", A = words "long, strong" },
  { N = words "heart, art, chart", V = words "part, start" },
  { N = words "face, place, grace, space", V = words "race, pace" },
  { N = words "hill, mill, rill, sill", V = words "fill, thrill", A = words "still, chill" },
  { N = words "moon, noon, tune", V = words "croon" },
  { N = words "air, hair, stair", V = words "dare, share, care", A = words "fair, rare, bare" },
  { N = words "gold, fold", V = words "hold, fold", A = words "cold, bold, old" },
  { N = words "hand, land, sand, strand", V = words "stand" },
  { N = words "tide, side, pride, guide, bride", V = words "hide, glide, ride", A = words "wide" },
  { N = words "stone, throne", V = words "moan, roam", A = words "lone, grown" },
  { N = words "wing, spring, ring, king", V = words "sing, ring, bring, cling" },
}

-- Lines by what rhymes at their end, {R}.
local lines = {
  N = {
    "The {A2} {n} has left the {A2} {R}", "And every {n} that {vs} within the {R}", "I heard a(n) {A2} {n} [beside|behind|beneath] the {R}",
    "When {A2} {ns} are [drawn|borne|sent|blown] across the {R}", "My patient {mine} has {pp} the {A2} {R}",
    "Beneath the {A2} {n} I [seek|find|keep|miss] the {R}", "The {n} and I walked [softly|slowly|gladly] to the {R}",
    "No {n} so {a} as that which [holds|keeps|guards] the {R}", "And {A2} {ns} go {ing} to the {R}", "A(n) {A2} {n} still {vs} upon the {R}",
    "O let the {n} be [kinder|dearer|nearer] than the {R}", "[Then|Now] comes the {n}, and with the {n} the {R}", "The {A2} {ns} are {ing} in the {R}",
    "I gave my {mine} to [keep|hold|find|mend] the {A2} {R}", "What {mine} can [mend|break|hold] the {mine} that loves the {R}",
    "The {n} has told the {n} about the {R}", "And I have {pp} the {n}, and {pp} the {R}", "You came to me as {ns} come to the {R}",
    "Like {A2} {ns} that drift across the {R}", "And in your {mine} I read the {A2} {R}",
  },
  V = {
    "The {A2} {ns} will [never|always] learn to {R}", "I ask the {A2} {n} for leave to {R}", "And though the {n} is {a}, the {ns} still {R}",
    "Where {A2} {ns} and {A2} {ns} may {R}", "Come, tell the {n} that we have come to {R}", "The {n} is {a}, and yet it longs to {R}",
    "For you and I were never made to {R}", "My {mine}, that {A2} {ns} have taught to {R}", "So many {ns} there are, and all must {R}",
    "If you will be the {n}, then I will {R}",
  },
  A = {
    "The {n} is {a}, the {A2} {n} is {R}", "And all the {ns} beneath the {n} are {R}", "I thought the {n} was {A2}, {a} and {R}",
    "For though the {ns} are {a}, the {n} is {R}", "My {mine} was {A2} once, and once was {R}", "You say the {n} is neither {a} nor {R}",
  },
}

-- The items of a list that are not used yet.
local function unused(list, used)
  local left = {}
  for _, item in ipairs(list) do if not used[item] then left[#left + 1] = item end end
  return left
end

local kinds = { "N", "N", "V", "A" } -- nouns at the end of half the lines

-- A line that ends with a word of the rhyme; words and templates are used once a poem.
local function line_for(rhyme, used, random)
  local choices = {}
  for _, kind in ipairs(kinds) do
    if rhyme[kind] and #unused(rhyme[kind], used) > 0 and #unused(lines[kind], used) > 0 then choices[#choices + 1] = kind end
  end
  local kind = grammar.pick(choices, random)
  local word, template = grammar.pick(unused(rhyme[kind], used), random), grammar.pick(unused(lines[kind], used), random)
  used[word], used[template] = true, true
  return grammar.capital((grammar.fill(template, lists, random, { word = word }):gsub("{R}", word)))
end

lists.R = { "{R}" } -- filled last

local scheme = { 1, 2, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6, 7, 7 }

local function ending(i, line)
  if line:find "^What " then return "?" end
  if i % 4 == 0 or i == 14 then return "." end
  return i % 2 == 0 and ";" or ","
end

--- A poem: fourteen lines joined by newlines.
function verse.poem(random)
  local sounds, used, out = grammar.shuffled(rhymes, random), {}, {}
  for i, sound in ipairs(scheme) do
    local line = line_for(sounds[sound], used, random)
    out[i] = line .. ending(i, line)
  end
  return table.concat(out, "\n")
end

return verse
