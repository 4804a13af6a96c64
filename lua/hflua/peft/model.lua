--- PeftModel: a model whose linear layers carry adapters. What it does not have itself is the model's: `model.config`,
-- `model:generate(...)`, `model(batch)`.
local errors = require "hflua.errors"
local hub = require "hflua.hub"
local nn = require "hflua.nn"
local options_of = require "hflua.options"
local safetensors = require "hflua.core.safetensors"
local tensor = require "hflua.tensor"
local configs = require "hflua.peft.config"
local LoraLayer = require "hflua.peft.lora"
local match = require "hflua.peft.match"
local SavedModule = require "hflua.peft.saved_module"

-- Between the two, so that names are peft's: base_model.model.transformer.h.0...
local LoraModel = nn.Module:extend("LoraModel")

function LoraModel:init(model) self.model = model end

local PeftModel = nn.Module:extend("PeftModel")

-- A method of the base model, called on it.
local function method_of(self, base, method)
  return function(first, ...)
    if rawequal(first, self) then return method(base, ...) end
    return method(first, ...)
  end
end

function PeftModel:__index(key)
  local own = PeftModel[key]
  if own ~= nil then return own end
  local inner = rawget(self, "base_model")
  local base = inner and rawget(inner, "model")
  local value = base and base[key]
  if type(value) == "function" then return method_of(self, base, value) end
  return value
end

function PeftModel:__call(...) return self.base_model.model(...) end

-- ---- adapters

-- Heads that peft trains whole for a task.
local heads_of_task = { SEQ_CLS = { "classifier", "score" }, TOKEN_CLS = { "classifier", "score" }, QUESTION_ANS = { "qa_outputs" } }

