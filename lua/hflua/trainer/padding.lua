--- Padding: lists of unequal length made into one tensor, and the values each column is padded with.
local errors = require "hflua.errors"

local padding = {}

--- The list that a value is, or that a tensor holds.
function padding.list_of(value) return type(value) == "userdata" and value:tolist() or value end

--- The length of the longest list, at least `width`.
function padding.width(lists, width)
  width = width or 0
  for _, list in ipairs(lists) do width = math.max(width, #list) end
  return width
end

--- `width` raised to max_length when `mode` is "max_length", then to a multiple of `multiple`.
function padding.round(width, mode, max_length, multiple)
  if mode == "max_length" and max_length then width = math.max(width, max_length) end
  if multiple and multiple > 0 then width = (width + multiple - 1) // multiple * multiple end
  return width
end

-- Appends `list`, brought to `width`, to the flat list `out`.
local function append_row(out, list, width, value, left)
  local gap = width - #list
  if left then
    for _ = 1, gap do out[#out + 1] = value end
  end
  table.move(list, 1, #list, #out + 1, out)
  if not left then
    for _ = 1, gap do out[#out + 1] = value end
  end
end

local function is_float(list)
  for _, value in ipairs(list) do
    if math.type(value) == "float" then return true end
  end
  return false
end

--- A tensor (rows, width) of lists of numbers; float32 when one of them is a float.
function padding.stack(lists, width, value, side)
  local out, tensor = {}, require "hflua.tensor"
  for _, list in ipairs(lists) do append_row(out, list, width, value, side == "left") end
  local dtype = is_float(out) and "float32" or "int64"
  return tensor.tensor(out, { dtype = dtype }):reshape { #lists, width }
end

-- Nested lists of equal lengths, flattened; `shape` gets the sizes.
local function flatten(value, depth, shape, out, name)
  if type(value) ~= "table" then
    if type(value) == "boolean" then value = value and 1 or 0 end
    if type(value) ~= "number" then errors.raise("column '%s' is text: remove_columns{\"%s\"}", name, name) end
    out[#out + 1] = value
    return
  end
  shape[depth] = shape[depth] or #value
  if shape[depth] ~= #value then
    errors.raise("column '%s': rows of unequal length (%d and %d): pad them (DataCollatorWithPadding) or remove_columns{\"%s\"}",
      name, shape[depth], #value, name)
  end
  for _, item in ipairs(value) do flatten(item, depth + 1, shape, out, name) end
end

--- A tensor of values that have equal shapes already: numbers, nested lists, or tensors.
function padding.stack_equal(values, name)
  local tensor = require "hflua.tensor"
  if type(values[1]) == "userdata" and values[1].shape then return tensor.stack(values, { dim = 0 }) end
  local shape, out = {}, {}
  flatten(values, 1, shape, out, name)
  return tensor.tensor(out, { dtype = is_float(out) and "float32" or "int64" }):reshape(shape)
end

--- Refuses to pad without a padding token, in HF's words.
function padding.check_token(tokenizer)
  if tokenizer.pad_token_id ~= nil then return end
  errors.raise("Asking to pad but the tokenizer does not have a padding token. Please select a token to use as pad_token "
    .. "(tokenizer.pad_token = tokenizer.eos_token e.g.) or add a new pad token (tokenizer:add_special_tokens{pad_token = \"[PAD]\"}).")
end

--- What a tokenizer's columns are padded with; other columns are not padded.
function padding.values(tokenizer)
  return { input_ids = tokenizer.pad_token_id, attention_mask = 0, token_type_ids = tokenizer.pad_token_type_id or 0,
    special_tokens_mask = 1 }
end

return padding
