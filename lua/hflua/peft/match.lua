--- Which modules of a model an adapter changes: by name endings, by a regular expression over the whole name, or all linear layers.
local errors = require "hflua.errors"
local options = require "hflua.options"
local text = require "hflua.core.text"

local match = {}

local function ends_with(name, ending) return name == ending or name:sub(-#ending - 1) == "." .. ending end

-- Is `name` named by a list of endings, or matched by an expression?
local function is_named(name, wanted)
  if type(wanted) == "string" then return text.fullmatch(wanted, name) end
  for _, ending in ipairs(wanted or {}) do
    if ends_with(name, ending) then return true end
  end
  return false
end

-- Does the module lie in (or is it) one that is saved whole?
local function is_saved_whole(name, saved)
  for _, part in ipairs(saved or {}) do
    if ("." .. name .. "."):find("." .. part .. ".", 1, true) then return true end
  end
  return false
end

-- The number of the layer in a name: "h.3.attn" -> 3, of the list called `pattern` where that is given.
local function layer_of(name, pattern)
  local names = type(pattern) == "string" and { pattern } or pattern
  for _, list in ipairs(names or {}) do
    local digits = ("." .. name):match("%." .. list:gsub("%p", "%%%0") .. "%.(%d+)%.")
    if digits then return math.tointeger(digits) end
  end
  return not (names and #names > 0) and math.tointeger(name:match "%.(%d+)%.") or nil
end

local function is_wanted_layer(name, config)
  local wanted = config.layers_to_transform
  if wanted == nil or type(wanted) == "table" and #wanted == 0 then return true end
  local layer = layer_of(name, config.layers_pattern)
  for _, number in ipairs(type(wanted) == "table" and wanted or { wanted }) do
    if number == layer then return true end
  end
  return false
end

-- What peft targets for an architecture when the configuration names nothing.
local defaults = { gpt2 = { "c_attn" }, bert = { "query", "value" }, roberta = { "query", "value" }, distilbert = { "q_lin", "v_lin" },
  llama = { "q_proj", "v_proj" }, qwen2 = { "q_proj", "v_proj" }, mistral = { "q_proj", "v_proj" } }

local function is_linear(module) return module.__name == "Linear" or module.__name == "Conv1D" end

-- All linear layers but the output layer or, for sequence classification, the head.
local function all_linear(model, config)
  local output = model.get_output_embeddings and model:get_output_embeddings()
  if not output and config.task_type == "SEQ_CLS" then output = rawget(model, "score") or rawget(model, "classifier") end
  local names = {}
  for name, module in model:named_modules() do
    if is_linear(module) and module ~= output then names[#names + 1] = name end
  end
  return names
end

--- target_modules of the configuration made definite for a model: a list of names, or an expression.
function match.targets(model, config)
  local wanted = config.target_modules
  if type(wanted) == "string" and wanted:lower() == "all-linear" then return all_linear(model, config) end
  if wanted ~= nil then return wanted end
  local kind = model.config and model.config.model_type
  return defaults[kind] or errors.raise("LoraConfig: target_modules: expected module names for model_type %s, found none; \"all-linear\" takes every linear layer", tostring(kind))
end

-- The last parts of all module names, for "did you mean".
local function endings(model)
  local list = {}
  for name in model:named_modules() do list[#list + 1] = name:match "[^.]+$" end
  return list
end

local function none_found(model, wanted)
  if type(wanted) == "string" then errors.raise("LoraConfig: target_modules: no module of %s has a name that %q matches", model.__name, wanted) end
  errors.raise("LoraConfig: target_modules: %s in %s", options.unknown("module", wanted[1] or "", endings(model)), model.__name)
end

--- The modules to be adapted, as a list of { name =, module = } in the model's order.
function match.modules(model, config)
  local found = {}
  for name, module in model:named_modules() do
    local excluded = config.exclude_modules and is_named(name, config.exclude_modules) or is_saved_whole(name, config.modules_to_save)
    if name ~= "" and not excluded and is_named(name, config.target_modules) and is_wanted_layer(name, config) then
      found[#found + 1] = { name = name, module = module }
    end
  end
  if #found == 0 then none_found(model, config.target_modules) end
  return found
end

--- The modules that are trained and saved whole, as a list of { name =, module = }.
function match.saved_modules(model, names)
  local found = {}
  for name, module in model:named_modules() do
    if name ~= "" and is_named(name, names or {}) then found[#found + 1] = { name = name, module = module } end
  end
  return found
end

--- The value a pattern table (rank_pattern, alpha_pattern) has for a module, or `default`.
function match.by_pattern(patterns, name, default)
  for pattern, value in pairs(patterns or {}) do
    if text.fullmatch("(?:.*\\.)?(?:" .. pattern .. ")", name) then return value end
  end
  return default
end

return match
