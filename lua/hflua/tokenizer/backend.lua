--- Tokenizer: a tokenizer put together from parts, as in Hugging Face's tokenizers.
--
--   local tok = Tokenizer(models.BPE { unk_token = "[UNK]" })
--   tok.pre_tokenizer = pre_tokenizers.Whitespace()
--   tok:train_from_iterator(texts, trainers.BpeTrainer { vocab_size = 1000, special_tokens = { "[UNK]" } })
--   print(table.concat(tok:encode("Hello world").tokens, " "))
--
-- `PreTrainedTokenizerFast { tokenizer_object = tok, unk_token = "[UNK]" }` makes the tokenizer that models take.
local core = require "hflua.core.tokenizer"
local errors = require "hflua.errors"
local json = require "hflua.core.json"
local options = require "hflua.options"
local ordered = require "hflua.ordered"
local special_tokens = require "hflua.tokenizer.special_tokens"
local trainers = require "hflua.tokenizer.trainers"

local Tokenizer = { __name = "Tokenizer" }
local methods = {}

-- Parts that can be read and set.
local parts = { normalizer = true, pre_tokenizer = true, post_processor = true, decoder = true, model = true }

-- The document of the tokenizer as its engine has it.
local function current(self)
  local document = rawget(self, "_document")
  if not document then
    document = json.decode(rawget(self, "_engine"):to_json())
    rawset(self, "_document", document)
  end
  return document
end

-- The engine of the document.
local function engine_of(self)
  local engine = rawget(self, "_engine")
  if not engine then
    engine = core.from_json(json.encode(rawget(self, "_document")), "Tokenizer")
    rawset(self, "_engine", engine)
  end
  return engine
end

local function new_document(model)
  local document = ordered.new()
  document.truncation, document.padding, document.added_tokens = json.null, json.null, json.array {}
  for _, name in ipairs { "normalizer", "pre_tokenizer", "post_processor", "decoder" } do document[name] = json.null end
  document.model = model
  return document
end

function Tokenizer.__index(self, key)
  if methods[key] then return methods[key] end
  if parts[key] then
    local part = current(self)[key]
    return part ~= json.null and part or nil
  end
end

function Tokenizer.__newindex(self, key, value)
  if not parts[key] then errors.raise("Tokenizer: '%s' cannot be set; there are normalizer, pre_tokenizer, model, post_processor, decoder", tostring(key)) end
  if value ~= nil and value ~= json.null and (type(value) ~= "table" or type(value.type) ~= "string") then
    errors.raise("Tokenizer: %s: expected a component, as from hf.tokenizer.%ss, found %s", key, key, type(value))
  end
  local document = current(self)
  document[key] = value == nil and json.null or value
  rawset(self, "_document", document)
  rawset(self, "_engine", nil)
end

-- ---- training

local trainer_of_model = { BPE = "BpeTrainer", WordPiece = "WordPieceTrainer", WordLevel = "WordLevelTrainer", Unigram = "UnigramTrainer" }

--- Trains the model on `texts`: a function that gives a text or a list of texts a call, or a list of either.
function methods:train_from_iterator(texts, trainer)
  local document = current(self)
  trainer = trainer or trainers[trainer_of_model[document.model.type]]()
  if not trainers.is(trainer) then errors.raise("train_from_iterator: expected a trainer, as from hf.tokenizer.trainers, found %s", type(trainer)) end
  if trainer.kind ~= document.model.type then
    errors.raise("train_from_iterator: a %s cannot train the model %s", trainer_of_model[trainer.kind], document.model.type)
  end
  trainers.train(document, trainer, texts)
  rawset(self, "_engine", nil)
  engine_of(self)
end

local function open(path, mode)
  local file, reason = io.open(path, mode)
  return file or errors.raise("%s", reason)
end

-- The lines of files, with their ends.
local function lines_of(files)
  return coroutine.wrap(function()
    for _, path in ipairs(files) do
      local file = open(path, "rb")
      for line in file:lines "L" do coroutine.yield(line) end
      file:close()
    end
  end)
end

--- Trains the model on the lines of text files.
function methods:train(files, trainer) self:train_from_iterator(lines_of(type(files) == "table" and files or { files }), trainer) end

-- ---- encoding

local DETAILED, SPECIAL, TRUNCATE_LEFT, PAD_LEFT, WORDS = 4, 1, 8, 32, 64
local strategies = { longest_first = 1, only_first = 2, only_second = 3 }
local stored_strategies = { LongestFirst = 1, OnlyFirst = 2, OnlySecond = 3 }

