--- hf.range(n) is 1..n, hf.range(a, b) is a..b inclusive: the rows that `ds:select` takes.
local errors = require "hflua.errors"

local function whole(value, name)
  return errors.assert(math.tointeger(value), "range: %s: expected a whole number, found %s", name, tostring(value))
end

return function(first, last)
  if last == nil then first, last = 1, first end
  first, last = whole(first, "first"), whole(last, "last")
  local list = {}
  for value = first, last do list[#list + 1] = value end
  return list
end
