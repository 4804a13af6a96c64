--- Trainer:train: epochs, steps, accumulation, clipping, logs, evaluations, checkpoints, signals.
--
-- One step: forward and backward of each micro-batch, the norm of all gradients, checks, the optimizer (clipping is a factor
-- it applies), the schedule, then logs, evaluation and checkpoint when they are due. `self.run` is what a resumed run needs
-- beside the weights: the place in the epoch and the running sums of the loss.
--
-- A step does not wait for its own loss and norm where they come late (a GPU): clipping happens there, the optimizer leaves out what
-- is not finite and all that follows it, and the numbers are read when the next step is queued, or before a log, an evaluation or a save.
local errors = require "hflua.errors"
local options = require "hflua.options"
local ordered = require "hflua.ordered"
local callbacks = require "hflua.trainer.callbacks"
local process_group = require "hflua.process_group"
local speed = require "hflua.trainer.speed"
local states = require "hflua.trainer.state"

local loop = {}

local function tensor() return require "hflua.tensor" end
local function interrupt() return require "hflua.core.interrupt" end

-- ---- how long a run is

local function ceil(x) return math.tointeger(math.ceil(x)) end

-- Counts of one run: batches and updates an epoch, epochs, steps in all.
local function plan(self, loader)
  local args, batches = self.args, #loader
  if batches == 0 then
    errors.raise("Trainer: %d rows make no batch of %d with dataloader_drop_last", self:num_examples(loader), args.train_batch_size)
  end
  local updates = ceil(batches / args.gradient_accumulation_steps)
  local steps = args.max_steps > 0 and args.max_steps or ceil(args.num_train_epochs * updates)
  local epochs = args.max_steps > 0 and ceil(steps / updates) or ceil(args.num_train_epochs)
  local rows = args.max_steps > 0 and steps * self:total_train_batch_size()
    or self:num_examples(loader) * args.num_train_epochs
  return { batches = batches, updates = updates, max_steps = steps, epochs = epochs, rows = rows }
end

--- Progress of a run that begins: the epoch, the micro-batches done in it, and sums of losses.
function loop.new_run()
  return { epoch = 0, batch = 0, epoch_ended = false, loss_sum = 0.0, total_loss = 0.0, last_logged_step = 0, loss_from_step = 0 }
end

