--- SFTConfig: TrainingArguments with what SFTTrainer asks for beside them; names and defaults are trl's.
local errors = require "hflua.errors"
local notes = require "hflua.trainer.notes"
local options = require "hflua.options"
local TrainingArguments = require "hflua.trainer.training_arguments"

local WHERE = "SFTConfig"
local SFTConfig = TrainingArguments:extend(WHERE)

local none = options.none

-- Options of its own and their defaults. max_length: 1024, or what the tokenizer has when that is less.
local defaults = { dataset_text_field = "text", max_length = none, truncation_mode = "keep_start", packing = false, packing_strategy = "bfd",
  eval_packing = none, padding_free = false, pad_to_multiple_of = none, completion_only_loss = none, assistant_only_loss = false,
  shuffle_dataset = false, pad_token = none, eos_token = none, chat_template_path = none, model_init_kwargs = none, dataset_kwargs = none,
  dataset_num_proc = none, dataset_batch_size = none, loss_type = "nll", mlm = none, mlm_probability = 0.15 }

local renamed = { max_seq_length = "max_length" }
local choices = { truncation_mode = { "keep_start", "keep_end" }, packing_strategy = { "bfd", "bfd_split", "wrapped" }, loss_type = { "nll" } }

local function note_without_effect(own)
  if own.dataset_num_proc then notes.once("%s: 'dataset_num_proc' has no effect: texts are tokenized on all cores", WHERE) end
  if own.dataset_batch_size then notes.once("%s: 'dataset_batch_size' has no effect", WHERE) end
end

local function check(own)
  for name, list in pairs(choices) do
    local known = false
    for _, choice in ipairs(list) do known = known or own[name] == choice end
    if not known then errors.raise("%s: option '%s': expected one of %s, found '%s'", WHERE, name, table.concat(list, ", "), tostring(own[name])) end
  end
  for _, name in ipairs { "max_length", "pad_to_multiple_of" } do
    local value = own[name]
    if value and (math.type(value) ~= "integer" or value < 1) then errors.raise("%s: option '%s': expected a whole number of at least 1, found %s", WHERE, name, tostring(value)) end
  end
  for _, name in ipairs { "eval_packing", "completion_only_loss", "mlm" } do
    if own[name] ~= nil and type(own[name]) ~= "boolean" then errors.raise("%s: option '%s': expected true or false, found %s", WHERE, name, tostring(own[name])) end
  end
  note_without_effect(own)
end

--- Is this an option of SFTConfig beyond TrainingArguments, or an older name of one? Gives its present name.
function SFTConfig.own_name(name)
  if renamed[name] then
    notes.once("%s: '%s' is now '%s'", WHERE, name, renamed[name])
    return renamed[name]
  end
  return defaults[name] ~= nil and name or nil
end

local null = require("hflua.core.json").null

-- Options of TrainingArguments, and own ones; `unlimited` tells that max_length was given as null.
local function split(given)
  local base, own, unlimited = {}, {}, false
  for name, value in pairs(given) do
    local own_name = type(name) == "string" and SFTConfig.own_name(name)
    if not own_name then base[name] = value
    elseif value == null then unlimited = unlimited or own_name == "max_length"
    else own[own_name] = value end
  end
  return base, own, unlimited
end

--- SFTConfig([output_dir,] options): learning_rate is 2e-5 and logging_steps 10 unless given.
function SFTConfig:init(output_dir, given)
  if type(output_dir) == "table" and given == nil then output_dir, given = nil, output_dir end
  local base, own, unlimited = split(given or {})
  if base.learning_rate == nil then base.learning_rate = 2e-5 end
  if base.logging_steps == nil then base.logging_steps = 10 end
  TrainingArguments.init(self, output_dir, base)
  own = options.merge(defaults, own, WHERE)
  own.unlimited = unlimited
  check(own)
  rawset(self, "own", own)
end

--- The configuration that plain TrainingArguments (or nil) stand for, changed by `own` options.
function SFTConfig.of(args, own)
  local given = {}
  if args then
    for name, value in pairs(args:to_dict()) do
      if value ~= null then given[name] = value end
    end
    for name, value in pairs(rawget(args, "own") or {}) do
      if name ~= "unlimited" then given[name] = value elseif value then given.max_length = null end
    end
  else given.output_dir = "tmp_trainer" end
  for name, value in pairs(own) do given[name] = value end
  return SFTConfig(given)
end

function SFTConfig.__index(self, name)
  local own = rawget(self, "own")
  if own and own[name] ~= nil then return own[name] end
  local method = rawget(SFTConfig, name)
  if method ~= nil then return method end
  return TrainingArguments.__index(self, name)
end

function SFTConfig.__newindex(self, name, value)
  local own_name = SFTConfig.own_name(name)
  if not own_name then return TrainingArguments.__newindex(self, name, value) end
  local changed = {}
  for key, kept in pairs(self.own) do changed[key] = kept end
  changed[own_name], changed.unlimited = value, nil
  changed = options.merge(defaults, changed, WHERE)
  check(changed)
  changed.unlimited = own_name == "max_length" and value == nil or self.own.unlimited
  rawset(self, "own", changed)
end

--- A copy with `changes` on top, all checks made anew.
function SFTConfig:with(changes)
  local base, own = split(changes)
  local merged = {}
  for name, value in pairs(self.given) do merged[name] = value end
  for name, value in pairs(base) do merged[name] = value end
  for name, value in pairs(self.own) do
    if name ~= "unlimited" then merged[name] = value end
  end
  for name, value in pairs(own) do merged[name] = value end
  return SFTConfig(merged)
end

--- A plain table of every option; what is not set is hf.null.
function SFTConfig:to_dict()
  local dict = TrainingArguments.to_dict(self)
  for name in pairs(defaults) do
    local value = self.own[name]
    if value == nil then value = null end
    dict[name] = value
  end
  return dict
end

return SFTConfig
