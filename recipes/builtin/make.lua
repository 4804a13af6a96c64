--- Writes the built-in data into the folder of this file: a WordPiece vocabulary and a paraphrase set in MRPC's layout; verse, news
-- with summaries and reviews; a byte-level BPE vocabulary over all of these.
-- Run from the repository: build/hflua recipes/builtin/make.lua
local hf = require "hflua"
local here = arg[0]:match "^(.*)/[^/]*$" or "."
local stories = dofile(here .. "/stories.lua")
local files = require "hflua.core.files"
local system = require "hflua.core.system"

math.randomseed(2024)
local random = math.random

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

-- ---- verse, news, reviews: what decoders are fine-tuned on

local romans = { { 100, "C" }, { 90, "XC" }, { 50, "L" }, { 40, "XL" }, { 10, "X" }, { 9, "IX" }, { 5, "V" }, { 4, "IV" }, { 1, "I" } }

local function roman(number)
  local text = ""
  for _, pair in ipairs(romans) do
    while number >= pair[1] do text, number = text .. pair[2], number - pair[1] end
  end
  return text
end

--- Numbered poems with empty lines between them, as sonnets are printed.
local function write_verse(path, count)
  math.randomseed(14)
  local verse, blocks = dofile(here .. "/verse.lua"), { "QUIET HOURS", "verse made by recipes/builtin/verse.lua" }
  for i = 1, count do
    blocks[#blocks + 1] = "  " .. roman(i)
    blocks[#blocks + 1] = "  " .. verse.poem(random):gsub("\n", "\n  ")
  end
  files.write(path, table.concat(blocks, "\n\n") .. "\n")
end

-- Distinct rows { column = value } as a CSV file.
local function write_csv(path, columns, count, make, known)
  local rows = {}
  while #rows < count do
    local row = make(#rows + 1)
    if not known[row[columns[1]]] then
      known[row[columns[1]]] = true
      rows[#rows + 1] = row
    end
  end
  hf.Dataset.from_list(rows, { columns = columns }):to_csv(path)
end

--- Articles with highlights in the layout of cnn_dailymail.
local function write_news(folder)
  math.randomseed(15)
  local news, known = dofile(here .. "/news.lua"), {}
  for _, split in ipairs { { "train", 600 }, { "validation", 60 }, { "test", 60 } } do
    write_csv(("%s/%s.csv"):format(folder, split[1]), { "article", "highlights", "id" }, split[2], function(i)
      local article, highlights = news.story(random)
      return { article = article, highlights = highlights, id = ("%s-%04d"):format(split[1], i) }
    end, known)
  end
end

--- Reviews in the layout of imdb: label 1 for four and five stars, 0 for one and two.
local function write_reviews(folder)
  math.randomseed(16)
  local reviews, known = dofile(here .. "/reviews.lua"), {}
  for _, split in ipairs { { "train", 1200 }, { "test", 300 } } do
    write_csv(("%s/%s.csv"):format(folder, split[1]), { "text", "label" }, split[2], function()
      local text, stars = reviews.review(random, ({ 1, 2, 4, 5 })[random(4)])
      return { text = text, label = stars > 3 and 1 or 0 }
    end, known)
  end
end

for _, name in ipairs { "verse", "news", "reviews" } do system.makedirs(here .. "/" .. name) end
write_verse(here .. "/verse/verse.txt", 160)
write_news(here .. "/news")
write_reviews(here .. "/reviews")

--- A byte-level BPE tokenizer as GPT-2 has it, trained on prose, and on verse as it is and in small letters.
local function write_bpe(folder, size)
  math.randomseed(17)
  local T, verse, texts = hf.tokenizer, dofile(here .. "/verse.lua"), dofile(here .. "/prose.lua").passages(random, 3000)
  for i = 1, 300 do
    local poem = verse.poem(random)
    texts[#texts + 1] = i % 3 == 0 and poem or poem:lower()
  end
  local tok = T.Tokenizer(T.models.BPE())
  tok.pre_tokenizer, tok.decoder = T.pre_tokenizers.ByteLevel { add_prefix_space = false }, T.decoders.ByteLevel()
  tok.post_processor = T.processors.ByteLevel { trim_offsets = false }
  tok:train_from_iterator(texts, T.trainers.BpeTrainer {
    vocab_size = size, special_tokens = { "<|endoftext|>" }, initial_alphabet = T.pre_tokenizers.ByteLevel.alphabet(), show_progress = false,
  })
  tok:save(folder .. "/tokenizer.json")
  local gpt2 = hf.GPT2Tokenizer.from_pretrained(folder, { model_max_length = 256 })
  gpt2:save_pretrained(folder)
  return #gpt2
end

system.makedirs(here .. "/gpt2")
print(("byte-level vocabulary: %d tokens"):format(write_bpe(here .. "/gpt2", 2048)))
