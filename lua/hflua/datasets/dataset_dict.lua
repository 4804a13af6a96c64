--- DatasetDict: named splits; a transform applies to each of them.
--
--   local ds = DatasetDict{ train = a, validation = b }
--   print(ds.train[1], ds:map(fn).validation)
local Dataset = require "hflua.datasets.dataset"
local errors = require "hflua.errors"
local features = require "hflua.datasets.features"
local options = require "hflua.options"

local DatasetDict = { __name = "DatasetDict" }

-- Splits people use, in the order in which HF lists them.
local usual_order = { train = 1, validation = 2, valid = 2, dev = 2, test = 3 }

local function sort_names(names)
  table.sort(names, function(a, b)
    local x, y = usual_order[a] or 4, usual_order[b] or 4
    if x ~= y then return x < y end
    return a < b
  end)
  return names
end

--- DatasetDict{ train = ds, test = ds }: train, validation, test come first, others in alphabetical order, unless
-- `names` gives another order.
local function new(splits, names)
  if type(splits) ~= "table" then errors.raise("DatasetDict: expected a table { split = Dataset }, found %s", type(splits)) end
  local order = {}
  for name, split in pairs(splits) do
    if type(name) ~= "string" or getmetatable(split) ~= Dataset then
      errors.raise("DatasetDict: split '%s': expected a Dataset, found %s", tostring(name), type(split))
    end
    order[#order + 1] = name
  end
  local copy = {}
  for name, split in pairs(splits) do copy[name] = split end
  return setmetatable({ _splits = copy, _names = names or sort_names(order) }, DatasetDict)
end
DatasetDict._new = new

--- The names of the splits, in order.
function DatasetDict:keys() return table.move(self._names, 1, #self._names, 1, {}) end

--- The splits, in order.
function DatasetDict:values()
  local list = {}
  for i, name in ipairs(self._names) do list[i] = self._splits[name] end
  return list
end

local properties = {} -- read without parentheses

-- { split = value of the property }
local function each_property(name)
  return function(self)
    local values = {}
    for _, split in ipairs(self._names) do values[split] = self._splits[split][name] end
    return values
  end
end
for _, name in ipairs { "num_rows", "num_columns", "column_names", "shape" } do properties[name] = each_property(name) end

local function apply(self, method, ...)
  local splits = {}
  for _, name in ipairs(self._names) do splits[name] = method(self._splits[name], ...) end
  return new(splits, self._names)
end

for _, name in ipairs { "map", "filter", "shuffle", "sort", "remove_columns", "rename_column", "rename_columns", "select_columns",
  "cast", "cast_column", "class_encode_column", "with_format", "flatten_indices" } do
  DatasetDict[name] = function(self, ...) return apply(self, Dataset[name], ...) end
end

for _, name in ipairs { "set_format", "reset_format" } do
  DatasetDict[name] = function(self, ...)
    for _, split in ipairs(self._names) do Dataset[name](self._splits[split], ...) end
    return self
  end
end

--- The distinct values of a column in each split.
function DatasetDict:unique(column)
  local values = {}
  for _, name in ipairs(self._names) do values[name] = self._splits[name]:unique(column) end
  return values
end

function DatasetDict.__index(self, key)
  local found = self._splits[key] or rawget(DatasetDict, key)
  if found then return found end
  if properties[key] then return properties[key](self) end
  if type(key) ~= "string" or key:sub(1, 1) == "_" then return nil end
  if rawget(Dataset, key) then
    errors.raise("DatasetDict: '%s' works on one split; choose one of %s", key, features.list_text(self._names))
  end
  local near = options.nearest(key, self._names)
  errors.raise("DatasetDict: no split '%s'%s; the splits are %s", key, near and (" (did you mean '%s'?)"):format(near) or "",
    features.list_text(self._names))
end

function DatasetDict.__newindex(self, name, split)
  if getmetatable(split) ~= Dataset then errors.raise("DatasetDict: split '%s': expected a Dataset, found %s", tostring(name), type(split)) end
  if not self._splits[name] then table.insert(self._names, name) end
  self._splits[name] = split
end

function DatasetDict.__pairs(self)
  local i = 0
  return function()
    i = i + 1
    if self._names[i] then return self._names[i], self._splits[self._names[i]] end
  end
end

function DatasetDict.__len(self) return #self._names end

function DatasetDict.__tostring(self)
  local parts = {}
  for _, name in ipairs(self._names) do
    parts[#parts + 1] = ("    %s: %s\n"):format(name, (tostring(self._splits[name]):gsub("\n", "\n    ")))
  end
  return "DatasetDict({\n" .. table.concat(parts) .. "})"
end

function DatasetDict.__fingerprint(self)
  local parts = {}
  for _, name in ipairs(self._names) do parts[#parts + 1] = name .. "=" .. self._splits[name]._fingerprint end
  return table.concat(parts, ",")
end

return setmetatable(DatasetDict, { __call = function(_, splits) return new(splits) end })
