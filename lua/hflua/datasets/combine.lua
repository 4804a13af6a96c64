--- Datasets one after another, or row by row in turn.
local Dataset = require "hflua.datasets.dataset"
local core = require "hflua.core.datasets"
local errors = require "hflua.errors"
local options = require "hflua.options"
local random = require "hflua.datasets.random"

local combine = {}

local function check_list(list, where)
  if type(list) ~= "table" or #list == 0 then errors.raise("%s: expected a list of datasets", where) end
  for i, ds in ipairs(list) do
    if getmetatable(ds) ~= Dataset then errors.raise("%s: item %d: expected a Dataset, found %s", where, i, type(ds)) end
  end
end

local function fingerprints(list)
  local prints = {}
  for i, ds in ipairs(list) do prints[i] = ds._fingerprint end
  return prints
end

-- The rows of all datasets in one table; types and columns must go together.
local function joined(list, where)
  local tables = {}
  for i, ds in ipairs(list) do tables[i] = ds._table end
  return Dataset._must(where, core.concat(tables))
end

-- Side by side: the columns of all, whose numbers of rows are equal.
local function beside(list)
  local result, seen = list[1]._table, {}
  for i, ds in ipairs(list) do
    if #ds ~= #list[1] then errors.raise("concatenate_datasets: dataset %d has %d rows, dataset 1 has %d", i, #ds, #list[1]) end
    for _, name in ipairs(ds._table:names()) do
      if seen[name] then errors.raise("concatenate_datasets: column '%s' is in datasets %d and %d", name, seen[name], i) end
      seen[name] = i
    end
    if i > 1 then result = result:merge(ds._table) end
  end
  return result
end

--- The rows of all datasets one after another; with axis = 1 their columns side by side.
-- @param opts axis (0), split
function combine.concatenate_datasets(list, opts)
  opts = options.check("concatenate_datasets", opts, { "axis", "split", "info" })
  check_list(list, "concatenate_datasets")
  local labels = {}
  for _, ds in ipairs(list) do
    for name, feature in pairs(ds._labels) do labels[name] = labels[name] or feature end
  end
  local new_table = opts.axis == 1 and beside(list) or joined(list, "concatenate_datasets")
  return list[1]:_derive({ _table = new_table, _labels = labels, _split = opts.split }, "concatenate", opts.axis, fingerprints(list))
end

-- Row numbers of the concatenation, each dataset in turn: as often as the shortest has rows, or the longest.
local function take_turns(list, offset, all_exhausted)
  local rounds, order = #list[1], {}
  for _, ds in ipairs(list) do rounds = all_exhausted and math.max(rounds, #ds) or math.min(rounds, #ds) end
  for round = 0, rounds - 1 do
    for i, ds in ipairs(list) do order[#order + 1] = offset[i] + round % #ds + 1 end
  end
  return order
end

-- The same with the dataset drawn each time, until one is exhausted, or all.
local function draw_turns(list, offset, all_exhausted, opts)
  local draw, order, taken, left = random.chooser(opts.seed, opts.probabilities), {}, {}, all_exhausted and #list or 1
  while left > 0 do
    local i = draw()
    local count = taken[i] or 0
    order[#order + 1] = offset[i] + count % #list[i] + 1
    taken[i] = count + 1
    if taken[i] == #list[i] then left = left - 1 end
  end
  return order
end

local function check_probabilities(probabilities, count, all_exhausted)
  if #probabilities ~= count then errors.raise("interleave_datasets: %d probabilities for %d datasets", #probabilities, count) end
  for i, p in ipairs(probabilities) do
    if type(p) ~= "number" or not (p >= 0) or (p == 0 and all_exhausted) then
      errors.raise("interleave_datasets: probability %d: expected a number above 0, found %s", i, tostring(p))
    end
  end
end

--- One row of each dataset in turn (or drawn by `probabilities` and `seed`) until one is exhausted; with
-- stopping_strategy = "all_exhausted" the short ones start again until all were.
-- @param opts probabilities, seed, stopping_strategy ("first_exhausted", "all_exhausted"), split
function combine.interleave_datasets(list, opts)
  opts = options.check("interleave_datasets", opts, { "probabilities", "seed", "stopping_strategy", "split", "info" })
  check_list(list, "interleave_datasets")
  local strategy = opts.stopping_strategy or "first_exhausted"
  if strategy ~= "first_exhausted" and strategy ~= "all_exhausted" then
    errors.raise("interleave_datasets: stopping_strategy: expected 'first_exhausted' or 'all_exhausted', found '%s'", tostring(strategy))
  end
  local all_exhausted = strategy == "all_exhausted"
  local offset, total = {}, 0
  for i, ds in ipairs(list) do
    if #ds == 0 then errors.raise("interleave_datasets: dataset %d is empty", i) end
    offset[i], total = total, total + #ds
  end
  local order
  if opts.probabilities then
    check_probabilities(opts.probabilities, #list, all_exhausted)
    order = draw_turns(list, offset, all_exhausted, opts)
  else
    order = take_turns(list, offset, all_exhausted)
  end
  local all = combine.concatenate_datasets(list)
  return all:_derive({ _table = all._table:select(order), _split = opts.split }, "interleave", order)
end

return combine
