--- Trainers of vocabularies: their options under the names of Hugging Face's tokenizers, feeding texts, and what comes out as
-- the tables of tokenizer.json.
local core = require "hflua.core.tokenizer"
local engine = require "hflua.core.tokenizer_train"
local errors = require "hflua.errors"
local json = require "hflua.core.json"
local options = require "hflua.options"
local ordered = require "hflua.ordered"
local special_tokens = require "hflua.tokenizer.special_tokens"

local trainers = {}

local Trainer = {}
Trainer.__index = Trainer

-- name -> type of its value; "list" of characters or tokens
local common = { vocab_size = "integer", min_frequency = "integer", show_progress = "boolean", special_tokens = "list" }

local function with_common(more)
  for name, kind in pairs(common) do more[name] = kind end
  return more
end

local bpe = with_common { limit_alphabet = "integer", initial_alphabet = "list", continuing_subword_prefix = "string",
  end_of_word_suffix = "string", max_token_length = "integer" }

local kinds = {
  BPE = { options = bpe, vocab_size = 30000 },
  WordPiece = { options = bpe, vocab_size = 30000, continuing_subword_prefix = "##" },
  WordLevel = { options = with_common {}, vocab_size = 30000 },
  Unigram = { vocab_size = 8000, options = { vocab_size = "integer", show_progress = "boolean", special_tokens = "list", initial_alphabet = "list",
    shrinking_factor = "number", unk_token = "string", max_piece_length = "integer", n_sub_iterations = "integer", seed_size = "integer" } },
}

-- ---- options

local function check_value(where, name, value, kind)
  if kind == "integer" and (math.type(value) ~= "integer" or value < 0) then
    errors.raise("%s: %s: expected a whole number from 0 on, found %s", where, name, tostring(value))
  elseif kind == "list" and type(value) ~= "table" then
    errors.raise("%s: %s: expected a list, found %s", where, name, type(value))
  elseif kind ~= "integer" and kind ~= "list" and type(value) ~= kind then
    errors.raise("%s: %s: expected a %s, found %s", where, name, kind, type(value))
  end
end

local function check_ranges(where, o)
  local factor = o.shrinking_factor
  if factor and not (factor > 0 and factor < 1) then errors.raise("%s: shrinking_factor: expected a number between 0 and 1, found %s", where, tostring(factor)) end
  for _, name in ipairs { "vocab_size", "max_piece_length", "n_sub_iterations", "seed_size", "max_token_length" } do
    if o[name] == 0 then errors.raise("%s: %s: expected a whole number from 1 on, found 0", where, name) end
  end
end

--- A trainer for models of this type ("BPE"); nil among the options and hf.null are the defaults.
function trainers.new(kind, given, where)
  local rules, o = kinds[kind], {}
  for name, value in pairs(options.check(where, given, rules.options)) do
    if value ~= json.null then
      check_value(where, name, value, rules.options[name])
      o[name] = value
    end
  end
  check_ranges(where, o)
  o.vocab_size = o.vocab_size or rules.vocab_size
  o.continuing_subword_prefix = o.continuing_subword_prefix or rules.continuing_subword_prefix
  return setmetatable({ kind = kind, options = o }, Trainer)
end

--- Whether trainers of this kind of model have the option.
function trainers.has_option(kind, name) return kinds[kind] and kinds[kind].options[name] ~= nil end

--- True for what trainers.new gives.
function trainers.is(value) return getmetatable(value) == Trainer end

for kind, name in pairs { BPE = "BpeTrainer", WordPiece = "WordPieceTrainer", WordLevel = "WordLevelTrainer", Unigram = "UnigramTrainer" } do
  trainers[name] = function(given) return trainers.new(kind, given, name) end
end

-- ---- texts

local BATCH = 4096        -- texts
local BATCH_BYTES = 2 ^ 22

local Feeder = {}
Feeder.__index = Feeder

function Feeder:flush()
  if #self.batch > 0 then self.counter:feed(self.batch) end
  self.batch, self.bytes = {}, 0
end

-- A text, or a list of texts.
function Feeder:add(value)
  self.count = self.count + 1
  if type(value) == "string" then
    self.batch[#self.batch + 1] = value
    self.bytes = self.bytes + #value
    if #self.batch >= BATCH or self.bytes >= BATCH_BYTES then self:flush() end
  elseif type(value) == "table" or (type(value) == "userdata" and value ~= json.null) then
    for i = 1, #value do self:add(value[i]) end
  else
    errors.raise("training: item %d: expected a text or a list of texts, found %s", self.count, value == json.null and "null" or type(value))
  end
end

-- texts: a function that gives one item a call and nil at the end, or a list of texts or of lists of texts.
local function feed(counter, texts)
  local feeder = setmetatable({ counter = counter, batch = {}, bytes = 0, count = 0 }, Feeder)
  if type(texts) == "function" then
    for value in texts do feeder:add(value) end
  elseif type(texts) == "table" or type(texts) == "userdata" then
    for i = 1, #texts do feeder:add(texts[i]) end
  else
    errors.raise("training: expected an iterator or a list of texts, found %s", type(texts))
  end
  feeder:flush()
end

-- ---- models

local function vocabulary(tokens)
  local vocab = ordered.new()
  for i, token in ipairs(tokens) do vocab[token] = i - 1 end
  return vocab
end

local function fill_model(model, kind, o, result)
  if kind == "Unigram" then
    model.vocab, model.unk_id = json.array {}, result.unk_id or json.null
    for i, token in ipairs(result.tokens) do model.vocab[i] = { token, result.scores[i] + 0.0 } end
    return
  end
  model.vocab = vocabulary(result.tokens)
  if kind == "BPE" then
    model.merges = json.array(result.merges)
    model.continuing_subword_prefix = o.continuing_subword_prefix or json.null
    model.end_of_word_suffix = o.end_of_word_suffix or json.null
  elseif kind == "WordPiece" then
    model.continuing_subword_prefix = o.continuing_subword_prefix
  end
end

-- The special tokens as added tokens: their ids are those of the vocabulary.
local function added_tokens(records, tokens)
  local ids, list = {}, json.array {}
  for i, token in ipairs(tokens) do ids[token] = i - 1 end
  for _, record in ipairs(records) do
    if ids[record.content] then
      list[#list + 1] = { id = ids[record.content], content = record.content, single_word = record.single_word or false,
        lstrip = record.lstrip or false, rstrip = record.rstrip or false, normalized = record.normalized or false, special = true }
      ids[record.content] = nil
    end
  end
  table.sort(list, function(a, b) return a.id < b.id end)
  return list
end

local function cutting_engine(document)
  return core.from_json(json.encode { normalizer = document.normalizer, pre_tokenizer = document.pre_tokenizer,
    model = { type = "WordLevel", vocab = { ["<unk>"] = 0 }, unk_token = "<unk>" } }, "tokenizer")
end

--- Trains the model of `document`, a decoded tokenizer.json: its vocabulary and its added tokens are replaced.
function trainers.train(document, trainer, texts)
  local counter, o, records = engine.counter(cutting_engine(document)), {}, {}
  for name, value in pairs(trainer.options) do o[name] = value end
  for i, token in ipairs(o.special_tokens or {}) do records[i] = special_tokens.record(token, "special_tokens", true) end
  o.special_tokens = {}
  for i, record in ipairs(records) do o.special_tokens[i] = record.content end
  feed(counter, texts)
  local result = counter:train(trainer.kind, o)
  fill_model(document.model, trainer.kind, o, result)
  document.added_tokens = added_tokens(records, result.tokens)
  return document
end

return trainers
