--- Trainer: fine-tunes, evaluates and predicts; HF's options and methods.
--
--     local tr = hf.Trainer{ model = model, args = args, train_dataset = train, eval_dataset = dev, processing_class = tok }
--     tr:train()
--
-- Methods may be replaced in a subclass (hf.Trainer:extend()) or in one object: compute_loss, training_step,
-- get_train_dataloader, create_optimizer, log, ... The loop is in loop.lua, evaluation in evaluation.lua, data in
-- data.lua, checkpoints in saving.lua, several processes in parallel.lua.
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"
local notes = require "hflua.trainer.notes"
local callbacks = require "hflua.trainer.callbacks"
local states = require "hflua.trainer.state"
local TrainingArguments = require "hflua.trainer.training_arguments"

local Trainer = class("Trainer")

for _, part in ipairs { "data", "optimization", "loss", "precision", "graphs", "loop", "evaluation", "saving", "parallel" } do
  for name, method in pairs(require("hflua.trainer." .. part)) do Trainer[name] = method end
end

local known = { "model", "args", "data_collator", "train_dataset", "eval_dataset", "processing_class", "tokenizer",
  "model_init", "compute_loss_func", "compute_metrics", "callbacks", "optimizers", "optimizer_cls_and_kwargs",
  "preprocess_logits_for_metrics" }

-- Trainer{...}, Trainer(model, {...}), Trainer(model, args, {...}) as one table.
local function read_arguments(model, args, given)
  local is_options = type(model) == "table" and getmetatable(model) == nil and args == nil
  if is_options then return options.check("Trainer", model, known) end
  if given == nil and type(args) == "table" and getmetatable(args) == nil then args, given = nil, args end
  local o = {}
  for name, value in pairs(options.check("Trainer", given, known)) do o[name] = value end
  o.model, o.args = model or o.model, args or o.args
  return o
end

local function read_processing_class(o)
  if o.tokenizer == nil then return o.processing_class end
  if o.processing_class ~= nil and o.processing_class ~= o.tokenizer then
    errors.raise("Trainer: 'tokenizer' and 'processing_class' are one option: give one of them")
  end
  notes.once("Trainer: 'tokenizer' is now 'processing_class'")
  return o.tokenizer
end

local function read_model(o)
  if o.model and o.model_init then errors.raise("Trainer: give one of model and model_init") end
  local model = o.model or o.model_init and o.model_init()
  if model == nil then errors.raise("Trainer: needs a model or a model_init") end
  if type(model) ~= "table" or not model.parameters then
    errors.raise("Trainer: model: expected a model (with parameters, train and eval methods), found %s", type(model))
  end
  return model
end

local function default_collator(processing_class)
  local collators = require "hflua.trainer.data_collators"
  if processing_class and processing_class.pad then return collators.DataCollatorWithPadding(processing_class, {}) end
  return collators.default_data_collator
end

-- Contradictions between the arguments and what was given.
local function check(self)
  local args = self.args
  if args.eval_strategy ~= "no" and self.eval_dataset == nil then
    errors.raise("Trainer: eval_strategy is '%s' but there is no eval_dataset: give one, or set eval_strategy = \"no\"",
      args.eval_strategy)
  end
  if self.compute_loss_func and type(self.compute_loss_func) ~= "function" then
    errors.raise("Trainer: compute_loss_func: expected a function, found %s", type(self.compute_loss_func))
  end
  if args.fp16 and self.device == "cpu" then
    notes.once("fp16: the processor multiplies float16 through float32, slowly; bf16 = true is faster")
  end
end

-- Options whose meaning is memory or speed: where they cannot be had, results are the same and a note says so.
local function check_precision(args, model)
  if not args.activation_checkpointing then return end
  if model.gradient_checkpointing_enable then return model:gradient_checkpointing_enable(args.activation_checkpointing_kwargs) end
  notes.once("activation_checkpointing: %s has no gradient_checkpointing_enable and keeps all activations; results are the same", model.__name or "the model")
