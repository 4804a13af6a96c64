--- Callbacks: objects with methods named after events, called as `callback:on_log(args, state, control, kwargs)`.
-- kwargs holds model, processing_class, optimizer, lr_scheduler, train_dataloader, eval_dataloader, and logs or metrics.
-- A callback may return a control to replace the one in use.
--
--     local Quiet = hf.TrainerCallback:extend("Quiet")
--     function Quiet:on_step_end(args, state, control) if state.global_step == 10 then control.should_training_stop = true end end
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"
local notes = require "hflua.trainer.notes"
local ordered = require "hflua.ordered"
local repr = require "hflua.repr"

local callbacks = {}

local events = { "on_init_end", "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_step_begin",
  "on_pre_optimizer_step", "on_optimizer_step", "on_substep_end", "on_step_end", "on_evaluate", "on_predict", "on_save",
  "on_log", "on_prediction_step" }

local TrainerCallback = class("TrainerCallback")
callbacks.TrainerCallback = TrainerCallback

local event_set = {}
for _, event in ipairs(events) do
  event_set[event] = true
  TrainerCallback[event] = function() end
end

local CallbackHandler = class("CallbackHandler")
callbacks.CallbackHandler = CallbackHandler

--- `context` is the table handed to every event as kwargs: model, optimizer, ...
function CallbackHandler:init(list, context)
  self.callbacks, self.context = {}, context
  for _, callback in ipairs(list) do self:add(callback) end
end

-- The object for a class, an object, or a plain table of event functions.
local function instance(callback)
  if type(callback) ~= "table" then errors.raise("callbacks: expected a callback, found %s", type(callback)) end
  if rawget(callback, "__index") == callback then return callback() end
  for name in pairs(callback) do
    if type(name) == "string" and name:sub(1, 3) == "on_" and not event_set[name] then
      errors.raise("callbacks: %s", options.unknown("event", name, events))
    end
  end
  return callback
end

local function class_of(callback)
  if rawget(callback, "__index") == callback then return callback end
  return getmetatable(callback)
end

local function name_of(callback)
  local meta = getmetatable(callback)
  return meta and meta.__name or "callback"
end

