--- Trainer in several processes, with the meaning that transformers gives to DDP: each process walks its share of the batches, gradients
-- are means over the processes, process 0 writes. In one process nothing here does anything.
local errors = require "hflua.errors"
local notes = require "hflua.trainer.notes"
local process_group = require "hflua.process_group"
local shard = require "hflua.datasets.shard"

local parallel = {}

local info = process_group.info

--- Rank 0, of all processes and of those on this host.
function parallel:is_world_process_zero() return info().rank == 0 end
function parallel:is_local_process_zero() return info().local_rank == 0 end

-- ---- rows

-- accelerator_config = { split_batches = true }: the batch size is that of all processes together.
local function splits_batches(args) return (args.accelerator_config or {}).split_batches == true end

--- The sampler of this process's rows, and its batch size.
function parallel:shard_sampler(sampler, batch_size, drop_last)
  local processes = info().size
  if processes == 1 then return sampler, batch_size end
  if splits_batches(self.args) then
    if batch_size % processes ~= 0 then
      errors.raise("split_batches: the batch size must be a multiple of the number of processes, found %d and %d", batch_size, processes)
    end
    batch_size = batch_size // processes
  end
  return shard.ShardedSampler(sampler, batch_size, drop_last), batch_size
end

--- Rows in an update of all processes.
function parallel:total_train_batch_size()
  return self.args.train_batch_size * self.args.gradient_accumulation_steps * info().size
end

-- ---- gradients

--- Before training: every process has the weights of process 0, and the exchange of their gradients.
function parallel:begin_parallel(parameters)
  if info().size == 1 then return end
  process_group.broadcast_model(self.model)
  self:end_parallel()
  self.exchange = process_group.exchange(parameters, self.args.ddp_bucket_cap_mb)
  local detour = self.exchange:detour()
  if detour and self.device ~= "cpu" then notes.once("gradients are added up in the memory of the host: %s", detour) end
end

--- After training.
function parallel:end_parallel()
  if self.exchange then self.exchange:close() end
  self.exchange = nil
end

--- Before the last micro-batch of a step: its backward may exchange gradients as it finishes them.
function parallel:begin_exchange()
  if self.exchange then self.exchange:begin() end
end

--- After the last micro-batch: gradients are means over the processes.
function parallel:finish_exchange()
  if self.exchange then self.exchange:finish() end
end

--- The number that tells the dropout of this micro-batch from all others: no two processes draw the same mask.
function parallel:dropout_step()
  local run = self.run
  return (run.epoch * run.plan.batches + run.batch) * info().size + info().rank
end

-- ---- sums of a step

--- The number of labels in the micro-batches of all processes, and by what the losses must be multiplied so that the mean over the
-- processes divides by that number.
function parallel:items_of_all(items)
  local factor = self:items_factor()
  return factor == 1 and items or process_group.sum(items), factor
end

--- The second of them alone.
function parallel:items_factor() return self.args.average_tokens_across_devices and info().size or 1 end

--- A signal that came to any of the processes.
function parallel:pending_signal()
  local own = require("hflua.core.interrupt").pending()
  if info().size == 1 then return own end
  local most = process_group.max(own == "SIGINT" and 2 or own and 1 or 0)
  return most == 2 and "SIGINT" or most == 1 and "SIGTERM" or nil
end

-- ---- evaluation

--- How many rows of each process's batch of `rows` count, when `left` rows of the dataset have not been seen.
function parallel:rows_that_count(rows, left)
  local kept = {}
  for r = 1, info().size do
    kept[r] = math.max(0, math.min(rows, left))
    left = left - kept[r]
  end
  return kept
end

--- A tensor, or a list of them, as wide as the widest among the processes.
function parallel:pad_rows(value, padding)
  return process_group.map(value, function(t) return process_group.pad_tensor(t, 1, padding) end)
end

--- The rows of all processes, padded to one width; the first `count` of them.
function parallel:gather_rows(value, count, padding)
  return process_group.map(value, function(t)
    local all = process_group.gather_rows(t, padding)
    if t.ndim == 0 or all:size(0) <= count then return all end
    return all:narrow(0, 0, count)
  end)
end

return parallel