end

-- The device of a run, told whether float32 products may use tensor cores.
local function choose_device(args)
  local cuda = require "hflua.cuda"
  if args.tf32 ~= nil then cuda.matmul.allow_tf32 = args.tf32 end
  return args.use_cpu and "cpu" or cuda.default_device()
end

-- label_names: columns of labels, by the names of what the model takes.
local function find_label_names(model)
  local names = {}
  for _, name in ipairs(model.forward_arguments or {}) do
    if name:find("label", 1, true) or name == "start_positions" or name == "end_positions" then names[#names + 1] = name end
  end
  return #names > 0 and names or { "labels" }
end

local function setup_callbacks(self, given)
  local list = { callbacks.DefaultFlowCallback() }
  for _, callback in ipairs(given or {}) do list[#list + 1] = callback end
  list[#list + 1] = self.args.disable_tqdm and callbacks.PrinterCallback() or callbacks.ProgressCallback()
  self.callback_handler = callbacks.CallbackHandler(list, { model = self.model, processing_class = self.processing_class,
    tokenizer = self.processing_class, trainer = self })
end

--- Trainer{ model =, args =, train_dataset =, eval_dataset =, data_collator =, processing_class =, compute_metrics =,
-- callbacks =, optimizers = { optimizer, scheduler }, compute_loss_func =, preprocess_logits_for_metrics =, model_init = }.
function Trainer:init(model, args, given)
  local o = read_arguments(model, args, given)
  self.args = o.args or TrainingArguments("tmp_trainer")
  if type(self.args) ~= "table" or not self.args.is_a or not self.args:is_a(TrainingArguments) then
    errors.raise("Trainer: args: expected TrainingArguments, found %s", type(o.args))
  end
  self.device = choose_device(self.args)
  require("hflua.seed")(self.args.seed)
  self.model, self.model_init, self.processing_class = read_model(o), o.model_init, read_processing_class(o)
  self.train_dataset, self.eval_dataset = o.train_dataset, o.eval_dataset
  self.data_collator = o.data_collator or default_collator(self.processing_class)
  self.compute_metrics, self.compute_loss_func = o.compute_metrics, o.compute_loss_func
  self.preprocess_logits_for_metrics = o.preprocess_logits_for_metrics
  self.optimizer, self.lr_scheduler = table.unpack(o.optimizers or {}, 1, 2)
  self.optimizer_cls_and_kwargs = o.optimizer_cls_and_kwargs
  self.label_names = self.args.label_names or find_label_names(self.model)
  check(self)
  self:setup_precision()
  check_precision(self.args, self.model)
  if self.model.to then self.model:to(self.device) end
  self.state, self.control = states.TrainerState(), states.TrainerControl()
  self.is_in_train, self.current_flos = false, 0
  setup_callbacks(self, o.callbacks)
  self:event("on_init_end")
end

--- Calls an event of the callbacks; `key` and `value` join kwargs.
function Trainer:event(name, key, value)
  self.control = self.callback_handler:call(name, self.args, self.state, self.control, key, value)
end

--- Adds a callback (an object, a class, or a table of functions).
function Trainer:add_callback(callback) self.callback_handler:add(callback) end

--- Takes out the first callback of this class, or this very one, and returns it.
function Trainer:pop_callback(callback) return self.callback_handler:pop(callback) end

--- As pop_callback.
function Trainer:remove_callback(callback) self.callback_handler:pop(callback) end

--- Keeps a row of the log history and hands the values to the callbacks.
function Trainer:log(logs)
  local ordered = require "hflua.ordered"
  logs.epoch = self.state.epoch
  if self.args.include_num_input_tokens_seen ~= "no" then logs.num_input_tokens_seen = self.state.num_input_tokens_seen end
  local row = ordered.copy(logs)
  row.step = self.state.global_step
  table.insert(self.state.log_history, row)
  self:event("on_log", "logs", logs)
  self.control.should_log = false
end

return Trainer
