--- Transforms of a Dataset that choose rows, columns, types or a format; each gives a new dataset that shares the data.
local Dataset = require "hflua.datasets.dataset"
local core = require "hflua.core.datasets"
local errors = require "hflua.errors"
local features = require "hflua.datasets.features"
local options = require "hflua.options"
local random = require "hflua.datasets.random"
local repr = require "hflua.repr"

--- A name or a list of names as a list, each checked to be a column.
function Dataset:_column_list(names, where)
  if type(names) == "string" then names = { names } end
  if type(names) ~= "table" then errors.raise("%s: expected a column name or a list of them, found %s", where, type(names)) end
  for _, name in ipairs(names) do self:_require_column(name, where) end
  return names
end

-- ---- rows

-- The table of these rows, with errors that name the method.
local function select_rows(self, numbers, where)
  if type(numbers) == "userdata" and numbers.tolist then numbers = numbers:tolist() end
  if type(numbers) ~= "table" then errors.raise("%s: expected a list of row numbers, found %s", where, type(numbers)) end
  local length = #self
  for i, row in ipairs(numbers) do
    if math.type(row) ~= "integer" or row < 1 or row > length then
      errors.raise("%s: item %d: row %s is out of range 1..%d", where, i, tostring(row), length)
    end
  end
  return self._table:select(numbers)
end

--- The rows of these numbers, in this order; hf.range(10) gives the first ten.
function Dataset:select(numbers)
  return self:_derive({ _table = select_rows(self, numbers, "Dataset:select") }, "select", numbers)
end

