--- BatchEncoding: what a tokenizer call returns. It reads like a table whose keys are in HF's order; lists are made
-- when a key is first read, so that a batch goes to a dataset or a tensor without them.
--
-- Batch rows count from 1 (`enc:word_ids(1)`, default 1). Positions of tokens, characters and words are data and
-- count from 0, as in offsets.
local errors = require "hflua.errors"
local null = require("hflua.core.json").null
local repr = require "hflua.repr"

local BatchEncoding = { __name = "BatchEncoding" }

local methods = {}

-- Columns the engine gives are made when they are first read; _keys (names in order) and _changed (names that were set)
-- exist only once something was set.

local per_row = { length = true, overflow_to_sample_mapping = true }

--- Made by tokenizer calls.
-- @param encoding the engine's result
-- @param prepared what the call asked for: columns (names in order), has (the same as a set), tensors
-- @param batched false: each column is one list
-- @param tokenizer, text, pair to encode the same again with words and offsets, for those who ask later
function BatchEncoding.new(encoding, prepared, batched, tokenizer, text, pair)
  return setmetatable({ _encoding = encoding, _prepared = prepared, _batched = batched, _values = {}, _tokenizer = tokenizer,
    _text = text, _pair = pair }, BatchEncoding)
end

local no_columns = { columns = {}, has = {} }

--- From columns that are there already: { {name, value}, ... } in order.
function BatchEncoding.from_columns(columns, tensor_type)
  local self = BatchEncoding.new(nil, no_columns, true)
  for _, column in ipairs(columns) do self[column[1]] = column[2] end
  return self:convert_to_tensors(tensor_type)
end

-- True for a column of the engine that was neither read nor set.
local function is_lazy(self, key)
  local changed = rawget(self, "_changed")
  return self._prepared.has[key] and not (changed and changed[key]) and self._values[key] == nil
end

local function make_column(self, name)
  local encoding, prepared = rawget(self, "_encoding"), self._prepared
  if prepared.tensors then return encoding:tensor(name) end
  if rawget(self, "_batched") or per_row[name] then return encoding:column(name) end
  return encoding:row(name, 1)
end

function BatchEncoding.__index(self, key)
  local values = self._values
  local value = values[key]
  if value ~= nil then return value end
  if not is_lazy(self, key) then return methods[key] end
  value = make_column(self, key)
  values[key] = value
  return value
end

