--- Values of the expressions of a chat template. `run` holds what one rendering needs: steps left, output, functions.
--
-- evaluate(run, node, scope) gives the value, nil for an undefined one. A scope is { vars =, parent = }.
local fail = require "hflua.template.failure"
local filters = require "hflua.template.filters"
local methods = require "hflua.template.methods"
local options = require "hflua.options"
local tests = require "hflua.template.tests"
local values = require "hflua.template.values"

local null = values.null
local kinds = {}

local MAX_ITEMS = 1000000 -- of a list that a template makes

--- The value of a node; every node is a step.
local function evaluate(run, node, scope)
  run.steps = run.steps - 1
  if run.steps < 0 then fail(node.line, "more than %d steps; the template does not end", run.max_steps) end
  return kinds[node.kind](run, node, scope)
end

-- ---- names and literals

function kinds.constant(_, node) return node.value end
function kinds.none() return null end
function kinds.captured(run) return run.captured end

function kinds.name(_, node, scope)
  while scope do
    local value = scope.vars[node.name]
    if value ~= nil then return value end
    scope = scope.parent
  end
end

function kinds.list(run, node, scope)
  local list = values.list({}, node.tuple)
  for i, item in ipairs(node.items) do
    local value = evaluate(run, item, scope)
    list[i] = value == nil and null or value
  end
  return list
end

function kinds.dict(run, node, scope)
  local dict = values.dict()
  for _, pair in ipairs(node.pairs) do
    local key, value = evaluate(run, pair[1], scope), evaluate(run, pair[2], scope)
    if type(key) ~= "string" and type(key) ~= "number" and type(key) ~= "boolean" then fail(node.line, "a key of a dict is %s", values.kind(key)) end
    values.put(dict, key, value == nil and null or value)
  end
  return dict
end

-- ---- parts of values

-- A node in the words of its source.
local function describe(node)
  if node.kind == "name" then return "'" .. node.name .. "'" end
  if node.kind == "attribute" then return "'" .. describe(node.value):gsub("'", "") .. "." .. node.name .. "'" end
  if node.kind == "subscript" and node.index.kind == "constant" then
    return "'" .. describe(node.value):gsub("'", "") .. "[" .. values.repr(node.index.value):gsub("'", '"') .. "]'"
  end
  return "the value"
end

local function method_of(value, name, line)
  local method, is_change = methods.find(value, name)
  if is_change then fail(line, "%s.%s: a template cannot change values; use a + [b] or namespace()", values.kind(value), name) end
  if not method then return nil end
  return values.callable(function(_, arguments, named, at)
    return method(value, arguments, named, function(format, ...) fail(at, name .. ": " .. format, ...) end)
  end)
end

local function check_defined(value, node)
  if value == nil then fail(node.line, "%s is undefined", describe(node.value)) end
  return value
end

function kinds.attribute(run, node, scope)
  local value = check_defined(evaluate(run, node.value, scope), node)
  if type(value) == "table" and value.is_loop then return value:get(node.name) end
  local method = method_of(value, node.name, node.line)
  if method then return method end
  if values.is_dict(value) then return value.map[node.name] end
end