-- The configuration with everything that depends on the model made definite.
local function settled(model, given)
  if type(given) ~= "table" or getmetatable(given) ~= configs.LoraConfig then errors.raise("get_peft_model: peft_config: expected a LoraConfig, found %s", type(given)) end
  local config = given:clone()
  local saved = table.move(config.modules_to_save or {}, 1, #(config.modules_to_save or {}), 1, {})
  local present = {}
  for _, name in ipairs(saved) do present[name] = true end
  for _, name in ipairs(heads_of_task[config.task_type] or {}) do
    if not present[name] then saved[#saved + 1] = name end
  end
  if #saved > 0 then config.modules_to_save = saved end
  config.target_modules = match.targets(model, config)
  config.base_model_name_or_path = config.base_model_name_or_path or model.config and model.config.name_or_path
  return config
end

-- The module that holds `name`, and the last part of the name.
local function owner_of(model, name)
  local parent, last = name:match "^(.*)%.([^.]+)$"
  if not parent then return model, name end
  for found, module in model:named_modules() do
    if found == parent then return module, last end
  end
end

-- Puts `wrapper` in the place of the module of this name, keeping its place in the order.
local function replace(model, name, wrapper)
  local owner, last = owner_of(model, name)
  for _, key in ipairs(rawget(owner, "_order")) do
    if owner:member_name(key) == last then return rawset(owner, key, wrapper) end
  end
end

-- Modules as they are called without adapters: a layer that carries one already is found by its own name.
local function plain_modules(model, config)
  local found = {}
  for _, entry in ipairs(match.modules(model, config)) do
    if entry.module.is_lora then found[#found + 1] = entry
    elseif not entry.name:find "%.base_layer$" and not entry.name:find "%.lora_[AB]%." then
      LoraLayer.check(model, entry.name, entry.module)
      found[#found + 1] = entry
    end
  end
  return found
end

local function inject(model, config, adapter)
  for _, entry in ipairs(plain_modules(model, config)) do
    local layer = entry.module
    if not layer.is_lora then
      layer = LoraLayer(layer)
      replace(model, entry.name, layer)
    end
    layer:add(adapter, config, entry.name)
  end
  for _, entry in ipairs(match.saved_modules(model, config.modules_to_save)) do
    local wrapper = entry.module
    if not wrapper.is_saved_whole then
      wrapper = SavedModule(wrapper)
      replace(model, entry.name, wrapper)
    end
    wrapper:add(adapter)
  end
end

-- Does the parameter of this name belong to an adapter?
local function is_of(adapter, name)
  local plain = adapter:gsub("%p", "%%%0")
  return name:find("%.lora_[AB]%." .. plain .. "%.") or name:find("%.modules_to_save%." .. plain .. "%.")
end

-- Only the active adapter is trained, with the biases that its configuration names.
local function set_trained(self)
  local config, active = self.peft_config[self.active_adapter], self.active_adapter
  local trains = not config.inference_mode
  for name, p in self.base_model:named_parameters() do
    local own = is_of(active, name)
    local bias = config.bias == "all" and name:find "%.bias$" and not name:find "%.original_module%."
    local beside = config.bias == "lora_only" and name:find "%.base_layer%.bias$"
    p.requires_grad = trains and (own or bias or beside) and true or false
  end
end

local function for_each_wrapper(self, visit)
  for _, module in self.base_model:named_modules() do
    if module.is_lora or module.is_saved_whole then visit(module) end
  end
end

--- Makes an adapter the one in use, and the only one that is trained.
function PeftModel:set_adapter(adapter)
  if not self.peft_config[adapter] then errors.raise("set_adapter: %s", options_of.unknown("adapter", tostring(adapter), self.peft_config)) end
  rawset(self, "active_adapter", adapter)
  for_each_wrapper(self, function(module)
    local has = module.is_lora and module.lora_A[adapter] or module.is_saved_whole and module.modules_to_save[adapter]
    rawset(module, "active", has and adapter or false)
  end)
  set_trained(self)
end

--- Adds another adapter beside those that are there; it is not in use until set_adapter.
function PeftModel:add_adapter(adapter, config)
  if type(adapter) ~= "string" or not adapter:find "^[%a_][%w_-]*$" then errors.raise("add_adapter: adapter_name: expected a name of letters, digits, _ and -, found %s", tostring(adapter)) end
  if self.peft_config[adapter] then errors.raise("add_adapter: there is an adapter '%s' already", adapter) end
  local model = self.base_model.model
  self.peft_config[adapter] = settled(model, config)
  inject(model, self.peft_config[adapter], adapter)
end

function PeftModel:init(model, config, adapter)
  if type(model) ~= "table" or not model.is_module then errors.raise("get_peft_model: expected a model, found %s", type(model)) end
  rawset(self, "peft_config", {})
  self.base_model = LoraModel(model)
  self:add_adapter(adapter, config)
  self:set_adapter(adapter)
  rawset(self, "training", model.training)
end

--- Runs fn() without any adapter.
function PeftModel:disable_adapter(fn)
  local before = self.active_adapter
  for_each_wrapper(self, function(module) rawset(module, "active", false) end)
  local results = table.pack(pcall(fn))
  self:set_adapter(before)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- The model itself, with its adapters.
function PeftModel:get_base_model() return self.base_model.model end

-- ---- numbers

--- The numbers of trained and of all parameters.
function PeftModel:get_nb_trainable_parameters()
  local trained, all = 0, 0
  for _, p in self:named_parameters() do
    all = all + p:numel()
    if p.requires_grad then trained = trained + p:numel() end
  end
  return trained, all
end

local function grouped(n)
  local text = tostring(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

--- Prints how many parameters are trained.
function PeftModel:print_trainable_parameters()
  local trained, all = self:get_nb_trainable_parameters()
  print(("trainable params: %s || all params: %s || trainable%%: %.4f"):format(grouped(trained), grouped(all), 100 * trained / all))
end

-- ---- merging

--- Adds the active adapter to the weights beside it: faster, and no adapter can be trained until unmerge_adapter.
function PeftModel:merge_adapter() for_each_wrapper(self, function(module) if module.is_lora then module:merge() end end) end
function PeftModel:unmerge_adapter() for_each_wrapper(self, function(module) if module.is_lora then module:unmerge() end end) end

-- Takes every wrapper out again; keep(wrapper) is what stands in its place.
local function unwrap(self, keep)
  local model, found = self.base_model.model, {}
  for name, module in model:named_modules() do
    if module.is_lora or module.is_saved_whole then found[#found + 1] = { name = name, module = module } end
  end
  for _, entry in ipairs(found) do replace(model, entry.name, keep(entry.module)) end
  model:requires_grad_(true)
  return model
end

--- The plain model with the active adapter in its weights. The PeftModel is used up.
function PeftModel:merge_and_unload()
  return unwrap(self, function(module)
    if module.is_saved_whole then return module:used() end
    module:merge()
    return module.base_layer
  end)
end

--- The plain model as it was before the adapter. The PeftModel is used up.
function PeftModel:unload()
  return unwrap(self, function(module)
    if module.is_saved_whole then return module.original_module end
    module:unmerge()
    return module.base_layer
  end)
end

-- ---- files

-- Names in adapter_model.safetensors: without the adapter's own name and the wrapper's field.
local function file_name(name, adapter)
  local plain = adapter:gsub("%p", "%%%0")
  return (name:gsub("(%.lora_[AB])%." .. plain .. "%.", "%1."):gsub("%.modules_to_save%." .. plain .. "%.", "."))
end

-- The tensors of an adapter, name in the file -> tensor.
local function adapter_state(self, adapter)
  local config, state = self.peft_config[adapter], {}
  for name, p in self:named_parameters() do
    local own = is_of(adapter, name)
    local bias = config.bias == "all" and name:find "%.bias$" and not name:find "%.original_module%." and not name:find "%.modules_to_save%."
    local beside = config.bias == "lora_only" and name:find "%.base_layer%.bias$"
    if own or bias or beside then state[file_name(name, adapter)] = p:detach() end
  end
  return state
end

--- Writes adapter_config.json and adapter_model.safetensors, as peft does; adapters beside "default" get folders of their own.
function PeftModel:save_pretrained(folder)
  for adapter, config in pairs(self.peft_config) do
    local place = adapter == "default" and folder or folder .. "/" .. adapter
    require("hflua.core.system").makedirs(place)
    config:save_pretrained(place)
    safetensors.save_file(adapter_state(self, adapter), place .. "/adapter_model.safetensors", { format = "pt" })
  end
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function quoted(names) return "['" .. table.concat(names, "', '") .. "']" end

local function shape_of(t) return "[" .. table.concat(t.shape, ", ") .. "]" end

local function without(names, known)
  local rest = {}
  for _, name in ipairs(names) do
    if not known[name] then rest[#rest + 1] = name end
  end
  return rest
end

--- Gives an adapter that is there the numbers of a folder. All of it is checked before anything changes.
function PeftModel:load_adapter_weights(folder, adapter)
  local path = folder .. "/adapter_model.safetensors"
  local content, wanted = safetensors.load_file(path), adapter_state(self, adapter)
  local names = sorted_keys(wanted)
  local missing, unused = without(names, content), without(sorted_keys(content), wanted)
  if #missing > 0 then errors.raise("%s: %s: not found; is adapter_config.json the one of this adapter?", path, quoted(missing)) end
  for _, name in ipairs(names) do
    local expected, found = shape_of(wanted[name]), shape_of(content[name])
    if expected ~= found then errors.raise("%s: tensor %q: expected shape %s, found %s", path, name, expected, found) end
  end
  for _, name in ipairs(names) do tensor.no_grad(function() wanted[name]:copy_(content[name]) end) end
  if #unused > 0 then io.stderr:write(("Some weights of the adapter at %s were not used: %s\n"):format(path, quoted(unused))) end
end

--- What a Trainer that resumes, or brings back its best checkpoint, calls.
function PeftModel:load_weights(folder) self:load_adapter_weights(folder, self.active_adapter) end

--- Adds the adapter of a folder under a name. options: is_trainable.
function PeftModel:load_adapter(source, adapter, options)
  options_of.check("load_adapter", options, { "is_trainable" })
  local files = hub.open(source, { kind = "model" })
  files:need("adapter_config.json")
  files:need("adapter_model.safetensors")
  local folder = files.folder
  local config = configs.load(folder)
  self:add_adapter(adapter, config)
  self.peft_config[adapter].inference_mode = not (options and options.is_trainable)
  self:load_adapter_weights(folder, adapter)
end

--- PeftModel.from_pretrained(model, folder[, { adapter_name = "default", is_trainable = false }])
function PeftModel.from_pretrained(model, source, options)
  options_of.check("PeftModel.from_pretrained", options, { "adapter_name", "is_trainable" })
  local o = options or {}
  if type(model) ~= "table" or not model.is_module then errors.raise("PeftModel.from_pretrained: expected a model, then a folder; found %s", type(model)) end
  if type(source) ~= "string" then errors.raise("PeftModel.from_pretrained: expected a folder or a name, found %s", type(source)) end
  local self = setmetatable({ _order = {}, training = false, peft_config = {} }, PeftModel)
  self.base_model = LoraModel(model)
  local adapter = o.adapter_name or "default"
  self:load_adapter(source, adapter, { is_trainable = o.is_trainable })
  self:set_adapter(adapter)
  self:train(o.is_trainable == true)
  return self
end

-- peft's classes of a task, by which a printed model is known.
local class_names = { CAUSAL_LM = "PeftModelForCausalLM", SEQ_CLS = "PeftModelForSequenceClassification", TOKEN_CLS = "PeftModelForTokenClassification",
  QUESTION_ANS = "PeftModelForQuestionAnswering", FEATURE_EXTRACTION = "PeftModelForFeatureExtraction" }

--- get_peft_model(model, LoraConfig{...}[, { adapter_name = "default" }]): the model with a new adapter; its own weights stop training.
local function get_peft_model(model, config, options)
  options_of.check("get_peft_model", options, { "adapter_name" })
  local peft = PeftModel(model, config, options and options.adapter_name or "default")
  rawset(peft, "__name", class_names[config.task_type])
  return peft
end

return { PeftModel = PeftModel, get_peft_model = get_peft_model }
