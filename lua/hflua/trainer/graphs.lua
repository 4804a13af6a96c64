--- Trainer's graphs (cuda_graphs = true): forward and backward of a micro-batch are recorded when batches of one kind come again, and
-- launched from then on.
--
-- A kind is what a recording has in it beside the numbers that the device reads: shapes, the plan of the real tokens (the mask), which
-- labels count, and the plain numbers. Batches whose kind does not come again run as ever.
local notes = require "hflua.trainer.notes"

local graphs = {}

local EAGER_STEPS = 2   -- of one kind before it is recorded
local MOST = 4          -- graphs at a time: each has its own activations and gradients
local IDLE = 64         -- micro-batches after which an unused graph may give way to another
local MOST_SEEN = 4096  -- kinds remembered
local MOST_USELESS = 3  -- recordings that were good for one batch alone

local function tensor() return require "hflua.tensor" end

-- What of an input decides the recording, as a text. The host asks of labels which are -100 (models.layout), of masks and positions
-- everything; contents: the host asks everything of this input too.
local function part_of(name, value, contents)
  local core = tensor().core
  local text = ("%s %s %s"):format(name, tostring(value.shape), value.dtype)
  local host = value:to("cpu")
  if contents or name == "attention_mask" or name == "position_ids" then return text .. core.bytes(host) end
  if name == "labels" then return text .. core.bytes(host:ne(-100)) end
  return text
end

-- The kind of a micro-batch, or nil when it holds something that cannot be recorded.
local function kind_of(self, inputs, weight, items, is_first)
  local parts, names = { tostring(weight), tostring(items), tostring(is_first), self.scaler and self.scaler:get_scale() or "" }, {}
  for name in pairs(inputs) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = inputs[name]
    if tensor().is_tensor(value) then parts[#parts + 1] = part_of(name, value, self.graphs.contents[name])
    elseif type(value) == "table" or type(value) == "userdata" then return nil
    else parts[#parts + 1] = name .. "=" .. tostring(value) end
  end
  return table.concat(parts, "\0")
end

-- Room for one more graph: none is dropped that was used lately.
local function make_room(g)
  local oldest, count = nil, 0
  for kind, entry in pairs(g.recorded) do
    count = count + 1
    if not oldest or entry.used < g.recorded[oldest].used then oldest = kind end
  end
  if count < MOST then return true end
  if g.clock - g.recorded[oldest].used < IDLE then return false end
  g.recorded[oldest].graph:reset()
  g.recorded[oldest] = nil
  return true
end

-- Counts a kind; should it be recorded?
local function is_due(g, kind)
  if not g.seen[kind] then
    g.seen_count = g.seen_count + 1
    if g.seen_count > MOST_SEEN then g.seen, g.seen_count = {}, 1 end
  end
  g.seen[kind] = (g.seen[kind] or 0) + 1
  return g.seen[kind] > EAGER_STEPS and make_room(g)
end

local function give_up(self, why)
  notes.once("cuda_graphs: steps are not recorded: %s", why)
  self:drop_graphs()
  self.graphs.off = true
end

-- The numbers of a batch into the inputs of a recording.
local function fill(inputs, batch)
  for name, value in pairs(batch) do
    if tensor().is_tensor(value) then inputs[name]:copy_(value) end
  end
end

-- Inputs that the host looked into beyond what their kind tells: from here on their contents are part of it, and the recording is
-- good for this batch alone.
local function looked_into(self, inputs)
  local found = false
  for name, value in pairs(inputs) do
    local is_known = self.graphs.contents[name] or name == "attention_mask" or name == "position_ids" or
      name == "labels" and self.model.asks_which_labels_count
    if not is_known and tensor().is_tensor(value) and tensor().core.graph_was_read(value) then
      self.graphs.contents[name], found = true, true
    end
  end
  return found
end

-- The batch in tensors that are the recording's, with what is in them known on the host.
local function own_inputs(self, batch)
  local inputs = self:prepare_inputs(batch)
  for name, value in pairs(inputs) do
    if tensor().is_tensor(value) then inputs[name] = value:to("cpu"):to(self.device) end
  end
  return inputs
end

local function record(self, kind, batch, weight, items)
  local g, inputs = self.graphs, own_inputs(self, batch)
  local graph = tensor().graph(function() return tensor().step(self.training_step, self, self.model, inputs, weight, items) end,
    { warmup = 0, constants = true })
  local ok, result = pcall(graph)
  if not ok then return give_up(self, tostring(result):gsub("^.-graph: ", "")) end
  g.seen[kind] = nil
  if not looked_into(self, inputs) then
    g.recorded[kind] = { graph = graph, inputs = inputs, used = g.clock }
    return result
  end
  local part = result:clone()
  graph:reset()
  g.useless = g.useless + 1
  if g.useless == MOST_USELESS then give_up(self, "the model looks at the numbers of each batch on the processor") end
  return part
end

--- Forgets all recordings.
function graphs:drop_graphs()
  for _, entry in pairs(self.graphs and self.graphs.recorded or {}) do entry.graph:reset() end
  self.graphs = { recorded = {}, seen = {}, seen_count = 0, contents = {}, clock = 0, useless = 0 }
end

-- Launches a recording for a batch of its kind. nil: gradients are not as they were, and it is to be recorded anew.
local function launch(self, kind, batch)
  local g = self.graphs
  local entry = g.recorded[kind]
  fill(entry.inputs, batch)
  entry.used = g.clock
  local ok, result = pcall(entry.graph)
  if ok then return result end
  if not tostring(result):find("graph: ", 1, true) then error(result, 0) end
  entry.graph:reset()
  g.recorded[kind] = nil
end

--- One micro-batch as training_step, by a graph where there is one for its kind. is_first: gradients are new.
function graphs:graphed_step(inputs, weight, items, is_first)
  local g = self.graphs
  if not g.off and not tensor().core.graphs_work() then give_up(self, "the device has no graphs") end
  local kind = not self.graphs.off and kind_of(self, inputs, weight, items, is_first)
  if kind then
    g.clock = g.clock + 1
    local part
    if g.recorded[kind] then part = launch(self, kind, inputs)
    elseif is_due(g, kind) then part = record(self, kind, inputs, weight, items) end
    if part then return part end
  end
  return tensor().step(self.training_step, self, self.model, inputs, weight, items)
end

return graphs
