--- Trainer's checkpoints: what goes into one, what comes back from one, and when old ones go.
local errors = require "hflua.errors"
local options = require "hflua.options"
local notes = require "hflua.trainer.notes"
local checkpoint = require "hflua.trainer.checkpoint"
local optimizer_state = require "hflua.trainer.optimizer_state"
local process_group = require "hflua.process_group"
local states = require "hflua.trainer.state"

local saving = {}

local function files() return require "hflua.core.files" end
local function json() return require "hflua.core.json" end

local function write_json(value, path) files().write(path, json().encode(value, { indent = 2, sort_keys = true }) .. "\n") end

local function exists(path) return files().type(path) == "file" end

-- ---- space and safety

local function trainable_bytes(model)
  local bytes = 0
  for _, parameter in model:named_parameters() do bytes = bytes + parameter:numel() * parameter:element_size() end
  return bytes
end

-- Weights and, unless only the model is kept, two moments.
local function checkpoint_bytes(self) return trainable_bytes(self.model) * (self.args.save_only_model and 1 or 3) end

local function check_weights_finite(self)
  for name, parameter in self.model:named_parameters() do
    local square = require("hflua.tensor").core.sum_squares { parameter }
    if square ~= square or square == math.huge then
      errors.raise("not saved: parameter '%s' is not finite at step %d", name, self.state.global_step)
    end
  end
end

-- ---- writing

local function write_model(self, folder)
  require("hflua.core.system").makedirs(folder)
  if not self.model.save_pretrained then
    errors.raise("save_model: %s has no save_pretrained; save its state_dict with hf.safetensors.save_file", self.model.__name or "the model")
  end
  self.model:save_pretrained(folder)
  local tokenizer = self.processing_class or type(self.data_collator) == "table" and self.data_collator.tokenizer
  if tokenizer and tokenizer.save_pretrained then tokenizer:save_pretrained(folder) end
  write_json(self.args:to_dict(), folder .. "/training_args.json")
end

--- Writes model, tokenizer and arguments to a folder (output_dir unless given): what from_pretrained reads. Of several processes
-- the first one writes; the others wait for it.
function saving:save_model(folder)
  self:settle()
  process_group.from_main(function() write_model(self, folder or self.args.output_dir) end)
end

