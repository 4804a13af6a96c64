--- The rows of one process out of those of a pass: accelerate's BatchSamplerShard with even batches.
--
-- Batch i of the pass goes to process i % N. The last round is completed with rows from the start of the pass, so that every process
-- has as many full batches as the others; with drop_last an incomplete round is left out.
local class = require "hflua.class"
local process_group = require "hflua.process_group"

local ShardedSampler = class("ShardedSampler")
ShardedSampler.is_shard = true

local shard = {}

--- Rows of each process in a pass over `length` rows.
function shard.length(length, batch_size, drop_last, processes)
  local round = batch_size * processes
  return (drop_last and length // round or (length + round - 1) // round) * batch_size
end

--- The rows of process `rank` out of `order`, batch after batch.
function shard.rows(order, batch_size, drop_last, rank, processes)
  local rows, length = {}, #order
  for i = 0, shard.length(length, batch_size, drop_last, processes) - 1 do
    local position = (i // batch_size * processes + rank) * batch_size + i % batch_size
    rows[i + 1] = order[position % length + 1]
  end
  return rows
end

--- ShardedSampler(sampler, batch_size, drop_last): a sampler (`length`, `order(epoch)`) of this process's rows.
function ShardedSampler:init(sampler, batch_size, drop_last)
  self.sampler, self.batch_size, self.drop_last, self.draws_globally = sampler, batch_size, drop_last, sampler.draws_globally
  self.length = shard.length(sampler.length, batch_size, drop_last, process_group.info().size)
end

-- Orders drawn from the global generator, which may stand elsewhere in another process, are those of process 0.
function ShardedSampler:order(epoch)
  local order, info = self.sampler:order(epoch), process_group.info()
  if self.draws_globally then order = process_group.broadcast_order(order) end
  return shard.rows(order, self.batch_size, self.drop_last, info.rank, info.size)
end

shard.ShardedSampler = ShardedSampler

return shard
