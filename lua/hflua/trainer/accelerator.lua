--- Accelerator: the custom loop of HF's accelerate, in one process or, under mpirun, in several with one device each.
--
--     local acc = hf.Accelerator{ gradient_accumulation_steps = 2 }
--     local loader, model, optimizer, scheduler = acc:prepare(loader, model, optimizer, scheduler)
--     for batch in loader do
--       acc:accumulate(model, function()
--         acc:backward(model(batch).loss)
--         optimizer:step() scheduler:step() optimizer:zero_grad()
--       end)
--     end
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"
local optimizer_state = require "hflua.trainer.optimizer_state"
local process_group = require "hflua.process_group"

local Accelerator = class("Accelerator")

-- mixed_precision -> dtype of products
local precisions = { no = false, bf16 = "bfloat16", fp16 = "float16" }

-- Options of dataloader_config, HF's DataLoaderConfiguration; some are options of the Accelerator too.
local function read_loader_options(o)
  local given = options.check("Accelerator: dataloader_config", o.dataloader_config, { "split_batches", "dispatch_batches", "even_batches",
    "use_seedable_sampler", "data_seed", "non_blocking", "use_stateful_dataloader" })
  for name, needed in pairs { dispatch_batches = false, even_batches = true, use_seedable_sampler = false } do
    local value = given[name]
    if value == nil then value = o[name] end
    if value ~= nil and value ~= needed and process_group.info().size > 1 then
      errors.raise("Accelerator: '%s' is always %s with several processes, found %s", name, tostring(needed), tostring(value))
    end
  end
  return given.split_batches or o.split_batches or false
end

--- Accelerator{ gradient_accumulation_steps = 1, cpu = false, mixed_precision = "no", split_batches = false }.
function Accelerator:init(given)
  local o = options.merge({ gradient_accumulation_steps = 1, cpu = false, mixed_precision = "no", device_placement = true,
    split_batches = options.none, log_with = options.none, project_dir = options.none, even_batches = options.none,
    step_scheduler_with_optimizer = true, dataloader_config = options.none, kwargs_handlers = options.none }, given, "Accelerator")
  if precisions[o.mixed_precision] == nil then
    errors.raise("Accelerator: mixed_precision '%s': expected no, fp16 or bf16", o.mixed_precision)
  end
  local tensor = require "hflua.tensor"
  self.device = o.cpu and tensor.device("cpu") or require("hflua.cuda").default_device()
  self.gradient_accumulation_steps, self.mixed_precision = o.gradient_accumulation_steps, o.mixed_precision
  local info = process_group.info()
  self.num_processes, self.process_index, self.local_process_index = info.size, info.rank, info.local_rank
  self.is_main_process, self.is_local_main_process = info.rank == 0, info.local_rank == 0
  self.is_last_process, self.distributed_type = info.rank == info.size - 1, info.size > 1 and "MULTI_PROCESS" or "NO"
  self.split_batches, self.exchanges, self.unsynchronized = read_loader_options(o), {}, 0
  self.sync_gradients, self.end_of_dataloader, self.micro_step = true, false, 0
  self.models, self.optimizers, self.schedulers = {}, {}, {}
  self.autocast_dtype = precisions[o.mixed_precision] or nil
  self.scaler = o.mixed_precision == "fp16" and require("hflua.amp_scaler")() or nil
  self.optimizer_step_was_skipped = false
end

--- Calls fn(...) in the precision of this accelerator.
function Accelerator:autocast(fn, ...)
  if not self.autocast_dtype then return fn(...) end
  return require("hflua.amp").autocast(tostring(self.device), { dtype = self.autocast_dtype }, fn, ...)
end

-- ---- what prepare gives back

-- Fields that are not its own are those of the object inside.
local function wrapper(name)
  local Wrapper = class(name)
  function Wrapper.__index(self, key)
    local own = Wrapper[key]
    if own ~= nil then return own end
    local inner = rawget(self, "inner")
    return inner and inner[key]
  end
  function Wrapper:init(inner, accelerator)
    rawset(self, "inner", inner)
    rawset(self, "accelerator", accelerator)
  end
  return Wrapper
end

-- Steps and forgets gradients only when a group of micro-batches is complete.
local AcceleratedOptimizer = wrapper "AcceleratedOptimizer"

function AcceleratedOptimizer:step(closure)
  local accelerator, result = self.accelerator, nil
  if not accelerator.sync_gradients then return end
  if not accelerator.scaler then return self.inner:step(closure) end
  result, accelerator.optimizer_step_was_skipped = accelerator.scaler:step(self.inner, closure)
  accelerator.scaler:update()
  return result
