--- Greedy search and sampling where the model is: the device chooses tokens, appends them and ends rows, and the host reads a column
-- while the next one is being computed.
local tensor = require "hflua.tensor"
local core = require "hflua.core.generation"
local errors = require "hflua.errors"
local sample = require "hflua.generation.sample"
local stopping = require "hflua.generation.stopping"

local on_device = {}

-- Rows that are read number by number, where the device can go on meanwhile; more are read as one list, which waits for it.
local MOST_READINGS = 64

local function whole_numbers(list, device) return tensor.tensor(list, { dtype = "int64", device = device }) end

-- What core.choose works on.
local function new_state(job, device)
  local rows = job.ids.shape[1]
  local function zeros(shape, dtype) return tensor.zeros(shape, { dtype = dtype, device = device }) end
  local state = {
    ids = job.ids:to(device), column = whole_numbers({ job.length }, device), token = zeros({ rows }, "int64"), input = zeros({ rows, 1 }, "int64"),
    position = job.decoder:positions(rows):to(device), done = zeros({ rows }, "bool"), ends = job.eos and whole_numbers(job.eos, device),
    pad = job.pad or 0, draw = job.do_sample, key = job.do_sample and core.draw_key() or 0,
  }
  for name, value in pairs(job.rules) do state[name] = value end
  state.starts = state.starts and whole_numbers(state.starts, device)
  return state
end

-- A function that gives the tokens of column `at` (from 0) as a list.
local function reader(state, at)
  local column = state.ids:select(1, at)
  if not tensor.core.read_later or column.shape[1] > MOST_READINGS then return function() return column:tolist() end end
  local readings = {}
  for row = 1, column.shape[1] do readings[row] = tensor.core.read_later(column:select(0, row - 1)) end
  return function()
    local tokens = {}
    for row, reading in ipairs(readings) do tokens[row] = reading:item() end
    return tokens
  end
end

local function check_tokens(tokens)
  for row, token in ipairs(tokens) do
    if token < 0 then errors.raise("generate: row %d: no token is possible, or the scores are not numbers; remove_invalid_values=true replaces inf and nan", row) end
  end
end

-- Fewer columns than this are computed before a graph of the step would pay.
local WORTH_A_GRAPH = 16
local WARMUP = 2

-- Computes and chooses one column more: step.next(). After some steps the next one is recorded as a graph, and launched again until the
-- cache must grow; where it cannot be recorded, the model is called each time. step.close() gives the graph's memory back.
local function new_step(job, state)
  local decoder, cache, step = job.decoder, job.decoder.cache, {}
  local function run() tensor.step(function() core.choose(decoder:next(state.input, state.position), state) end) end
  local graph = job.max_length - job.length >= WORTH_A_GRAPH and tensor.graph(run, { warmup = 0 }) or nil
  local steps = 0 -- since the cache last grew

  function step.close()
    if graph then graph:reset() end
  end

  local function record()
    local undo = cache:mark()
    local recorded, why = pcall(graph)
    if recorded then return end
    if not tostring(why):find("graph: the function", 1, true) then error(why, 0) end
    undo()
    graph = nil
    run()
  end

  function step.next()
    decoder:check_position()
    if not cache:has_room() then
      step.close()
      steps = 0
    end
    steps = steps + 1
    if not graph or steps <= WARMUP then return run() end
    if not graph:is_recorded() then return record() end
    graph()
    cache:advance()
  end

  return step
end

-- The device's side: prompt() and next() queue a column each and give what reads it.
local function new_device_side(job)
  local decoder, state, step, columns = job.decoder, nil, nil, job.length
  local side = {}

  local function queued()
    columns = columns + 1
    return reader(state, columns - 1)
  end

  function side.prompt()
    tensor.no_grad(function()
      local logits = decoder:first(job.ids:narrow(1, 0, job.length), job.max_length)
      state = new_state(job, logits.device)
      core.choose(logits, state)
    end)
    step = new_step(job, state)
    return queued()
  end

  function side.next()
    tensor.no_grad(step.next)
    return queued()
  end

  -- Rows that ended for a reason that the device does not know.
  function side.set_done(unfinished)
    local done = {}
    for row, open in ipairs(unfinished) do done[row] = not open end
    state.done:copy_(tensor.tensor(done, { dtype = "bool", device = "cpu" }))
  end

  -- Takes back what was queued behind `length` columns.
  function side.finish(length)
    step.close()
    decoder.cache:crop(length - 1)
    decoder.cache:reserve(0)
  end

  return side
end

--- job: as in sample.lua, and rules (processors.of_config), reads_each_step (criteria must see a column before the next is computed).
-- Returns ids (rows, length) on the host.
function on_device.run(job)
  local ids, length, unfinished, side = job.ids, job.length, {}, new_device_side(job)
  for row = 1, ids.shape[1] do unfinished[row] = true end
  local read, more = side.prompt(), true
  repeat
    local ahead = not job.reads_each_step and length + 1 < job.max_length and job.decoder:has_position() and side.next() or nil
    local tokens = read()
    check_tokens(tokens)
    ids:narrow(1, length, 1):copy_(whole_numbers(tokens, "cpu"):unsqueeze(1))
    length = length + 1
    more = sample.mark(unfinished, stopping.apply(job.criteria, ids:narrow(1, 0, length)))
    if job.streamer then job.streamer:put(tokens) end
    if more and job.reads_each_step then side.set_done(unfinished) end
    read = more and (ahead or side.next())
  until not more
  side.finish(length)
  if job.streamer then job.streamer["end"](job.streamer) end
  return ids:narrow(1, 0, length):contiguous()
end

return on_device
