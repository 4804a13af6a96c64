--- Splits that keep the share of each class: which rows go to training and which to test, drawn as Hugging Face's datasets (and
-- scikit-learn's StratifiedShuffleSplit, where it is from) draw them.
local errors = require "hflua.errors"

local stratify = {}

-- `count` of the values, drawn without repetition as numpy's Generator.choice does: Floyd's sampling, then a shuffle.
local function choose(rng, values, count)
  local taken, chosen, n = {}, {}, #values
  for j = n - count, n - 1 do
    local place = rng:integers(0, j + 1)
    if taken[place] then place = j end
    taken[place] = true
    chosen[#chosen + 1] = values[place + 1]
  end
  for i = count, 2, -1 do
    local j = rng:integers(0, i) + 1
    chosen[i], chosen[j] = chosen[j], chosen[i]
  end
  return chosen
end

-- The distinct values, largest first.
local function distinct(values)
  local seen, out = {}, {}
  for _, value in ipairs(values) do
    if not seen[value] then out[#out + 1] = value end
    seen[value] = true
  end
  table.sort(out, function(a, b) return a > b end)
  return out
end

--- How `draws` are shared among classes of the given counts: by their parts, rounded down; what is left goes to the largest
-- remainders, at random where they are equal. (The mode of the multivariate hypergeometric distribution, nearly.)
local function shares(rng, counts, draws)
  local total, floored, remainders, left = 0, {}, {}, draws
  for _, count in ipairs(counts) do total = total + count end
  for i, count in ipairs(counts) do
    local part = draws * count / total
    floored[i] = math.floor(part)
    remainders[i], left = part - floored[i], left - floored[i]
  end
  for _, value in ipairs(left > 0 and distinct(remainders) or {}) do
    local equal = {}
    for i, remainder in ipairs(remainders) do
      if remainder == value then equal[#equal + 1] = i end
    end
    local now = math.min(#equal, left)
    for _, i in ipairs(choose(rng, equal, now)) do floored[i] = floored[i] + 1 end
    left = left - now
    if left == 0 then break end
  end
  return floored
end

-- Rows (from 1) of each class, classes in rising order.
local function rows_by_class(labels, name)
  local groups, classes = {}, {}
  for row, label in ipairs(labels) do
    if math.type(label) ~= "integer" then errors.raise("Dataset:train_test_split: stratify_by_column: column '%s': row %d has no label", name, row) end
    if not groups[label] then groups[label], classes[#classes + 1] = {}, label end
    table.insert(groups[label], row)
  end
  table.sort(classes)
  local rows = {}
  for i, class in ipairs(classes) do rows[i] = groups[class] end
  return rows, classes
end

local function check(rows, classes, n_train, n_test)
  for i, members in ipairs(rows) do
    if #members < 2 then
      errors.raise("Dataset:train_test_split: stratify_by_column: class %d has one row, but each class needs two; drop it or split without stratify_by_column", classes[i])
    end
  end
  for _, size in ipairs { n_train, n_test } do
    if size < #classes then
      errors.raise("Dataset:train_test_split: stratify_by_column: %d rows are fewer than the %d classes; change test_size", size, #classes)
    end
  end
end

local function shuffled(rng, values)
  local out = {}
  for i, place in ipairs(rng:permutation(#values)) do out[i] = values[place + 1] end
  return out
end

--- Rows (from 1) for training and for test, in the order drawn. labels: the class of every row; name: their column.
function stratify.rows(rng, labels, name, n_train, n_test)
  local rows, classes = rows_by_class(labels, name)
  check(rows, classes, n_train, n_test)
  local counts, rest = {}, {}
  for i, members in ipairs(rows) do counts[i] = #members end
  local for_training = shares(rng, counts, n_train)
  for i, count in ipairs(counts) do rest[i] = count - for_training[i] end
  local for_test, train, test = shares(rng, rest, n_test), {}, {}
  for i, members in ipairs(rows) do
    local drawn = shuffled(rng, members)
    table.move(drawn, 1, for_training[i], #train + 1, train)
    table.move(drawn, for_training[i] + 1, for_training[i] + for_test[i], #test + 1, test)
  end
  return shuffled(rng, train), shuffled(rng, test)
end

return stratify
