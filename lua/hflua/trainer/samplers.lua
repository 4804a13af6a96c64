--- Row orders of a pass over a dataset, 1-based row numbers: `sampler:order(epoch)`. They are HF's for the same seed.
local class = require "hflua.class"
local errors = require "hflua.errors"

local samplers = {}

local function random() return require "hflua.core.random" end

-- A permutation of 1..n by PyTorch's generator; the global one when none is given.
local function permutation(n, generator)
  local order = random().randperm(n, generator)
  for i = 1, n do order[i] = order[i] + 1 end
  return order
end

--- Rows as they stand.
samplers.SequentialSampler = class("SequentialSampler")

function samplers.SequentialSampler:init(length) self.length = length end

function samplers.SequentialSampler:order()
  local order = {}
  for i = 1, self.length do order[i] = i end
  return order
end

--- A new permutation each epoch, from a generator seeded with seed + epoch: the same whatever was drawn before.
samplers.RandomSampler = class("RandomSampler")

function samplers.RandomSampler:init(length, seed) self.length, self.seed = length, seed end

function samplers.RandomSampler:order(epoch)
  return permutation(self.length, random().generator(self.seed + epoch))
end

--- Rows of similar length side by side: permuted, cut into mega-batches, each sorted by falling length; the longest row
-- comes first. Draws from `generator`, or from the global one, which depends on what was drawn before.
samplers.LengthGroupedSampler = class("LengthGroupedSampler")

function samplers.LengthGroupedSampler:init(lengths, batch_size, generator)
  self.lengths, self.batch_size, self.generator = lengths, batch_size, generator
  self.length, self.draws_globally = #lengths, generator == nil
end

-- Row numbers first..last of `order`, longest first; equal lengths stay in order.
local function sorted_chunk(order, first, last, lengths)
  local chunk, place = table.move(order, first, last, 1, {}), {}
  for i, row in ipairs(chunk) do place[row] = i end
  table.sort(chunk, function(a, b)
    if lengths[a] ~= lengths[b] then return lengths[a] > lengths[b] end
    return place[a] < place[b]
  end)
  return chunk
end

function samplers.LengthGroupedSampler:order()
  local lengths, batch_size, n = self.lengths, self.batch_size, #self.lengths
  local mega = math.max(1, math.min(n // (batch_size * 4), 50)) * batch_size
  local order, grouped, longest = permutation(n, self.generator), {}, 1
  for first = 1, n, mega do
    local chunk = sorted_chunk(order, first, math.min(first + mega - 1, n), lengths)
    table.move(chunk, 1, #chunk, #grouped + 1, grouped)
    if lengths[grouped[first]] > lengths[grouped[longest]] then longest = first end
  end
  grouped[1], grouped[longest] = grouped[longest], grouped[1]
  return grouped
end

--- The lengths for LengthGroupedSampler: the column `length_column` where it is, else of `input_name` of every row.
function samplers.lengths_of(dataset, length_column, input_name)
  local lengths = {}
  for i = 1, #dataset do
    local row = dataset[i]
    local length, ids = row[length_column], row[input_name]
    if length == nil and ids == nil then
      errors.raise("group_by_length: row %d has neither '%s' nor '%s'", i, length_column, input_name)
    end
    lengths[i] = length ~= nil and length or #ids
  end
  return lengths
end

return samplers
