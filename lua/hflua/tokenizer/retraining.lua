--- tokenizer:train_new_from_iterator: a tokenizer of the same kind with a vocabulary of other texts.
local components = require "hflua.tokenizer.components"
local core = require "hflua.core.tokenizer"
local errors = require "hflua.errors"
local json = require "hflua.core.json"
local options = require "hflua.options"
local special_tokens = require "hflua.tokenizer.special_tokens"
local trainers = require "hflua.tokenizer.trainers"

local retraining = {}

-- Options beside those of the trainer.
local own_options = { "length", "new_special_tokens", "special_tokens_map" }

local function is_byte_level(pre_tokenizer)
  if type(pre_tokenizer) ~= "table" then return false end
  if pre_tokenizer.type == "ByteLevel" then return true end
  for _, part in ipairs(pre_tokenizer.pretokenizers or {}) do
    if is_byte_level(part) then return true end
  end
  return false
end

-- ---- special tokens

local function renamed(text, map) return map[text] or text end

-- The old special tokens under their new names, then the new ones. Unigram keeps all added tokens.
local function special_list(document, map, given)
  local list = {}
  for _, token in ipairs(document.added_tokens or {}) do
    if token.special or document.model.type == "Unigram" then
      list[#list + 1] = special_tokens.AddedToken(renamed(token.content, map), { single_word = token.single_word, lstrip = token.lstrip,
        rstrip = token.rstrip, normalized = token.normalized, special = token.special })
    end
  end
  for _, token in ipairs(given or {}) do list[#list + 1] = token end
  return list
end

-- The unknown token of Unigram is one of its pieces.
local function rename_unknown(model, map)
  if model.type == "Unigram" then
    local entry = math.type(model.unk_id) == "integer" and model.vocab[model.unk_id + 1]
    return entry and renamed(entry[1], map) or nil
  end
  if type(model.unk_token) == "string" then model.unk_token = renamed(model.unk_token, map) end
end

-- ---- the post-processor: names and ids of its tokens

local function id_finder(document)
  local ids = {}
  for i, entry in pairs(document.model.vocab) do
    if type(entry) == "table" then ids[entry[1]] = i - 1 else ids[i] = entry end
  end
  return function(token)
    return ids[token] or errors.raise("train_new_from_iterator: the post-processor's token '%s' is not in the new vocabulary: "
      .. "add it to new_special_tokens", token)
  end
end

local function adapt_template(tokens, map, id_of)
  for _, entry in pairs(tokens) do
    for i, token in ipairs(entry.tokens) do
      entry.tokens[i] = renamed(token, map)
      entry.ids[i] = id_of(entry.tokens[i])
    end
  end
end

local function adapt_post_processor(post, map, id_of)
  if type(post) ~= "table" then return end
  if post.special_tokens then adapt_template(post.special_tokens, map, id_of) end
  for _, name in ipairs { "cls", "sep" } do
    if post[name] then post[name] = { renamed(post[name][1], map), id_of(renamed(post[name][1], map)) } end
  end
  for _, part in ipairs(post.processors or {}) do adapt_post_processor(part, map, id_of) end
end

-- ---- the trainer

-- The options of the trainer: those given, and what follows from the old tokenizer.
local function trainer_options(document, vocab_size, given, map)
  local model, o = document.model, {}
  for name, value in pairs(given) do o[name] = value end
  for _, name in ipairs(own_options) do o[name] = nil end
  o.vocab_size, o.special_tokens = vocab_size, special_list(document, map, given.new_special_tokens)
  for _, name in ipairs { "continuing_subword_prefix", "end_of_word_suffix" } do
    if o[name] == nil and type(model[name]) == "string" and trainers.has_option(model.type, name) then o[name] = model[name] end
  end
  local unknown = rename_unknown(model, map)
  o.unk_token = o.unk_token or unknown
  if is_byte_level(document.pre_tokenizer) and trainers.has_option(model.type, "initial_alphabet") then
    o.initial_alphabet = o.initial_alphabet or components.byte_level_alphabet()
  end
  return o
end

--- The engine of a new tokenizer, and the names that changed.
function retraining.train(engine, texts, vocab_size, given)
  given = given or {}
  if math.type(vocab_size) ~= "integer" or vocab_size < 1 then
    errors.raise("train_new_from_iterator: vocab_size: expected a whole number from 1 on, found %s", tostring(vocab_size))
  end
  local document, map = json.decode(engine:to_json()), given.special_tokens_map or {}
  local trainer = trainers.new(document.model.type, trainer_options(document, vocab_size, given, map), "train_new_from_iterator")
  trainers.train(document, trainer, texts)
  adapt_post_processor(document.post_processor, map, id_finder(document))
  return core.from_json(json.encode(document), "train_new_from_iterator"), map
end

return retraining
