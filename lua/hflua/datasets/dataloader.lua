--- DataLoader: batches of a dataset, `for batch in loader do ... end`. The row order is PyTorch's for the same seed.
local Dataset = require "hflua.datasets.dataset"
local collate = require "hflua.datasets.collate"
local errors = require "hflua.errors"
local options = require "hflua.options"
local process_group = require "hflua.process_group"
local shard = require "hflua.datasets.shard"

local DataLoader = { __name = "DataLoader" }
DataLoader.__index = DataLoader

local known_options = { "batch_size", "shuffle", "sampler", "batch_sampler", "collate_fn", "drop_last", "generator", "num_workers",
  "pin_memory", "timeout", "worker_init_fn", "prefetch_factor", "persistent_workers", "multiprocessing_context", "pin_memory_device", "in_order" }

-- ---- orders of rows

local function random() return require "hflua.core.random" end

local function shuffled(n, generator)
  local order = random().randperm(n, generator)
  for i = 1, n do order[i] = order[i] + 1 end
  return order
end

-- A function that gives one row number after another, then nil.
local function walk(order)
  local i = 0
  return function()
    i = i + 1
    return order[i]
  end
end

-- PyTorch's RandomSampler: without a generator one is seeded from the global one; a generator that was given also makes
-- the permutation that ends the pass.
local function random_rows(n, generator)
  if not generator then return walk(shuffled(n, random().generator(random().random_int64()))) end
  local order, i = shuffled(n, generator), 0
  return function()
    i = i + 1
    if i == n + 1 then shuffled(n, generator) end
    return order[i]
  end
end

local function sampler_rows(sampler, where)
  if type(sampler) == "function" then return sampler() end
  if type(sampler.order) == "function" then return walk(sampler:order(0)) end
  if type(sampler) == "table" then return walk(sampler) end
  errors.raise("%s: expected a list of row numbers", where)
end

