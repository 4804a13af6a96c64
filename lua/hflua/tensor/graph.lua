--- hf.tensor.graph: a function whose work on a GPU is recorded and then launched as a whole, without Lua and without asking for one
-- kernel after another. On devices without graphs the function is simply called.
local core = require "hflua.core.tensor"
local define = require "hflua.tensor.define"
local errors = require "hflua.errors"
local options = require "hflua.options"

local Graph = {}

-- A value with every tensor in it replaced by f(tensor); tables are copied.
local function each_tensor(value, f, seen)
  if define.is_tensor(value) then return f(value) end
  if type(value) ~= "table" then return value end
  if getmetatable(value) then errors.raise("graph: results: expected tensors, plain values and plain tables of them, found %s", tostring(value)) end
  if seen[value] then return seen[value] end
  local copy = {}
  seen[value] = copy
  for key, held in next, value do copy[key] = each_tensor(held, f, seen) end
  return copy
end

local function map_results(f, results)
  local seen = {}
  for i = 1, results.n do results[i] = each_tensor(results[i], f, seen) end
  return results
end

local function detached(x) return x:detach() end

local function call(self, ...)
  local results = map_results(detached, table.pack(self.fn(...)))
  return table.unpack(results, 1, results.n)
end

-- What the recorded function gets: copies of its own of the tensors among the arguments, which an hf.step around the call leaves alone.
local function inputs_of(...)
  local inputs = table.pack(...)
  for i = 1, inputs.n do
    if define.is_tensor(inputs[i]) then
      if inputs[i].requires_grad then errors.raise("graph: argument %d has a gradient; let the function use it without handing it in", i) end
      inputs[i] = inputs[i]:clone():keep()
    end
  end
  return inputs
end

local function check_same(i, have, given)
  if have.shape == given.shape and have.dtype == given.dtype then return end
  errors.raise("graph: argument %d: the function was recorded with %s, found %s; another graph is needed for it", i, define.describe(have),
    define.describe(given))
end

-- Writes the arguments into the recorded function's.
local function fill_inputs(inputs, ...)
  local given = table.pack(...)
  if given.n ~= inputs.n then errors.raise("graph: the function was recorded with %d arguments, found %d", inputs.n, given.n) end
  for i = 1, inputs.n do
    local have, value = inputs[i], given[i]
    if define.is_tensor(have) and define.is_tensor(value) then
      check_same(i, have, value)
      have:copy_(value)
    elseif have ~= value then
      errors.raise("graph: argument %d: the function was recorded with %s, found %s", i, tostring(have), tostring(value))
    end
  end
end

local function record(self, ...)
  local inputs = inputs_of(...)
  if self.replay then self.replay:free() end
  self.replay = nil
  collectgarbage() -- what is dead gives its memory to the graph
  local recorded = table.pack(core.graph_record(self.constants, self.fn, table.unpack(inputs, 1, inputs.n)))
  local replay, results = recorded[1], table.pack(table.unpack(recorded, 2, recorded.n))
  self.results = map_results(function(x) return replay:result(x):keep() end, results)
  self.inputs, self.replay = inputs, replay
end

--- graph(...): the work of fn(...), and what it returns. Tensors among the arguments are copied into the graph's own; the results of
-- a recorded function are the same tensors each time, with other numbers in them. Gradients become what fn would have made them: where
-- they were cleared or replaced in another way than before, fn is recorded again.
function Graph:__call(...)
  if not core.graphs_work() then return call(self, ...) end
  if self.replay then fill_inputs(self.inputs, ...) end
  if not self.replay or not self.replay:fits() then -- it adds to other gradients now, or to none
    self.calls = self.calls + 1
    if self.calls <= self.warmup then return call(self, ...) end
    record(self, ...)
  end
  self.replay:launch()
  return table.unpack(self.results, 1, self.results.n)
end

--- Has the function been recorded?
function Graph:is_recorded() return self.replay ~= nil end

--- Forgets what was recorded and gives its memory back; the next calls begin anew.
function Graph:reset()
  if self.replay then self.replay:free() end
  self.replay, self.inputs, self.results, self.calls = nil, nil, nil, 0
end

Graph.__index, Graph.__close, Graph.__name = Graph, Graph.reset, "graph"
function Graph:__tostring() return ("graph (%s)"):format(self.replay and "recorded" or "not recorded") end

--- graph(fn[, { warmup = 2, constants = false }]): a function like fn. The first `warmup` calls call fn; the next records what fn asks
-- of the device and launches it; those after launch it alone. constants = true: numbers that fn copies from the processor to the device
-- are the same in each launch, where otherwise such a copy is an error. fn returns tensors, plain values, plain tables of them; tensors
-- come without history, so a backward belongs into fn.
return function(fn, given)
  if type(fn) ~= "function" and not (getmetatable(fn) or {}).__call then errors.raise("graph: expected a function, found %s", define.describe(fn)) end
  options.check("graph", given, { "warmup", "constants" })
  local warmup = given and given.warmup or 2
  if math.type(warmup) ~= "integer" or warmup < 0 then errors.raise("graph: warmup: expected a whole number of at least 0, found %s", tostring(warmup)) end
  return setmetatable({ fn = fn, warmup = warmup, constants = given and given.constants or false, calls = 0 }, Graph)
end