-- The list of names, one of its own before it grows.
local function own_keys(self)
  local keys = rawget(self, "_keys")
  if not keys then
    local columns = self._prepared.columns
    keys = table.move(columns, 1, #columns, 1, {})
    rawset(self, "_keys", keys)
    rawset(self, "_changed", {})
  end
  return keys
end

function BatchEncoding.__newindex(self, key, value)
  local keys, changed = own_keys(self), rawget(self, "_changed")
  if value ~= nil and not changed[key] and not self._prepared.has[key] then keys[#keys + 1] = key end
  changed[key] = true
  self._values[key] = value
end

local function has_column(self, key) return self._values[key] ~= nil or is_lazy(self, key) end

function BatchEncoding.__pairs(self)
  local keys, i = rawget(self, "_keys") or self._prepared.columns, 0
  return function()
    while i < #keys do
      i = i + 1
      if has_column(self, keys[i]) then return keys[i], self[keys[i]] end
    end
  end
end

BatchEncoding.__tostring = repr

--- Names of the columns, in order.
function methods:keys()
  local names = {}
  for _, key in ipairs(rawget(self, "_keys") or self._prepared.columns) do
    if has_column(self, key) then names[#names + 1] = key end
  end
  return names
end

--- Columns as a list, in order.
function methods:values()
  local list = {}
  for _, value in pairs(self) do list[#list + 1] = value end
  return list
end

--- for name, column in enc:items() do
function methods:items() return pairs(self) end

--- Moves the tensors to a device ("cuda", tensor.device(...)); returns the encoding itself.
function methods:to(device)
  for _, key in ipairs(self:keys()) do
    local value = self[key]
    if type(value) == "userdata" and value.to then self[key] = value:to(device) end
  end
  return self
end

--- Lists to tensors, in place. tensor_type: "pt" or "tensor"; nil: nothing to do. prepend_batch_axis: one row each.
function methods:convert_to_tensors(tensor_type, prepend_batch_axis)
  if tensor_type == nil or tensor_type == null then return self end
  BatchEncoding.check_tensor_type(tensor_type)
  local tensor = require "hflua.tensor"
  for _, key in ipairs(self:keys()) do
    local value = self[key]
    if type(value) ~= "userdata" then
      if prepend_batch_axis then value = { value } end
      local ok, result = pcall(tensor.tensor, value)
      if not ok then
        errors.raise("Unable to create tensor, you should probably activate truncation and/or padding with 'padding=true' "
          .. "'truncation=true' to have batched tensors with the same length. Perhaps your features (`%s` in this case) have "
          .. "excessive nesting: %s", key, tostring(result))
      end
      self[key] = result
    end
  end
  return self
end

--- Error unless the tensor type is one there is.
function BatchEncoding.check_tensor_type(tensor_type)
  if tensor_type == "pt" or tensor_type == "tensor" then return end
  errors.raise("return_tensors: expected 'pt' or 'tensor', found '%s'", tostring(tensor_type))
end

--- For datasets: the packed form of a column that was not read yet (an id column), or nil.
function methods:packed_column(name)
  if not is_lazy(self, name) or not rawget(self, "_batched") or self._prepared.tensors or name == "offset_mapping" then return nil end
  return rawget(self, "_encoding"):packed(name)
end

-- ---- what is known about each token

-- The engine's result with offsets and words.
local function detailed(self)
  local details, tokenizer = rawget(self, "_details"), rawget(self, "_tokenizer")
  if not tokenizer then
    errors.raise("this BatchEncoding was not made by a tokenizer call: it does not know words and characters")
  end
  if not details then
    details = tokenizer:_encode_detailed(rawget(self, "_text"), rawget(self, "_pair"), self._prepared)
    rawset(self, "_details", details)
  end
  return details
end

local function check_row(self, row)
  row = row or 1
  local rows = #detailed(self)
  if math.type(row) ~= "integer" or row < 1 or row > rows then
    errors.raise("BatchEncoding: batch index %s: expected 1 to %d", tostring(row), rows)
  end
  return row
end

--- Tokens of a row as strings.
function methods:tokens(row)
  row = check_row(self, row)
  return rawget(self, "_tokenizer"):convert_ids_to_tokens(detailed(self):row("input_ids", row))
end

--- For each token the index of its word (from 0), hf.null for special tokens and padding.
function methods:word_ids(row) return detailed(self):word_ids(check_row(self, row)) end
methods.words = methods.word_ids

--- For each token 0 or 1: the sequence it comes from; hf.null for special tokens and padding.
function methods:sequence_ids(row) return detailed(self):sequence_ids(check_row(self, row)) end

-- One argument: position in row 1; two: row and position.
local function row_and_position(self, a, b)
  local row, position = 1, a
  if b ~= nil then row, position = a, b end
  if math.type(position) ~= "integer" then errors.raise("BatchEncoding: position: expected a whole number, found %s", tostring(position)) end
  return check_row(self, row), position
end

-- Word, sequence and offsets of every token of a row.
local function token_table(self, row)
  local details = detailed(self)
  return { words = details:word_ids(row), sequences = details:sequence_ids(row), offsets = details:row("offset_mapping", row) }
end

local function nil_for_null(value)
  if value == null then return nil end
  return value
end

--- Word of a token, nil for special tokens. token_to_word(token) or token_to_word(row, token)
function methods:token_to_word(a, b)
  local row, token = row_and_position(self, a, b)
  return nil_for_null(token_table(self, row).words[token + 1])
end

--- Sequence (0 or 1) of a token, nil for special tokens.
function methods:token_to_sequence(a, b)
  local row, token = row_and_position(self, a, b)
  return nil_for_null(token_table(self, row).sequences[token + 1])
end

--- First character of a token and the one behind its last, nil for special tokens: local first, last = ...
function methods:token_to_chars(a, b)
  local row, token = row_and_position(self, a, b)
  local t = token_table(self, row)
  if nil_for_null(t.sequences[token + 1]) == nil then return nil end
  return t.offsets[token + 1][1], t.offsets[token + 1][2]
end

-- First and last token of a sequence for which test(i) holds.
local function token_range(t, sequence, test)
  local first, last
  for i, s in ipairs(t.sequences) do
    if s == sequence and test(i) then first, last = first or i, i end
  end
  return first, last
end

--- Token at a character, nil when there is none. char_to_token(char), char_to_token(row, char[, sequence])
function methods:char_to_token(a, b, sequence)
  local row, char = row_and_position(self, a, b)
  local t = token_table(self, row)
  local first = token_range(t, sequence or 0, function(i) return t.offsets[i][1] <= char and char < t.offsets[i][2] end)
  return first and first - 1
end

--- Word at a character, nil when there is none. Arguments as char_to_token.
function methods:char_to_word(a, b, sequence)
  local row = row_and_position(self, a, b)
  local token = self:char_to_token(a, b, sequence)
  return token and self:token_to_word(row, token)
end

--- First token of a word and the one behind its last, nil when there is none. Arguments as char_to_token.
function methods:word_to_tokens(a, b, sequence)
  local row, word = row_and_position(self, a, b)
  local t = token_table(self, row)
  local first, last = token_range(t, sequence or 0, function(i) return t.words[i] == word end)
  if first then return first - 1, last end
end

--- First character of a word and the one behind its last, nil when there is none. Arguments as char_to_token.
function methods:word_to_chars(a, b, sequence)
  local row, word = row_and_position(self, a, b)
  local t = token_table(self, row)
  local first, last = token_range(t, sequence or 0, function(i) return t.words[i] == word end)
  if first then return t.offsets[first][1], t.offsets[last][2] end
end

--- True for what a tokenizer call returns.
function BatchEncoding.is(value) return getmetatable(value) == BatchEncoding end

return BatchEncoding