local function trainable(model)
  local list = {}
  for _, parameter in model:named_parameters() do
    if parameter.requires_grad then list[#list + 1] = parameter end
  end
  if #list == 0 then errors.raise("Trainer: the model has no parameter that requires a gradient") end
  return list
end

-- ---- one step

-- The name of the first parameter whose gradient is not finite.
local function first_bad(model)
  for name, parameter in model:named_parameters() do
    local square = tensor().core.gradient_sum_squares { parameter }
    if square ~= square or square == math.huge then return name end
  end
end

local function is_finite(x) return x == x and x ~= math.huge and x ~= -math.huge end

local function note_numbers(run, loss, norm)
  run.grad_norm, run.loss_sum, run.last_loss = norm, run.loss_sum + loss, loss
end

-- Takes note of what a step came to; stops when it was not finite, with the weights before it. has_gradients: are they still there?
local function note_result(self, result, loss, norm, has_gradients)
  local run, step = self.run, result.global_step
  if is_finite(loss) and is_finite(norm) then return note_numbers(run, loss, norm) end
  local bad = has_gradients and first_bad(self.model)
  self.state.global_step, self.state.epoch = step, result.epoch
  errors.raise("Trainer: step %d: the loss is %s and the gradient norm %s (last finite loss %s%s); the weights are those of step %d. A smaller learning_rate, max_grad_norm or a look at the batch's labels may help.",
    step + 1, tostring(loss), tostring(norm), run.last_loss and ("%.6g"):format(run.last_loss) or "none",
    bad and ("; first gradient that is not finite: " .. bad) or "", step)
end

--- Reads what the last step came to where that was left for later.
function loop:settle()
  local result = self.run and self.run.unread
  if not result then return end
  self.run.unread = nil
  local loss, norm = result.reading:item()
  note_result(self, result, loss, norm, false)
end

local function call_training_step(self, inputs, weight, items) return self:training_step(self.model, inputs, weight, items) end

local function count_flos(self, inputs)
  local main = inputs[self.model.main_input_name or "input_ids"]
  if type(main) ~= "userdata" then return end
  self.current_flos = self.current_flos + 6 * main:numel() * self.flos_parameters
  if self.args.include_num_input_tokens_seen == "all" then
    self.state.num_input_tokens_seen = self.state.num_input_tokens_seen + process_group.sum(main:numel())
  elseif self.args.include_num_input_tokens_seen == "non_padding" then
    local mask = inputs.attention_mask
    local seen = mask and mask:to("cpu"):sum():item() or main:numel()
    self.state.num_input_tokens_seen = self.state.num_input_tokens_seen + process_group.sum(seen)
  end
end

-- Forward and backward of the micro-batches of one step; returns the step's loss, a tensor.
local function accumulate(self, batches)
  local run, core, loss = self.run, tensor().core, nil
  local weights, items = self:accumulation_weights(batches)
  for i, inputs in ipairs(batches) do
    core.dropout_begin_step(self:dropout_step())
    if i == #batches then self:begin_exchange() end
    if weights[i] ~= 0 then
      local part = self.args.cuda_graphs and not self.exchange and self:graphed_step(inputs, weights[i], items, loss == nil)
        or tensor().step(call_training_step, self, inputs, weights[i], items)
      loss = loss and loss + part or part
    end
    run.batch = run.batch + 1
    count_flos(self, inputs)
    if i < #batches then self:event("on_substep_end") end
  end
  self:finish_exchange()
  return loss
end

local function clipping(norm, limit)
  if limit <= 0 then return 1 end
  return math.min(1, limit / (norm + 1e-6))
end

local function apply_optimizer(self, scale)
  if self.optimizer.apply then return self.optimizer:apply(scale) end
  if scale ~= 1 then tensor().core.scale_gradients(self.run.parameters, scale) end
  self.optimizer:step()
end

local function zero_grad(self)
  for _, parameter in ipairs(self.run.parameters) do parameter.grad = nil end
end

-- The optimizer with gradients multiplied by `factor`, then the schedule.
local function update(self, factor)
  self:event("on_pre_optimizer_step")
  apply_optimizer(self, factor)
  self:event("on_optimizer_step")
  self.run.learning_rate = self:get_learning_rate()
  if not self:schedule_follows_metric() then self.lr_scheduler:step() end
end

-- Asks for the norm of the gradients and the loss.
local function ask(self, loss)
  local run, state, limit = self.run, self.state, self.args.max_grad_norm
  run.check:run(run.parameters, { loss = loss or tensor().tensor(0.0), max_norm = limit > 0 and limit or math.huge,
    loss_scale = self.scaler and self.scaler:get_scale() or 1, stops = not self.scaler })
  return { reading = run.check:read_later(), global_step = state.global_step, epoch = state.epoch }
end

-- The optimizer's step when the numbers are there, and must be: it may have to be left out, or takes its factor as a number.
local function step_knowing(self, result)
  self:settle()
  local loss, norm = result.reading:item()
  local scale = self.scaler and self.scaler:get_scale() or 1
  if self.scaler and self:note_overflow(norm) then return note_numbers(self.run, loss, norm) end
  note_result(self, result, loss, norm, true)
  update(self, self.optimizer.takes_gradient_check and self.run.check or clipping(norm, self.args.max_grad_norm) / scale)
end

-- The same before they are there.
local function step_unread(self, result)
  update(self, self.run.check)
  self:settle()
  self.run.unread = result
end

-- One optimizer step over the given micro-batches; one that overflowed in float16 counts, but changes nothing.
local function step(self, batches)
  local run, state, control = self.run, self.state, self.control
  control.should_log, control.should_evaluate, control.should_save = false, false, false
  self:event("on_step_begin")
  local result = ask(self, accumulate(self, batches))
  run.learning_rate = self:get_learning_rate()
  local may_wait = result.reading:is_late() and self.optimizer.takes_gradient_check and not self.scaler
  if may_wait then step_unread(self, result) else step_knowing(self, result) end
  zero_grad(self)
  state.global_step = state.global_step + 1
  state.epoch = run.epoch + run.batch / run.plan.batches
  self:event("on_step_end")
end

-- ---- what follows a step or an epoch

-- What an evaluation raises when a signal has come; never seen outside.
local STOPPED = setmetatable({}, { __tostring = function() return "evaluation stopped by a signal" end })

--- Ends an evaluation inside training when a signal has come.
function loop:poll_signal()
  if self.is_in_train and self:pending_signal() then error(STOPPED, 0) end
end

local function log_losses(self)
  self:settle()
  local run, state, loss_sum = self.run, self.state, process_group.mean(self.run.loss_sum)
  local logs = ordered.new("loss", loss_sum / (state.global_step - run.last_logged_step), "grad_norm", run.grad_norm,
    "learning_rate", run.learning_rate)
  run.total_loss, run.loss_sum, run.last_logged_step = run.total_loss + loss_sum, 0.0, state.global_step
  self:store_flos()
  self:log(logs)
end

--- Adds the operations counted since the last time, in all processes, to the state.
function loop:store_flos()
  self.state.total_flos = self.state.total_flos + process_group.sum(self.current_flos)
  self.current_flos = 0
end

-- After a signal: saves and ends the run. The signal stays noted, so that the program ends with its exit status.
local function stop_if_signalled(self)
  local signal = self:pending_signal()
  if not signal then return end
  local where = self.state.global_step > 0 and self:save_for_signal()
  errors.raise("training stopped by %s after step %d: %s", signal, self.state.global_step,
    where and ("saved in %s; continue with resume_from_checkpoint = true"):format(where) or "nothing to save yet")
end

--- The value of metric_for_best_model among the metrics of an evaluation.
function loop:watched_value(metrics)
  local name = callbacks.watched_metric(self.args)
  if metrics[name] ~= nil then return metrics[name] end
  local names = {}
  for key in pairs(metrics) do names[#names + 1] = key end
  errors.raise("metric_for_best_model is '%s', which the evaluation does not have; it has %s", name, table.concat(names, ", "))
end

-- Is this the best evaluation so far? Then the state says so.
local function note_best(self, metrics)
  if not self.args.metric_for_best_model then return false end
  local value, best, greater = self:watched_value(metrics), self.state.best_metric, self.args.greater_is_better
  if value ~= value or best ~= nil and not (greater and value > best or not greater and value < best) then return false end
  self.state.best_metric = value
  if self.args.save_strategy ~= "no" then self.state.best_global_step = self.state.global_step end
  return true
end

local function evaluate_in_training(self, ignore_keys)
  local ok, metrics = pcall(self.evaluate, self, { ignore_keys = ignore_keys })
  if not ok then
    if metrics == STOPPED then stop_if_signalled(self) end
    error(metrics, 0)
  end
  if self:schedule_follows_metric() then self.lr_scheduler:step(self:watched_value(metrics)) end
  return metrics
end

-- Logs, evaluates and saves what the control asks for.
local function log_evaluate_save(self, ignore_keys)
  if self.control.should_log and self.state.global_step > self.run.last_logged_step then log_losses(self) end
  stop_if_signalled(self)
  if not (self.control.should_evaluate or self.control.should_save) then return end
  if self.control.should_evaluate then
    local is_best = note_best(self, evaluate_in_training(self, ignore_keys))
    if self.args.save_strategy == "best" then self.control.should_save = is_best end
  end
  if self.control.should_save then
    self:save_checkpoint()
    self:event("on_save")
    self.control.should_save = false
  end
  stop_if_signalled(self)
end

-- ---- epochs

-- The batches of the epoch from where the run stands. Orders drawn from the global generator are drawn again from its state
-- at the start of the epoch, and that state put back.
local function begin_pass(self, loader)
  local run, random = self.run, require "hflua.core.random"
  local now = random.get_state()
  if run.batch == 0 then run.epoch_random = now end
  if run.epoch_random then random.set_state(run.epoch_random) end
  if loader.set_epoch then loader:set_epoch(run.epoch) end
  if loader.pass_from then
    local pass = loader:pass_from(run.batch)
    if run.batch > 0 then random.set_state(now) end
    return pass
  end
  local batch
  local function pass()
    batch = loader(nil, batch)
    return batch
  end
  for _ = 1, run.batch do pass() end
  if run.batch > 0 then random.set_state(now) end
  return pass
end

-- The micro-batches of the next step; none at the end of the epoch.
local function fetch(pass, count)
  local batches = {}
  for i = 1, count do
    batches[i] = pass()
    if batches[i] == nil then break end
  end
  return batches
end

local function run_epoch(self, loader, ignore_keys)
  local pass, control = begin_pass(self, loader), self.control
  while not (control.should_epoch_stop or control.should_training_stop) do
    local batches = fetch(pass, self.args.gradient_accumulation_steps)
    if #batches == 0 then return end
    step(self, batches)
    log_evaluate_save(self, ignore_keys)
    control = self.control
  end
end

local function run_epochs(self, loader, ignore_keys)
  local run = self.run
  self.control.should_training_stop = self.state.global_step >= run.plan.max_steps
  while run.epoch < run.plan.epochs do
    if not run.epoch_ended then
      self.control.should_epoch_stop = false
      self:event("on_epoch_begin")
      run_epoch(self, loader, ignore_keys)
      self:event("on_epoch_end")
      run.epoch_ended = true
      log_evaluate_save(self, ignore_keys)
    end
    if self.control.should_training_stop then return end
    run.epoch, run.batch, run.epoch_ended = run.epoch + 1, 0, false
  end
end

-- ---- a whole run

local function read_options(given)
  if type(given) == "string" or type(given) == "boolean" then return { resume_from_checkpoint = given } end
  return options.check("train", given, { "resume_from_checkpoint", "ignore_keys_for_eval" })
end

-- A fresh model from model_init, with the seed of the run.
local function renew_model(self)
  require("hflua.seed")(self.args.seed)
  self.model = self.model_init()
  if self.model.to then self.model:to(self.device) end
  self.callback_handler.context.model, self.optimizer, self.lr_scheduler = self.model, nil, nil
end

local function new_state(self, counts)
  local state = states.TrainerState()
  state:compute_steps(self.args, counts.max_steps)
  state.train_batch_size = self.args.train_batch_size
  state.stateful_callbacks = self.callback_handler:states(self.control)
  self.state = state
end

-- The optimizer, a schedule for this run, and what events are told.
local function prepare(self, counts, loader)
  if self.created_scheduler then self.lr_scheduler, self.created_scheduler = nil, false end
  self:create_optimizer_and_scheduler(counts.max_steps)
  self:drop_graphs()
  local context = self.callback_handler.context
  context.optimizer, context.lr_scheduler, context.train_dataloader = self.optimizer, self.lr_scheduler, loader
  self.run.plan, self.run.parameters, self.run.check = counts, trainable(self.model), tensor().core.gradient_check()
  self:begin_parallel(self.run.parameters)
  self.flos_parameters = self.model.num_parameters and self.model:num_parameters { exclude_embeddings = true } or 0
  self.state.max_steps, self.state.num_train_epochs = counts.max_steps, counts.epochs
end

-- Metrics of the whole run, logged; then the best model, if it is wanted.
local function finish(self, start, first_step)
  local run, state = self.run, self.state
  self:settle()
  self:drop_graphs()
  self:store_flos()
  local steps, all_loss = state.global_step - first_step, run.total_loss + process_group.mean(run.loss_sum)
  local loss = all_loss / math.max(state.global_step - run.loss_from_step, 0.001)
  local metrics = ordered.new()
  speed.add(metrics, "train", start, run.plan.rows * steps / math.max(run.plan.max_steps, 1), steps)
  metrics.total_flos, metrics.train_loss = state.total_flos, loss
  self:log(metrics)
  self:finish_checkpoints()
  self:event("on_train_end")
  local repr = require "hflua.repr"
  return setmetatable({ global_step = state.global_step, training_loss = loss, metrics = metrics }, {
    __name = "TrainOutput",
    __tostring = function(output)
      return ("TrainOutput(global_step=%d, training_loss=%s, metrics=%s)"):format(output.global_step, repr(output.training_loss),
        repr(output.metrics))
    end })
end

-- After a resume: an evaluation that a signal cut short is made up for.
local function catch_up(self, ignore_keys)
  if self.control.should_evaluate then log_evaluate_save(self, ignore_keys) end
  self.control.should_save = false
end

local function train(self, o)
  if self.model_init and not self.model_is_fresh then renew_model(self) end
  self.model_is_fresh = false
  local resume = o.resume_from_checkpoint
  if resume == nil then resume = self.args.resume_from_checkpoint end
  local loader = self:get_train_dataloader()
  local counts = plan(self, loader)
  new_state(self, counts)
  self.run = loop.new_run()
  local folder = self:begin_checkpoints(resume)
  if folder then self:load_weights(folder) end
  prepare(self, counts, loader)
  if folder then self:load_progress(folder) end
  self.model:train()
  local start, first_step = speed.now(), self.state.global_step
  self:event("on_train_begin")
  if folder then catch_up(self, o.ignore_keys_for_eval) end
  if self.args.eval_on_start and not folder then evaluate_in_training(self, o.ignore_keys_for_eval) end
  run_epochs(self, loader, o.ignore_keys_for_eval)
  return finish(self, start, first_step)
end

--- Trains. `train{ resume_from_checkpoint = true | "folder", ignore_keys_for_eval = {...} }`; returns
-- { global_step =, training_loss =, metrics = }. SIGINT and SIGTERM end the current step, save and stop.
function loop:train(given)
  local o = read_options(given)
  local deferred = interrupt().defer(true)
  local functional = require "hflua.nn.functional"
  local dropout_rng = functional.dropout_rng
  functional.dropout_rng, self.is_in_train = self.args.dropout_rng, true
  local result = table.pack(pcall(train, self, o))
  functional.dropout_rng, self.is_in_train = dropout_rng, false
  interrupt().defer(deferred)
  self:end_checkpoints()
  self:end_parallel()
  if not result[1] then error(result[2], 0) end
  return result[2]
end

return loop
