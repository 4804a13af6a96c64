--- Gradients: switching the tape off and on, recomputation, operations with a backward of one's own, steps.
local core = require "hflua.core.tensor"
local define = require "hflua.tensor.define"
local errors = require "hflua.errors"

local autograd = {}

-- What is closed at the end of a block to put the tape back as it was.
local restore = {}
for _, enabled in ipairs { true, false } do
  restore[enabled] = setmetatable({}, { __close = function() core.set_grad_enabled(enabled) end })
end

local function with_grad(enabled, fn, ...)
  local _ <close> = restore[core.set_grad_enabled(enabled)]
  return fn(...)
end

--- Calls fn(...) without recording; the tape is as before afterwards, also after an error. Returns what fn returns.
function autograd.no_grad(fn, ...) return with_grad(false, fn, ...) end

--- Calls fn(...) with recording on, inside a no_grad too.
function autograd.enable_grad(fn, ...) return with_grad(true, fn, ...) end

autograd.is_grad_enabled = core.is_grad_enabled
--- Switches recording on or off until it is switched again; returns the old setting.
autograd.set_grad_enabled = core.set_grad_enabled

-- ---- operations with a backward in Lua

-- The tensors among the arguments and their places.
local function tensors_of(arguments)
  local tensors, places = {}, {}
  for i = 1, arguments.n do
    if define.is_tensor(arguments[i]) then tensors[#tensors + 1], places[#places + 1] = arguments[i], i end
  end
  return tensors, places
end

-- backward gives a gradient for each argument; the tape wants those of the tensors.
local function gradients_at(places, ...)
  local given, out = table.pack(...), {}
  for i, place in ipairs(places) do out[i] = given[place] end
  return table.unpack(out, 1, #places)
end

--- A new operation: custom_op{name =, forward = function(ctx, ...) return y end, backward = function(ctx, dy) return dx, ... end}.
-- forward runs without recording and may keep what it needs in the table ctx; backward gets the gradient of each result (nil for
-- one that has none) and returns a gradient or nil for each argument of forward, in order. ctx.needs_input_grad[i] tells which.
function autograd.custom_op(definition)
  local options = require "hflua.options"
  options.check("custom_op", definition, { "name", "forward", "backward" })
  for _, field in ipairs { "forward", "backward" } do
    if type(definition[field]) ~= "function" then
      errors.raise("custom_op: %s: expected a function, found %s", field, type(definition[field]))
    end
  end
  local name, forward, backward = definition.name or "custom_op", definition.forward, definition.backward
  return function(...)
    local arguments, context = table.pack(...), { needs_input_grad = {} }
    local tensors, places = tensors_of(arguments)
    for i = 1, arguments.n do
      context.needs_input_grad[i] = define.is_tensor(arguments[i]) and arguments[i].requires_grad
    end
    local entry = { name = name, context = context, backward = function(ctx, ...) return gradients_at(places, backward(ctx, ...)) end }
    return core.record_lua(entry, tensors, autograd.no_grad(forward, context, ...))
  end
end

-- ---- recomputation

-- sum of out_i * dout_i, whose gradient is that of the outputs under dout
local function combined(outputs, gradients)
  local total
  for i = 1, outputs.n do
    if gradients[i] and outputs[i].requires_grad then
      local part = (outputs[i] * gradients[i]):sum()
      total = total and total + part or part
    end
  end
  return total
end

local function recompute(fn, arguments, places, position, gradients)
  local fresh, after = table.move(arguments, 1, arguments.n, 1, {}), core.dropout_position()
  for _, i in ipairs(places) do
    fresh[i] = arguments[i]:detach()
    fresh[i].requires_grad = arguments[i].requires_grad
  end
  core.dropout_set_position(position)
  local ok, failure = pcall(autograd.enable_grad, function()
    local outputs = table.pack(fn(table.unpack(fresh, 1, arguments.n)))
    if outputs.n == 1 and gradients[1] then outputs[1]:backward(gradients[1]) return end
    local total = combined(outputs, gradients)
    if total then total:backward() end
  end)
  core.dropout_set_position(after)
  if not ok then error(failure, 0) end
  local out = {}
  for i, place in ipairs(places) do out[i + 1] = fresh[place].grad end
  return table.unpack(out, 1, #places + 1) -- the first belongs to the anchor and stays nil
end

--- fn(...) whose intermediate results are not kept but computed again in the backward, with the same dropout. fn returns 1 to 4
-- tensors; parameters that it uses without being handed them get their gradients too.
function autograd.checkpoint(fn, ...)
  if not core.is_grad_enabled() then return fn(...) end
  local arguments, position = table.pack(...), core.dropout_position()
  local tensors, places = tensors_of(arguments)
  local anchor = core.functions.zeros({ 1 }, { requires_grad = true }) -- records the operation whatever the arguments want
  local entry = { name = "checkpoint", backward = function(_, ...) return recompute(fn, arguments, places, position, { ... }) end }
  return core.record_lua(entry, { anchor, table.unpack(tensors) }, autograd.no_grad(fn, ...))
end

-- ---- steps

-- Keeps the tensors among the values, and those in tables they hold.
local function keep(seen, ...)
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if define.is_tensor(value) then value:keep()
    elseif type(value) == "table" and not seen[value] then
      seen[value] = true
      for _, held in next, value do keep(seen, held) end
    end
  end
  return ...
end

--- Calls fn(...) and then releases the tensors made inside at once, without waiting for the collector: all but those that fn
-- returns (in tables too), those marked with :keep(), and what parameters and their gradients hold.
function autograd.step(fn, ...)
  local _ <close> = core.begin_step()
  return keep({}, fn(...))
end

return autograd
