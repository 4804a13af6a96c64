--- PreTrainedTokenizer: the tokenizer object that recipes use, with HF's methods. Calls go to the C engine.
local BatchEncoding = require "hflua.tokenizer.batch_encoding"
local chat = require "hflua.tokenizer.chat"
local call_options = require "hflua.tokenizer.call_options"
local core = require "hflua.core.tokenizer"
local errors = require "hflua.errors"
local notes = require "hflua.trainer.notes"
local null = require("hflua.core.json").null
local options = require "hflua.options"
local ordered = require "hflua.ordered"
local pad = require "hflua.tokenizer.pad"
local repr = require "hflua.repr"
local retraining = require "hflua.tokenizer.retraining"
local saving = require "hflua.tokenizer.saving"
local special_tokens = require "hflua.tokenizer.special_tokens"

local Tokenizer = { __name = "PreTrainedTokenizer" }
local methods = {}

-- Fields that are not plain: read through a function of the tokenizer.
local getters = {}

function getters.vocab_size(self) return self._engine:vocab_size(false) end
function getters.all_special_tokens(self) return self._special:all() end
function getters.all_special_ids(self) return self:convert_tokens_to_ids(self._special:all()) end
function getters.additional_special_tokens(self) return table.move(self._special.extra, 1, #self._special.extra, 1, {}) end
getters.extra_special_tokens = getters.additional_special_tokens
function getters.additional_special_tokens_ids(self) return self:convert_tokens_to_ids(self._special.extra) end
getters.extra_special_tokens_ids = getters.additional_special_tokens_ids
function getters.max_len_single_sentence(self) return self.model_max_length - self:num_special_tokens_to_add(false) end
function getters.max_len_sentences_pair(self) return self.model_max_length - self:num_special_tokens_to_add(true) end

--- Named special tokens as an ordered table.
function getters.special_tokens_map(self)
  local map = ordered.new()
  for name, text in self._special:each() do map[name] = text end
  return map
end

--- Added tokens by id.
function getters.added_tokens_decoder(self)
  local map, list = ordered.new(), self._engine:added_tokens()
  table.sort(list, function(a, b) return a.id < b.id end)
  for _, token in ipairs(list) do
    map[token.id] = special_tokens.AddedToken(token.content, { single_word = token.single_word, lstrip = token.lstrip,
      rstrip = token.rstrip, normalized = token.normalized, special = token.special })
  end
  return map
end

--- Added tokens: text to id.
function getters.added_tokens_encoder(self)
  local map = {}
  for _, token in ipairs(self._engine:added_tokens()) do map[token.content] = token.id end
  return map
end

--- Id of a named special token: the unknown token's when the vocabulary has no such token.
local function special_id(self, name)
  local text = self._special:get(name)
  if text then return self:convert_tokens_to_ids(text) end
end

function Tokenizer.__index(self, key)
  local method = methods[key]
  if method ~= nil then return method end
  if getters[key] then return getters[key](self) end
  if special_tokens.is_name(key) then return rawget(self, "_special"):get(key) end
  local name = type(key) == "string" and key:match("^(.+_token)_id$")
  if name then return special_id(self, name) end
end

-- What calls prepared depends on the settings of the tokenizer.
local function forget_options(self)
  rawset(self, "_plain", nil)
  rawset(self, "_last", nil)
end

-- Sets a special token; one that the vocabulary lacks stands for the unknown token, as in Python, which is seldom meant.
local function set_special(self, name, value)
  self._special:set(name, value)
  local text = self._special:get(name)
  if not text or self._engine:id(text) then return end
  notes.warn("tok.%s: '%s' is not in the vocabulary and stands for the unknown token, if there is one; tok:add_special_tokens{%s = '%s'} adds it", name, text, name, text)
end

function Tokenizer.__newindex(self, key, value)
  if value == null then value = nil end
  forget_options(self)
  if special_tokens.is_name(key) then return set_special(self, key, value) end
  local name = type(key) == "string" and key:match("^(.+_token)_id$")
  if name then
    return self._special:set(name, value and (self:convert_ids_to_tokens(value) or errors.raise("%s: id %s is not in the vocabulary", key, tostring(value))))
  end
  if key == "additional_special_tokens" or key == "extra_special_tokens" then return self._special:set_extra(value or {}) end
  if key == "padding_side" or key == "truncation_side" then call_options.check { [key] = value } end
  if getters[key] then errors.raise("tokenizer: '%s' cannot be set", key) end
  rawset(self, key, value)
end

--- A tokenizer around an engine. `settings`: what tokenizer_config.json holds, kept for saving.
function Tokenizer.new(engine, class_name, settings)
  local self = setmetatable({ _engine = engine, _special = special_tokens.new(), _settings = settings, tokenizer_class = class_name,
    name_or_path = "", is_fast = true, _warned_too_long = false, pad_token_type_id = 0, padding_side = "right", truncation_side = "right",
    split_special_tokens = false, clean_up_tokenization_spaces = false, model_max_length = 1e30,
    model_input_names = { "input_ids", "attention_mask" } }, Tokenizer)
  return self
end

function Tokenizer.__len(self) return self._engine:vocab_size(true) end

-- ---- calling

-- The options of calls without any, made once.
local function plain_options(self)
  local prepared = rawget(self, "_plain")
  if not prepared then
    prepared = call_options.prepare(self, {}, true)
    rawset(self, "_plain", prepared)
  end
  return prepared
end

-- Fields that calls depend on beside their options.
local call_settings = { "padding_side", "truncation_side", "model_max_length", "split_special_tokens", "model_input_names", "pad_token_type_id" }

-- The options of the last call when these are the same: checking them takes longer than a short text.
local function last_options(self, given, has_pair)
  local last, count = rawget(self, "_last"), 0
  if not last or last.has_pair ~= has_pair then return nil end
  for _, name in ipairs(call_settings) do
    if rawget(self, name) ~= last.settings[name] then return nil end
  end
  for name, value in next, given do
    if last.given[name] ~= value then return nil end
    count = count + 1
  end
  return count == last.count and last.prepared or nil
end

local function remember_options(self, given, has_pair, prepared)
  local copy, count, settings = {}, 0, {}
  for name, value in next, given do copy[name], count = value, count + 1 end
  for _, name in ipairs(call_settings) do settings[name] = rawget(self, name) end
  rawset(self, "_last", { given = copy, count = count, settings = settings, has_pair = has_pair, prepared = prepared })
end

local function encode(self, text, pair, o, extra_flags)
  return self._engine:encode(text, pair, o.flags | extra_flags, o.truncation, o.max_length, o.stride, o.padding, o.pad_length,
    o.pad_multiple, o.pad_id, o.pad_type_id)
end

local function warn_too_long(self, encoding, limit)
  if encoding:longest() <= limit then return end
  rawset(self, "_warned_too_long", true)
  notes.warn("Token indices sequence length is longer than the specified maximum sequence length for this model (%d > %d). "
    .. "Running this sequence through the model will result in indexing errors", encoding:longest(), math.tointeger(limit) or limit)
end

-- For BatchEncoding: the same texts again, with words and offsets.
function methods:_encode_detailed(text, pair, prepared) return (encode(self, text, pair, prepared, call_options.bits.detailed)) end

local function encode_batch(self, text, pair, prepared)
  local encoding, batched = encode(self, text, pair, prepared, 0)
  local limit = prepared.warns_above
  if limit and not self._warned_too_long then warn_too_long(self, encoding, limit) end
  return BatchEncoding.new(encoding, prepared, batched or prepared.overflow, self, text, pair)
end

-- tok(text, opts), where opts may be empty, tok(text, pair, opts), tok{text =, ...} and the names text_pair and text_target of HF.
local function arguments(text, pair, given)
  if given == nil and type(pair) == "table" and #pair == 0 then pair, given = nil, pair end
  if pair == null then pair = nil end
  return text, pair, given
end

local function call(self, text, pair, given)
  text, pair, given = arguments(text, pair, given)
  if given == nil or next(given) == nil then return encode_batch(self, text, pair, plain_options(self)) end
  local known = last_options(self, given, pair ~= nil)
  if known and text ~= nil and text ~= null then return encode_batch(self, text, pair, known) end
  local o = call_options.check(given)
  pair = pair or o.text_pair
  local target = o.text_target
  if text == nil or text == null then
    if target == nil then errors.raise("You need to specify either `text` or `text_target`.") end
    text, target = target, nil
  end
  local prepared = call_options.prepare(self, o, pair ~= nil)
  if target == nil and o.text_pair == nil then remember_options(self, given, pair ~= nil, prepared) end
  local result = encode_batch(self, text, pair, prepared)
  if target ~= nil then result.labels = encode_batch(self, target, nil, prepared).input_ids end
  return result
end

--- tok(text[, pair][, options]) -> BatchEncoding
Tokenizer.__call = call

--- As calling the tokenizer.
function methods:encode_plus(text, pair, given) return call(self, text, pair, given) end

--- As calling the tokenizer with lists.
function methods:batch_encode_plus(texts, given) return call(self, texts, nil, given) end

--- The ids alone.
function methods:encode(text, pair, given) return call(self, text, pair, given).input_ids end

--- The tokens of a text as strings, without special tokens unless add_special_tokens = true.
function methods:tokenize(text, given)
  local o = call_options.check(given or {})
  if o.add_special_tokens == nil then o.add_special_tokens = false end
  return call(self, text, nil, o):tokens()
end

--- Bytes, not lists: the columns of a batch as id columns, { {name, column}, ... }. For datasets.
function methods:encode_columns(text, pair, given)
  local result, columns = call(self, text, pair, given), {}
  for i, name in ipairs(result:keys()) do columns[i] = { name, result:packed_column(name) } end
  return columns
end

-- ---- back to text

local function as_list(ids)
  if type(ids) == "userdata" and ids.tolist then return ids:tolist() end
  if BatchEncoding.is(ids) then return as_list(ids.input_ids) end
  return ids
end

local decode_options = { "skip_special_tokens", "clean_up_tokenization_spaces", "spaces_between_special_tokens" }

local function decode_one(self, ids, o)
  local text = self._engine:decode(ids, o.skip_special_tokens)
  local clean = o.clean_up_tokenization_spaces
  if clean == nil then clean = self.clean_up_tokenization_spaces end
  if self._engine:model_type() == "BPE" then clean = false end -- it would take away spaces of the text, not of the tokenizer
  return clean and core.clean_up(text) or text
end

--- decode(ids[, { skip_special_tokens =, clean_up_tokenization_spaces = }]): text of an id, a list or tensor of ids; a
-- list of texts for a list of lists.
function methods:decode(ids, given)
  local o = options.check("decode", given, decode_options)
  ids = as_list(ids)
  if type(ids) ~= "table" and math.type(ids) ~= "integer" then
    errors.raise("decode: expected ids, a list of ids or a tensor, found %s", type(ids))
  end
  if type(ids) ~= "table" or (type(ids[1]) ~= "table" and type(ids[1]) ~= "userdata") then return decode_one(self, ids, o) end
  local texts = {}
  for i, row in ipairs(ids) do texts[i] = decode_one(self, as_list(row), o) end
  return texts
end

--- A list of texts.
function methods:batch_decode(sequences, given)
  local texts = self:decode(sequences, given)
  return type(texts) == "table" and texts or { texts }
end

--- Tokens to ids; the unknown token's id for what the vocabulary does not have (nil when there is no unknown token).
function methods:convert_tokens_to_ids(tokens)
  if type(tokens) == "string" then return self._engine:id(tokens) or (self._special:get("unk_token") and self._engine:id(self._special:get("unk_token"))) end
  if type(tokens) ~= "table" then errors.raise("convert_tokens_to_ids: expected a token or a list of tokens, found %s", type(tokens)) end
  local ids = {}
  for i, token in ipairs(tokens) do
    local id = self:convert_tokens_to_ids(token)
    ids[i] = id == nil and null or id
  end
  return ids
end

--- Ids to tokens; hf.null in a list for an id without a token, nil for a single one.
function methods:convert_ids_to_tokens(ids, given)
  local o = options.check("convert_ids_to_tokens", given, { "skip_special_tokens" })
  ids = as_list(ids)
  if math.type(ids) == "integer" then return self._engine:token(ids) end
  if type(ids) ~= "table" then errors.raise("convert_ids_to_tokens: expected an id or a list of ids, found %s", type(ids)) end
  local skip, tokens = {}, {}
  for _, id in ipairs(o.skip_special_tokens and self.all_special_ids or {}) do skip[id] = true end
  for _, id in ipairs(ids) do
    if not skip[id] then
      local token = self._engine:token(id)
      tokens[#tokens + 1] = token == nil and null or token
    end
  end
  return tokens
end

--- The text of a list of tokens.
function methods:convert_tokens_to_string(tokens) return self._engine:join(tokens) end

-- ---- vocabulary and special tokens

--- A table from token to id, added tokens included.
function methods:get_vocab() return self._engine:vocab() end

--- The ids of the largest token + 1: what an embedding needs.
function methods:id_limit() return self._engine:id_limit() end

local function is_one_token(value) return type(value) == "string" or (type(value) == "table" and type(value.content) == "string") end

--- Adds tokens (strings, AddedToken) to the vocabulary; returns how many are new. { special_tokens = true } for special ones.
function methods:add_tokens(tokens, given)
  local special = options.check("add_tokens", given, { "special_tokens" }).special_tokens or false
  if is_one_token(tokens) then tokens = { tokens } end
  if type(tokens) ~= "table" then errors.raise("add_tokens: expected a token or a list of tokens, found %s", type(tokens)) end
  local records = {}
  for i, token in ipairs(tokens) do
    records[i] = special_tokens.record(token, "add_tokens", special)
    if special then records[i].special = true end
  end
  rawset(self, "_document", nil)
  forget_options(self)
  return self._engine:add_tokens(records)
end

local function add_extra_tokens(self, list, records)
  if type(list) ~= "table" then errors.raise("Tokens %s for key extra_special_tokens should be a list", tostring(list)) end
  for _, token in ipairs(list) do
    local record = special_tokens.record(token, "extra_special_tokens", true)
    self._special:add_extra(record.content)
    records[#records + 1] = record
  end
end

-- The named tokens of `given` in the standard order, then those only this tokenizer has.
local function set_named_tokens(self, given, records)
  for _, name in ipairs(table.move(self._special.order, 1, #self._special.order, 1, {})) do
    if given[name] ~= nil then
      records[#records + 1] = special_tokens.record(given[name], name, true)
      self._special:set(name, given[name])
    end
  end
end

--- Sets and adds special tokens: { pad_token = "[PAD]", additional_special_tokens = {"<a>", "<b>"} }; returns how many are
-- new. Named ones get their ids first, in HF's order of the names.
function methods:add_special_tokens(given)
  local known, records = { "additional_special_tokens", "extra_special_tokens" }, {}
  for _, name in ipairs(self._special.order) do known[#known + 1] = name end
  options.check("add_special_tokens", given, known)
  set_named_tokens(self, given, records)
  local extra = given.extra_special_tokens or given.additional_special_tokens
  if extra then add_extra_tokens(self, extra, records) end
  for _, record in ipairs(records) do record.special = true end
  rawset(self, "_document", nil)
  forget_options(self)
  return self._engine:add_tokens(records)
end

--- How many special tokens a sequence (pair = true: a pair) gets.
function methods:num_special_tokens_to_add(pair) return self._engine:special_count(pair) end

--- Ids of one or two sequences with the special tokens around them.
function methods:build_inputs_with_special_tokens(first, second)
  local out = {}
  for _, part in ipairs(self._engine:template(second ~= nil)) do
    if part >= 0 then out[#out + 1] = part
    else
      local ids = part == -1 and first or second
      table.move(ids, 1, #ids, #out + 1, out)
    end
  end
  return out
end

--- Type ids that go with build_inputs_with_special_tokens.
function methods:create_token_type_ids_from_sequences(first, second)
  local out, type_id = {}, 0
  local with_types = repr(self.model_input_names):find("token_type_ids", 1, true)
  for _, part in ipairs(self._engine:template(second ~= nil)) do
    if part == -2 and with_types then type_id = 1 end
    local count = part >= 0 and 1 or #(part == -1 and first or second)
    for _ = 1, count do out[#out + 1] = type_id end
  end
  return out
end

--- 1 for special tokens, 0 for others. { already_has_special_tokens = true }: the list is complete already.
function methods:get_special_tokens_mask(first, second, given)
  if given == nil and type(second) == "table" and second.already_has_special_tokens ~= nil then second, given = nil, second end
  local o, mask = options.check("get_special_tokens_mask", given, { "already_has_special_tokens" }), {}
  if not o.already_has_special_tokens then
    for _, part in ipairs(self._engine:template(second ~= nil)) do
      for _ = 1, part >= 0 and 1 or #(part == -1 and first or second) do mask[#mask + 1] = part >= 0 and 1 or 0 end
    end
    return mask
  end
  local special = {}
  for _, id in ipairs(self.all_special_ids) do special[id] = true end
  for i, id in ipairs(as_list(first)) do mask[i] = special[id] and 1 or 0 end
  return mask
end

-- ---- padding, saving, printing

--- pad(encodings[, { padding = true, max_length =, pad_to_multiple_of =, return_tensors = ... }]) -> BatchEncoding
methods.pad = pad

--- A tokenizer of this kind with a vocabulary of its own, trained on `texts`: a function that gives a text or a list of
-- texts a call, or a list of either. Options: new_special_tokens, special_tokens_map and those of the trainer.
function methods:train_new_from_iterator(texts, vocab_size, given)
  local engine, map = retraining.train(self._engine, texts, vocab_size, given)
  local settings = {}
  for name, value in pairs(self._settings) do
    if name ~= "added_tokens_decoder" and name ~= "name_or_path" then settings[name] = value end
  end
  local new = Tokenizer.new(engine, self.tokenizer_class, settings)
  for _, name in ipairs { "model_max_length", "padding_side", "truncation_side", "split_special_tokens", "clean_up_tokenization_spaces",
    "model_input_names", "pad_token_type_id" } do
    new[name] = self[name]
  end
  for name, text in self._special:each() do new[name] = map[text] or text end
  local extra = {}
  for i, text in ipairs(self._special.extra) do extra[i] = map[text] or text end
  for _, token in ipairs(given and given.new_special_tokens or {}) do extra[#extra + 1] = special_tokens.text(token, "new_special_tokens") end
  new.extra_special_tokens = extra
  return new
end

--- Writes tokenizer.json and tokenizer_config.json, which transformers loads; returns their paths.
function methods:save_pretrained(folder) return saving.save(self, folder) end

--- Writes the vocabulary alone into `folder`: vocab.json and merges.txt, or vocab.txt; returns the paths.
function methods:save_vocabulary(folder, prefix) return saving.save_vocabulary(self, folder, prefix) end

--- The text or the ids of a conversation: apply_chat_template(messages, { add_generation_prompt = true }), see tokenizer/chat.lua.
function methods:apply_chat_template(messages, given) return chat.apply(self, messages, given) end

--- The chat template that would be used: a name of one of several or nothing, and { tools = } when there are tools.
function methods:get_chat_template(name, given) return chat.choose(self, name, given and given.tools) end

--- The text of tokenizer.json.
function methods:to_json() return self._engine:to_json() end

--- What a cached result of this tokenizer depends on.
function Tokenizer.__fingerprint(self)
  local document = rawget(self, "_document") or self._engine:to_json()
  rawset(self, "_document", document)
  return table.concat({ document, repr(self.special_tokens_map), tostring(self.model_max_length), self.padding_side,
    self.truncation_side, repr(self.model_input_names), tostring(self.split_special_tokens), tostring(self.pad_token_type_id), repr(self.chat_template) }, "\n")
end

local function token_repr(token)
  local function flag(name) return ("%s=%s"):format(name, token[name] and "True" or "False") end
  return ('AddedToken("%s", %s)'):format(token.content,
    table.concat({ flag "rstrip", flag "lstrip", flag "single_word", flag "normalized", flag "special" }, ", "))
end

function Tokenizer.__tostring(self)
  local added = {}
  for id, token in pairs(self.added_tokens_decoder) do added[#added + 1] = ("\n\t%d: %s,"):format(id, token_repr(token)) end
  local limit = math.tointeger(self.model_max_length) or "1000000000000000019884624838656"
  return ("%s(name_or_path='%s', vocab_size=%d, model_max_length=%s, padding_side='%s', truncation_side='%s', special_tokens=%s, "
    .. "added_tokens_decoder={%s%s})"):format(self.tokenizer_class, self.name_or_path, self.vocab_size, limit, self.padding_side,
    self.truncation_side, repr(self.special_tokens_map), table.concat(added), #added > 0 and "\n" or "")
end

return Tokenizer
