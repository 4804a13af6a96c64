--- LoraConfig: what an adapter is, with the names and the JSON form of Python's peft.
--
--     LoraConfig{ r = 8, lora_alpha = 16, target_modules = { "q_proj", "v_proj" }, task_type = "CAUSAL_LM" }
local class = require "hflua.class"
local errors = require "hflua.errors"
local json = require "hflua.core.json"
local options = require "hflua.options"

local config = {}

config.TaskType = { SEQ_CLS = "SEQ_CLS", SEQ_2_SEQ_LM = "SEQ_2_SEQ_LM", CAUSAL_LM = "CAUSAL_LM", TOKEN_CLS = "TOKEN_CLS",
  QUESTION_ANS = "QUESTION_ANS", FEATURE_EXTRACTION = "FEATURE_EXTRACTION" }

-- Values of fields that peft has and hflua leaves alone: any other value asks for what is not built.
local unsupported = { use_dora = false, use_qalora = false, lora_bias = false, layer_replication = json.null, alora_invocation_tokens = json.null,
  target_parameters = json.null, trainable_token_indices = json.null, use_bdlora = json.null, arrow_config = json.null, megatron_config = json.null,
  eva_config = json.null, corda_config = json.null, lora_ga_config = json.null, kasa_config = json.null, velora_config = json.null,
  monteclora_config = json.null, ensure_weight_tying = false }
-- Fields without a meaning here, taken and not looked at.
local ignored = { loftq_config = true, megatron_core = true, qalora_group_size = true, peft_version = true, auto_mapping = true, revision = true,
  runtime_config = true }

local function is_count(v) return math.type(v) == "integer" and v >= 1 end
local function is_names(v)
  if type(v) ~= "table" then return false end
  for _, name in ipairs(v) do
    if type(name) ~= "string" then return false end
  end
  return true
end
local function is_text(v) return type(v) == "string" end
local function is_boolean(v) return type(v) == "boolean" end
local function one_of(...)
  local known = {}
  for _, value in ipairs { ... } do known[value] = true end
  return function(v) return known[v] == true end
end
local function either(...)
  local rules = { ... }
  return function(v)
    for _, rule in ipairs(rules) do
      if rule(v) then return true end
    end
    return false
  end
end
local function is_layers(v)
  if math.type(v) == "integer" then return true end
  if type(v) ~= "table" then return false end
  for _, layer in ipairs(v) do
    if math.type(layer) ~= "integer" then return false end
  end
  return true
end
local function pattern_of(rule)
  return function(v)
    if type(v) ~= "table" then return false end
    for key, value in pairs(v) do
      if type(key) ~= "string" or not rule(value) then return false end
    end
    return true
  end
end
local function is_number(v) return type(v) == "number" and v > 0 and v < math.huge end

-- field -> { rule, what is expected, default (nil: absent) }
local fields = {
  r = { is_count, "a whole number of at least 1", 8 },
  lora_alpha = { is_number, "a positive number", 8 },
  lora_dropout = { function(v) return type(v) == "number" and v >= 0 and v < 1 end, "a number in 0 .. 1", 0.0 },
  target_modules = { either(is_names, is_text), "a list of module names, a regular expression, or \"all-linear\"" },
  exclude_modules = { either(is_names, is_text), "a list of module names or a regular expression" },
  bias = { one_of("none", "all", "lora_only"), "none, all or lora_only", "none" },
  modules_to_save = { is_names, "a list of module names" },
  use_rslora = { is_boolean, "true or false", false },
  fan_in_fan_out = { is_boolean, "true or false", false },
  init_lora_weights = { either(is_boolean, one_of("gaussian")), "true, false or \"gaussian\"", true },
  layers_to_transform = { is_layers, "a layer number (from 0) or a list of them" },
  layers_pattern = { either(is_names, is_text), "a name or a list of names" },
  rank_pattern = { pattern_of(is_count), "a table of module name -> rank", {} },
  alpha_pattern = { pattern_of(is_number), "a table of module name -> alpha", {} },
  task_type = { function(v) return config.TaskType[v] ~= nil end, "one of CAUSAL_LM, SEQ_CLS, TOKEN_CLS, QUESTION_ANS, FEATURE_EXTRACTION" },
  base_model_name_or_path = { is_text, "a name or a folder" },
  inference_mode = { is_boolean, "true or false", false },
  peft_type = { one_of("LORA"), "LORA: no other kind of adapter is built", "LORA" },
}

local function known_fields()
  local names = {}
  for _, list in ipairs { fields, unsupported, ignored } do
    for name in pairs(list) do names[#names + 1] = name end
  end
  return names
end

local LoraConfig = class("LoraConfig")
config.LoraConfig = LoraConfig

local function check_unsupported(where, name, value)
  if value == nil or value == json.null or value == unsupported[name] then return end
  errors.raise("%s: %s: expected %s, found %s: not built here; merge such an adapter with peft first", where, name, tostring(unsupported[name]), tostring(value))
end

local function read(self, given, where)
  for name, value in pairs(given) do
    if unsupported[name] ~= nil then check_unsupported(where, name, value)
    elseif fields[name] and value ~= json.null then
      if not fields[name][1](value) then errors.raise("%s: %s: expected %s, found %s", where, name, fields[name][2], tostring(value)) end
      self[name] = value
    end
  end
end

--- LoraConfig{ r, lora_alpha, lora_dropout, target_modules, exclude_modules, bias, modules_to_save, use_rslora, fan_in_fan_out,
-- init_lora_weights, layers_to_transform, layers_pattern, rank_pattern, alpha_pattern, task_type }
function LoraConfig:init(given, where)
  options.check(where or "LoraConfig", given, known_fields())
  for name, field in pairs(fields) do self[name] = field[3] end
  read(self, given or {}, where or "LoraConfig")
  if self.layers_pattern and not self.layers_to_transform then
    errors.raise("%s: layers_pattern: only of use with layers_to_transform", where or "LoraConfig")
  end
  if self.layers_to_transform and type(self.target_modules) == "string" then
    errors.raise("%s: layers_to_transform: needs target_modules as a list, found the expression %q", where or "LoraConfig", self.target_modules)
  end
end

-- Fields that a newer peft may have added are no error when they are empty.
local function drop_empty_unknown(content)
  local known, kept = {}, {}
  for _, name in ipairs(known_fields()) do known[name] = true end
  for name, value in pairs(content) do
    local empty = value == json.null or value == false or type(value) == "table" and next(value) == nil
    if known[name] or not empty then kept[name] = value end
  end
  return kept
end

--- The configuration in a folder's adapter_config.json.
function config.load(folder)
  local path = folder .. "/adapter_config.json"
  local content = json.load_file(path)
  if type(content) ~= "table" then errors.raise("%s: expected an object, found %s", path, type(content)) end
  return LoraConfig(drop_empty_unknown(content), path)
end

--- Writes adapter_config.json as peft reads it.
function LoraConfig:save_pretrained(folder)
  local content = { inference_mode = true }
  for name in pairs(unsupported) do content[name] = unsupported[name] end
  for name in pairs(fields) do
    if content[name] == nil then
      local value = self[name]
      if value == nil then value = json.null end
      if type(value) == "table" and value ~= json.null and #value > 0 then value = json.array(value) end
      content[name] = value
    end
  end
  require("hflua.core.files").write(folder .. "/adapter_config.json", json.encode(content, { indent = 2, sort_keys = true }) .. "\n")
end

--- A copy.
LoraConfig.clone = require "hflua.copy"

return config
