--- Option tables: unknown names and changed types are errors at the recipe's line, with the nearest known name.
--
--     local options = require "hflua.options"
--     local o = options.merge({ batch_size = 1, shuffle = false, sampler = options.none }, given, "DataLoader")
local errors = require "hflua.errors"

local options = {}

--- As a default in `merge`: absent unless given, any type accepted.
options.none = setmetatable({}, { __tostring = function() return "none" end })

-- Levenshtein distance of two byte strings.
local function edit_distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(diagonal + cost, row[j] + 1, row[j - 1] + 1)
    end
  end
  return row[#b]
end

-- Names of a list { "a", "b" }, of the keys of a table { a = ..., b = ... }, or of a mix of both; sorted.
local function sorted_names(known)
  local names = {}
  for key, value in pairs(known) do
    names[#names + 1] = type(key) == "number" and value or key
  end
  table.sort(names)
  return names
end

--- The name nearest to `name` among `names` (a list, or a table whose keys are the names), or nil when none is near.
function options.nearest(name, names)
  local best, nearest = #name // 3 + 2, nil
  for _, candidate in ipairs(sorted_names(names)) do
    local distance = edit_distance(name, candidate)
    if distance < best then best, nearest = distance, candidate end
  end
  return nearest
end

--- "unknown option 'x' (did you mean 'y'?)": `what` is "option", "column", ...; `names` as in `nearest`.
function options.unknown(what, name, names)
  local near = options.nearest(name, names)
  if near then return ("unknown %s '%s' (did you mean '%s'?)"):format(what, name, near) end
  return ("unknown %s '%s'"):format(what, name)
end

--- Error unless every key of `given` is one of `known` (a list of names, or a table whose keys are the names).
-- nil is an empty table. Returns the table.
function options.check(where, given, known)
  if given == nil then return {} end
  if type(given) ~= "table" then
    errors.raise("%s: options: expected a table, found %s", where, type(given))
  end
  local set = {}
  for _, name in ipairs(sorted_names(known)) do set[name] = true end
  for name in pairs(given) do
    if type(name) ~= "string" then
      errors.raise("%s: options are named, found key %s", where, tostring(name))
    end
    if not set[name] then errors.raise("%s: %s", where, options.unknown("option", name, known)) end
  end
  return given
end

-- "a whole number", "true or false", ... : what a value must be to stand in for `default`.
local function kind(default)
  local type_of = math.type(default) or type(default)
  return ({ integer = "a whole number", float = "a number", boolean = "true or false", string = "a string",
    table = "a table", ["function"] = "a function" })[type_of] or type_of
end

--- Returns `value` as a replacement of `default`, or nil when its type is another one. A whole number may stand
-- for a float; a float stands for a whole number only when it is whole.
function options.convert(default, value)
  if default == options.none then return value end
  local type_of = math.type(default)
  if type_of == "integer" then return type(value) == "number" and math.tointeger(value) or nil end
  if type_of == "float" then return type(value) == "number" and value + 0.0 or nil end
  if type(value) == type(default) then return value end
  return nil
end

--- A new table: `defaults` overwritten by `given`. Unknown names and changed types are errors.
function options.merge(defaults, given, where)
  options.check(where, given, defaults)
  local merged = {}
  for name, default in pairs(defaults) do
    local value = given and given[name]
    if value == nil then
      if default ~= options.none then merged[name] = default end
    else
      merged[name] = options.convert(default, value)
      if merged[name] == nil then
        errors.raise("%s: option '%s': expected %s, found %s", where, name, kind(default),
          type(value) == "number" and tostring(value) or type(value))
      end
    end
  end
  return merged
end

--- What a replacement of `default` must be, in words, for error messages.
options.kind = kind

return options
