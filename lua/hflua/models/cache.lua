--- Keys and values of the tokens a model has seen, so that the next call computes new tokens only.
--
--     local cache = models.DynamicCache()
--     model{ input_ids = first, past_key_values = cache }
--     model{ input_ids = second, past_key_values = cache }   -- goes on behind `first`
--
-- Keys and values lie where the model is, in the dtype it computes in, and grow as they need to; StaticCache{ max_cache_len = n } has room for n
-- tokens a row from the start. Memory holds real tokens only; lengths are told in columns, padding at the left counted, as in transformers. No gradient flows
-- through a cache.
local tensor = require "hflua.tensor"
local core = require "hflua.core.generation"
local errors = require "hflua.errors"
local options_of = require "hflua.options"

local DynamicCache = { __name = "DynamicCache" }
DynamicCache.__index = DynamicCache

local known = { "config", "max_cache_len", "max_batch_size", "device", "dtype" }

-- A list of whole numbers from a tensor or a list.
local function list_of(index) return tensor.is_tensor(index) and index:reshape(-1):tolist() or index end

--- Columns that are held.
function DynamicCache:get_seq_length() return self.columns end

--- The most columns it can hold: -1, any number.
function DynamicCache:get_max_cache_shape() return -1 end

-- Attention where the batch computes padding too: only its real tokens go through the cache, the other rows are zeros.
local function attention_of_whole(self, q, k, v, layout, o)
  local plan = tensor.core.pack_plan(layout.mask)
  if not plan then errors.raise("%s: a row of the batch has no real token", self.__name) end
  local function real(x) return x.shape[1] == plan.tokens and x or x:index_select(0, plan.index) end
  local packed = { plan = plan, B = layout.B, T = layout.T }
  return tensor.zeros(q.shape, { device = q.device }):index_add(0, plan.index, self:attention(real(q), real(k), real(v), packed, o))
end

--- Adds the keys and values of new tokens (N, kv_heads, D) and gives the attention of their queries (N, heads, D) to all that the
-- layer holds. The seam of decoder.lua: o.layer counts from 1.
function DynamicCache:attention(q, k, v, layout, o)
  local plan = layout.plan
  if plan.queries ~= plan.tokens then return attention_of_whole(self, q, k, v, layout, o) end
  if not self.engine then
    self.engine = core.cache(layout.B)
    self.engine:reserve(self.reserved or 0, self.fixed)
  end
  local out = self.engine:attend(o.layer - 1, q, k, v, plan, o.scale or q.shape[3] ^ -0.5)
  if o.layer == 1 then self.columns = self.columns + layout.T end
  return out
end

--- Row i goes on from what row beam_idx[i] was (counted from 0).
function DynamicCache:reorder_cache(beam_idx)
  if self.engine then self.engine:reorder(list_of(beam_idx)) end
end

DynamicCache.batch_select_indices = DynamicCache.reorder_cache

--- Every row n times, one behind the other.
function DynamicCache:batch_repeat_interleave(n)
  local index = {}
  for row = 0, self.engine and self.engine:rows() - 1 or -1 do
    for _ = 1, n do index[#index + 1] = row end
  end
  if #index > 0 then self.engine:reorder(index) end
end

--- Makes room for `columns` columns at once. `fixed`: what a step queues on the device stays right until they are full.
function DynamicCache:reserve(columns, fixed)
  self.reserved, self.fixed = math.max(columns, self.reserved or 0), fixed
  if self.engine then self.engine:reserve(self.reserved, fixed) end
end

--- The device has computed one more column by itself, as it did the last one: launched again.
function DynamicCache:advance()
  self.engine:advance()
  self.columns = self.columns + 1
end

--- Is there room for one more column without moving what is held?
function DynamicCache:has_room() return self.engine ~= nil and self.engine:room() > 0 end

--- A function that takes the cache back to what it is now, whatever was added behind.
function DynamicCache:mark()
  local columns, lengths = self.columns, {}
  for row = 1, self.engine:rows() do lengths[row] = self.engine:length(row - 1) end
  return function()
    self.engine:cut(lengths)
    self.columns = columns
  end
end

--- Keeps the first `columns` columns; a negative number takes that many away.
function DynamicCache:crop(columns)
  local keep = math.max(0, columns < 0 and self.columns + columns or columns)
  if keep >= self.columns then return end
  self.engine:drop(self.columns - keep)
  self.columns = keep
end

--- Forgets everything.
function DynamicCache:reset() self.engine, self.column, self.columns = nil, nil, 0 end

function DynamicCache:__tostring() return ("%s(%d columns)"):format(self.__name, self.columns) end

local function class_of(name)
  local class = setmetatable({ __name = name, __tostring = DynamicCache.__tostring }, {
    __index = DynamicCache,
    __call = function(class, options)
      options_of.check(name, options, known)
      return setmetatable({ columns = 0, reserved = name == "StaticCache" and options and options.max_cache_len or nil }, class)
    end,
    __tostring = function() return "class " .. name end,
  })
  class.__index = class
  return class
end

return { DynamicCache = class_of "DynamicCache", StaticCache = class_of "StaticCache" }
