--- Runs a model token by token: the prompt once, then one column at a time behind its cache.
local tensor = require "hflua.tensor"
local errors = require "hflua.errors"
local inputs = require "hflua.generation.inputs"

-- Tokens a row for which a cache gets room before the first one is chosen; it grows beyond.
local MOST_RESERVED = 4096

local Decoder = {}
Decoder.__index = Decoder

--- o: mask (B, T) of the prompt or nil, copies (rows made of each prompt), use_cache, cache (one to go on from).
function Decoder.new(model, o)
  local cache = nil
  if o.use_cache then cache = o.cache or require("hflua.models.cache").DynamicCache { config = model.config } end
  local self = { model = model, copies = o.copies, cache = cache, mask = o.mask, device = model:parameters()[1].device }
  self.limit = model.config.model_type == "gpt2" and model.config.n_positions or nil -- learned positions end
  return setmetatable(self, Decoder)
end

-- Copies (rows) -> the first of each prompt's rows.
local function first_of_each(x, copies)
  if copies == 1 then return x end
  return x:reshape(x.shape[1] // copies, copies, x.shape[2]):select(1, 0)
end

local function check_length(self, length)
  if self.limit and length > self.limit then
    errors.raise("generate: the model has %d positions, and column %d would need one more; lower max_new_tokens or shorten the prompt", self.limit, length)
  end
end

-- The mask of `length` columns; what was generated is real.
local function mask_of(self, length)
  local new = length - self.mask.shape[2]
  if new == 0 then return self.mask end
  return tensor.cat({ self.mask, tensor.ones({ self.mask.shape[1], new }, { dtype = "int64" }) }, { dim = 1 })
end

-- The last logits (rows, V) of `ids` behind the cache, as the model gives them.
local function forward(self, ids, mask, positions)
  local function place(x) return x and x:to(self.device) end
  local out = self.model {
    input_ids = place(ids), attention_mask = place(mask), position_ids = place(positions), past_key_values = self.cache,
    use_cache = self.cache ~= nil, logits_to_keep = 1,
  }
  return out.logits:select(1, -1)
end

-- float32 on the host: processors write into them.
local function on_host(logits) return logits:to("cpu"):to("float32"):contiguous() end

-- The whole of `ids` at once: the logits of each prompt.
local function first_step(self, ids)
  local rows, mask = first_of_each(ids, self.copies), self.mask
  local past = self.cache and self.cache:get_seq_length() or 0
  local function new(x) return past > 0 and x:narrow(1, past, x.shape[2] - past) or x end
  if past >= rows.shape[2] then errors.raise("generate: past_key_values holds %d columns, and input_ids has no more; give all ids, old and new", past) end
  local logits = forward(self, new(rows), mask, mask and new(inputs.positions(mask)))
  if mask then self.next_positions = mask:sum { dim = 1, keepdim = true } end
  if self.copies > 1 and self.cache then self.cache:batch_repeat_interleave(self.copies) end
  if mask and self.copies > 1 then
    self.mask = mask:repeat_interleave(self.copies, 0)
    self.next_positions = self.next_positions:repeat_interleave(self.copies, 0)
  end
  return logits
end

local function copies_of(self, logits) return self.copies > 1 and logits:repeat_interleave(self.copies, 0):clone() or logits end

-- The last column of `ids` behind the cache.
local function next_step(self, ids)
  local logits = tensor.step(function() return on_host(forward(self, ids:narrow(1, ids.shape[2] - 1, 1), nil, self.next_positions)) end)
  if self.next_positions then self.next_positions = self.next_positions + 1 end
  return logits
end

--- Logits (rows, V) of what follows ids (rows, length), float32 on the host. Each call has one column more than the one before.
function Decoder:logits(ids)
  check_length(self, ids.shape[2])
  local begun = self.begun
  self.begun = true
  if begun and self.cache then return next_step(self, ids) end
  if begun then
    local mask = self.mask and mask_of(self, ids.shape[2])
    return on_host(forward(self, ids, mask, mask and inputs.positions(mask)))
  end
  return copies_of(self, on_host(first_step(self, ids)))
end

-- ---- for tokens chosen where the model is: the prompt, then columns that are there already

--- Logits (rows, V) of what follows the prompts `ids` (rows, length), as the model gives them; room is made for `most` columns.
function Decoder:first(ids, most)
  check_length(self, ids.shape[2])
  self.cache:reserve(math.min(most, MOST_RESERVED), true)
  return copies_of(self, first_step(self, ids))
end

--- Position of the last token of each row (rows, 1), int64, behind `first`.
function Decoder:positions(rows)
  if self.next_positions then return self.next_positions - 1 end
  return tensor.full({ rows, 1 }, self.cache:get_seq_length() - 1, { dtype = "int64", device = "cpu" })
end

--- Has the model a position for one more token?
function Decoder:has_position() return not self.limit or self.cache:get_seq_length() < self.limit end

--- Error where it has none.
function Decoder:check_position() check_length(self, self.cache:get_seq_length() + 1) end

--- Logits (rows, V) behind one more token in each row: ids and positions (rows, 1) on the model's device.
function Decoder:next(ids, positions) return forward(self, ids, nil, positions) end

--- Row i goes on from what row index[i] was (counted from 0).
function Decoder:reorder(index)
  if self.cache then self.cache:reorder_cache(index) end
  -- beams of one prompt have one mask, so the mask and the positions stay
end

return Decoder
