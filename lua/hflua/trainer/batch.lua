--- A batch: an ordered table of tensors with `batch:to(device)` and `batch:keys()`.
local ordered = require "hflua.ordered"

local methods = {}

--- A batch with the tensors on a device.
function methods:to(device)
  local moved = ordered.with_methods("batch", methods)
  for name, value in pairs(self) do
    moved[name] = type(value) == "userdata" and value.to and value:to(device) or value
  end
  return moved
end

--- The names, in order.
function methods:keys()
  local names = {}
  for name in pairs(self) do names[#names + 1] = name end
  return names
end

--- A new empty batch.
return function() return ordered.with_methods("batch", methods) end
