--- What may stand behind `is` in a template: f(value, argument, fail) -> true or false.
local text = require "hflua.core.text"
local values = require "hflua.template.values"

local tests = {}

function tests.defined(value) return value ~= nil end
function tests.undefined(value) return value == nil end
function tests.none(value) return value == values.null end
function tests.string(value) return type(value) == "string" end
function tests.mapping(value) return values.is_dict(value) end
function tests.number(value) return type(value) == "number" or type(value) == "boolean" end
function tests.integer(value) return math.type(value) == "integer" end
function tests.float(value) return math.type(value) == "float" end
function tests.boolean(value) return type(value) == "boolean" end
tests["true"] = function(value) return value == true end
tests["false"] = function(value) return value == false end
function tests.iterable(value) return values.items(value) ~= nil end
function tests.sequence(value) return values.items(value) ~= nil end
function tests.callable(value) return values.is_callable(value) end
function tests.lower(value) return type(value) == "string" and text.lower(value) == value end
function tests.upper(value) return type(value) == "string" and text.upper(value) == value end

local function whole(value, fail)
  if math.type(value) ~= "integer" then fail("expected a whole number, found %s", values.kind(value)) end
  return value
end

function tests.even(value, _, fail) return whole(value, fail) % 2 == 0 end
function tests.odd(value, _, fail) return whole(value, fail) % 2 == 1 end

function tests.divisibleby(value, by, fail)
  if whole(by, fail) == 0 then fail "division by zero" end
  return whole(value, fail) % by == 0
end

function tests.eq(value, other) return values.equal(value, other) end
function tests.ne(value, other) return not values.equal(value, other) end
function tests.sameas(value, other) return value == other and math.type(value) == math.type(other) end

local function less(a, b, fail)
  local result = values.less(a, b)
  if result == nil then fail("%s and %s cannot be compared", values.kind(a), values.kind(b)) end
  return result
end

function tests.lt(value, other, fail) return less(value, other, fail) end
function tests.gt(value, other, fail) return less(other, value, fail) end
function tests.le(value, other, fail) return not less(other, value, fail) end
function tests.ge(value, other, fail) return not less(value, other, fail) end

tests["in"] = function(value, container, fail)
  local found = values.contains(container, value)
  if found == nil then fail("%s cannot hold %s", values.kind(container), values.kind(value)) end
  return found
end

tests.equalto, tests["=="], tests["!="] = tests.eq, tests.eq, tests.ne
tests.lessthan, tests.greaterthan, tests["<"], tests[">"], tests["<="], tests[">="] = tests.lt, tests.gt, tests.lt, tests.gt, tests.le, tests.ge

return tests
