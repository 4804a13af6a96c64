--- Metrics in the form of HF's evaluate library; nothing is downloaded.
--
--     local metric = hf.evaluate.load("glue", "mrpc")
--     metric:compute{ predictions = preds, references = labels }   --> {'accuracy': 0.86, 'f1': 0.9}
--     metric:add_batch{ predictions = ..., references = ... }      -- then metric:compute()
--
-- Predictions and references are lists or tensors. A metric keeps nothing after `compute`.
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"
local ordered = require "hflua.ordered"
local classification = require "hflua.metrics.classification"
local ranking = require "hflua.metrics.ranking"
local regression = require "hflua.metrics.regression"

local evaluate = {}

local averaged = { "average", "pos_label", "labels", "sample_weight", "zero_division" }

-- name -> { function(predictions, references, options), names of its options, keeps rows of numbers, other name of predictions }
local registry = {
  accuracy = { classification.accuracy, { "normalize", "sample_weight" } },
  f1 = { classification.f1, averaged },
  precision = { classification.precision, averaged },
  recall = { classification.recall, averaged },
  matthews_correlation = { classification.matthews_correlation, { "sample_weight" } },
  confusion_matrix = { classification.confusion_matrix, { "labels", "sample_weight", "normalize" } },
  balanced_accuracy = { classification.balanced_accuracy, { "sample_weight", "adjusted" } },
  cohen_kappa = { classification.cohen_kappa, { "labels", "weights", "sample_weight" } },
  exact_match = { classification.exact_match, { "ignore_case", "ignore_punctuation", "ignore_numbers" } },
  pearsonr = { regression.pearsonr, { "return_pvalue" } },
  spearmanr = { regression.spearmanr, { "return_pvalue" } },
  mse = { regression.mse, { "squared", "sample_weight" } },
  mae = { regression.mae, { "sample_weight" } },
  r2 = { regression.r2, {} },
  r_squared = { regression.r_squared, {} },
  roc_auc = { ranking.roc_auc, { "multi_class", "average", "pos_label", "sample_weight" }, true, "prediction_scores" },
  average_precision = { ranking.average_precision, { "pos_label", "sample_weight" } },
  log_loss = { ranking.log_loss, { "normalize", "sample_weight" }, true },
  perplexity = { regression.perplexity, {} },
}

-- The results of several functions in one ordered table.
local function joined(...)
  local functions = { ... }
  return function(predictions, references, o)
    local result = ordered.new()
    for _, f in ipairs(functions) do
      for name, value in pairs(f(predictions, references, o)) do result[name] = value end
    end
    return result
  end
end

local function stsb(predictions, references)
  return ordered.new("pearson", regression.pearsonr(predictions, references, {}).pearsonr,
    "spearmanr", regression.spearmanr(predictions, references, {}).spearmanr)
end

local function cb(predictions, references)
  return ordered.new("accuracy", classification.accuracy(predictions, references, {}).accuracy,
    "f1", classification.f1(predictions, references, { average = "macro" }).f1)
end

local accuracy_and_f1 = joined(classification.accuracy, classification.f1)

local benchmarks = {
  glue = { sst2 = classification.accuracy, mnli = classification.accuracy, mnli_matched = classification.accuracy,
    mnli_mismatched = classification.accuracy, qnli = classification.accuracy, rte = classification.accuracy,
    wnli = classification.accuracy, hans = classification.accuracy, mrpc = accuracy_and_f1, qqp = accuracy_and_f1,
    cola = classification.matthews_correlation, stsb = stsb },
  super_glue = { boolq = classification.accuracy, copa = classification.accuracy, rte = classification.accuracy,
    wic = classification.accuracy, wsc = classification.accuracy, ["wsc.fixed"] = classification.accuracy,
    axg = classification.accuracy, axb = classification.matthews_correlation, cb = cb },
}

-- A list of what was given: a tensor's numbers, or the list itself.
local function to_list(where, name, value)
  if type(value) == "userdata" or type(value) == "table" and getmetatable(value) and value.tolist then
    value = value:tolist()
  end
  if type(value) ~= "table" then
    errors.raise("%s: %s: expected a list or a tensor, found %s", where, name, type(value))
  end
  return value
end

