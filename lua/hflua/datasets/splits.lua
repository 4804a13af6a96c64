--- Splits: names, slices such as "train[:10%]+test", and train_test_split.
local Dataset = require "hflua.datasets.dataset"
local DatasetDict = require "hflua.datasets.dataset_dict"
local combine = require "hflua.datasets.combine"
local errors = require "hflua.errors"
local features = require "hflua.datasets.features"
local options = require "hflua.options"
local random = require "hflua.datasets.random"
local stratify = require "hflua.datasets.stratify"

local splits = {}

-- Nearest whole number, halves to the even one, as Python's round.
local function round(x)
  local down = math.floor(x)
  local rest = x - down
  if rest > 0.5 or (rest == 0.5 and down % 2 == 1) then down = down + 1 end
  return math.tointeger(down)
end

-- A bound of a slice, "10%", "-5" or "", as rows from 0.
local function bound(text, length, fallback, expression)
  if text == "" then return fallback end
  local digits, unit = text:match("^(%-?%d+)(%%?)$")
  if not digits then errors.raise("split '%s': expected [from:to] in rows or percent, found '%s'", expression, text) end
  local value = tonumber(digits)
  if unit == "%" then
    if math.abs(value) > 100 then errors.raise("split '%s': %s is beyond 100%%", expression, text) end
    value = round(value * length / 100)
  end
  if value < 0 then value = math.max(length + value, 0) end
  return math.min(value, length)
end

local function one_slice(dict, term, expression)
  local name, slice = term:match("^%s*([%w_.]+)%s*(.-)%s*$")
  if not name then errors.raise("split '%s': expected a split name, found '%s'", expression, term) end
  local ds = dict[name]
  if slice == "" then return ds end
  local from, to = slice:match("^%[%s*([^:]-)%s*:%s*([^:]-)%s*%]$")
  if not from then errors.raise("split '%s': expected %s[from:to], found '%s'", expression, name, term) end
  local length = #ds
  local first, last = bound(from, length, 0, expression), bound(to, length, length, expression)
  local numbers = {}
  for row = first + 1, last do numbers[#numbers + 1] = row end
  return ds:select(numbers)
end

--- The dataset that a split expression names: "train", "train[:10%]", "train[100:200]+validation"; "all" is every split.
-- Rows are counted from 0 and `to` is exclusive, as in HF.
function splits.choose(dict, expression)
  if type(expression) ~= "string" then errors.raise("split: expected a text such as \"train[:10%%]\", found %s", type(expression)) end
  local parts = {}
  if expression == "all" then
    parts = dict:values()
  else
    for term in (expression .. "+"):gmatch("([^+]*)%+") do parts[#parts + 1] = one_slice(dict, term, expression) end
  end
  local chosen = #parts == 1 and parts[1] or combine.concatenate_datasets(parts)
  return chosen:_derive({ _split = expression }, "split", expression)
end

-- ---- train_test_split

local split_options = { "test_size", "train_size", "shuffle", "seed", "generator", "stratify_by_column", "keep_in_memory",
  "load_from_cache_file" }

local function check_size(value, name, length)
  if value == nil then return end
  local good = math.type(value) == "integer" and value > 0 and value < length
    or math.type(value) == "float" and value > 0 and value < 1
  if not good then
    errors.raise("Dataset:train_test_split: %s=%s: expected a number of rows below %d, or a part between 0 and 1 (such as 0.2)",
      name, tostring(value), length)
  end
end

-- Numbers of training and test rows: parts are rounded up for test and down for train, as in HF.
local function sizes(opts, length)
  local test, train = opts.test_size, opts.train_size
  if test == nil and train == nil then test = 0.25 end
  check_size(test, "test_size", length)
  check_size(train, "train_size", length)
  local n_test = test and (math.type(test) == "float" and math.ceil(test * length) or test)
  local n_train = train and (math.type(train) == "float" and math.floor(train * length) or train)
  n_test, n_train = math.tointeger(n_test or length - n_train), math.tointeger(n_train or length - n_test)
  if n_test + n_train > length then
    errors.raise("Dataset:train_test_split: %d training and %d test rows are more than the %d there are", n_train, n_test, length)
  end
  if n_train == 0 then errors.raise("Dataset:train_test_split: no rows are left for training (%d in all, test_size=%s)", length, tostring(test)) end
  return n_train, n_test
end

-- The rows of a split that keeps the share of each class.
local function stratified(ds, opts, n_train, n_test)
  local name, where = opts.stratify_by_column, "Dataset:train_test_split"
  if opts.shuffle == false then errors.raise("%s: stratify_by_column draws rows at random: drop shuffle=false", where) end
  local feature = ds.features[name]
  if not feature then errors.raise("%s: stratify_by_column: %s", where, options.unknown("column", name, ds.column_names)) end
  if not features.is_class_label(feature) then
    errors.raise("%s: stratify_by_column: column '%s': expected a ClassLabel, found %s; use class_encode_column(\"%s\") first", where, name, tostring(feature), name)
  end
  return stratify.rows(random.generator(opts, where), ds[name], name, n_train, n_test)
end

-- The first rows for training in the dataset's order, or the first of a shuffle for test.
local function plain(opts, length, n_train, n_test)
  local train, test = {}, {}
  if opts.shuffle == false then
    for i = 1, n_train do train[i] = i end
    for i = 1, n_test do test[i] = n_train + i end
  else
    local order = random.permutation(opts, length, "Dataset:train_test_split")
    table.move(order, 1, n_test, 1, test)
    table.move(order, n_test + 1, n_test + n_train, 1, train)
  end
  return train, test
end

--- DatasetDict{ train, test } of this dataset's rows; the order is HF's for the seed.
-- @param opts test_size (0.25), train_size, shuffle (true), seed, generator, stratify_by_column (a ClassLabel column whose shares
-- both parts keep); also as ds:train_test_split(0.1)
function Dataset:train_test_split(opts)
  if type(opts) == "number" then opts = { test_size = opts } end
  opts = options.check("Dataset:train_test_split", opts, split_options)
  local length = #self
  if length == 0 then errors.raise("Dataset:train_test_split: the dataset has no rows") end
  local n_train, n_test = sizes(opts, length)
  local train, test
  if opts.stratify_by_column then train, test = stratified(self, opts, n_train, n_test)
  else train, test = plain(opts, length, n_train, n_test) end
  return DatasetDict._new({
    train = self:_derive({ _table = self._table:select(train) }, "train_split", train),
    test = self:_derive({ _table = self._table:select(test) }, "test_split", test),
  }, { "train", "test" })
end

return splits
