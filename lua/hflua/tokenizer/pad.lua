--- tokenizer:pad: encoded rows of different lengths to one length.
local BatchEncoding = require "hflua.tokenizer.batch_encoding"
local call_options = require "hflua.tokenizer.call_options"
local errors = require "hflua.errors"
local options = require "hflua.options"
local ordered = require "hflua.ordered"
local repr = require "hflua.repr"

local known = { "padding", "max_length", "pad_to_multiple_of", "padding_side", "return_attention_mask", "return_tensors", "verbose" }

local function as_list(value)
  if type(value) == "userdata" and value.tolist then return value:tolist() end
  return value
end

-- A list of encodings becomes lists by name; order of the first one's keys.
local function columns_of(encodings)
  local names, columns = {}, {}
  local rows = encodings[1] and encodings or nil
  for name, value in ordered.pairs(rows and rows[1] or encodings) do
    names[#names + 1] = name
    columns[name] = not rows and as_list(value) or nil
  end
  for _, name in ipairs(rows and names or {}) do
    columns[name] = {}
    for i, row in ipairs(rows) do columns[name][i] = as_list(row[name]) end
  end
  return names, columns
end

local function padded(list, width, value, left)
  local out, gap = {}, width - #list
  for i = 1, left and gap or 0 do out[i] = value end
  table.move(list, 1, #list, #out + 1, out)
  for _ = 1, left and 0 or gap do out[#out + 1] = value end
  return out
end

local function ones(count)
  local list = {}
  for i = 1, count do list[i] = 1 end
  return list
end

-- The width of every row, nil: as they are.
local function width_of(lists, padding, length, multiple)
  if padding == "do_not_pad" then return nil end
  local width = padding == "max_length" and length or 0
  for _, list in ipairs(padding == "longest" and lists or {}) do width = math.max(width, #list) end
  if multiple and multiple > 0 then width = (width + multiple - 1) // multiple * multiple end
  return width
end

local function pad_rows(self, columns, names, width, left)
  local values = { input_ids = self.pad_token_id, attention_mask = 0, token_type_ids = self.pad_token_type_id, special_tokens_mask = 1 }
  local result = {}
  for i, name in ipairs(names) do
    local rows = {}
    for r, row in ipairs(columns[name]) do
      row = as_list(row)
      rows[r] = values[name] and width and padded(row, width, values[name], left) or row
    end
    result[i] = { name, rows }
  end
  return result
end

local function unbatch(result)
  for _, column in ipairs(result) do column[2] = column[2][1] end
  return result
end

--- See methods.pad in pretrained.lua. Encodings: one (a table of lists), a batch (a table of lists of lists), or a list of
-- encodings. Rows that are longer than max_length stay as they are.
return function(self, encodings, given)
  local o = options.check("pad", given, known)
  local names, columns = columns_of(encodings)
  local lists = columns.input_ids
  if not lists then
    errors.raise("You should supply an encoding or a list of encodings to this method that includes input_ids, but you provided %s", repr(names))
  end
  local single = #lists > 0 and type(lists[1]) == "number"
  if single then
    for _, name in ipairs(names) do columns[name] = { columns[name] } end
    lists = columns.input_ids
  end
  for i, list in ipairs(lists) do lists[i] = as_list(list) end
  local wanted = o.padding
  if wanted == nil then wanted = true end
  local padding, _, length = call_options.strategies(self, { padding = wanted, max_length = o.max_length, truncation = false })
  local mask = o.return_attention_mask
  if mask == nil then mask = repr(self.model_input_names):find("attention_mask", 1, true) ~= nil end
  if mask and not columns.attention_mask then
    names[#names + 1], columns.attention_mask = "attention_mask", {}
    for i, list in ipairs(lists) do columns.attention_mask[i] = ones(#list) end
  end
  local width = width_of(lists, padding, length, o.pad_to_multiple_of)
  local result = pad_rows(self, columns, names, width, (o.padding_side or self.padding_side) == "left")
  return BatchEncoding.from_columns(single and unbatch(result) or result, o.return_tensors)
end
