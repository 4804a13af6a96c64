--- The Auto classes: the architecture is taken from config.json's model_type.
local errors = require "hflua.errors"
local hub = require "hflua.hub"
local json = require "hflua.core.json"
local options = require "hflua.options"

local auto = {}

-- model_type -> { module, prefix of the class names, classes named otherwise }
local families = {
  bert = { "bert", "Bert" }, roberta = { "roberta", "Roberta" }, distilbert = { "distilbert", "DistilBert" },
  gpt2 = { "gpt2", "GPT2", { ForCausalLM = "LMHeadModel" } },
  llama = { "llama", "Llama" }, qwen2 = { "qwen2", "Qwen2" }, mistral = { "mistral", "Mistral" },
}

local function known_types()
  local names = {}
  for name in pairs(families) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- The class "<Family><suffix>" for a model_type.
local function class_for(model_type, suffix, where)
  local family = families[model_type]
  if not family then
    errors.raise("%s: model_type: %s; known: %s", where, type(model_type) == "string" and options.unknown("architecture", model_type, known_types()) or "not found",
      table.concat(known_types(), ", "))
  end
  local name = family[2] .. (family[3] and family[3][suffix] or suffix)
  local class = require("hflua.models." .. family[1])[name]
  if not class then errors.raise("%s: there is no %s", where, name) end
  return class
end

local function read_type(source, options)
  local files = hub.open(source, hub.place(options, "model"))
  local path = files:need("config.json")
  local content = files:reading(function() return json.load_file(files:need("config.json")) end)
  if type(content) ~= "table" then errors.raise("%s: expected an object, found %s", path, type(content)) end
  return content.model_type, path
end

auto.AutoConfig = {}

--- The configuration of a folder or name; options overwrite its fields.
function auto.AutoConfig.from_pretrained(source, fields)
  local model_type, path = read_type(source, fields)
  return class_for(model_type, "Config", path).from_pretrained(source, fields)
end

--- A configuration of a model_type from its fields.
function auto.AutoConfig.for_model(model_type, fields) return class_for(model_type, "Config", "AutoConfig.for_model")(fields) end

local function auto_class(name, suffix)
  local class = {}

  --- A model with weights from a folder or name; options as the class's own from_pretrained takes them.
  function class.from_pretrained(source, fields)
    if type(source) ~= "string" then errors.raise("%s.from_pretrained: expected a folder or a name, found %s", name, type(source)) end
    local model_type, path = read_type(source, fields)
    if fields and fields.config then model_type = fields.config.model_type end
    return class_for(model_type, suffix, path).from_pretrained(source, fields)
  end

  --- A model with random weights.
  function class.from_config(config)
    if type(config) ~= "table" then errors.raise("%s.from_config: expected a configuration, found %s", name, type(config)) end
    return class_for(config.model_type, suffix, name).from_config(config)
  end

  auto[name] = setmetatable(class, { __tostring = function() return "class " .. name end })
end

auto_class("AutoModel", "Model")
auto_class("AutoModelForSequenceClassification", "ForSequenceClassification")
auto_class("AutoModelForMaskedLM", "ForMaskedLM")
auto_class("AutoModelForTokenClassification", "ForTokenClassification")
auto_class("AutoModelForQuestionAnswering", "ForQuestionAnswering")
auto_class("AutoModelForCausalLM", "ForCausalLM")
auto_class("AutoModelForPreTraining", "ForPreTraining")

return auto
