--- A shallow copy of an object: its fields and its metatable, past any __newindex.
return function(object)
  local copy = setmetatable({}, getmetatable(object))
  for name, value in next, object do rawset(copy, name, value) end
  return copy
end
