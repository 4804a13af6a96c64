--- Accelerator: the custom loop of HF's accelerate, for one process and one device.
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

local Accelerator = class("Accelerator")

-- mixed_precision -> dtype of products
local precisions = { no = false, bf16 = "bfloat16", fp16 = "float16" }

--- Accelerator{ gradient_accumulation_steps = 1, cpu = false, mixed_precision = "no" }.
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
  self.num_processes, self.process_index, self.local_process_index = 1, 0, 0
  self.is_main_process, self.is_local_main_process, self.is_last_process = true, true, true
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

function AcceleratedScheduler:step(metric)
  local accelerator = self.accelerator
  if accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped then self.inner:step(metric) end
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

function PreparedLoader:new_pass()
  local inner, accelerator = self.inner, self.accelerator
  local next_batch = inner(nil, nil)
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

function Accelerator:prepare_model(model)
  model:to(tostring(self.device))
  if self.autocast_dtype then cast_forward(self, model) end
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

function Accelerator:prepare_data_loader(loader) return PreparedLoader(loader, self) end

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

--- Backward of a loss, divided by gradient_accumulation_steps.
function Accelerator:backward(loss)
  if self.gradient_accumulation_steps > 1 then loss = loss / self.gradient_accumulation_steps end
  if self.scaler then loss = self.scaler:scale(loss) end
  loss:backward()
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

-- ---- one process: what is gathered is what there is

function Accelerator:gather(value) return value end
function Accelerator:gather_for_metrics(value) return value end
function Accelerator:reduce(value) return value end
function Accelerator:pad_across_processes(value) return value end
function Accelerator:unwrap_model(model)
  if self.autocast_dtype then rawset(model, "forward", nil) end
  return model
end
function Accelerator:wait_for_everyone() end
function Accelerator:print(...) print(...) end
function Accelerator:get_state_dict(model) return model:state_dict() end
function Accelerator:end_training() end

--- Forgets the prepared objects.
function Accelerator:free_memory()
  self.models, self.optimizers, self.schedulers = {}, {}, {}
end

-- ---- checkpoints of a custom loop

local function write_json(value, path)
  require("hflua.core.files").write(path, require("hflua.core.json").encode(value, { indent = 2, sort_keys = true }) .. "\n")
end

-- "model", "model_1", ...: the names accelerate numbers objects with.
local function numbered(name, i) return i == 1 and name or ("%s_%d"):format(name, i - 1) end

--- Writes prepared models, optimizers, schedules and the generators to a folder.
function Accelerator:save_state(folder)
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
  write_json(require("hflua.core.random").get_state(), folder .. "/random_states.json")
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
  require("hflua.core.random").set_state(json.load_file(folder .. "/random_states.json"))
end

return Accelerator
