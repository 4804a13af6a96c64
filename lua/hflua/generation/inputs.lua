--- What `generate` begins with: prompts as a rectangle padded at the left, its mask, position ids.
local tensor = require "hflua.tensor"
local errors = require "hflua.errors"
local json = require "hflua.core.json"
local notes = require "hflua.trainer.notes"

local inputs = {}

local function is_list_of_lists(value) return type(value) == "table" and (type(value[1]) == "table" or tensor.is_tensor(value[1])) end

-- Prompts as lists of ids, one a row, where `value` is not a tensor (B, T).
local function rows_of(value)
  if tensor.is_tensor(value) then
    if value.ndim ~= 1 then return nil end
    return { value:tolist() }
  end
  if not is_list_of_lists(value) then return { value } end
  local rows = {}
  for i, row in ipairs(value) do rows[i] = tensor.is_tensor(row) and row:reshape(-1):tolist() or row end
  return rows
end

local function check_rows(rows)
  for i, row in ipairs(rows) do
    if type(row) ~= "table" then errors.raise("generate: input_ids: expected token ids, a tensor (B, T) or lists, found %s; tokenize texts first", type(row)) end
    if #row == 0 then errors.raise("generate: input_ids: prompt %d is empty; begin with bos_token_id", i) end
    for _, id in ipairs(row) do
      if math.type(id) ~= "integer" then errors.raise("generate: input_ids: expected token ids, found %s in prompt %d", type(id), i) end
    end
  end
end

-- Lists of ids as tensors, the shorter ones padded at the left: ids, mask (nil where none is shorter).
local function pad_left(rows, pad)
  local longest, uneven = 0, false
  for _, row in ipairs(rows) do
    uneven = uneven or (longest > 0 and #row ~= longest)
    longest = math.max(longest, #row)
  end
  if uneven and not pad then errors.raise("generate: input_ids: prompts of unequal length need a pad_token_id; pass pad_token_id=tok.pad_token_id") end
  local ids, mask = {}, {}
  for i, row in ipairs(rows) do
    ids[i], mask[i] = {}, {}
    for column = 1, longest do
      local id = row[column - longest + #row]
      ids[i][column], mask[i][column] = id or pad, id and 1 or 0
    end
  end
  return tensor.tensor(ids, { dtype = "int64" }), uneven and tensor.tensor(mask, { dtype = "int64" }) or nil
end

-- Moves the padding that stands behind the tokens of a row in front of them.
local function move_padding(ids, mask)
  local id_rows, mask_rows, moved = ids:tolist(), mask:tolist(), false
  for i, row in ipairs(mask_rows) do
    local last = #row
    while last > 0 and row[last] == 0 do last = last - 1 end
    if last == 0 then errors.raise("generate: attention_mask: row %d has no real token", i) end
    for _ = last + 1, #row do
      table.insert(row, 1, table.remove(row))
      table.insert(id_rows[i], 1, table.remove(id_rows[i]))
    end
    moved = moved or last < #row
  end
  if not moved then return ids, mask end
  notes.once("generate: prompts are padded at the right; the padding was moved to the left (padding_side=\"left\" in the tokenizer saves this)")
  return tensor.tensor(id_rows, { dtype = "int64" }), tensor.tensor(mask_rows, { dtype = "int64" })
end

local function contains(list, value)
  for _, item in ipairs(list or {}) do
    if item == value then return true end
  end
  return false
end

-- The mask that the padding id tells, nil where it tells nothing: there is none, or it is an end token too.
local function inferred_mask(ids, pad, eos)
  if not pad or contains(eos, pad) then return nil end
  local mask = ids:ne(pad):to("int64")
  return mask:min():item() == 0 and mask or nil
end

local function check_mask(mask, ids)
  if mask == nil or mask == json.null then return nil end
  if not tensor.is_tensor(mask) then
    mask = tensor.tensor(is_list_of_lists(mask) and mask or { mask }, { dtype = "int64" })
  end
  if mask.ndim ~= 2 or mask.shape[1] ~= ids.shape[1] or mask.shape[2] ~= ids.shape[2] then
    errors.raise("generate: attention_mask: expected shape %s as input_ids have it, found %s", tostring(ids.shape), tostring(mask.shape))
  end
  return mask:to("int64")
end

--- given: input_ids (tensor or lists, or nil: the begin token), attention_mask. pad, eos (list or nil), bos: token ids.
-- Returns ids (B, T) int64 and mask (B, T), nil where every token is real; both on the host.
function inputs.prepare(given, pad, eos, bos)
  local ids, mask = given.input_ids, nil
  if ids == nil then
    if not bos then errors.raise("generate: input_ids: expected a tensor (B, T), found nothing, and there is no bos_token_id to begin with") end
    ids = { { bos } }
  end
  local rows = rows_of(ids)
  if rows then
    check_rows(rows)
    ids, mask = pad_left(rows, pad)
  end
  ids = ids:to("cpu")
  if ids:numel() == 0 then errors.raise("generate: input_ids: the prompt is empty; begin with bos_token_id") end
  if ids.ndim ~= 2 or ids.dtype ~= "int64" then
    errors.raise("generate: input_ids: expected token ids (B, T) of int64, found %s %s", tostring(ids.shape), ids.dtype)
  end
  local found = check_mask(given.attention_mask, ids)
  mask = found or mask
  if not mask then mask = inferred_mask(ids, pad, eos) end
  if not mask then return ids, nil end
  ids, mask = move_padding(ids, mask:to("cpu"))
  return ids, mask:min():item() == 0 and mask or nil
end

--- Position ids (B, T) of a mask: real tokens count from 0.
function inputs.positions(mask) return (mask:cumsum { dim = 1 } - 1):masked_fill(mask:eq(0), 0) end

return inputs