local function range(first, last)
  local numbers = {}
  for i = first, last do numbers[#numbers + 1] = i end
  return numbers
end

--- The first n rows (all when there are fewer).
function Dataset:take(n) return self:select(range(1, math.min(n, #self))) end

--- All but the first n rows.
function Dataset:skip(n) return self:select(range(n + 1, #self)) end

--- Rows in an order drawn by numpy's default_rng(seed).permutation, as HF's shuffle has it. Without a seed the next
-- state of the global generator (hf.set_seed) decides.
-- @param opts seed, generator, keep_in_memory, load_from_cache_file
function Dataset:shuffle(opts)
  opts = options.check("Dataset:shuffle", opts, { "seed", "generator", "keep_in_memory", "load_from_cache_file" })
  local numbers = random.permutation(opts, #self, "Dataset:shuffle")
  return self:_derive({ _table = self._table:select(numbers) }, "shuffle", numbers)
end

--- Part `index` (0-based, as in HF) of num_shards: contiguous rows, or every num_shards-th with contiguous = false.
-- @param opts num_shards, index, contiguous (true)
function Dataset:shard(opts)
  opts = options.check("Dataset:shard", opts, { "num_shards", "index", "contiguous", "keep_in_memory" })
  local count, index, length = opts.num_shards, opts.index, #self
  if math.type(count) ~= "integer" or math.type(index) ~= "integer" or index < 0 or index >= count then
    errors.raise("Dataset:shard: expected 0 <= index < num_shards, found index %s of %s", tostring(index), tostring(count))
  end
  if opts.contiguous == false then
    local numbers = {}
    for i = index + 1, length, count do numbers[#numbers + 1] = i end
    return self:select(numbers)
  end
  local size, larger = length // count, length % count
  local first = size * index + math.min(index, larger)
  return self:select(range(first + 1, first + size + (index < larger and 1 or 0)))
end

--- Rows in order of one or more columns; ties stay as they were; None comes last (null_placement = "at_start": first).
-- @param columns name or list of names
-- @param opts reverse (true, or a list of them), null_placement
function Dataset:sort(columns, opts)
  opts = options.check("Dataset:sort", opts, { "reverse", "null_placement", "keep_in_memory", "load_from_cache_file" })
  local names, keys = self:_column_list(columns, "Dataset:sort"), {}
  for i, name in ipairs(names) do
    local reverse = opts.reverse
    if type(reverse) == "table" then reverse = reverse[i] end
    keys[i] = { name, reverse or false }
  end
  local nulls_first = opts.null_placement == "at_start" or opts.null_placement == "first"
  return self:_derive({ _table = self._table:sort(keys, nulls_first) }, "sort", keys, nulls_first)
end

--- The same rows as plain columns, without row numbers behind them.
function Dataset:flatten_indices()
  return self:_derive({ _table = self._table:flatten() }, "flatten_indices")
end

-- ---- columns

-- The labels of the columns that are left, under their new names.
local function labels_of(self, names, new_names)
  local labels = {}
  for i, name in ipairs(names) do labels[(new_names or names)[i]] = self._labels[name] end
  return labels
end

-- The format with its columns renamed, and those that are gone left out.
local function format_of(self, names, new_names)
  local old = self._format
  if not old or not old.columns then return old end
  local new = { type = old.type, output_all_columns = old.output_all_columns, columns = {} }
  for i, name in ipairs(names) do
    for _, column in ipairs(old.columns) do
      if column == name then table.insert(new.columns, (new_names or names)[i]) end
    end
  end
  return new
end

local function pick(self, names, new_names, ...)
  return self:_derive({
    _table = self._table:pick(names, new_names), _labels = labels_of(self, names, new_names), _format = format_of(self, names, new_names),
  }, ...)
end

--- Without these columns (a name or a list).
function Dataset:remove_columns(columns)
  local removed, kept = {}, {}
  for _, name in ipairs(self:_column_list(columns, "Dataset:remove_columns")) do removed[name] = true end
  for _, name in ipairs(self._table:names()) do
    if not removed[name] then kept[#kept + 1] = name end
  end
  return pick(self, kept, nil, "remove_columns", columns)
end

--- With these columns only, in this order.
function Dataset:select_columns(columns)
  return pick(self, self:_column_list(columns, "Dataset:select_columns"), nil, "select_columns", columns)
end

--- Columns under new names, at their old places: { old = "new", ... }.
function Dataset:rename_columns(mapping)
  local names, new_names, seen = self._table:names(), {}, {}
  for old in pairs(mapping) do self:_require_column(old, "Dataset:rename_columns") end
  for i, name in ipairs(names) do
    new_names[i] = mapping[name] or name
    if seen[new_names[i]] then
      errors.raise("Dataset:rename_columns: two columns would be called '%s'; the columns are %s", new_names[i], features.list_text(names))
    end
    seen[new_names[i]] = true
  end
  return pick(self, names, new_names, "rename_columns", mapping)
end

--- The column under another name, at its old place.
function Dataset:rename_column(old, new)
  self:_require_column(old, "Dataset:rename_column")
  if type(new) ~= "string" or new == "" then errors.raise("Dataset:rename_column: expected a new name, found %s", tostring(new)) end
  return self:rename_columns { [old] = new }
end

--- With one more column, a list as long as the dataset.
-- @param opts feature
function Dataset:add_column(name, values, opts)
  opts = options.check("Dataset:add_column", opts, { "feature", "new_fingerprint" })
  for _, known in ipairs(self._table:names()) do
    if known == name then errors.raise("Dataset:add_column: column '%s' is there already", name) end
  end
  local added = Dataset.from_dict({ [name] = values }, { features = opts.feature and { [name] = opts.feature } })
  if #added ~= #self then
    errors.raise("Dataset:add_column: column '%s' has %d rows, the dataset has %d", name, #added, #self)
  end
  local labels = labels_of(self, self._table:names())
  labels[name] = added._labels[name]
  return self:_derive({ _table = self._table:merge(added._table), _labels = labels }, "add_column", name, values)
end

--- The distinct values of a column, in order of appearance, as a list.
function Dataset:unique(column)
  local seen, list, null_seen = {}, {}, false
  for _, value in ipairs(self._table:column(self:_require_column(column, "Dataset:unique"))) do
    if type(value) == "table" then errors.raise("Dataset:unique: column '%s' holds lists", column) end
    local is_nan = value ~= value
    if not (is_nan and null_seen or seen[value]) then list[#list + 1] = value end
    if is_nan then null_seen = true else seen[value] = true end
  end
  return list
end

-- ---- types

--- The dataset with columns cast to the features given for them; `where` begins errors.
function Dataset:_cast(new_features, where)
  if not features.is_features(new_features) then new_features = features.Features(new_features) end
  local new_table, labels = self._table, labels_of(self, self._table:names())
  for name, feature in pairs(new_features) do
    self:_require_column(name, where)
    new_table = new_table:merge(Dataset._must(where, new_table:cast(name, features.to_type(feature))))
    labels[name] = features.has_labels(feature) and feature or nil
  end
  local changes = { _table = new_table, _labels = labels }
  return self:_derive(changes, "cast", features.to_type(new_features))
end

--- One column as another type: Value("float32"), ClassLabel{...} (from numbers or names), Sequence(...).
function Dataset:cast_column(name, feature)
  self:_require_column(name, "Dataset:cast_column")
  return self:_cast({ [name] = features.check(feature, "Dataset:cast_column") }, "Dataset:cast_column")
end

--- All columns as these features, which name every column.
function Dataset:cast(new_features)
  if not features.is_features(new_features) then new_features = features.Features(new_features) end
  for _, name in ipairs(self._table:names()) do
    if not new_features[name] then
      errors.raise("Dataset:cast: the features name no column '%s'; the dataset has %s", name, features.list_text(self._table:names()))
    end
  end
  return self:_cast(new_features, "Dataset:cast")
end

--- The column as a ClassLabel whose names are its distinct values, sorted as texts.
-- @param opts include_nulls (None becomes the name "None")
function Dataset:class_encode_column(column, opts)
  opts = options.check("Dataset:class_encode_column", opts, { "include_nulls" })
  self:_require_column(column, "Dataset:class_encode_column")
  local values, names, seen = self._table:column(column), {}, {}
  for i, value in ipairs(values) do
    if type(value) == "table" then errors.raise("Dataset:class_encode_column: column '%s' holds lists", column) end
    local is_null = type(value) == "userdata"
    if not is_null or opts.include_nulls then
      local text = type(value) == "string" and value or repr(value)
      if not seen[text] then names[#names + 1] = text end
      values[i], seen[text] = text, true
    end
  end
  if #names == 0 then errors.raise("Dataset:class_encode_column: column '%s' holds no values", column) end
  table.sort(names)
  local texts = Dataset.from_dict({ [column] = values })
  local encoded = self:_derive({ _table = self._table:merge(texts._table) }, "class_encode_column", column, names)
  return encoded:_cast({ [column] = features.ClassLabel { names = names } }, "Dataset:class_encode_column")
end

-- ---- format

local format_types = { torch = "torch", tensor = "torch", pt = "torch", numpy = "torch", np = "torch", python = false }

--- A dataset whose rows give tensors: "torch" ("tensor", "numpy" are the same here); nil or "python" gives Lua values.
-- @param opts columns (others are hidden, not removed), output_all_columns
function Dataset:with_format(kind, opts)
  if type(kind) == "table" then opts, kind = kind, kind.type end
  opts = options.check("Dataset:set_format", opts, { "type", "columns", "output_all_columns" })
  local known = false
  if kind ~= nil then known = format_types[kind] end
  if known == nil then errors.raise("Dataset:set_format: %s", options.unknown("format", tostring(kind), format_types)) end
  local columns = opts.columns and self:_column_list(opts.columns, "Dataset:set_format")
  local new = { type = known or nil, columns = columns, output_all_columns = opts.output_all_columns }
  return self:_derive({ _format = (known or columns) and new or false }, "with_format", kind, opts)
end

--- Changes the format of this dataset in place, as HF does, and returns it.
function Dataset:set_format(kind, opts)
  local formatted = self:with_format(kind, opts)
  rawset(self, "_format", formatted._format)
  rawset(self, "_fingerprint", formatted._fingerprint)
  require("hflua.datasets.format").forget(self)
  return self
end

--- Back to Lua values and all columns, in place.
function Dataset:reset_format() return self:set_format(nil) end

return Dataset
