--- SFTTrainer: a Trainer that makes its rows itself, from text, prompts and completions, or conversations. Names are trl's.
--
--     local tr = hf.SFTTrainer{ model = "gpt2", args = hf.SFTConfig("out", { packing = true }), train_dataset = ds }
--     tr:train()
local errors = require "hflua.errors"
local notes = require "hflua.trainer.notes"
local options = require "hflua.options"
local SFTConfig = require "hflua.trainer.sft_config"
local Trainer = require "hflua.trainer.trainer"
local preparation = require "hflua.trainer.sft_dataset"

local SFTTrainer = Trainer:extend("SFTTrainer")

-- Options beside those of Trainer.
local own = { "peft_config", "formatting_func" }
local of_trainer = { "model", "args", "data_collator", "train_dataset", "eval_dataset", "processing_class", "tokenizer", "compute_loss_func",
  "compute_metrics", "callbacks", "optimizers", "optimizer_cls_and_kwargs", "preprocess_logits_for_metrics" }

-- Options that older versions took here, now SFTConfig's.
local moved = { "dataset_text_field", "max_seq_length", "max_length", "packing", "dataset_num_proc", "dataset_batch_size", "model_init_kwargs", "mlm",
  "mlm_probability", "dataset_kwargs" }

-- ---- what was given

