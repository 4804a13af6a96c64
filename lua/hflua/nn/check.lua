--- Checks of what layers are made from.
local errors = require "hflua.errors"

local check = {}

--- A size: a whole number of at least 1.
function check.size(layer, name, value)
  if math.type(value) ~= "integer" or value < 1 then errors.raise("%s: %s: expected a whole number of at least 1, found %s", layer, name, tostring(value)) end
  return value
end

--- A number from `low` to `high`.
function check.number(layer, name, value, low, high)
  if type(value) ~= "number" or not (value >= low and value <= high) then
    errors.raise("%s: %s: expected a number in %g .. %g, found %s", layer, name, low, high, tostring(value))
  end
  return value
end

--- A sequence or a table of names.
function check.list(where, name, value)
  if type(value) ~= "table" then errors.raise("%s: %s: expected a table, found %s", where, name, type(value)) end
  return value
end

return check
