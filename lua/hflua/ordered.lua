--- Tables that remember the order in which their keys were first set: what HF returns as a dict.
-- They read and write like any table; `pairs` walks in order and `tostring` prints as Python prints a dict.
local repr = require "hflua.repr"

local ordered = {}

local function add_key(self, key, value)
  if value == nil then return end
  local meta = getmetatable(self)
  if not meta.known[key] then
    meta.names[#meta.names + 1] = key
    meta.known[key] = true
  end
  rawset(self, key, value)
end

local function walk(self)
  local names, i = getmetatable(self).names, 0
  return function()
    while i < #names do
      i = i + 1
      local value = rawget(self, names[i])
      if value ~= nil then return names[i], value end
    end
  end
end

--- An empty ordered table with methods, found where no key of that name is.
function ordered.with_methods(name, methods)
  return setmetatable({}, { __name = name, names = {}, known = {}, __newindex = add_key, __pairs = walk, __tostring = repr,
    __index = methods })
end

--- A new ordered table: `ordered.new("accuracy", 0.9, "f1", 0.8)`. A nil value leaves its key out.
function ordered.new(...)
  local self = ordered.with_methods("dict")
  for i = 1, select("#", ...), 2 do self[select(i, ...)] = (select(i + 1, ...)) end
  return self
end

--- A copy; a plain table is copied with its keys sorted.
function ordered.copy(source)
  local copy = ordered.new()
  for key, value in ordered.pairs(source) do copy[key] = value end
  return copy
end

--- Walks a table that knows its order in that order, and any other one with its keys sorted: output never varies.
function ordered.pairs(source)
  local meta = getmetatable(source)
  if meta and meta.__pairs then return pairs(source) end
  local keys, i = {}, 0
  for key in pairs(source) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return function()
    i = i + 1
    if keys[i] ~= nil then return keys[i], source[keys[i]] end
  end
end

return ordered
