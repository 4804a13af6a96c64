--- DataCollatorForSFT: trl's DataCollatorForLanguageModeling. Rows have input_ids, perhaps labels and, when they are packed,
-- seq_lengths: the lengths of the examples in them.
local errors = require "hflua.errors"
local options = require "hflua.options"
local padding = require "hflua.trainer.padding"
local new_batch = require "hflua.trainer.batch"
local collators = require "hflua.trainer.data_collators"

local SFT = collators.DataCollator:extend("DataCollatorForSFT")

--- DataCollatorForSFT{ pad_token_id =, padding_free = false, return_position_ids = false, pad_to_multiple_of =, return_lengths = true }.
-- padding_free: all rows as one, with positions that begin again in every example; return_lengths adds what other libraries' kernels
-- need to know of them (cu_seq_lens_q, max_length_q, seq_idx).
function SFT:init(given)
  local o = options.merge({ pad_token_id = options.none, padding_free = false, return_position_ids = false, pad_to_multiple_of = options.none,
    return_lengths = true, return_tensors = options.none }, given, self.__name)
  if math.type(o.pad_token_id) ~= "integer" then errors.raise("%s: pad_token_id: expected an id, found %s", self.__name, tostring(o.pad_token_id)) end
  for name, value in pairs(o) do self[name] = value end
end

-- 0, 1, 2 ... in every example of a row of `size` tokens.
local function positions_of(size, lengths)
  local out = {}
  for _, length in ipairs(lengths or { size }) do
    for position = 0, length - 1 do out[#out + 1] = position end
  end
  if #out ~= size then errors.raise("DataCollatorForSFT: seq_lengths: their sum is %d, but the row has %d tokens", #out, size) end
  return out
end

local function ones(lists)
  local out = {}
  for i, list in ipairs(lists) do
    out[i] = {}
    for j = 1, #list do out[i][j] = 1 end
  end
  return out
end

local function all_positions(rows, ids)
  local lengths, out = rows:has "seq_lengths" and rows:lists "seq_lengths" or {}, {}
  for i, list in ipairs(ids) do out[i] = positions_of(#list, lengths[i]) end
  return out
end

local function flat(lists)
  local out = {}
  for _, list in ipairs(lists) do table.move(list, 1, #list, #out + 1, out) end
  return { out }
end

-- Where examples begin in the one row of positions, and their lengths.
local function add_lengths(batch, positions)
  local tensor, starts, index, longest = require "hflua.tensor", {}, {}, 0
  for i, position in ipairs(positions) do
    if position == 0 then starts[#starts + 1] = i - 1 end
    index[i] = #starts - 1
    longest = math.max(longest, i - starts[#starts])
  end
  starts[#starts + 1] = #positions
  batch.cu_seq_lens_q = tensor.tensor(starts, { dtype = "int32" })
  batch.cu_seq_lens_k = batch.cu_seq_lens_q
  batch.max_length_q, batch.max_length_k = longest, longest
  batch.seq_idx = tensor.tensor(index, { dtype = "int32" }):reshape { 1, #index }
end

-- The first token of an example is predicted from nothing.
local function without_firsts(labels, positions)
  local out = {}
  for i, label in ipairs(labels) do out[i] = positions[i] == 0 and -100 or label end
  return out
end

-- Positions behind the last example, to a multiple: each is an example of its own, as in trl.
local function fill(list, width, value)
  for i = #list + 1, width do list[i] = value end
  return list
end

function SFT:make_flat(ids, labels, positions)
  ids, labels, positions = flat(ids), flat(labels), flat(positions)
  local width = padding.round(#ids[1], nil, nil, self.pad_to_multiple_of)
  positions[1] = fill(positions[1], width, 0)
  labels[1] = without_firsts(fill(labels[1], width, -100), positions[1])
  local batch = new_batch()
  batch.input_ids = padding.stack(ids, width, self.pad_token_id)
  batch.labels = padding.stack(labels, width, -100)
  batch.position_ids = padding.stack(positions, width, 0)
  if self.return_lengths then add_lengths(batch, positions[1]) end
  return batch
end

function SFT:make(rows)
  local ids = rows:lists "input_ids"
  local labels = rows:has "labels" and rows:lists "labels" or ids
  if self.padding_free then return self:make_flat(ids, labels, all_positions(rows, ids)) end
  local batch, width = new_batch(), padding.round(padding.width(ids), nil, nil, self.pad_to_multiple_of)
  batch.input_ids = padding.stack(ids, width, self.pad_token_id)
  batch.labels = padding.stack(labels, width, -100)
  if self.return_position_ids then batch.position_ids = padding.stack(all_positions(rows, ids), width, 0) end
  batch.attention_mask = padding.stack(ones(ids), width, 0)
  return batch
end

return SFT