local function known_names()
  local known = {}
  for _, list in ipairs { own, of_trainer, moved } do table.move(list, 1, #list, #known + 1, known) end
  return known
end

-- SFTTrainer{...}, SFTTrainer(model, {...}), SFTTrainer(model, args, {...}) as one table.
local function read_arguments(model, args, given)
  if type(model) == "table" and getmetatable(model) == nil and args == nil then model, given = nil, model
  elseif given == nil and type(args) == "table" and getmetatable(args) == nil then args, given = nil, args end
  local o = {}
  for name, value in pairs(options.check("SFTTrainer", given, known_names())) do o[name] = value end
  o.model, o.args = model or o.model, args or o.args
  return o
end

local function read_config(o)
  local given = {}
  for _, name in ipairs(moved) do
    if o[name] ~= nil then given[name] = o[name] end
    o[name] = nil
  end
  if o.args ~= nil and (type(o.args) ~= "table" or not o.args.to_dict) then errors.raise("SFTTrainer: args: expected SFTConfig or TrainingArguments, found %s", type(o.args)) end
  if o.args and next(given) == nil and rawget(o.args, "own") then return o.args end
  return SFTConfig.of(o.args, given)
end

local function read_model(o, config)
  if type(o.model) ~= "string" then
    if type(o.model) ~= "table" or not o.model.config then errors.raise("SFTTrainer: model: expected a model or the name of one, found %s", type(o.model)) end
    if config.model_init_kwargs then notes.once("SFTTrainer: 'model_init_kwargs' has no effect: the model is there already") end
    return o.model
  end
  require("hflua.seed")(config.seed)
  return require("hflua.models").AutoModelForCausalLM.from_pretrained(o.model, config.model_init_kwargs)
end

local function read_tokenizer(o, model)
  if o.processing_class and o.tokenizer and o.processing_class ~= o.tokenizer then
    errors.raise("SFTTrainer: 'tokenizer' and 'processing_class' are one option: give one of them")
  end
  local tokenizer = o.processing_class or o.tokenizer
  if tokenizer then return tokenizer end
  local name = model.config.name_or_path
  if type(name) ~= "string" or name == "" then errors.raise("SFTTrainer: processing_class: this model was not loaded from a checkpoint: give its tokenizer") end
  return require("hflua.tokenizer").AutoTokenizer.from_pretrained(name)
end

-- ---- special tokens

local function check_in_vocabulary(tokenizer, name, token)
  if not tokenizer.get_vocab or tokenizer:get_vocab()[token] then return end
  errors.raise("SFTTrainer: %s '%s' is not in the vocabulary of the tokenizer", name, token)
end

local function set_tokens(tokenizer, model, config)
  if config.eos_token then
    check_in_vocabulary(tokenizer, "eos_token", config.eos_token)
    tokenizer.eos_token = config.eos_token
    model.config.eos_token_id = tokenizer.eos_token_id
  end
  if config.chat_template_path then tokenizer.chat_template = require("hflua.core.files").read(config.chat_template_path) end
  local pad = config.pad_token or tokenizer.pad_token or tokenizer.eos_token
  if not pad then errors.raise("SFTTrainer: the tokenizer has neither a padding nor an end token: set pad_token in SFTConfig") end
  check_in_vocabulary(tokenizer, "pad_token", pad)
  if tokenizer.pad_token ~= pad then tokenizer.pad_token = pad end
  if model.config.pad_token_id == nil then model.config.pad_token_id = tokenizer.pad_token_id end
end

-- ---- masked models

local function is_masked(model) return (model.__name or ""):find("ForMaskedLM$") ~= nil end

-- A masked model predicts the tokens it is shown unless some are masked: what the first SFTTrainers did, and what `mlm` is for.
local function warn_about_copying(model, config)
  if config.mlm then return end
  notes.warn("SFTTrainer: %s sees every token that it is to predict, so it learns to copy and the loss falls towards 0; mlm = true masks %g %% of them",
    model.__name, 100 * config.mlm_probability)
end

-- ---- datasets and collator

local function longest(tokenizer, config)
  if config.max_length or config.unlimited then return config.max_length end
  return math.tointeger(math.min(1024, tokenizer.model_max_length or 1024))
end

local function check_config(config, masked, length)
  if config.packing and not length then errors.raise("SFTTrainer: packing needs a max_length") end
  if masked and (config.packing or config.padding_free) then errors.raise("SFTTrainer: packing and padding_free are for causal models") end
  if not masked and config.mlm then errors.raise("SFTTrainer: mlm = true is for masked models (BertForMaskedLM and its like)") end
  if config.padding_free and not config.packing and not config.unlimited then
    errors.raise("SFTTrainer: padding_free without packing does not cut rows: set packing = true, or max_length = hf.null")
  end
end

local function skips_preparation(config) return config.dataset_kwargs and config.dataset_kwargs.skip_prepare_dataset end

local function completion_only(config, row)
  if config.completion_only_loss ~= nil then return config.completion_only_loss end
  return row.prompt ~= nil and row.completion ~= nil
end

local function check_assistant(config, row)
  if not config.assistant_only_loss then return end
  local kind = preparation.kind(row, config.dataset_text_field, "train_dataset")
  if kind == "messages" or kind == "ids" or kind == "prompt" and type(row.prompt) == "table" then return end
  errors.raise("SFTTrainer: assistant_only_loss: the rows are no conversations (messages, or prompt and completion as messages)")
end

local function prepare(self, dataset, where, packs)
  if require("hflua.trainer.data").is_dataset_dict(dataset) then errors.raise("SFTTrainer: %s: this is a DatasetDict; choose a split, such as ds.train", where) end
  local config, masked = self.sft, is_masked(self.sft_model)
  if #dataset > 0 then check_assistant(config, dataset[1]) end
  return preparation.prepare(dataset, { tokenizer = self.sft_tokenizer, where = where, text_field = config.dataset_text_field,
    eos = not masked and self.sft_tokenizer.eos_token or nil, call = masked and { truncation = true, max_length = self.sft_length } or {},
    max_length = self.sft_length, keep_end = config.truncation_mode == "keep_end", assistant_only = config.assistant_only_loss,
    completion_only = #dataset > 0 and completion_only(config, dataset[1]), formatting_func = self.sft_formatting,
    masked = masked, packing = packs and config.packing_strategy or nil, seed = config.shuffle_dataset and config.seed or nil })
end

-- Several evaluation sets by name, or one.
local function prepare_evaluation(self, dataset)
  local packs = self.sft.packing
  if self.sft.eval_packing ~= nil then packs = self.sft.eval_packing end
  local is_named = type(dataset) == "table" and getmetatable(dataset) == nil and #dataset == 0
  if not is_named then return prepare(self, dataset, "eval_dataset", packs) end
  local prepared = {}
  for name, set in pairs(dataset) do prepared[name] = prepare(self, set, "eval_dataset " .. name, packs) end
  return prepared
end

local function make_collator(self, config)
  local collators = require "hflua.trainer.data_collators"
  if is_masked(self.sft_model) then
    return collators.DataCollatorForLanguageModeling(self.sft_tokenizer, { mlm = config.mlm or false, mlm_probability = config.mlm_probability })
  end
  local flat = config.padding_free or config.packing and config.packing_strategy ~= "wrapped"
  return require("hflua.trainer.sft_collator") { pad_token_id = self.sft_tokenizer.pad_token_id, padding_free = flat or false,
    pad_to_multiple_of = config.pad_to_multiple_of, return_lengths = false }
end

-- ---- the trainer

local function prepare_datasets(self, o)
  if skips_preparation(self.sft) then return end
  if o.formatting_func and self.sft.completion_only_loss then
    errors.raise("SFTTrainer: formatting_func makes one text of a row, so completion_only_loss cannot tell the completion: give one of them")
  end
  if o.train_dataset then o.train_dataset = prepare(self, o.train_dataset, "train_dataset", self.sft.packing) end
  if o.eval_dataset then o.eval_dataset = prepare_evaluation(self, o.eval_dataset) end
end

local function add_adapter(o)
  if not o.peft_config then return end
  if o.model.peft_config then errors.raise("SFTTrainer: peft_config: the model has adapters already; merge_and_unload it first, or leave peft_config out") end
  o.model = require("hflua.peft").get_peft_model(o.model, o.peft_config)
end

local function base_of(model) return model.get_base_model and model:get_base_model() or model end

--- SFTTrainer{ model =, args =, train_dataset =, eval_dataset =, processing_class =, peft_config =, formatting_func =, ... }: beside these the
-- options of Trainer. The tokenizer is that of the model's checkpoint unless it is given.
function SFTTrainer:init(model, args, given)
  local o = read_arguments(model, args, given)
  local config = read_config(o)
  o.args, o.model = config, read_model(o, config)
  rawset(self, "sft", config)
  self.sft_model, self.sft_tokenizer, self.sft_formatting = base_of(o.model), read_tokenizer(o, o.model), o.formatting_func
  self.sft_length = longest(self.sft_tokenizer, config)
  check_config(config, is_masked(self.sft_model), self.sft_length)
  set_tokens(self.sft_tokenizer, self.sft_model, config)
  if is_masked(self.sft_model) then warn_about_copying(self.sft_model, config) end
  add_adapter(o)
  prepare_datasets(self, o)
  o.data_collator = o.data_collator or make_collator(self, config)
  o.processing_class, o.tokenizer, o.peft_config, o.formatting_func = self.sft_tokenizer, nil, nil, nil
  Trainer.init(self, o)
end

--- Prepared rows have the columns that the collator asks for.
function SFTTrainer:remove_unused_columns(dataset, description)
  if skips_preparation(self.sft) then return Trainer.remove_unused_columns(self, dataset, description) end
  return dataset
end

return SFTTrainer