function CallbackHandler:add(callback)
  callback = instance(callback)
  for _, other in ipairs(self.callbacks) do
    if getmetatable(callback) and getmetatable(callback) == getmetatable(other) then
      notes.warn("callback %s is added twice", name_of(callback))
    end
  end
  self.callbacks[#self.callbacks + 1] = callback
end

--- Takes out the first callback that is this object, or of this class; returns it.
function CallbackHandler:pop(callback)
  for i, other in ipairs(self.callbacks) do
    if other == callback or getmetatable(other) and class_of(callback) == getmetatable(other) then
      return table.remove(self.callbacks, i)
    end
  end
end

--- Calls an event on every callback that has it; returns the control in force afterwards.
function CallbackHandler:call(event, args, state, control, key, value)
  local context = self.context
  if key then context[key] = value end
  for i = 1, #self.callbacks do
    local callback = self.callbacks[i]
    local method = callback[event]
    if method then control = method(callback, args, state, control, context) or control end
  end
  if key then context[key] = nil end
  return control
end

--- Callbacks with a state() of their own, by class name: what trainer_state.json keeps.
function CallbackHandler:states(control)
  local states = { TrainerControl = control:state() }
  for _, callback in ipairs(self.callbacks) do
    if callback.state then states[name_of(callback)] = callback:state() end
  end
  return states
end

--- Gives callbacks back the attributes that a checkpoint kept.
function CallbackHandler:restore(states)
  for _, callback in ipairs(self.callbacks) do
    local kept = callback.state and states[name_of(callback)]
    for name, value in pairs(kept and kept.attributes or {}) do callback[name] = value end
  end
end

local DefaultFlowCallback = TrainerCallback:extend("DefaultFlowCallback")
callbacks.DefaultFlowCallback = DefaultFlowCallback

local function due(strategy, step, interval)
  return strategy == "steps" and interval and interval > 0 and step % interval == 0
end

function DefaultFlowCallback:on_step_end(args, state, control)
  local step = state.global_step
  local may_evaluate = args.eval_delay <= step
  if step == 1 and args.logging_first_step or due(args.logging_strategy, step, state.logging_steps) then
    control.should_log = true
  end
  if may_evaluate and due(args.eval_strategy, step, state.eval_steps) then control.should_evaluate = true end
  if due(args.save_strategy, step, state.save_steps) then control.should_save = true end
  if step >= state.max_steps then
    control.should_training_stop = true
    if may_evaluate and args.eval_strategy == "steps" then control.should_evaluate = true end
    if args.save_strategy == "steps" then control.should_save = true end
  end
end

function DefaultFlowCallback:on_epoch_end(args, state, control)
  if args.logging_strategy == "epoch" then control.should_log = true end
  if args.eval_strategy == "epoch" and args.eval_delay <= state.epoch then control.should_evaluate = true end
  if args.save_strategy == "epoch" then control.should_save = true end
end

--- A log line as HF prints it: floats as text with four digits.
function callbacks.format_logs(logs)
  local shown = ordered.new()
  for name, value in ordered.pairs(logs) do
    if name ~= "total_flos" then
      if math.type(value) == "float" then
        value = (value ~= value) and "nan" or ("%.4g"):format(value)
      end
      shown[name] = value
    end
  end
  return repr(shown)
end

local PrinterCallback = TrainerCallback:extend("PrinterCallback")
callbacks.PrinterCallback = PrinterCallback

function PrinterCallback:on_log(args, state, control, kwargs)
  if state.is_local_process_zero then
    io.stdout:write(callbacks.format_logs(kwargs.logs), "\n")
    io.stdout:flush()
  end
end

--- Bars on stderr (a terminal only) and log lines above them on stdout.
local ProgressCallback = TrainerCallback:extend("ProgressCallback")
callbacks.ProgressCallback = ProgressCallback

function ProgressCallback:on_train_begin(args, state)
  self.training_bar = require("hflua.progress").tqdm(state.max_steps, { disable = not state.is_world_process_zero })
  self.training_bar:update(state.global_step)
  self.current_step = state.global_step
end

function ProgressCallback:on_step_end(args, state)
  self.training_bar:update(state.global_step - self.current_step)
  self.current_step = state.global_step
end

function ProgressCallback:on_prediction_step(args, state, control, kwargs)
  if not self.prediction_bar then
    self.prediction_bar = require("hflua.progress").tqdm(#kwargs.eval_dataloader, { leave = self.training_bar == nil, disable = not state.is_world_process_zero })
  end
  self.prediction_bar:update(1)
end

local function close_prediction_bar(self)
  if self.prediction_bar then self.prediction_bar:close() end
  self.prediction_bar = nil
end

ProgressCallback.on_evaluate = close_prediction_bar
ProgressCallback.on_predict = close_prediction_bar

function ProgressCallback:on_log(args, state, control, kwargs)
  local bar = self.training_bar
  if not bar or not state.is_world_process_zero then return end
  bar:write(callbacks.format_logs(kwargs.logs))
end

function ProgressCallback:on_train_end()
  if self.training_bar then self.training_bar:close() end
  self.training_bar = nil
end

--- EarlyStoppingCallback{ early_stopping_patience = 1, early_stopping_threshold = 0.0 }.
local EarlyStoppingCallback = TrainerCallback:extend("EarlyStoppingCallback")
callbacks.EarlyStoppingCallback = EarlyStoppingCallback

function EarlyStoppingCallback:init(given)
  local o = options.merge({ early_stopping_patience = 1, early_stopping_threshold = 0.0 }, given, "EarlyStoppingCallback")
  self.early_stopping_patience, self.early_stopping_threshold = o.early_stopping_patience, o.early_stopping_threshold
  self.early_stopping_patience_counter = 0
end

--- The full name of the metric that is watched: "eval_loss".
function callbacks.watched_metric(args)
  local name = args.metric_for_best_model
  return name:sub(1, 5) == "eval_" and name or "eval_" .. name
end

function EarlyStoppingCallback:on_train_begin(args)
  if not args.load_best_model_at_end then
    notes.once("EarlyStoppingCallback without load_best_model_at_end: the model at the end is the last one, not the best one")
  end
  errors.assert(args.metric_for_best_model, "EarlyStoppingCallback: needs metric_for_best_model")
  errors.assert(args.eval_strategy ~= "no", "EarlyStoppingCallback: needs eval_strategy 'steps' or 'epoch'")
end

-- Better than the best one so far, by more than the threshold?
local function improved(self, args, state, value)
  if state.best_metric == nil then return true end
  local gain = value - state.best_metric
  if not args.greater_is_better then gain = -gain end
  return gain > 0 and gain > self.early_stopping_threshold
end

function EarlyStoppingCallback:on_evaluate(args, state, control, kwargs)
  local name = callbacks.watched_metric(args)
  local value = kwargs.metrics[name]
  if value == nil then
    notes.once("EarlyStoppingCallback: no metric '%s' in the evaluation: early stopping is off", name)
    return
  end
  if improved(self, args, state, value) then
    self.early_stopping_patience_counter = 0
  else
    self.early_stopping_patience_counter = self.early_stopping_patience_counter + 1
  end
  if self.early_stopping_patience_counter >= self.early_stopping_patience then control.should_training_stop = true end
end

function EarlyStoppingCallback:state()
  return {
    args = { early_stopping_patience = self.early_stopping_patience, early_stopping_threshold = self.early_stopping_threshold },
    attributes = { early_stopping_patience_counter = self.early_stopping_patience_counter },
  }
end

return callbacks
