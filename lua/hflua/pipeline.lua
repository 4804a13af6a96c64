--- hf.pipeline(task, options): a model and a tokenizer behind one call on texts.
--
--   local classifier = hf.pipeline("text-classification", { model = "path/to/checkpoint" })
--   local fill = hf.pipeline{ task = "fill-mask", model = model, tokenizer = tok }
--   print(classifier("I like this.")[1].label)
local errors = require "hflua.errors"
local hub = require "hflua.hub"
local notes = require "hflua.trainer.notes"
local options = require "hflua.options"

-- task -> module, Auto class, endings of fitting class names, the Hub's default checkpoint
local tasks = {
  ["text-classification"] = { "text_classification", "AutoModelForSequenceClassification", { "ForSequenceClassification" },
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english" },
  ["token-classification"] = { "token_classification", "AutoModelForTokenClassification", { "ForTokenClassification" },
    "dbmdz/bert-large-cased-finetuned-conll03-english" },
  ["question-answering"] = { "question_answering", "AutoModelForQuestionAnswering", { "ForQuestionAnswering" },
    "distilbert/distilbert-base-cased-distilled-squad" },
  ["feature-extraction"] = { "feature_extraction", "AutoModel", nil, "distilbert/distilbert-base-cased" },
  ["fill-mask"] = { "fill_mask", "AutoModelForMaskedLM", { "ForMaskedLM" }, "distilbert/distilroberta-base" },
  ["zero-shot-classification"] = { "zero_shot_classification", "AutoModelForSequenceClassification", { "ForSequenceClassification" },
    "facebook/bart-large-mnli" },
  ["text-generation"] = { "text_generation", "AutoModelForCausalLM", { "LMHeadModel", "ForCausalLM" }, "openai-community/gpt2" },
}

local aliases = { ["sentiment-analysis"] = "text-classification", ner = "token-classification" }

-- Endings of all class names with a head: a model with another one's head does not fit.
local endings = { "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM", "ForPreTraining",
  "ForCausalLM", "LMHeadModel", "Model" }

local factory_options = { "task", "model", "tokenizer", "config", "revision", "dtype", "torch_dtype", "device", "device_map", "framework", "use_fast",
  "token", "trust_remote_code", "model_kwargs" }

local function task_names()
  local names = {}
  for name in pairs(tasks) do names[#names + 1] = name end
  for name in pairs(aliases) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function check_task(task)
  local name = aliases[task] or task
  if tasks[name] then return name end
  errors.raise("pipeline: %s; known: %s", options.unknown("task", tostring(task), task_names()), table.concat(task_names(), ", "))
end

local function ends_with(text, ending) return text:sub(-#ending) == ending end

-- The task a model object is made for, by its class name.
local function task_of(model)
  local name = type(model) == "table" and model.__name or ""
  for task, entry in pairs(tasks) do
    for _, ending in ipairs(task ~= "zero-shot-classification" and entry[3] or {}) do
      if ends_with(name, ending) then return task end
    end
  end
  errors.raise("pipeline: expected a task, pipeline(\"text-classification\", {model = ...}); it can be told from a model object with a task head, found %s",
    name ~= "" and name or type(model))
end

-- Error when the class of a model object has another task's head. Classes of one's own pass.
local function check_model(task, model)
  local wanted, name = tasks[task][3], model.__name or ""
  if not wanted then return end
  for _, ending in ipairs(wanted) do if ends_with(name, ending) then return end end
  for _, ending in ipairs(endings) do
    if ends_with(name, ending) then errors.raise("pipeline('%s'): model: expected a ...%s, found %s", task, table.concat(wanted, " or ..."), name) end
  end
end

-- The default checkpoint of a task.
local function default_model(task)
  local name = tasks[task][4]
  if not hub.find(name, { kind = "model" }) and require("hflua.hub.client").is_offline() then
    errors.raise("pipeline('%s'): no model was given, and the default one, %s, is not in the local cache (%s), with HF_HUB_OFFLINE set: give {model = a folder, a name in the cache, or a model object}",
      task, name, hub.cache_folder())
  end
  notes.once("no model was given: '%s' takes %s", task, name)
  return name
end

local function load_model(task, o)
  local model = o.model or default_model(task)
  if type(model) == "table" then
    check_model(task, model)
    return model, model.config and model.config.name_or_path
  end
  if type(model) ~= "string" then errors.raise("pipeline('%s'): model: expected a folder, a name or a model object, found %s", task, type(model)) end
  local given = { revision = o.revision, token = o.token, dtype = o.dtype or o.torch_dtype, config = type(o.config) == "table" and o.config or nil }
  for name, value in pairs(o.model_kwargs or {}) do given[name] = value end
  return require("hflua.models")[tasks[task][2]].from_pretrained(model, given), model
end

-- The tokenizer given, else that of the model's folder.
local function load_tokenizer(task, o, source)
  local tokenizer = o.tokenizer or source
  if type(tokenizer) == "table" then return tokenizer end
  if type(tokenizer) ~= "string" or not (o.tokenizer or hub.find(tokenizer, { kind = "model" })) then
    errors.raise("pipeline('%s'): no tokenizer can be told from this model object; give {tokenizer = tok, or the folder it is in}", task)
  end
  return require("hflua.tokenizer").AutoTokenizer.from_pretrained(tokenizer, { revision = o.revision, token = o.token })
end

-- Options as one table from pipeline(task, options), pipeline(task, model, options), pipeline(options).
local function read_call(task, model, given)
  if type(task) == "table" then task, model, given = nil, nil, task
  elseif type(model) == "table" and getmetatable(model) == nil and model.forward == nil then model, given = nil, model end
  if given ~= nil and type(given) ~= "table" then errors.raise("pipeline: options: expected a table, found %s", type(given)) end
  local o = { task = task, model = model }
  for name, value in pairs(given or {}) do o[name] = value end
  return o
end

-- The options of the factory, and those of the pipeline.
local function split_options(task, Class, o)
  local factory, own, known = {}, {}, Class.known_options(Class)
  for _, name in ipairs(factory_options) do
    factory[name], known[name] = o[name], "any"
  end
  options.check(("pipeline('%s')"):format(task), o, known)
  for name, value in pairs(o) do if factory[name] == nil then own[name] = value end end
  return factory, own
end

local function make(...)
  local o = read_call(...)
  local task = check_task(o.task or task_of(o.model))
  local Class = require("hflua.pipelines." .. tasks[task][1])
  local factory, own = split_options(task, Class, o)
  local model, source = load_model(task, factory)
  if factory.device ~= nil and factory.device ~= -1 then model = model:to(factory.device == 0 and "cuda:0" or factory.device) end
  return Class(task, model, load_tokenizer(task, factory, source), own)
end

return setmetatable({}, { __call = function(_, ...) return make(...) end })
