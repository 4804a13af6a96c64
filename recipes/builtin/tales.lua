--- Small scenes in prose, of people and weather by the sea and in the hills. `tales.tale(random)`: what the built-in GPT-2 read first,
-- beside news and reviews.
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local grammar = dofile(here .. "/grammar.lua")
local words = grammar.words

local tales = {}

local lists = {
  name = words "Adele, Boris, Clara, David, Elena, Frank, Greta, Hugo, Irene, Jonas, Karen, Louis, Maria, Nils, Olga, Peter, Rosa, Simon, Tara, Victor, Wanda, Yusuf, Zoe, Martin",
  when = words "One [quiet|cold|bright|misty|golden] morning; On a [warm|windy|silent|grey] evening; Late in the [summer|winter|autumn|spring]; Before dawn; After the rain; At noon; In the first snow",
  place = words "the shore, the old mill, the harbour, the hill, the garden, the edge of the wood, the bridge, the lighthouse, the orchard, the market, the river, the field behind the house",
  thing = words "a silver ring, a broken lamp, a letter, an old flute, a green stone, a boat without oars, a feather, a key, a box of seeds, a map",
  animal = words "a lark, a swan, a hawk, a dog, an owl, a hare, a crow, a heron, a bee, a cat",
  sky = words "the moon, the sun, the evening star, a cloud, the wind, the snow, the light, the dusk",
  does = words "rose over the hills; fell on the roofs; drifted across the bay; moved in the trees; slept on the water; turned slowly; faded behind the pines; rested on the grass",
  feel = words "glad, lonely, tired, calm, proud, restless, kind, brave, curious, sad, young, free",
  thought = words "it is good to wait; nothing is ever lost; the year is short; a song is a kind of road; one should be gentle with old things; the sea keeps its own time; a friend is like a lamp",
}

local first = { "{when}, {name:a} went to {place:a}.", "{when}, {name:a} and {name:b} walked to {place:a}.", "{name:a} lived near {place:a} with {animal:a}.", "{when}, {name:a} found {thing:a} near {place:a}." }
local middle = { "{sky} {does}.", "There was {animal} in the grass, and it did not move.", "{name:a} felt {feel} and [sang|said nothing|smiled|began to run].", "\"Do you hear that?\" asked {name:b}.",
  "Far away a bell [rang|was ringing].", "It had been [years|days|hours] since anybody came there.", "In one hand {name:a} held {thing:a}, in the other some bread.", "{sky} {does}, and {sky} {does}.",
  "{name:b} knew the way, but {name:a} did not ask.", "They shared an apple and looked at {place}.", "The leaves were [golden|wet|still|falling], and the stones were [warm|cold|smooth].", "{animal} called from {place}." }
local last = { "That night {name:a} thought that {thought}.", "So they went home [slowly|gladly|by another way], and {sky} {does}.", "And {name:a} kept {thing:a} for many years.", "Then {name:a} was {feel}, for {thought}.",
  "In the end {name:b} laughed, and all was well." }

--- A scene of four to seven sentences.
function tales.tale(random)
  local kept, out = {}, {}
  local function add(template) out[#out + 1] = grammar.capital(grammar.fill(grammar.fill(template, lists, random, kept), lists, random, kept)) end
  add(grammar.pick(first, random))
  local order = grammar.shuffled(middle, random)
  for i = 1, 1 + random(4) do add(order[i]) end
  add(grammar.pick(last, random))
  return table.concat(out, " ")
end

return tales
