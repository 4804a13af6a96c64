--- Types of columns, as Hugging Face names and prints them: Value, ClassLabel, Sequence (List), Features.
local errors = require "hflua.errors"
local options = require "hflua.options"

local features = {}

local value_types = { "null", "bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64", "string" }
local aliases = { float = "float32", double = "float64", large_string = "string" }

-- ---- Value

local Value = { __name = "Value" }
Value.__index = Value

function Value:__tostring() return ("Value('%s')"):format(self.dtype) end

--- Value("int64"): one number, truth value or text. dtype is one of bool, int8, int16, int32, int64, uint8, float32,
-- float64, string.
function features.Value(dtype)
  if type(dtype) == "table" then dtype = dtype.dtype or dtype[1] end
  local known = aliases[dtype] or dtype
  for _, name in ipairs(value_types) do
    if name == known then return setmetatable({ dtype = known }, Value) end
  end
  errors.raise("Value: %s; the types are %s", options.unknown("type", tostring(dtype), value_types), table.concat(value_types, ", "))
end

-- ---- ClassLabel

local ClassLabel = { __name = "ClassLabel" }
ClassLabel.__index = ClassLabel

function ClassLabel:__tostring()
  return ("ClassLabel(names=%s)"):format(features.list_text(self.names))
end

--- ClassLabel{ names = { "no", "yes" } } or ClassLabel{ num_classes = 2 }: labels 0, 1, ... with names.
function features.ClassLabel(opts)
  options.check("ClassLabel", opts, { "names", "num_classes" })
  local names = {}
  for i, name in ipairs(opts and opts.names or {}) do names[i] = tostring(name) end
  for i = 1, opts and not opts.names and opts.num_classes or 0 do names[i] = tostring(i - 1) end
  if #names == 0 then errors.raise("ClassLabel: expected names or num_classes") end
  if opts.num_classes and opts.num_classes ~= #names then
    errors.raise("ClassLabel: num_classes is %d, but there are %d names", opts.num_classes, #names)
  end
  local numbers = {}
  for i, name in ipairs(names) do
    if numbers[name] then errors.raise("ClassLabel: name '%s' is given twice", name) end
    numbers[name] = i - 1
  end
  return setmetatable({ dtype = "int64", names = names, num_classes = #names, _numbers = numbers }, ClassLabel)
end

local function each(value, fn)
  if type(value) ~= "table" then return fn(value) end
  local list = {}
  for i, item in ipairs(value) do list[i] = fn(item) end
  return list
end

--- The name of label `value` (0-based, data), or the list of names of a list.
function ClassLabel:int2str(value)
  return each(value, function(label)
    local name = math.type(label) == "integer" and label >= 0 and self.names[label + 1]
    return name or errors.raise("ClassLabel:int2str: label %s is outside 0..%d", tostring(label), self.num_classes - 1)
  end)
end

--- The label (0-based) of a name, or the list of labels of a list.
function ClassLabel:str2int(value)
  return each(value, function(name)
    return self._numbers[name] or errors.raise("ClassLabel:str2int: %s; the names are %s",
      options.unknown("name", tostring(name), self.names), features.list_text(self.names))
  end)
end

-- ---- Sequence

local List = { __name = "List" }
List.__index = List

function List:__tostring() return ("List(%s)"):format(tostring(self.feature)) end

--- Sequence(Value("int64")): a list of any length of items of one type.
function features.Sequence(feature)
  return setmetatable({ feature = features.check(feature, "Sequence") }, List)
end
features.List = features.Sequence

-- ---- Features

local Features = { __name = "Features" }

function Features.__index(self, name)
  if name == "keys" then return function() return table.move(self._names, 1, #self._names, 1, {}) end end
  return self._types[name]
end

function Features:__pairs()
  local i = 0
  return function()
    i = i + 1
    if self._names[i] then return self._names[i], self._types[self._names[i]] end
  end
end

function Features:__len() return #self._names end

function Features:__tostring()
  local parts = {}
  for name, feature in pairs(self) do parts[#parts + 1] = ("'%s': %s"):format(name, tostring(feature)) end
  return "{" .. table.concat(parts, ", ") .. "}"
end

--- Features{ text = Value("string"), label = ClassLabel{...} }: columns in alphabetical order; in the given order as
-- Features{ { "text", Value("string") }, { "label", ClassLabel{...} } }. features.text, pairs and print work on it.
function features.Features(columns)
  local names, types = {}, {}
  for key, value in pairs(columns) do
    local name, feature = key, value
    if math.type(key) == "integer" then name, feature = value[1], value[2] end
    names[math.type(key) == "integer" and key or #names + 1] = name
    types[name] = features.check(feature, ("Features: column '%s'"):format(tostring(name)))
  end
  if columns[1] == nil then table.sort(names) end
  return setmetatable({ _names = names, _types = types }, Features)
end

-- ---- shared

local function is_struct(feature) return getmetatable(feature) == Features end

--- True when `value` is one of the types of this file.
function features.is_feature(value)
  local meta = getmetatable(value)
  return meta == Value or meta == ClassLabel or meta == List or meta == Features
end

function features.is_class_label(value) return getmetatable(value) == ClassLabel end
function features.is_features(value) return getmetatable(value) == Features end

--- The feature that `value` stands for: itself, a type name, { feature } for a list, or { name = feature } for a
-- struct; an error that begins with `where` otherwise.
function features.check(value, where)
  if features.is_feature(value) then return value end
  if type(value) == "string" then return features.Value(value) end
  if type(value) == "table" and #value == 1 and next(value, 1) == nil then return features.Sequence(value[1]) end
  if type(value) == "table" and next(value) ~= nil then return features.Features(value) end
  errors.raise("%s: expected a feature (Value, ClassLabel, Sequence, Features), found %s", where, type(value))
end

--- The feature of a column of the table engine: "int64", { "list", item }, { "struct", { { name, type }, ... } }.
function features.from_type(type_of)
  if type(type_of) == "string" then return setmetatable({ dtype = type_of }, Value) end
  if type_of[1] == "list" then return setmetatable({ feature = features.from_type(type_of[2]) }, List) end
  local columns = {}
  for i, field in ipairs(type_of[2]) do columns[i] = { field[1], features.from_type(field[2]) } end
  return features.Features(columns)
end

--- The other way round, for the engine's cast; a ClassLabel is { "class", names }.
function features.to_type(feature)
  if getmetatable(feature) == ClassLabel then return { "class", feature.names } end
  if getmetatable(feature) == List then return { "list", features.to_type(feature.feature) } end
  if not is_struct(feature) then return feature.dtype end
  local fields = {}
  for name, field in pairs(feature) do fields[#fields + 1] = { name, features.to_type(field) } end
  return { "struct", fields }
end

--- True when the feature has a ClassLabel in it, which the engine's column types cannot tell.
function features.has_labels(feature)
  if getmetatable(feature) == ClassLabel then return true end
  if getmetatable(feature) == List then return features.has_labels(feature.feature) end
  if not is_struct(feature) then return false end
  for _, field in pairs(feature) do
    if features.has_labels(field) then return true end
  end
  return false
end

--- "['a', 'b']", as Python prints a list of names.
function features.list_text(names)
  local quoted = {}
  for i, name in ipairs(names) do quoted[i] = "'" .. name .. "'" end
  return "[" .. table.concat(quoted, ", ") .. "]"
end

return features