-- The place in the run and its running sums, beside trainer_state.json (whose fields are HF's).
local function progress_of(run)
  return { epoch = run.epoch, batch = run.batch, epoch_ended = run.epoch_ended, loss_sum = run.loss_sum, total_loss = run.total_loss,
    last_logged_step = run.last_logged_step, loss_from_step = run.loss_from_step }
end

-- Generators, the place in the epoch and running sums: of each process its own.
local function random_record(self)
  local record = { now = require("hflua.core.random").get_state(), epoch_start = self.run.epoch_random, progress = progress_of(self.run) }
  return json().encode(record, { sort_keys = true }) .. "\n"
end

-- The file of process `rank` of `processes`.
local function random_file(folder, rank, processes)
  return processes == 1 and folder .. "/rng_state.json" or ("%s/rng_state_%d.json"):format(folder, rank)
end

local function write_training_state(self, folder, records)
  optimizer_state.save(self.optimizer, self.model, folder)
  write_json(self.lr_scheduler:state_dict(), folder .. "/scheduler.json")
  if self.scaler then write_json({ scaler = self.scaler:state_dict(), skipped_in_row = self.skipped_in_row }, folder .. "/scaler.json") end
  for r, record in ipairs(records) do files().write(random_file(folder, r - 1, #records), record) end
end

local function write_all(self, folder, records)
  self:save_model(folder)
  if not self.args.save_only_model then write_training_state(self, folder, records) end
  self.state.stateful_callbacks = self.callback_handler:states(self.control)
  files().write(folder .. "/trainer_state.json", self.state:to_json())
end

-- The best checkpoint, once it exists, is named in the state; the one of this step exists as soon as it is saved.
local function name_best(self)
  local step = self.state.best_global_step
  if not step then return end
  local path = checkpoint.path(self.args.output_dir, step)
  if step == self.state.global_step or files().type(path) == "folder" then self.state.best_model_checkpoint = path end
end

local function last_complete(self)
  local newest = checkpoint.newest(self.args.output_dir, function() end)
  return newest and ("the last complete checkpoint is " .. newest) or "there is no complete checkpoint yet"
end

-- By process 0, with the records of all.
local function write_checkpoint(self, records)
  require("hflua.core.system").makedirs(self.args.output_dir)
  check_weights_finite(self)
  checkpoint.check_space(self.args.output_dir, checkpoint_bytes(self), "checkpoint")
  name_best(self)
  return checkpoint.write(self.args.output_dir, self.state.global_step, function(folder) write_all(self, folder, records) end)
end

-- A failed save ends the run, or is only told with on_save_error = "continue".
local function failed(self, message)
  local text = ("checkpoint of step %d could not be saved: %s; %s"):format(self.state.global_step, tostring(message), last_complete(self))
  if self.args.on_save_error == "continue" then return notes.warn("%s", text) end
  errors.raise("%s", text)
end

local function rotate(self)
  local protected = { [self.resumed_from or ""] = true, [self.state.best_model_checkpoint or ""] = true }
  checkpoint.rotate(self.args.output_dir, self.args.save_total_limit, protected)
end

--- Writes checkpoint-STEP, then deletes what save_total_limit allows. Returns the folder.
function saving:save_checkpoint()
  self:settle()
  self:store_flos()
  local records = process_group.gather_texts(random_record(self))
  local ok, folder = pcall(process_group.from_main, function() return write_checkpoint(self, records) end)
  if not ok then return failed(self, folder) end
  self.saved_step = self.state.global_step
  name_best(self) -- in the processes that did not write
  process_group.from_main(function() rotate(self) end)
  return folder
end

--- The checkpoint of this step after a signal: written unless it is there already.
function saving:save_for_signal()
  if self.saved_step == self.state.global_step then return checkpoint.path(self.args.output_dir, self.saved_step) end
  return self:save_checkpoint()
end

-- ---- the folder of a run

local function absent(path) return errors.raise("resume_from_checkpoint: %s: no such folder", path) end

-- The checkpoint to go on from: a folder that was named, or the newest complete one.
local function find(self, resume)
  local output_dir = self.args.output_dir
  if resume == true then
    local path = checkpoint.newest(output_dir, function(path, reason)
      notes.warn("%s is passed over: %s", path, reason)
    end)
    return path or errors.raise("resume_from_checkpoint: no complete checkpoint in %s", output_dir)
  end
  local path = resume:gsub("/+$", "")
  if files().type(path) ~= "folder" then absent(path) end
  if checkpoint.is_foreign(path) then return path end
  local ok, reason = checkpoint.verify(path)
  if not ok then errors.raise("resume_from_checkpoint: %s: %s", path, reason) end
  return path
end

local function take_folder(self)
  local output_dir = self.args.output_dir
  require("hflua.core.system").makedirs(output_dir)
  self.folder_lock = files().lock(output_dir .. "/.lock")
  checkpoint.clean(output_dir)
  checkpoint.check_space(output_dir, 2 * checkpoint_bytes(self), "two checkpoints")
end

--- Takes the output folder for this run, and finds the checkpoint to resume from (nil: begin anew).
function saving:begin_checkpoints(resume)
  local saves = self.args.save_strategy ~= "no"
  self.saved_step, self.resumed_from = nil, nil
  self.resumed_from = process_group.from_main(function()
    if saves then take_folder(self) end
    return resume and find(self, resume) or nil
  end)
  return self.resumed_from
end

--- Gives the output folder back.
function saving:end_checkpoints()
  if self.folder_lock then self.folder_lock:close() end
  self.folder_lock = nil
end

-- ---- reading

--- Puts the weights of a checkpoint into the model.
function saving:load_weights(folder)
  if self.model.load_weights then return self.model:load_weights(folder) end
  local path = folder .. "/model.safetensors"
  if not exists(path) then errors.raise("%s: model.safetensors: not found", folder) end
  self.model:load_state_dict(require("hflua.core.safetensors").load_file(path))
end

local function load_state(self, folder)
  local state = states.TrainerState.from_json(files().read(folder .. "/trainer_state.json"))
  state.max_steps, state.num_train_epochs = self.state.max_steps, self.state.num_train_epochs
  for _, name in ipairs { "logging_steps", "eval_steps", "save_steps", "train_batch_size" } do state[name] = self.state[name] end
  if state.best_model_checkpoint and files().type(state.best_model_checkpoint) ~= "folder" then
    notes.warn("the best checkpoint %s is not there any more", state.best_model_checkpoint)
    state.best_model_checkpoint = nil
  end
  self.state = state
  return state
end

-- Switches that were on when the checkpoint was written.
local function load_control(self, kept)
  local control = kept.TrainerControl
  for name, value in pairs(control and control.args or {}) do self.control[name] = value end
end

-- Without our own record, as in HF's folders: the place follows from the step.
local function place_from_step(self, state)
  local run, counts = self.run, self.run.plan
  run.epoch = state.global_step // counts.updates
  run.batch = state.global_step % counts.updates * self.args.gradient_accumulation_steps
  run.last_logged_step, run.loss_from_step = state.global_step, state.global_step
end

-- How many processes wrote the states of generators in a checkpoint; 0 when there are none.
local function processes_of(folder)
  if exists(folder .. "/rng_state.json") then return 1 end
  local count = 0
  while exists(random_file(folder, count, 2)) do count = count + 1 end
  return count
end

local function check_processes(self, folder)
  local found, processes = processes_of(folder), self.args.world_size
  if found == 0 or found == processes then return found > 0 end
  errors.raise("resume_from_checkpoint: %s was written by %d process%s, this run has %d: start it with mpirun -np %d, or load the weights with from_pretrained and begin anew",
    folder, found, found == 1 and "" or "es", processes, found)
end

local function load_random(self, folder)
  local record = json().load_file(random_file(folder, self.args.process_index, self.args.world_size))
  require("hflua.core.random").set_state(record.now)
  for name, value in pairs(record.progress) do self.run[name] = value end
  self.run.epoch_random = record.epoch_start ~= json().null and record.epoch_start or nil
end

-- With hf_quirks the running sums begin anew, as in HF.
local function forget_sums(self)
  local run, step = self.run, self.state.global_step
  run.loss_sum, run.total_loss, run.last_logged_step, run.loss_from_step = 0.0, 0.0, step, step
end

local function load_scheduler(self, folder)
  if exists(folder .. "/scheduler.json") then
    self.lr_scheduler:load_state_dict(json().load_file(folder .. "/scheduler.json"))
  elseif not optimizer_state.load_foreign_scheduler(self.lr_scheduler, folder) and self.lr_scheduler.base_lrs then
    self.lr_scheduler.last_epoch = self.state.global_step - 1
    self.lr_scheduler:step()
  end
end

local function load_scaler(self, folder)
  if not self.scaler or not exists(folder .. "/scaler.json") then return end
  local record = json().load_file(folder .. "/scaler.json")
  self.scaler:load_state_dict(record.scaler)
  self.skipped_in_row = record.skipped_in_row
end

--- Brings back everything but the weights: state, optimizer, schedule, generators, the place in the epoch.
function saving:load_progress(folder)
  local state = load_state(self, folder)
  if not optimizer_state.load(self.optimizer, self.model, folder) then
    notes.warn("%s: no optimizer state that can be read (optimizer.pt is a pickle): the optimizer starts anew", folder)
  end
  load_scheduler(self, folder)
  load_scaler(self, folder)
  if check_processes(self, folder) then load_random(self, folder) else place_from_step(self, state) end
  if self.args.ignore_data_skip then self.run.batch = 0 end
  if self.args.hf_quirks then forget_sums(self) end
  load_control(self, state.stateful_callbacks)
  if not self.args.hf_quirks or self.args.restore_callback_states_from_checkpoint then
    self.callback_handler:restore(state.stateful_callbacks)
  end
end

-- ---- the end of a run

--- Loads the best model when that is asked for; with save_total_limit = 1 only the best checkpoint stays.
function saving:finish_checkpoints()
  local best, args = self.state.best_model_checkpoint, self.args
  if not best then return end
  if args.load_best_model_at_end then self:load_weights(best) end
  if args.save_total_limit ~= 1 or args.save_strategy == "no" or not args.should_save then return end
  for _, entry in ipairs(checkpoint.list(args.output_dir)) do
    if entry.path ~= best then checkpoint.discard(entry.path) end
  end
end

--- Writes trainer_state.json to output_dir.
function saving:save_state()
  if not self.args.should_save then return end
  require("hflua.core.system").makedirs(self.args.output_dir)
  files().write(self.args.output_dir .. "/trainer_state.json", self.state:to_json())
end

--- Writes metrics to output_dir: SPLIT_results.json, and all_results.json with those of every split.
function saving:save_metrics(split, metrics, given)
  local o = options.merge({ combined = true }, given, "save_metrics")
  if not self.args.should_save then return end
  write_json(metrics, ("%s/%s_results.json"):format(self.args.output_dir, split))
  if not o.combined then return end
  local path, all = self.args.output_dir .. "/all_results.json", {}
  if exists(path) then all = json().load_file(path) end
  for name, value in pairs(metrics) do all[name] = value end
  write_json(all, path)
end

--- Prints metrics in a table.
function saving:log_metrics(split, metrics)
  if not self:is_world_process_zero() then return end
  local ordered, width = require "hflua.ordered", 0
  for name in pairs(metrics) do width = math.max(width, #name) end
  print(("***** %s metrics *****"):format(split))
  for name, value in ordered.pairs(metrics) do print(("  %-" .. width .. "s = %10s"):format(name, tostring(value))) end
end

return saving