end

function AcceleratedOptimizer:zero_grad()
  if self.accelerator.sync_gradients then self.inner:zero_grad() end
end

local AcceleratedScheduler = wrapper "AcceleratedScheduler"

-- A step of N processes takes N batches, and schedules are planned for the batches of one: they go on by N.
function AcceleratedScheduler:step(metric)
  local accelerator = self.accelerator
  if not accelerator.sync_gradients or accelerator.optimizer_step_was_skipped then return end
  for _ = 1, accelerator.split_batches and 1 or accelerator.num_processes do self.inner:step(metric) end
end

-- Batches on the device; knows which one is the last, so that the last group is complete with it.
local PreparedLoader = wrapper "PreparedLoader"

function PreparedLoader:__len() return #self.inner end

local function move(batch, device)
  if device == "cpu" then return batch end
  if batch.to then return batch:to(device) end
  local moved = {}
  for name, value in pairs(batch) do moved[name] = type(value) == "userdata" and value:to(device) or value end
  return moved
end

local passes = setmetatable({}, { __mode = "k" }) -- batch -> the pass it came from

-- Rows of the last round of all processes that are no repetitions; 0 when it is full.
local function last_rows(inner)
  if not inner.is_sharded or inner.drop_last then return 0 end
  return inner:pass_rows() % (inner.batch_size * process_group.info().size)
end

function PreparedLoader:new_pass()
  local inner, accelerator = self.inner, self.accelerator
  local next_batch = inner(nil, nil)
  accelerator.remainder = last_rows(inner)
  return function()
    local batch = next_batch
    if batch == nil then return nil end
    next_batch = inner(nil, batch)
    accelerator.end_of_dataloader = next_batch == nil
    return move(batch, tostring(accelerator.device))
  end
end

function PreparedLoader:__call(_, previous)
  local pass = previous and passes[previous] or self:new_pass()
  local batch = pass()
  if batch then passes[batch] = pass end
  return batch
end

local function is_loader(object)
  local meta = getmetatable(object)
  return meta and meta.__call and meta.__len and not object.parameters
end

-- The model's forward under autocast, with outputs in float32, as a field of this one model.
local function cast_forward(self, model)
  local forward = model.forward
  rawset(model, "forward", function(...) return require("hflua.trainer.precision").widen(self:autocast(forward, ...)) end)
end

