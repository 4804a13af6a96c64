--- Dataset: rows in columns. This file makes datasets, reads and prints them; transforms are in transforms.lua,
-- splits.lua and map.lua, combining in combine.lua, files in files.lua.
--
--   local ds = Dataset.from_dict{ text = { "a", "b" }, label = { 0, 1 } }
--   print(#ds, ds[1].text, ds.label[2], ds)
local core = require "hflua.core.datasets"
local errors = require "hflua.errors"
local features = require "hflua.datasets.features"
local fingerprint = require "hflua.datasets.fingerprint"
local format = require "hflua.datasets.format"
local options = require "hflua.options"
local rows = require "hflua.datasets.rows"

-- An object holds _table (the engine's), _labels (column -> feature, where a ClassLabel is in it), _fingerprint,
-- _format (see format.lua) or nil, _split, _cached (results of map may be kept on disk).
local Dataset = { __name = "Dataset" }

-- ---- making

--- A dataset over a table of the engine.
function Dataset._new(object)
  object._labels = object._labels or {}
  return setmetatable(object, Dataset)
end

--- The same dataset with other fields; `name` and the arguments go into its fingerprint.
function Dataset:_derive(changes, name, ...)
  local object = { _table = self._table, _labels = self._labels, _format = self._format, _split = self._split, _cached = self._cached }
  for key, value in pairs(changes) do object[key] = value end
  object._fingerprint = fingerprint.update(self._fingerprint, name, ...)
  return Dataset._new(object)
end

--- Returns what a call of the engine returned, or raises its message behind `where`.
function Dataset._must(where, result, message)
  return result or errors.raise("%s: %s", where, message)
end

-- The largest whole number among the keys of a list, so that holes are seen.
local function list_length(list, where)
  local length = 0
  for key in next, list do
    if math.type(key) ~= "integer" or key < 1 then
      errors.raise("%s: expected a list, found key %s", where, tostring(key))
    end
    if key > length then length = key end
  end
  return length
end

local function as_list(values, where)
  if type(values) == "userdata" and values.tolist then values = values:tolist() end
  if type(values) ~= "table" then errors.raise("%s: expected a list, found %s", where, type(values)) end
  return values
end

local from_options = { "features", "split", "columns" }

-- The columns of a table in the order of opts.columns, of opts.features, or their own.
local function column_order(columns, opts, where)
  local order = opts.columns or (features.is_features(opts.features) and opts.features:keys()) or rows.returned_keys(columns)
  local known = {}
  for _, name in ipairs(order) do known[name] = true end
  for name in pairs(columns) do
    if type(name) ~= "string" then errors.raise("%s: column names are texts, found %s", where, tostring(name)) end
    if not known[name] then errors.raise("%s: %s", where, options.unknown("column", name, order)) end
  end
  return order
end

--- Dataset.from_dict{ text = {...}, label = {...} }: columns in alphabetical order unless opts.columns or
-- opts.features gives another. None is hf.null; all columns have the length of the longest.
-- @param opts features, split, columns
function Dataset.from_dict(columns, opts)
  opts = options.check("Dataset.from_dict", opts, from_options)
  if type(columns) ~= "table" then errors.raise("Dataset.from_dict: expected a table of columns, found %s", type(columns)) end
  local order, lists, length, longest = column_order(columns, opts, "Dataset.from_dict"), {}, 0, nil
  for _, name in ipairs(order) do
    lists[name] = as_list(columns[name], ("Dataset.from_dict: column '%s'"):format(name))
    local own = list_length(lists[name], ("Dataset.from_dict: column '%s'"):format(name))
    if own > length then length, longest = own, name end
  end
  local writer <close> = core.writer()
  for _, name in ipairs(order) do
    local own = list_length(lists[name])
    if own < length and own == #lists[name] then
      errors.raise("Dataset.from_dict: column '%s' has %d rows, column '%s' has %d; all columns need the same number (hf.null stands for None)",
        name, own, longest, length)
    end
    Dataset._must("Dataset.from_dict", writer:add_column(name, lists[name], length))
  end
  writer:end_rows(length)
  return Dataset._made(writer:finish(), opts, "Dataset.from_dict")
end

--- Dataset.from_list{ { text = "a" }, { text = "b" } }: an absent key is None.
-- @param opts features, split, columns
function Dataset.from_list(list, opts)
  opts = options.check("Dataset.from_list", opts, from_options)
  if type(list) ~= "table" then errors.raise("Dataset.from_list: expected a list of rows, found %s", type(list)) end
  local writer <close> = core.writer()
  local order = opts.columns or (features.is_features(opts.features) and opts.features:keys())
  local length = list_length(list, "Dataset.from_list")
  Dataset._add_rows(writer, order, function(i)
    if i > length then return nil end
    return list[i] or errors.raise("Dataset.from_list: row %d is nil", i)
  end, "Dataset.from_list")
  return Dataset._made(writer:finish(), opts, "Dataset.from_list")
end

--- Dataset.from_generator(fn[, opts]): fn(yield) calls yield(row), or fn() returns an iterator of rows.
-- @param opts features, split, columns, gen_kwargs (handed to fn)
function Dataset.from_generator(generator, opts)
  opts = options.check("Dataset.from_generator", opts, { "features", "split", "columns", "gen_kwargs" })
  local writer <close> = core.writer()
  local order = opts.columns or (features.is_features(opts.features) and opts.features:keys())
  local thread = coroutine.wrap(function()
    local iterator, state, control = generator(coroutine.yield, opts.gen_kwargs)
    if type(iterator) == "function" then
      for row in iterator, state, control do coroutine.yield(row) end
    end
  end)
  Dataset._add_rows(writer, order, function() return thread() end, "Dataset.from_generator")
  return Dataset._made(writer:finish(), opts, "Dataset.from_generator")
end

--- Writes rows from next_row(1), next_row(2), ... until it gives nil.
function Dataset._add_rows(writer, order, next_row, where)
  local i, known = 1, nil
  if order then
    known = {}
    for _, name in ipairs(order) do known[name] = true end
  end
  for row in function() return next_row(i) end do
    if type(row) ~= "table" then errors.raise("%s: row %d: expected a table { column = value }, found %s", where, i, type(row)) end
    local names = order or rows.returned_keys(row)
    if known then
      for name in pairs(row) do
        if not known[name] then errors.raise("%s: row %d: %s", where, i, options.unknown("column", tostring(name), order)) end
      end
    end
    for _, name in ipairs(names) do
      if type(name) ~= "string" then errors.raise("%s: row %d: column names are texts, found %s", where, i, tostring(name)) end
      Dataset._must(where, writer:add_value(name, row[name]))
    end
    writer:end_rows(1)
    i = i + 1
  end
end

--- The dataset of a new table, its columns brought to opts.features.
function Dataset._made(table_, opts, where, content)
  local ds = Dataset._new { _table = table_, _split = opts.split, _fingerprint = content or fingerprint.unique(), _cached = content ~= nil }
  if not opts.features then return ds end
  return ds:_cast(opts.features, where)
end

-- ---- reading

local properties = {}

function properties:num_rows() return #self._table end
function properties:num_columns() return #self._table:names() end
function properties:shape() return { #self._table, #self._table:names() } end
function properties:column_names() return self._table:names() end
function properties:split() return self._split end
function properties:features()
  local columns = {}
  for i, name in ipairs(self._table:names()) do
    columns[i] = { name, self._labels[name] or features.from_type(self._table:type(name)) }
  end
  return features.Features(columns)
end
function properties:format() return format.describe(self) end

--- Error with the nearest name and the list unless `name` is a column.
function Dataset:_require_column(name, where)
  local names = self._table:names()
  for _, known in ipairs(names) do
    if known == name then return name end
  end
  local near = options.nearest(tostring(name), names)
  errors.raise("%s: no column '%s'%s; the columns are %s", where, tostring(name),
    near and (" (did you mean '%s'?)"):format(near) or "", features.list_text(names))
end

--- The values of a column as a list, None as hf.null; ds.label and ds["label"] are the same where no method or
-- property has that name.
function Dataset:column(name)
  self:_require_column(name, "Dataset")
  return format.column(self, name, 1, #self)
end

local function row_at(self, i)
  local length = #self._table
  if i == length + 1 then return nil end -- where ipairs stops
  if i < 1 or i > length then
    errors.raise("Dataset: row %d is out of range: rows count from 1 to %d%s", i, length, i <= 0 and " (from the end: ds[#ds])" or "")
  end
  return format.row(self, i)
end

function Dataset.__index(self, key)
  if math.type(key) == "integer" then return row_at(self, key) end
  local method = rawget(Dataset, key)
  if method then return method end
  local property = properties[key]
  if property then return property(self) end
  if type(key) == "number" and math.tointeger(key) then return row_at(self, math.tointeger(key)) end
  if type(key) ~= "string" or key:sub(1, 1) == "_" then return nil end
  return Dataset.column(self, key)
end

function Dataset.__newindex(_, key)
  errors.raise("Dataset: cannot set '%s': datasets do not change; map, add_column and the like give a new one", tostring(key))
end

function Dataset.__len(self) return #self._table end

--- ds{ 3, 1 }: a batch of these rows, its columns as lists.
function Dataset.__call(self, numbers)
  return format.batch(self:select(numbers), 1, #numbers)
end

--- ds:slice(first, last): a batch of the rows first..last, both included, its columns as lists.
function Dataset:slice(first, last)
  local length = #self
  first, last = first or 1, math.min(last or length, length)
  if math.type(first) ~= "integer" or math.type(last) ~= "integer" or first < 1 then
    errors.raise("Dataset:slice: expected row numbers from 1 on, found %s, %s", tostring(first), tostring(last))
  end
  return format.batch(self, first, last)
end

--- Calls fn-style loops over batches: for batch in ds:iter(1000) do ... end
function Dataset:iter(batch_size, opts)
  opts = options.check("Dataset:iter", opts, { "drop_last_batch" })
  local first, length = 1, #self
  return function()
    local last = math.min(first + batch_size - 1, length)
    if first > length or (opts.drop_last_batch and last - first + 1 < batch_size) then return nil end
    local batch = format.batch(self, first, last)
    first = last + 1
    return batch
  end
end

function Dataset:__tostring()
  return ("Dataset({\n    features: %s,\n    num_rows: %d\n})"):format(features.list_text(self._table:names()), #self)
end

--- What a function that holds this dataset is hashed by.
function Dataset:__fingerprint() return self._fingerprint end

--- All rows as a list of tables.
function Dataset:to_list()
  local list = {}
  for i = 1, #self do list[i] = format.row(self, i) end
  return list
end

--- All columns as lists, in order.
function Dataset:to_dict()
  local batch = format.batch(self, 1, #self)
  for _ in pairs(batch) do end -- fetches every column
  return batch
end

return Dataset
