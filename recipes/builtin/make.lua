--- Writes the built-in data into the folder of this file: a WordPiece vocabulary and a paraphrase set in MRPC's layout.
-- Run from the repository: build/hflua recipes/builtin/make.lua
local here = arg[0]:match "^(.*)/[^/]*$" or "."
local stories = dofile(here .. "/stories.lua")
local files = require "hflua.core.files"
local system = require "hflua.core.system"

math.randomseed(2024)
local function random(n) return math.random(n) end

--- Rows in the layout of MRPC's files: Quality, ids, two sentences.
local function write_pairs(path, count, seen)
  local lines = { "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String" }
  while #lines <= count do
    local first, second, label = stories.pair(random, 60, 15)
    if not seen[first] then
      seen[first] = true
      lines[#lines + 1] = ("%d\t%d\t%d\t%s\t%s"):format(label, 2 * #lines, 2 * #lines + 1, first, second)
    end
  end
  files.write(path, table.concat(lines, "\n") .. "\n")
end

--- Special tokens, single characters (whole and continuing), then every word of the stories by falling count.
local function write_vocabulary(path)
  local count, tokens = {}, { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }
  for c in ("!\"#$%&'()*+,-./0123456789:;<=>?@[]_abcdefghijklmnopqrstuvwxyz"):gmatch "." do
    tokens[#tokens + 1] = c
    if c:find "%w" then tokens[#tokens + 1] = "##" .. c end
  end
  local known = {}
  for _, token in ipairs(tokens) do known[token] = true end
  for _ = 1, 20000 do
    local event = stories.draw(random)
    for word in stories.tell(event, random(stories.ways(event)), random):lower():gmatch "%w+" do count[word] = (count[word] or 0) + 1 end
  end
  local words = {}
  for word in pairs(count) do if not known[word] then words[#words + 1] = word end end
  table.sort(words, function(a, b) return count[a] > count[b] or (count[a] == count[b] and a < b) end)
  table.move(words, 1, #words, #tokens + 1, tokens)
  files.write(path, table.concat(tokens, "\n") .. "\n")
  return #tokens
end

local data, model, seen = here .. "/paraphrases", here .. "/bert", {}
system.makedirs(data)
system.makedirs(model)
write_pairs(data .. "/train.tsv", 3000, seen)
write_pairs(data .. "/dev.tsv", 400, seen)
write_pairs(data .. "/test.tsv", 400, seen)
print(("vocabulary: %d tokens"):format(write_vocabulary(model .. "/vocab.txt")))
