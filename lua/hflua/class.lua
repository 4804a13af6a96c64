--- Classes: `local Dog = class("Dog", Animal)`, `function Dog:init(name) ... end`, `Dog("Rex")`, `Dog:extend("Puppy")`.
-- Methods are found through the parents; metamethods (names that begin with "__") are copied when a class is made.
local Object = {}

--- A subclass of this class.
function Object:extend(name)
  local class = { __name = name or self.__name }
  for key, value in pairs(self) do
    if type(key) == "string" and key:sub(1, 2) == "__" and class[key] == nil then class[key] = value end
  end
  class.__index = class
  return setmetatable(class, { __index = self, __call = self.new })
end

--- Makes an object: `Class(...)` calls `init(...)`.
function Object:new(...)
  local object = setmetatable({}, self)
  object:init(...)
  return object
end

function Object:init() end

--- True when the class of this object is `class` or descends from it.
function Object:is_a(class)
  local current = getmetatable(self)
  while current do
    if current == class then return true end
    local meta = getmetatable(current)
    current = meta and meta.__index
  end
  return false
end

--- class(name[, parent]): a new class.
return function(name, parent) return Object.extend(parent or Object, name) end
