--- The trainer module: Trainer, TrainingArguments, callbacks, collators, optimizers, schedules, Accelerator. Every name is
-- loaded when it is first used.
local sources = {
  training_arguments = { TrainingArguments = true },
  trainer = { Trainer = true },
  sft = { SFTTrainer = true }, sft_config = { SFTConfig = true }, sft_collator = { DataCollatorForSFT = true },
  evaluation = { "EvalPrediction" },
  data_collators = { "default_data_collator", "DefaultDataCollator", "DataCollatorWithPadding",
    "DataCollatorForTokenClassification", "DataCollatorForSeq2Seq", "DataCollatorWithFlattening",
    "DataCollatorForLanguageModeling" },
  callbacks = { "TrainerCallback", "DefaultFlowCallback", "PrinterCallback", "ProgressCallback", "EarlyStoppingCallback",
    "CallbackHandler" },
  accelerator = { Accelerator = true },
  state = { "TrainerState", "TrainerControl" },
  schedules = { "LambdaLR", "ReduceLROnPlateau", "GreedyLR", "get_scheduler", "get_constant_schedule",
    "get_constant_schedule_with_warmup", "get_linear_schedule_with_warmup", "get_cosine_schedule_with_warmup",
    "get_cosine_with_hard_restarts_schedule_with_warmup", "get_polynomial_decay_schedule_with_warmup",
    "get_inverse_sqrt_schedule", "get_cosine_with_min_lr_schedule_with_warmup",
    "get_cosine_with_min_lr_schedule_with_warmup_lr_rate", "get_wsd_schedule", "get_reduce_on_plateau_schedule",
    "get_greedy_schedule" },
  optimizers = { "Optimizer", "AdamW", "Adam", "Adamax", "NAdam", "RAdam", "SGD", "RMSprop", "Adagrad", "Adadelta", "Rprop",
    "Lion", "Adafactor", "TorchAdafactor", "AdafactorSchedule" },
}

local where = {} -- name -> { module, field (nil: the module itself) }
for module, names in pairs(sources) do
  for key, value in pairs(names) do
    if value == true then where[key] = { module } else where[value] = { module, value } end
  end
end

return setmetatable({}, {
  __index = function(self, name)
    local entry = where[name]
    if not entry then return nil end
    local value = require("hflua.trainer." .. entry[1])
    if entry[2] then value = value[entry[2]] end
    rawset(self, name, value)
    return value
  end,
  __pairs = function(self)
    return function(_, name)
      name = next(where, name)
      if name then return name, self[name] end
    end, self, nil
  end,
})
