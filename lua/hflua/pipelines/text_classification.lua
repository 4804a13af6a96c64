--- text-classification (sentiment-analysis): a label for each text, or for each pair of texts.
local Pipeline = require "hflua.pipelines.base"
local null = require("hflua.core.json").null
local ordered = require "hflua.ordered"

local TextClassification = Pipeline:extend("TextClassificationPipeline")

TextClassification.parameters = { top_k = "count_or_null", function_to_apply = "string", return_all_scores = "boolean" }
TextClassification.tokenizer_options = true

local functions = {
  sigmoid = function(x) return x:sigmoid() end,
  softmax = function(x) return x:softmax { dim = -1 } end,
  none = function(x) return x end,
}

-- Rows of an item: a text, or { text =, text_pair = }.
function TextClassification:preprocess(item, o)
  local text, pair = item, nil
  if type(item) == "table" then
    if item.text == nil then
      self:fail("a pair of texts is given as {text = \"...\", text_pair = \"...\"}, found a list inside the list of inputs")
    end
    text, pair = item.text, item.text_pair
  end
  self:check_text(text)
  return { self:row_of(self.tokenizer(text, pair, self:tokenizer_arguments(o))) }
end

-- What turns logits into scores: as asked for, else by the configuration.
local function function_of(self, wanted)
  local c = self.model.config
  if wanted and wanted ~= "default" then
    return functions[wanted:lower()] or self:fail("option 'function_to_apply': expected 'sigmoid', 'softmax', 'none' or 'default', found '%s'", wanted)
  end
  if c.problem_type == "regression" then return functions.none end
  if c.problem_type == "multi_label_classification" or c.num_labels == 1 then return functions.sigmoid end
  return functions.softmax
end

function TextClassification:postprocess(rows, o)
  local scores = function_of(self, o.function_to_apply)(rows[1].output):tolist()
  if o.top_k == nil and not o.return_all_scores then
    local best, score = self.largest(scores)
    return ordered.new("label", self:label(best - 1), "score", score)
  end
  local all = {}
  for i, score in ipairs(scores) do all[i] = ordered.new("label", self:label(i - 1), "score", score) end
  if o.top_k == nil then return all end
  return self.best(all, o.top_k ~= null and o.top_k or nil)
end

--- One text gives a list with one result; with top_k in the call, its list of results; a pair gives its result.
function TextClassification:__call(inputs, given)
  local o = self:merge_options(given)
  if self:is_list(inputs) then return self:run(inputs, o) end
  local result = self:run({ inputs }, o)[1]
  if type(inputs) == "string" and not (given and given.top_k ~= nil) then return { result } end
  return result
end

return TextClassification