-- Arguments of the engine for the truncation and the padding of the document.
local function settings_of(self)
  local truncation, padding = rawget(self, "_truncation"), rawget(self, "_padding")
  local bits = DETAILED
  if truncation and truncation.direction == "left" then bits = bits | TRUNCATE_LEFT end
  if padding and padding.direction == "left" then bits = bits | PAD_LEFT end
  return bits, truncation and strategies[truncation.strategy] or 0, truncation and truncation.max_length or 0,
    truncation and truncation.stride or 0, padding and (padding.length and 2 or 1) or 0, padding and padding.length or 0,
    padding and padding.pad_to_multiple_of or 0, padding and padding.pad_id or 0, padding and padding.pad_type_id or 0
end

local Encoding = { __name = "Encoding" }

local columns = { ids = "input_ids", type_ids = "token_type_ids", attention_mask = "attention_mask",
  special_tokens_mask = "special_tokens_mask", offsets = "offset_mapping" }

local function encoding_tokens(self)
  local tokens = {}
  for i, id in ipairs(self.ids) do tokens[i] = self._engine:token(id) or json.null end
  return tokens
end

-- Columns are made when they are first read.
function Encoding.__index(self, key)
  local value
  if columns[key] then value = self._rows:row(columns[key], self._row)
  elseif key == "tokens" then value = encoding_tokens(self)
  elseif key == "word_ids" then value = self._rows:word_ids(self._row)
  elseif key == "sequence_ids" then value = self._rows:sequence_ids(self._row) end
  if value ~= nil then rawset(self, key, value) end
  return value
end
function Encoding.__len(self) return #self.ids end

local function encode(self, text, pair, given)
  local o = options.check("encode", given, { "is_pretokenized", "add_special_tokens" })
  local engine, bits = engine_of(self), 0
  if o.add_special_tokens ~= false then bits = bits | SPECIAL end
  if o.is_pretokenized then bits = bits | WORDS end
  local more, truncation, max_length, stride, padding, length, multiple, pad_id, pad_type = settings_of(self)
  return engine, engine:encode(text, pair, bits | more, truncation, max_length, stride, padding, length, multiple, pad_id, pad_type)
end

--- encode(text[, pair][, { add_special_tokens =, is_pretokenized = }]): ids, tokens, offsets, type_ids, attention_mask,
-- special_tokens_mask, word_ids, sequence_ids.
function methods:encode(text, pair, given)
  if given == nil and type(pair) == "table" and #pair == 0 then pair, given = nil, pair end
  local engine, rows = encode(self, text, pair, given)
  return setmetatable({ _engine = engine, _rows = rows, _row = 1 }, Encoding)
end

--- A list of encodings; an entry may be a pair { text, pair }.
function methods:encode_batch(texts, given)
  local engine, rows = encode(self, texts, nil, given)
  local list = {}
  for i = 1, #rows do list[i] = setmetatable({ _engine = engine, _rows = rows, _row = i }, Encoding) end
  return list
end

--- The text of ids, without special tokens unless { skip_special_tokens = false }.
function methods:decode(ids, given)
  local o = options.check("decode", given, { "skip_special_tokens" })
  return engine_of(self):decode(ids, o.skip_special_tokens ~= false)
end

--- A list of texts.
function methods:decode_batch(sequences, given)
  local texts = {}
  for i, ids in ipairs(sequences) do texts[i] = self:decode(ids, given) end
  return texts
end

-- ---- vocabulary

function methods:token_to_id(token) return engine_of(self):id(token) end
function methods:id_to_token(id) return engine_of(self):token(id) end
--- A table from token to id.
function methods:get_vocab() return engine_of(self):vocab() end
--- How many tokens there are; false: without added ones.
function methods:get_vocab_size(with_added_tokens) return engine_of(self):vocab_size(with_added_tokens ~= false) end
function methods:num_special_tokens_to_add(pair) return engine_of(self):special_count(pair) end

local function add(self, tokens, special)
  local records = {}
  for i, token in ipairs(type(tokens) == "table" and not tokens.content and tokens or { tokens }) do
    records[i] = special_tokens.record(token, "add_tokens", special)
    if special then records[i].special = true end
  end
  local engine = engine_of(self)
  rawset(self, "_document", nil)
  return engine:add_tokens(records)
end

--- Adds tokens to the vocabulary; returns how many are new.
function methods:add_tokens(tokens) return add(self, tokens, false) end
function methods:add_special_tokens(tokens) return add(self, tokens, true) end

-- ---- truncation and padding

local function direction(where, value)
  if value == nil or value == "left" or value == "right" then return value or "right" end
  errors.raise("%s: direction: expected left or right, found '%s'", where, tostring(value))