local function item_at(value, index)
  local items = values.items(value)
  if math.type(index) ~= "integer" or not items or values.is_dict(value) then return nil end
  return items[index < 0 and #items + index + 1 or index + 1]
end

function kinds.subscript(run, node, scope)
  local value = check_defined(evaluate(run, node.value, scope), node)
  local index = evaluate(run, node.index, scope)
  if type(value) == "table" and value.is_loop then return value:get(index) end
  if values.is_dict(value) and index ~= nil and value.map[index] ~= nil then return value.map[index] end
  if type(index) == "string" then return method_of(value, index, node.line) end
  return item_at(value, index)
end

function kinds.slice(run, node, scope)
  local value = check_defined(evaluate(run, node.value, scope), node)
  local function place(part) if part then return evaluate(run, part, scope) end end
  local cut = values.slice(value, place(node.start), place(node.stop), place(node.step))
  if cut == nil then fail(node.line, "%s cannot be sliced like this", values.kind(value)) end
  return cut
end

-- ---- calls

local function evaluate_arguments(run, node, scope)
  local arguments, named = {}, {}
  for i, argument in ipairs(node.arguments) do
    local value = evaluate(run, argument, scope)
    arguments[i] = value == nil and null or value
  end
  for _, pair in ipairs(node.named) do named[pair[1]] = evaluate(run, pair[2], scope) end
  return arguments, named
end

function kinds.call(run, node, scope)
  local callee = evaluate(run, node.callee, scope)
  if callee == nil then fail(node.line, "%s is undefined", describe(node.callee)) end
  if not values.is_callable(callee) then fail(node.line, "%s is no function, but %s", describe(node.callee), values.kind(callee)) end
  local arguments, named = evaluate_arguments(run, node, scope)
  return callee.call(run, arguments, named, node.line)
end

local function failing(node) return function(format, ...) fail(node.line, node.name .. ": " .. format, ...) end end

function kinds.filter(run, node, scope)
  local filter = filters[node.name] or fail(node.line, "%s", options.unknown("filter", node.name, filters))
  local value = evaluate(run, node.value, scope)
  local arguments, named = evaluate_arguments(run, node, scope)
  return filter(value, arguments, named, failing(node), run)
end

function kinds.test(run, node, scope)
  local test = tests[node.name] or fail(node.line, "%s", options.unknown("test", node.name, tests))
  local value, argument = evaluate(run, node.value, scope), nil
  if node.arguments[1] then argument = evaluate(run, node.arguments[1], scope) end
  return test(value, argument, failing(node)) and true or false
end

-- ---- operators

local function truth(run, node, scope) return values.truth(evaluate(run, node, scope)) end

kinds["not"] = function(run, node, scope) return not truth(run, node.value, scope) end

kinds["and"] = function(run, node, scope)
  local left = evaluate(run, node.left, scope)
  if not values.truth(left) then return left end
  return evaluate(run, node.right, scope)
end

kinds["or"] = function(run, node, scope)
  local left = evaluate(run, node.left, scope)
  if values.truth(left) then return left end
  return evaluate(run, node.right, scope)
end

function kinds.choice(run, node, scope)
  if truth(run, node.condition, scope) then return evaluate(run, node.yes, scope) end
  return node.no and evaluate(run, node.no, scope)
end

local function sign(run, node, scope, factor)
  local value = values.as_number(evaluate(run, node.value, scope))
  return value and value * factor or fail(node.line, "expected a number behind a sign")
end

function kinds.negative(run, node, scope) return sign(run, node, scope, -1) end
function kinds.positive(run, node, scope) return sign(run, node, scope, 1) end

local function order(a, b, node)
  local less = values.less(a, b)
  if less == nil then fail(node.line, "%s and %s cannot be compared", values.kind(a), values.kind(b)) end
  return less
end

local function contains(a, b, node)
  local found = values.contains(b, a)
  if found == nil then fail(node.line, "'in': %s cannot hold %s", values.kind(b), values.kind(a)) end
  return found
end

local comparisons = {
  ["=="] = values.equal, ["!="] = function(a, b) return not values.equal(a, b) end,
  ["<"] = order, [">"] = function(a, b, node) return order(b, a, node) end,
  ["<="] = function(a, b, node) return not order(b, a, node) end, [">="] = function(a, b, node) return not order(a, b, node) end,
  ["in"] = contains, ["not in"] = function(a, b, node) return not contains(a, b, node) end,
}

function kinds.compare(run, node, scope)
  local left = evaluate(run, node.first, scope)
  for _, part in ipairs(node.rest) do
    local right = evaluate(run, part[2], scope)
    if not comparisons[part[1]](left, right, node) then return false end
    left = right
  end
  return true
end

local function check_size(size, node)
  local message = values.too_long(size)
  if message then fail(node.line, "%s", message) end
end

local function concatenate(a, b, node)
  check_size(#a + #b, node)
  return a .. b
end

local function add_lists(a, b, node)
  if #a + #b > MAX_ITEMS then fail(node.line, "a list of more than %d items", MAX_ITEMS) end
  local out = table.move(a, 1, #a, 1, {})
  return values.list(table.move(b, 1, #b, #out + 1, out), a.tuple)
end

local function repeated(value, count, node)
  count = math.max(count, 0)
  if type(value) == "string" then
    check_size(#value * math.min(count, 1 << 30), node)
    return value:rep(count)
  end
  if #value * math.min(count, 1 << 30) > MAX_ITEMS then fail(node.line, "a list of more than %d items", MAX_ITEMS) end
  local out = {}
  for _ = 1, #value > 0 and count or 0 do table.move(value, 1, #value, #out + 1, out) end
  return values.list(out, value.tuple)
end

local function check_divisor(x, node)
  if x == 0 then fail(node.line, "division by zero") end
  return x
end

local arithmetic = {
  ["+"] = function(a, b) return a + b end, ["-"] = function(a, b) return a - b end, ["*"] = function(a, b) return a * b end,
  ["/"] = function(a, b, node) return a / check_divisor(b, node) end,
  ["//"] = function(a, b, node) return a // check_divisor(b, node) end,
  ["%"] = function(a, b, node) return a % check_divisor(b, node) end,
  ["**"] = function(a, b)
    local power = a ^ b
    return math.type(a) == "integer" and math.type(b) == "integer" and b >= 0 and math.abs(power) < 2 ^ 53 and math.tointeger(power) or power
  end,
}

-- Operators of texts and lists; nil where there is none.
local function other_binary(run, node, a, b)
  local operator = node.operator
  if operator == "+" and type(a) == "string" and type(b) == "string" then return concatenate(a, b, node) end
  if operator == "+" and values.is_list(a) and values.is_list(b) then return add_lists(a, b, node) end
  local countable = type(a) == "string" or values.is_list(a)
  if operator == "*" and countable and math.type(b) == "integer" then return repeated(a, b, node) end
  if operator == "*" and math.type(a) == "integer" and (type(b) == "string" or values.is_list(b)) then return repeated(b, a, node) end
  if operator == "%" and type(a) == "string" then
    return run.format(a, values.is_list(b) and b.tuple and b or { b }, function(...) fail(node.line, ...) end)
  end
end

function kinds.binary(run, node, scope)
  local a, b = evaluate(run, node.left, scope), evaluate(run, node.right, scope)
  if node.operator == "~" then return concatenate(values.text(a), values.text(b), node) end
  local x, y = values.as_number(a), values.as_number(b)
  if x and y then return arithmetic[node.operator](x, y, node) end
  local result = other_binary(run, node, a, b)
  if result ~= nil then return result end
  if a == nil then fail(node.line, "%s is undefined", describe(node.left)) end
  if b == nil then fail(node.line, "%s is undefined", describe(node.right)) end
  fail(node.line, "'%s' does not work with %s and %s", node.operator, values.kind(a), values.kind(b))
end

return evaluate
