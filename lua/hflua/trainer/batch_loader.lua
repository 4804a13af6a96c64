--- BatchLoader: batches of a dataset in the order of a sampler, made by a collator. `for batch in loader do`, `#loader`;
-- each loop is a pass of its own.
local class = require "hflua.class"
local by_collator = require("hflua.datasets.collate").by_collator
local errors = require "hflua.errors"

local BatchLoader = class("BatchLoader")

-- batch -> the iterator that made it: `for` hands the last batch back, which tells its pass.
local passes = setmetatable({}, { __mode = "k" })

--- options: batch_size, sampler, collate_fn, drop_last. `is_sharded`: the sampler gives the rows of this process alone.
function BatchLoader:init(dataset, options)
  self.is_sharded = options.sampler.is_shard == true
  self.dataset, self.batch_size, self.sampler = dataset, options.batch_size, options.sampler
  self.collate_fn, self.drop_last, self.epoch = options.collate_fn, options.drop_last, 0
end

--- Number of batches.
function BatchLoader:__len()
  local rows = self.sampler.length
  if self.drop_last then return rows // self.batch_size end
  return (rows + self.batch_size - 1) // self.batch_size
end

--- The pass that comes next is that of `epoch` (from 0).
function BatchLoader:set_epoch(epoch) self.epoch = epoch end

local function collate(self, order, first, last)
  local batch = by_collator(self.dataset, table.move(order, first, last, 1, {}), self.collate_fn)
  if type(batch) ~= "table" then errors.raise("data_collator: expected it to return a table of tensors, found %s", type(batch)) end
  return batch
end

--- A function that gives the batches of one pass, then nil; the first `skip` ones are left out unmade. Like PyTorch's
-- loader, each pass takes one int64 from the global generator first.
function BatchLoader:pass_from(skip)
  require("hflua.core.random").random_int64()
  local order = self.sampler:order(self.epoch)
  local position, limit = skip * self.batch_size, self.drop_last and #self * self.batch_size or #order
  return function()
    if position >= limit then return nil end
    local first, last = position + 1, math.min(position + self.batch_size, limit)
    position = last
    return collate(self, order, first, last)
  end
end

function BatchLoader:__call(_, previous)
  local pass = previous and passes[previous] or self:pass_from(0)
  local batch = pass()
  if batch then passes[batch] = pass end
  return batch
end

return BatchLoader
