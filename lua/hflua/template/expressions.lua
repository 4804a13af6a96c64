--- Reads the expressions of a chat template. A node is { kind =, line =, ... }; each `kind` has its meaning in evaluate.lua.
--
-- Every function takes the stream of tokens (parser.lua) and gives a node. Precedence is Jinja's: a if b else c, or, and, not,
-- comparisons, + -, ~, * / // %, **, signs, then .name [index] (call), |filter and `is` tests.
local fail = require "hflua.template.failure"

local expressions = {}

local parse, parse_unary, parse_primary

local function node(stream, kind, fields)
  fields.kind, fields.line = kind, stream:peek().line
  return fields
end

-- ---- literals

local constants = { ["true"] = true, ["True"] = true, ["false"] = false, ["False"] = false }

-- Items up to a closing bracket, separated by commas.
local function read_items(stream, close, read)
  local items = {}
  while not stream:accept("operator", close) do
    if #items > 0 then
      stream:expect("operator", ",")
      if stream:accept("operator", close) then break end
    end
    items[#items + 1] = read(stream)
  end
  return items
end

local function read_pair(stream)
  local key = parse(stream)
  stream:expect("operator", ":")
  return { key, parse(stream) }
end

-- Behind "(": an expression in brackets, or a tuple.
local function read_bracketed(stream, line)
  if stream:accept("operator", ")") then return { kind = "list", line = line, items = {}, tuple = true } end
  local first = parse(stream)
  if not stream:accept("operator", ",") then
    stream:expect("operator", ")")
    return first
  end
  local items = read_items(stream, ")", parse)
  table.insert(items, 1, first)
  return { kind = "list", line = line, items = items, tuple = true }
end

local function read_name(stream, token)
  if constants[token.value] ~= nil then return { kind = "constant", line = token.line, value = constants[token.value] } end
  if token.value == "none" or token.value == "None" then return { kind = "none", line = token.line } end
  return { kind = "name", line = token.line, name = token.value }
end

local function read_strings(stream, token)
  local parts = { token.value }
  while stream:peek().kind == "string" do parts[#parts + 1] = stream:next().value end
  return { kind = "constant", line = token.line, value = table.concat(parts) }
end

function parse_primary(stream)
  local token = stream:next()
  if token.kind == "name" then return read_name(stream, token) end
  if token.kind == "string" then return read_strings(stream, token) end
  if token.kind == "number" then return { kind = "constant", line = token.line, value = token.value } end
  if token.value == "(" then return read_bracketed(stream, token.line) end
  if token.value == "[" then return { kind = "list", line = token.line, items = read_items(stream, "]", parse) } end
  if token.value == "{" then return { kind = "dict", line = token.line, pairs = read_items(stream, "}", read_pair) } end
  fail(token.line, "expected an expression, found %s", stream.describe(token))
end

-- ---- what follows a value

-- Arguments behind "(": positional ones and { name = node }.
local function read_arguments(stream)
  local arguments, named = {}, {}
  local function read_argument()
    local token, following = stream:peek(), stream:peek(1)
    if token.value == "*" or token.value == "**" then fail(token.line, "'%s' in arguments is not supported", token.value) end
    if token.kind == "name" and following.kind == "operator" and following.value == "=" then
      stream:next()
      stream:next()
      named[#named + 1] = { token.value, parse(stream) }
    elseif #named > 0 then fail(token.line, "a positional argument stands behind a named one")
    else arguments[#arguments + 1] = parse(stream) end
    return true
  end
  read_items(stream, ")", read_argument)
  return arguments, named
end

-- Behind "[": an index, or start:stop:step.
local function read_subscript(stream, value)
  local result, parts, colons = node(stream, "subscript", { value = value }), {}, 0
  while not stream:accept("operator", "]") do
    if stream:accept("operator", ":") then colons = colons + 1
    else parts[colons + 1] = parse(stream) end
    if colons > 2 then fail(result.line, "a slice has at most start:stop:step") end
  end
  if colons == 0 and not parts[1] then fail(result.line, "an index is missing") end
  if colons == 0 then result.index = parts[1]
  else result.kind, result.start, result.stop, result.step = "slice", parts[1], parts[2], parts[3] end
  return result
end

local function read_attribute(stream, value)
  local token = stream:next()
  if token.kind == "number" then return { kind = "subscript", line = token.line, value = value, index = { kind = "constant", line = token.line, value = token.value } } end
  if token.kind ~= "name" then fail(token.line, "expected a name behind '.', found %s", stream.describe(token)) end
  return { kind = "attribute", line = token.line, value = value, name = token.value }
end

-- callee(...), behind its opening bracket
local function read_call(stream, callee)
  local call = node(stream, "call", { callee = callee })
  call.arguments, call.named = read_arguments(stream)
  return call
end

local function parse_postfix(stream, value)
  while true do
    if stream:accept("operator", ".") then value = read_attribute(stream, value)
    elseif stream:accept("operator", "[") then value = read_subscript(stream, value)
    elseif stream:accept("operator", "(") then value = read_call(stream, value)
    else return value end
  end
end

local function dotted_name(stream)
  local name = stream:expect("name").value
  while stream:accept("operator", ".") do name = name .. "." .. stream:expect("name").value end
  return name
end

local function read_filter(stream, value)
  local filter = node(stream, "filter", { value = value, name = dotted_name(stream), arguments = {}, named = {} })
  if stream:accept("operator", "(") then filter.arguments, filter.named = read_arguments(stream) end
  return filter
end

local argument_begins = { name = true, string = true, number = true }
local never_arguments = { ["else"] = true, ["or"] = true, ["and"] = true, ["if"] = true, ["is"] = true }

-- `x is divisibleby 3`: a test may have one argument without brackets.
local function takes_argument(token)
  if token.kind == "name" then return not never_arguments[token.value] end
  return argument_begins[token.kind] or token.kind == "operator" and (token.value == "[" or token.value == "{")
end

local function read_test(stream, value)
  local negated = stream:accept("name", "not")
  local test = node(stream, "test", { value = value, name = dotted_name(stream), arguments = {}, named = {} })
  if stream:accept("operator", "(") then test.arguments, test.named = read_arguments(stream)
  elseif takes_argument(stream:peek()) then test.arguments = { parse_postfix(stream, parse_primary(stream)) } end
  return negated and { kind = "not", line = test.line, value = test } or test
end

local function parse_filters(stream, value)
  while true do
    if stream:accept("operator", "|") then value = read_filter(stream, value)
    elseif stream:accept("name", "is") then value = read_test(stream, value)
    elseif stream:accept("operator", "(") then value = read_call(stream, value)
    else return value end
  end
end

-- ---- operators

function parse_unary(stream, without_filter)
  local token, value = stream:peek(), nil
  stream:deeper()
  if stream:accept("operator", "-") then value = { kind = "negative", line = token.line, value = parse_unary(stream, true) }
  elseif stream:accept("operator", "+") then value = { kind = "positive", line = token.line, value = parse_unary(stream, true) }
  else value = parse_postfix(stream, parse_primary(stream)) end
  stream:shallower()
  return without_filter and value or parse_filters(stream, value)
end

-- A level of operators that group to the left.
local function left_to_right(operators, read)
  return function(stream)
    local left = read(stream)
    while true do
      local token = stream:peek()
      if token.kind ~= "operator" or not operators[token.value] then return left end
      stream:next()
      left = { kind = "binary", operator = token.value, line = token.line, left = left, right = read(stream) }
    end
  end
end

local parse_power = left_to_right({ ["**"] = true }, parse_unary)
local parse_product = left_to_right({ ["*"] = true, ["/"] = true, ["//"] = true, ["%"] = true }, parse_power)
local parse_tilde = left_to_right({ ["~"] = true }, parse_product)
local parse_sum = left_to_right({ ["+"] = true, ["-"] = true }, parse_tilde)

local comparisons = { ["=="] = true, ["!="] = true, ["<"] = true, [">"] = true, ["<="] = true, [">="] = true }

-- The comparison that stands here: an operator, "in" or "not in".
local function next_comparison(stream)
  local token = stream:peek()
  if token.kind == "operator" and comparisons[token.value] then return stream:next().value end
  if stream:accept("name", "in") then return "in" end
  if token.kind == "name" and token.value == "not" and stream:peek(1).value == "in" then
    stream:next()
    stream:next()
    return "not in"
  end
end

-- a < b < c compares each neighbour.
local function parse_comparison(stream)
  local first, line, rest = parse_sum(stream), stream:peek().line, {}
  local operator = next_comparison(stream)
  while operator do
    rest[#rest + 1] = { operator, parse_sum(stream) }
    operator = next_comparison(stream)
  end
  return #rest > 0 and { kind = "compare", line = line, first = first, rest = rest } or first
end

local function parse_not(stream)
  local line = stream:peek().line
  if not stream:accept("name", "not") then return parse_comparison(stream) end
  stream:deeper()
  local value = parse_not(stream)
  stream:shallower()
  return { kind = "not", line = line, value = value }
end

local function logical(word, read)
  return function(stream)
    local left = read(stream)
    while stream:accept("name", word) do left = { kind = word, line = left.line, left = left, right = read(stream) } end
    return left
  end
end

local parse_or = logical("or", logical("and", parse_not))

--- An expression. without_condition: "a if b else c" ends before "if" (what a loop runs over).
function parse(stream, without_condition)
  stream:deeper()
  local value = parse_or(stream)
  while not without_condition and stream:accept("name", "if") do
    local condition = parse_or(stream)
    value = { kind = "choice", line = value.line, condition = condition, yes = value, no = stream:accept("name", "else") and parse(stream) or nil }
  end
  stream:shallower()
  return value
end

expressions.parse = parse

--- An expression, or a tuple of some without brackets: `a, b`.
function expressions.parse_tuple(stream, without_condition)
  local first = parse(stream, without_condition)
  if not stream:accept("operator", ",") then return first end
  local items = { first }
  while stream:peek().kind ~= "block_end" and stream:peek().kind ~= "variable_end" do
    items[#items + 1] = parse(stream, without_condition)
    if not stream:accept("operator", ",") then break end
  end
  return { kind = "list", line = first.line, items = items, tuple = true }
end

--- A chain of filters on `value`, for {% filter a | b %}.
function expressions.parse_filter_chain(stream, value)
  value = read_filter(stream, value)
  return parse_filters(stream, value)
end

expressions.read_arguments = read_arguments

return expressions