-- Batches of row numbers: lists of batch_size, the rest last unless it is dropped.
local function in_batches(next_row, batch_size, drop_last)
  return function()
    local batch = {}
    while #batch < batch_size do
      local row = next_row()
      if row == nil then break end
      batch[#batch + 1] = row
    end
    if #batch == 0 or (drop_last and #batch < batch_size) then return nil end
    return batch
  end
end

-- ---- the loader

local function check_options(opts)
  if opts.batch_sampler and (opts.batch_size or opts.shuffle or opts.sampler or opts.drop_last) then
    errors.raise("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
  end
  if opts.sampler and opts.shuffle then errors.raise("DataLoader: sampler excludes shuffle") end
  local size = opts.batch_size or 1
  if math.type(size) ~= "integer" or size < 1 then
    errors.raise("DataLoader: batch_size: expected a whole number above 0, found %s", tostring(size))
  end
  return size
end

--- DataLoader(dataset, opts): dataset is a Dataset or a list of rows. Each loop is a pass of its own; #loader counts batches.
-- @param opts batch_size (1), shuffle (false), sampler (list of row numbers), batch_sampler (list of such lists), collate_fn
--   (gets a list of rows), drop_last, generator; num_workers and the like are accepted and change nothing
local function new(dataset, opts)
  opts = options.check("DataLoader", opts, known_options)
  local batch_size = check_options(opts)
  if getmetatable(dataset) ~= Dataset and (type(dataset) ~= "table" or (dataset._splits and dataset.keys)) then
    errors.raise("DataLoader: expected a Dataset or a list of rows, found %s", getmetatable(dataset) and getmetatable(dataset).__name
      and (getmetatable(dataset).__name .. " (choose a split)") or type(dataset))
  end
  if opts.shuffle and #dataset == 0 then errors.raise("DataLoader: the dataset has no rows") end
  return setmetatable({ dataset = dataset, batch_size = batch_size, drop_last = opts.drop_last or false, collate_fn = opts.collate_fn,
    generator = opts.generator, sampler = opts.sampler, batch_sampler = opts.batch_sampler, shuffle = opts.shuffle or false }, DataLoader)
end

--- A loader that gives each process of a group its share of the batches (hflua.datasets.shard); split_batches: its share of each
-- batch. Rows in random order are those that process 0 draws.
function DataLoader:sharded(split_batches)
  local info, size = process_group.info(), self.batch_size
  if info.size == 1 then return self end
  if self.batch_sampler then errors.raise("DataLoader: batch_sampler: its batches cannot be dealt out to %d processes; give a sampler", info.size) end
  if split_batches and size % info.size ~= 0 then
    errors.raise("split_batches: the batch size must be a multiple of the number of processes, found %d and %d", size, info.size)
  end
  local copy = {}
  for name, value in pairs(self) do copy[name] = value end
  copy.batch_size, copy.is_sharded = split_batches and size // info.size or size, true
  if self.shuffle and not self.generator then copy.order_generator = random().generator(random().random_int64()) end
  return setmetatable(copy, DataLoader)
end

--- Rows of a pass, in all processes together.
function DataLoader:pass_rows()
  return self.sampler and type(self.sampler) == "table" and (self.sampler.length or #self.sampler) or #self.dataset
end

--- Number of batches of a pass.
function DataLoader:__len()
  if self.batch_sampler then return #self.batch_sampler end
  local rows = self:pass_rows()
  if self.is_sharded then return shard.length(rows, self.batch_size, self.drop_last, process_group.info().size) // self.batch_size end
  if self.drop_last then return rows // self.batch_size end
  return (rows + self.batch_size - 1) // self.batch_size
end

-- Of the rows of a pass those of this process.
local function rows_of_process(self, next_row)
  local order, info = {}, process_group.info()
  for row in next_row do order[#order + 1] = row end
  return walk(shard.rows(process_group.broadcast_order(order), self.batch_size, self.drop_last, info.rank, info.size))
end

-- The lists of row numbers of one pass.
local function index_batches(self)
  if self.batch_sampler then return sampler_rows(self.batch_sampler, "DataLoader: batch_sampler") end
  local next_row
  if self.sampler then
    next_row = sampler_rows(self.sampler, "DataLoader: sampler")
  elseif self.shuffle then
    next_row = random_rows(#self.dataset, self.order_generator or self.generator)
  else
    local i, n = 0, #self.dataset
    next_row = function()
      i = i + 1
      return i <= n and i or nil
    end
  end
  if self.is_sharded then next_row = rows_of_process(self, next_row) end
  return in_batches(next_row, self.batch_size, self.drop_last)
end

local function make_batch(self, numbers)
  local dataset = self.dataset
  if not self.collate_fn then return collate.default(dataset, numbers) end
  local batch = collate.by_collator(dataset, numbers, self.collate_fn)
  if type(batch) ~= "table" and type(batch) ~= "userdata" then
    errors.raise("DataLoader: collate_fn: expected it to return a table or a tensor, found %s", type(batch))
  end
  return batch
end

--- A function that gives the batches of one new pass, then nil. Like PyTorch's, a pass takes one int64 from the global
-- generator (or the loader's) before anything else.
function DataLoader:pass()
  if self.generator then self.generator:random_int64() else random().random_int64() end
  local next_numbers
  return function()
    next_numbers = next_numbers or index_batches(self)
    local numbers = next_numbers()
    return numbers and make_batch(self, numbers)
  end
end

-- batch -> the pass it came from: `for` hands the last batch back, so that each loop has a pass of its own and leaving
-- one early leaves nothing behind.
local passes = setmetatable({}, { __mode = "k" })

function DataLoader:__call(_, previous)
  local pass = previous ~= nil and passes[previous] or self:pass()
  local batch = pass()
  if batch ~= nil then passes[batch] = pass end
  return batch
end

function DataLoader:__tostring()
  return ("DataLoader(%d rows, batch_size=%d, shuffle=%s)"):format(#self.dataset, self.batch_size, self.shuffle and "True" or "False")
end

return new