-- Rows of one number become the number.
local function flat(where, name, list)
  if type(list[1]) ~= "table" then return list end
  local out = {}
  for i, row in ipairs(list) do
    if type(row) ~= "table" or #row ~= 1 then
      errors.raise("%s: %s: expected one value per example, found %d (argmax over the last dimension gives classes)",
        where, name, type(row) == "table" and #row or 0)
    end
    out[i] = row[1]
  end
  return out
end

local Metric = class("EvaluationModule")

function Metric:init(name, compute, option_names, takes_rows, spelling)
  self.name, self.compute_function, self.option_names, self.takes_rows = name, compute, option_names, takes_rows
  self.spelling = spelling
  self.predictions, self.references = {}, {}
end

function Metric:read(name, value)
  local list = to_list(self.name, name, value)
  return self.takes_rows and name == "predictions" and list or flat(self.name, name, list)
end

local function append(out, list)
  table.move(list, 1, #list, #out + 1, out)
end

-- The table with the metric's own name for predictions, where it has one, replaced by `predictions`.
function Metric:spelled(given)
  local own = self.spelling
  if type(given) ~= "table" or not own or given[own] == nil then return given end
  if given.predictions ~= nil then errors.raise("%s: predictions and %s are two names of one thing: give one", self.name, own) end
  local out = {}
  for name, value in pairs(given) do out[name == own and "predictions" or name] = value end
  return out
end

--- Adds a batch: `{ predictions =, references = }`.
function Metric:add_batch(given)
  given = self:spelled(given)
  options.check(self.name, given, { "predictions", "references" })
  local predictions = self:read("predictions", given.predictions)
  local references = self:read("references", given.references)
  if #predictions ~= #references then
    errors.raise("%s: %d predictions but %d references", self.name, #predictions, #references)
  end
  append(self.predictions, predictions)
  append(self.references, references)
end

--- Adds one example: `{ prediction =, reference = }`; the plural names will do.
function Metric:add(given)
  options.check(self.name, given, { "prediction", "reference", "predictions", "references" })
  local prediction, reference = given.prediction, given.reference
  if prediction == nil then prediction = given.predictions end
  if reference == nil then reference = given.references end
  local function number(value) return type(value) == "userdata" and value:item() or value end
  self.predictions[#self.predictions + 1] = number(prediction)
  self.references[#self.references + 1] = number(reference)
end

local function metric_options(self, given)
  local known = { "predictions", "references", table.unpack(self.option_names) }
  known[#known + 1] = self.spelling
  local o = {}
  for name, value in pairs(options.check(self.name, given, known)) do
    if name ~= "predictions" and name ~= "references" then
      local is_tensor = type(value) == "userdata" and tostring(value) ~= "null"
      o[name] = is_tensor and value:tolist() or value
    end
  end
  return o
end

--- Computes over what was added and what is given, and forgets it.
function Metric:compute(given)
  given = self:spelled(given or {})
  local o = metric_options(self, given)
  if given.predictions ~= nil or given.references ~= nil then
    self:add_batch { predictions = given.predictions, references = given.references }
  end
  local predictions, references = self.predictions, self.references
  self.predictions, self.references = {}, {}
  if #references == 0 then errors.raise("%s: no predictions were added", self.name) end
  return self.compute_function(predictions, references, o)
end

-- Perplexity here is of losses: the mean's exponential.
local Perplexity = Metric:extend("EvaluationModule")

function Perplexity:compute(given)
  options.check("perplexity", given, { "losses", "predictions" })
  local losses = given and (given.losses or given.predictions)
  return regression.perplexity(flat("perplexity", "losses", to_list("perplexity", "losses", losses)))
end

local function load_benchmark(name, config)
  local configs = benchmarks[name]
  if not config then errors.raise('evaluate.load("%s"): a configuration is needed, such as "%s"', name, next(configs)) end
  if not configs[config] then
    errors.raise('evaluate.load("%s", "%s"): %s', name, config, options.unknown("configuration", config, configs))
  end
  return Metric(name .. "/" .. config, configs[config], {})
end

--- evaluate.load(name[, configuration]).
function evaluate.load(name, config)
  if type(name) ~= "string" then errors.raise("evaluate.load: name: expected a string, found %s", type(name)) end
  if type(config) == "table" then config = config.config_name end
  if benchmarks[name] then return load_benchmark(name, config) end
  local entry = registry[name]
  if not entry then errors.raise("evaluate.load: %s", options.unknown("metric", name, evaluate.list_evaluation_modules())) end
  if name == "perplexity" then return Perplexity(name, entry[1], entry[2]) end
  return Metric(name, table.unpack(entry))
end

--- The names `load` knows, sorted.
function evaluate.list_evaluation_modules()
  local names = {}
  for _, source in ipairs { registry, benchmarks } do
    for name in pairs(source) do names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- Several metrics as one.
local Combined = class("CombinedEvaluations")

function Combined:init(metrics) self.metrics = metrics end

function Combined:add_batch(given)
  for _, metric in ipairs(self.metrics) do metric:add_batch(given) end
end

function Combined:add(given)
  for _, metric in ipairs(self.metrics) do metric:add(given) end
end

function Combined:compute(given)
  local result = ordered.new()
  for _, metric in ipairs(self.metrics) do
    for name, value in pairs(metric:compute(given)) do result[name] = value end
  end
  return result
end

--- evaluate.combine{ "accuracy", "f1" }: names or loaded metrics.
function evaluate.combine(list)
  local metrics = {}
  for i, entry in ipairs(list) do metrics[i] = type(entry) == "string" and evaluate.load(entry) or entry end
  return Combined(metrics)
end

evaluate.Metric = Metric

return evaluate
