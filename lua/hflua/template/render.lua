--- Runs the statements of a chat template.
--
-- `run`: steps and max_steps, out (pieces of text), bytes (written so far), spans (bytes that {% generation %} covers), format, now.
local evaluate = require "hflua.template.evaluate"
local fail = require "hflua.template.failure"
local functions = require "hflua.template.functions"
local values = require "hflua.template.values"

local MAX_STEPS, MAX_CALLS = 2000000, 60

local statements = {}

-- What `break` and `continue` hand to the loop around them; nil otherwise.
local function run_body(run, body, scope)
  for _, statement in ipairs(body) do
    local word = statements[statement.kind](run, statement, scope)
    if word then return word end
  end
end

local function inner(scope) return { vars = {}, parent = scope } end

local function write(run, text, line)
  run.bytes = run.bytes + #text
  local message = values.too_long(run.bytes)
  if message then fail(line, "%s", message) end
  run.out[#run.out + 1] = text
end

-- The text that a body writes, kept from the output.
local function capture(run, body, scope)
  local out, bytes, depth = run.out, run.bytes, run.captures
  run.out, run.bytes, run.captures = {}, 0, depth + 1
  local word = run_body(run, body, scope)
  local text = table.concat(run.out)
  run.out, run.bytes, run.captures = out, bytes, depth
  return text, word
end

function statements.data(run, statement) write(run, statement.text) end

function statements.output(run, statement, scope) write(run, values.text(evaluate(run, statement.value, scope)), statement.line) end

statements["if"] = function(run, statement, scope)
  for _, branch in ipairs(statement.branches) do
    if values.truth(evaluate(run, branch.condition, scope)) then return run_body(run, branch.body, scope) end
  end
  if statement.otherwise then return run_body(run, statement.otherwise, scope) end
end

-- ---- values of names

-- Gives several names the items of one value.
local function assign(scope, names, value, line)
  if #names == 1 then
    scope.vars[names[1]] = value
    return
  end
  local items = values.items(value)
  if not items or #items ~= #names then fail(line, "expected %d values for %s, found %s", #names, table.concat(names, ", "), items and #items or values.kind(value)) end
  for i, name in ipairs(names) do scope.vars[name] = items[i] end
end

local function lookup(scope, name)
  while scope do
    if scope.vars[name] ~= nil then return scope.vars[name] end
    scope = scope.parent
  end
end

local function assign_field(scope, statement, value)
  local target = lookup(scope, statement.names[1])
  if not (values.is_dict(target) and target.is_namespace) then
    fail(statement.line, "set %s.%s: only a namespace() has fields that can be set", statement.names[1], statement.field)
  end
  values.put(target, statement.field, value == nil and values.null or value)
end

-- A captured body behind the filters of its tag.
local function filtered(run, statement, scope)
  local text = capture(run, statement.body, inner(scope))
  local before = run.captured
  run.captured = text
  local value = evaluate(run, statement.filtered, scope)
  run.captured = before
  return value
end

statements["set"] = function(run, statement, scope)
  local value
  if statement.value then value = evaluate(run, statement.value, scope) else value = filtered(run, statement, scope) end
  if statement.field then assign_field(scope, statement, value) else assign(scope, statement.names, value, statement.line) end
end

statements["filter"] = function(run, statement, scope) write(run, values.text(filtered(run, statement, scope)), statement.line) end

statements["with"] = function(run, statement, scope)
  local own = inner(scope)
  for _, pair in ipairs(statement.assignments) do own.vars[pair[1]] = evaluate(run, pair[2], scope) end
  return run_body(run, statement.body, own)
end

-- ---- loops

local Loop = { is_loop = true, __name = "loop" }
Loop.__index = Loop

local counters = {
  index = function(loop) return loop.at end, index0 = function(loop) return loop.at - 1 end,
  revindex = function(loop) return #loop.items - loop.at + 1 end, revindex0 = function(loop) return #loop.items - loop.at end,
  first = function(loop) return loop.at == 1 end, last = function(loop) return loop.at == #loop.items end,
  length = function(loop) return #loop.items end, depth = function(loop) return loop.depth end, depth0 = function(loop) return loop.depth - 1 end,
  previtem = function(loop) return loop.items[loop.at - 1] end, nextitem = function(loop) return loop.items[loop.at + 1] end,
}

local loop_functions = {}

function loop_functions.cycle(loop)
  return function(_, arguments, _, line)
    if #arguments == 0 then fail(line, "loop.cycle: expected values") end
    return arguments[(loop.at - 1) % #arguments + 1]
  end
end

function loop_functions.changed(loop)
  return function(_, arguments)
    local now = values.list(arguments)
    local is_new = loop.seen == nil or not values.equal(loop.seen, now)
    loop.seen = now
    return is_new
  end
end

function Loop:get(name)
  if counters[name] then return counters[name](self) end
  if loop_functions[name] then return values.callable(loop_functions[name](self)) end
end

-- The items of a loop that pass its condition.
local function chosen(run, statement, scope, items)
  if not statement.condition then return items end
  local list = {}
  for i = 1, #items do
    local own = inner(scope)
    assign(own, statement.names, items[i], statement.line)
    if values.truth(evaluate(run, statement.condition, own)) then list[#list + 1] = items[i] end
  end
  return list
end

statements["for"] = function(run, statement, scope)
  local value = evaluate(run, statement.over, scope)
  local items = values.items(value) or fail(statement.line, "a loop cannot run over %s", values.kind(value))
  items = chosen(run, statement, scope, items)
  run.loops = run.loops + 1
  local loop = setmetatable({ items = items, at = 0, depth = run.loops }, Loop)
  for i = 1, #items do
    local own = inner(scope)
    loop.at, own.vars.loop = i, loop
    assign(own, statement.names, items[i], statement.line)
    if run_body(run, statement.body, own) == "break" then break end
  end
  run.loops = run.loops - 1
  if #items == 0 and statement.otherwise then return run_body(run, statement.otherwise, inner(scope)) end
end

statements["break"] = function() return "break" end
statements["continue"] = function() return "continue" end

-- ---- macros

local function bind(run, statement, scope, arguments, named, line)
  local own, known = inner(scope), {}
  if #arguments > #statement.parameters then
    fail(line, "macro %s: takes %d arguments, found %d", statement.name, #statement.parameters, #arguments)
  end
  for i, parameter in ipairs(statement.parameters) do
    known[parameter.name] = true
    local value = arguments[i]
    if value == nil then value = named[parameter.name] end
    if value == nil and parameter.default then value = evaluate(run, parameter.default, own) end
    own.vars[parameter.name] = value
  end
  for name in pairs(named) do
    if not known[name] then fail(line, "macro %s: has no argument '%s'", statement.name, name) end
  end
  return own
end

statements["macro"] = function(_, statement, scope)
  scope.vars[statement.name] = values.callable(function(run, arguments, named, line)
    run.calls = run.calls + 1
    if run.calls > MAX_CALLS then fail(line, "macro %s: more than %d calls in one another", statement.name, MAX_CALLS) end
    local text = capture(run, statement.body, bind(run, statement, scope, arguments, named, line))
    run.calls = run.calls - 1
    return text
  end)
end

--- The place of what the assistant wrote is noted, unless it is written into a variable.
statements["generation"] = function(run, statement, scope)
  local first = run.bytes
  local text, word = capture(run, statement.body, inner(scope))
  write(run, text, statement.line)
  if run.captures == 0 then run.spans[#run.spans + 1] = { first, run.bytes } end
  return word
end

--- Runs a tree with these variables (template values). Returns the text and the spans of {% generation %}, in bytes from 0.
return function(tree, vars, now)
  local run = { steps = MAX_STEPS, max_steps = MAX_STEPS, out = {}, bytes = 0, spans = {}, captures = 0, calls = 0, loops = 0, now = now,
    format = functions.format }
  run_body(run, tree, { vars = vars, parent = { vars = functions.globals() } })
  return table.concat(run.out), run.spans
end