end

--- Cuts what is encoded to max_length tokens.
function methods:enable_truncation(max_length, given)
  local o = options.check("enable_truncation", given, { "stride", "strategy", "direction" })
  if math.type(max_length) ~= "integer" or max_length < 0 then errors.raise("enable_truncation: max_length: expected a whole number, found %s", tostring(max_length)) end
  if o.strategy and not strategies[o.strategy] then errors.raise("enable_truncation: strategy: expected longest_first, only_first or only_second, found '%s'", tostring(o.strategy)) end
  rawset(self, "_truncation", { max_length = max_length, stride = o.stride or 0, strategy = o.strategy or "longest_first",
    direction = direction("enable_truncation", o.direction) })
end

--- Pads what is encoded to the longest of the batch, or to { length = n }.
function methods:enable_padding(given)
  local o = options.check("enable_padding", given, { "direction", "pad_id", "pad_type_id", "pad_token", "length", "pad_to_multiple_of" })
  rawset(self, "_padding", { direction = direction("enable_padding", o.direction), pad_id = o.pad_id or 0, pad_type_id = o.pad_type_id or 0,
    pad_token = o.pad_token or "[PAD]", length = o.length, pad_to_multiple_of = o.pad_to_multiple_of })
end
function methods:no_truncation() rawset(self, "_truncation", nil) end
function methods:no_padding() rawset(self, "_padding", nil) end

-- ---- files

-- As tokenizer.json has the settings.
local function stored_settings(self)
  local truncation, padding = rawget(self, "_truncation"), rawget(self, "_padding")
  local names = { longest_first = "LongestFirst", only_first = "OnlyFirst", only_second = "OnlySecond" }
  local function side(value) return value == "left" and "Left" or "Right" end
  return truncation and { direction = side(truncation.direction), max_length = truncation.max_length, strategy = names[truncation.strategy],
      stride = truncation.stride } or json.null,
    padding and { strategy = padding.length and { Fixed = padding.length } or "BatchLongest", direction = side(padding.direction),
      pad_to_multiple_of = padding.pad_to_multiple_of or json.null, pad_id = padding.pad_id, pad_type_id = padding.pad_type_id,
      pad_token = padding.pad_token } or json.null
end

local function table_or_nil(value) return type(value) == "table" and value or nil end

local function read_settings(self, document)
  local truncation, padding = table_or_nil(document.truncation), table_or_nil(document.padding)
  local names = { "longest_first", "only_first", "only_second" }
  if truncation then
    self:enable_truncation(truncation.max_length, { stride = truncation.stride, strategy = names[stored_strategies[truncation.strategy]],
      direction = truncation.direction == "Left" and "left" or "right" })
  end
  if padding then
    self:enable_padding { length = table_or_nil(padding.strategy) and padding.strategy.Fixed, pad_id = padding.pad_id, pad_type_id = padding.pad_type_id,
      pad_token = padding.pad_token, direction = padding.direction == "Left" and "left" or "right",
      pad_to_multiple_of = padding.pad_to_multiple_of ~= json.null and padding.pad_to_multiple_of or nil }
  end
end

--- The text of tokenizer.json.
function methods:to_str()
  local document = current(self)
  document.truncation, document.padding = stored_settings(self)
  rawset(self, "_engine", core.from_json(json.encode(document), "Tokenizer"))
  return rawget(self, "_engine"):to_json()
end

--- Writes tokenizer.json.
function methods:save(path)
  local text = self:to_str()
  local file = open(path, "wb")
  file:write(text)
  file:close()
end

-- For PreTrainedTokenizerFast { tokenizer_object = ... }: an engine of its own.
function methods:_new_engine() return core.from_json(self:to_str(), "Tokenizer") end

-- ---- making tokenizers

local function from_text(text, where)
  local self = setmetatable({ _engine = core.from_json(text, where) }, Tokenizer)
  read_settings(self, json.decode(text))
  return self
end

local class = {}

--- A tokenizer from the text of a tokenizer.json, or from the file.
function class.from_str(text) return from_text(text, "Tokenizer.from_str") end
function class.from_file(path)
  local file = open(path, "rb")
  local text = file:read "a"
  file:close()
  return from_text(text, path)
end

--- True for what Tokenizer(model) makes.
function class.is(value) return getmetatable(value) == Tokenizer end

return setmetatable(class, { __call = function(_, model)
  if type(model) ~= "table" or type(model.type) ~= "string" then errors.raise("Tokenizer: expected a model, as from hf.tokenizer.models, found %s", type(model)) end
  return setmetatable({ _document = new_document(model) }, Tokenizer)
end })