-- Several processes: the weights of process 0 in all of them, and the exchange of the gradients.
local function share_model(self, model)
  if self.num_processes == 1 then return end
  local trained = {}
  for _, parameter in model:named_parameters() do
    if parameter.requires_grad then trained[#trained + 1] = parameter end
  end
  process_group.broadcast_model(model)
  if #trained > 0 then table.insert(self.exchanges, process_group.exchange(trained)) end
end

function Accelerator:prepare_model(model)
  model:to(tostring(self.device))
  if self.autocast_dtype then cast_forward(self, model) end
  share_model(self, model)
  table.insert(self.models, model)
  return model
end

function Accelerator:prepare_optimizer(optimizer)
  table.insert(self.optimizers, optimizer)
  return AcceleratedOptimizer(optimizer, self)
end

function Accelerator:prepare_scheduler(scheduler)
  table.insert(self.schedulers, scheduler)
  return AcceleratedScheduler(scheduler, self)
end

function Accelerator:prepare_data_loader(loader)
  if self.num_processes > 1 then
    if not loader.sharded then errors.raise("Accelerator: prepare: only hf.DataLoader can be dealt out to several processes") end
    loader = loader:sharded(self.split_batches)
  end
  return PreparedLoader(loader, self)
end

local function prepare_one(self, object)
  if type(object) ~= "table" then errors.raise("Accelerator: prepare: expected loaders, models, optimizers, schedules, found %s", type(object)) end
  if object.parameters and object.train then return self:prepare_model(object) end
  if object.param_groups then return self:prepare_optimizer(object) end
  if object.step and object.get_last_lr then return self:prepare_scheduler(object) end
  if is_loader(object) then return self:prepare_data_loader(object) end
  return object
end

--- prepare(a, b, ...): the same objects in the same order, ready for this device and for accumulation.
function Accelerator:prepare(...)
  local prepared = {}
  for i, object in ipairs { ... } do prepared[i] = prepare_one(self, object) end
  return table.unpack(prepared)
end

-- ---- the loop

--- Backward of a loss, divided by gradient_accumulation_steps. Unless more micro-batches follow, gradients are means over the processes.
function Accelerator:backward(loss)
  if self.gradient_accumulation_steps > 1 then loss = loss / self.gradient_accumulation_steps end
  if self.scaler then loss = self.scaler:scale(loss) end
  local exchanges = self.sync_gradients and self.unsynchronized == 0 and self.exchanges or {}
  for _, exchange in ipairs(exchanges) do exchange:begin() end
  loss:backward()
  for _, exchange in ipairs(exchanges) do exchange:finish() end
end

--- Calls fn(...); backward inside leaves each process its own gradients, which the next one outside adds in.
function Accelerator:no_sync(model, fn, ...)
  self.unsynchronized = self.unsynchronized + 1
  local results = table.pack(pcall(fn, ...))
  self.unsynchronized = self.unsynchronized - 1
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- Calls fn(...) as one micro-batch: prepared optimizers step only with the last one of a group, or of the data.
function Accelerator:accumulate(model, fn, ...)
  self.micro_step = self.micro_step + 1
  self.sync_gradients = self.end_of_dataloader or self.micro_step % self.gradient_accumulation_steps == 0
  if self.end_of_dataloader then self.micro_step = 0 end
  return fn(...)
end

-- Divides gradients by the scale of the loss, before they are looked at.
local function unscale(self)
  for _, optimizer in ipairs(self.scaler and self.optimizers or {}) do
    if not self.scaler.seen[optimizer] then self.scaler:unscale_(optimizer) end
  end
end

--- Clips the gradients of a list of parameters; returns the norm before.
function Accelerator:clip_grad_norm_(parameters, max_norm)
  if not self.sync_gradients then return nil end
  unscale(self)
  return require("hflua.nn.utils").clip_grad_norm_(parameters, max_norm)
end

-- ---- between processes. A value is a tensor or a table of them; in one process it is what there is.

-- fn of every tensor in a value.
local function each(value, fn)
  if process_group.info().size == 1 then return value end
  return process_group.map(value, fn)
end

--- The tensors of all processes, one behind the other along dim 0.
function Accelerator:gather(value) return each(value, process_group.gather_tensor) end

--- The same without the rows that complete the last round of a prepared loader.
function Accelerator:gather_for_metrics(value)
  local all, remainder = self:gather(value), self.remainder or 0
  if not self.end_of_dataloader or remainder == 0 then return all end
  return each(all, function(t) return t.ndim > 0 and t:size(0) > remainder and t:narrow(0, 0, remainder) or t end)
end

--- Element by element: "sum", "mean", "max" over the processes, or "none".
function Accelerator:reduce(value, reduction)
  reduction = reduction or "sum"
  if reduction == "none" then return value end
  return each(value, function(t) return process_group.reduce_tensor(t, reduction) end)
end

--- pad_across_processes(value, { dim = 0, pad_index = 0, pad_first = false }): as large in `dim` as the largest of the processes.
function Accelerator:pad_across_processes(value, given)
  local o = options.merge({ dim = 0, pad_index = 0, pad_first = false }, given, "pad_across_processes")
  return each(value, function(t) return process_group.pad_tensor(t, o.dim, o.pad_index, o.pad_first) end)
end

-- Elements first .. last of a list, a tensor or a dataset.
local function part_of(inputs, first, last)
  if type(inputs) == "userdata" then return inputs:narrow(0, first - 1, last - first + 1) end
  if inputs.select then return inputs:select(require "hflua.range"(first, last)) end
  return table.move(inputs, first, last, 1, {})
end

local function length_of(inputs) return type(inputs) == "userdata" and inputs:size(0) or #inputs end

-- Repeats the last element until there are `count`.
local function fill_up(part, inputs, count)
  if type(part) ~= "table" or part.select then errors.raise("split_between_processes: apply_padding needs a list") end
  while #part < count do part[#part + 1] = inputs[#inputs] end
end

--- This process's share of a list, a tensor, a dataset, or a table of named lists: neighbours stay together, the first processes have
-- one more where it does not come out even. { apply_padding = true }: the last element is repeated instead.
function Accelerator:split_between_processes(inputs, given)
  local o, processes, rank = options.merge({ apply_padding = false }, given, "split_between_processes"), self.num_processes, self.process_index
  if processes == 1 then return inputs end
  if type(inputs) == "table" and getmetatable(inputs) == nil and #inputs == 0 then
    local shares = {}
    for name, list in pairs(inputs) do shares[name] = self:split_between_processes(list, given) end
    return shares
  end
  local length = length_of(inputs)
  local share, extra = length // processes, length % processes
  local first = rank * share + math.min(rank, extra) + 1
  local part = part_of(inputs, first, first + share - 1 + (rank < extra and 1 or 0))
  if o.apply_padding then fill_up(part, inputs, share + (extra > 0 and 1 or 0)) end
  return part
end

-- ---- who does what

local function only_if(condition, fn)
  return function(...) if condition then return fn(...) end end
end

--- Functions that do nothing in the other processes.
function Accelerator:on_main_process(fn) return only_if(self.is_main_process, fn) end
function Accelerator:on_local_main_process(fn) return only_if(self.is_local_main_process, fn) end
function Accelerator:on_last_process(fn) return only_if(self.is_last_process, fn) end
function Accelerator:on_process(fn, given) return only_if(self.process_index == (given or {}).process_index, fn) end

--- Calls fn(...) in the main process, then in the others: what the first one puts into a cache is there for them.
function Accelerator:main_process_first(fn, ...) return process_group.first(self.is_main_process, fn, ...) end
function Accelerator:local_main_process_first(fn, ...) return process_group.first(self.is_local_main_process, fn, ...) end

--- Returns when all processes have called it.
function Accelerator:wait_for_everyone() process_group.barrier() end

--- Prints in one process of each host.
function Accelerator:print(...)
  if self.is_local_main_process then print(...) end
end

function Accelerator:unwrap_model(model)
  if self.autocast_dtype then rawset(model, "forward", nil) end
  return model
end
function Accelerator:get_state_dict(model) return model:state_dict() end
function Accelerator:end_training() end

--- Forgets the prepared objects.
function Accelerator:free_memory()
  for _, exchange in ipairs(self.exchanges) do exchange:close() end
  self.models, self.optimizers, self.schedulers, self.exchanges = {}, {}, {}, {}
end

-- ---- checkpoints of a custom loop

local function write_json(value, path)
  require("hflua.core.files").write(path, require("hflua.core.json").encode(value, { indent = 2, sort_keys = true }) .. "\n")
end

-- "model", "model_1", ...: the names accelerate numbers objects with.
local function numbered(name, i) return i == 1 and name or ("%s_%d"):format(name, i - 1) end

-- The generators of process `rank`.
local function random_file(folder, rank, processes)
  return processes == 1 and folder .. "/random_states.json" or ("%s/random_states_%d.json"):format(folder, rank)
end

local function write_objects(self, folder)
  local makedirs = require("hflua.core.system").makedirs
  makedirs(folder)
  for i, model in ipairs(self.models) do
    require("hflua.core.safetensors").save_file(model:state_dict(), ("%s/%s.safetensors"):format(folder, numbered("model", i)))
  end
  for i, optimizer in ipairs(self.optimizers) do
    local place = ("%s/%s"):format(folder, numbered("optimizer", i))
    makedirs(place)
    optimizer_state.save(optimizer, self:model_of(optimizer), place)
  end
  for i, scheduler in ipairs(self.schedulers) do
    write_json(scheduler:state_dict(), ("%s/%s.json"):format(folder, numbered("scheduler", i)))
  end
  if self.scaler then write_json(self.scaler:state_dict(), folder .. "/scaler.json") end
end

--- Writes prepared models, optimizers, schedules and the generators to a folder: the main process, and each its generators.
function Accelerator:save_state(folder)
  process_group.from_main(function() write_objects(self, folder) end)
  write_json(require("hflua.core.random").get_state(), random_file(folder, self.process_index, self.num_processes))
  process_group.barrier()
end

--- The prepared model whose parameters an optimizer steps.
function Accelerator:model_of(optimizer)
  local first = optimizer.param_groups[1].params[1]
  for _, model in ipairs(self.models) do
    for _, parameter in model:named_parameters() do
      if parameter == first then return model end
    end
  end
  errors.raise("Accelerator: the optimizer steps parameters of no prepared model")
end

--- Reads back what save_state wrote, into objects prepared in the same order.
function Accelerator:load_state(folder)
  local load_file, json = require("hflua.core.safetensors").load_file, require "hflua.core.json"
  for i, model in ipairs(self.models) do model:load_state_dict(load_file(("%s/%s.safetensors"):format(folder, numbered("model", i)))) end
  for i, optimizer in ipairs(self.optimizers) do
    optimizer_state.load(optimizer, self:model_of(optimizer), ("%s/%s"):format(folder, numbered("optimizer", i)))
  end
  for i, scheduler in ipairs(self.schedulers) do
    scheduler:load_state_dict(json.load_file(("%s/%s.json"):format(folder, numbered("scheduler", i))))
  end
  if self.scaler then self.scaler:load_state_dict(json.load_file(folder .. "/scaler.json")) end
  require("hflua.core.random").set_state(json.load_file(random_file(folder, self.process_index, self.num_processes)))
end

return Accelerator
