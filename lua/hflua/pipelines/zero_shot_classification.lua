--- zero-shot-classification: how well labels chosen by the caller fit a text, asked of a model of entailment: text and
-- "This example is LABEL." make a pair for each label.
local Pipeline = require "hflua.pipelines.base"
local notes = require "hflua.trainer.notes"
local ordered = require "hflua.ordered"
local strip = require("hflua.core.text").strip
local tensor = require "hflua.tensor"

local ZeroShot = Pipeline:extend("ZeroShotClassificationPipeline")

ZeroShot.parameters = { candidate_labels = "strings", hypothesis_template = "string", multi_label = "boolean" }

-- Labels as a list, or as a text with commas.
local function labels_of(value)
  if type(value) == "table" then return value end
  local labels = {}
  for label in (value or ""):gmatch "[^,]+" do
    label = strip(label)
    if label ~= "" then labels[#labels + 1] = label end
  end
  return labels
end

--- The id of the label whose name begins with "entail"; the last one where there is none.
function ZeroShot:entailment_id()
  local c = self.model.config
  for id = 0, c.num_labels - 1 do
    if self:label(id):lower():find "^entail" then return id end
  end
  notes.once("zero-shot-classification: no label of the model begins with 'entail': its last one, '%s', is taken as entailment", self:label(c.num_labels - 1))
  return c.num_labels - 1
end

-- The pair as the model reads it: the text is cut when both are too long, the hypothesis never is.
local function encode(self, text, hypothesis)
  local ok, encoding = pcall(self.tokenizer, text, hypothesis, { truncation = "only_first" })
  if not ok and tostring(encoding):find("too short", 1, true) then ok, encoding = true, self.tokenizer(text, hypothesis) end
  if not ok then error(encoding, 0) end
  return encoding
end

function ZeroShot:preprocess(text, o)
  self:check_text(text)
  local labels, template, rows = labels_of(o.candidate_labels), o.hypothesis_template or "This example is {}.", {}
  if #labels == 0 or text == "" then self:fail("at least one text and one of candidate_labels are needed") end
  if not template:find("{}", 1, true) then
    self:fail("option 'hypothesis_template': expected {} where the label goes, found \"%s\"", template)
  end
  for i, label in ipairs(labels) do
    rows[i] = self:row_of(encode(self, text, (template:gsub("{}", function() return label end))))
    rows[i].label = label
  end
  return rows
end

-- Scores of the labels: entailment against contradiction for each, or entailment among all labels.
local function scores_of(logits, entailment, independent)
  if not independent then return logits:select(1, entailment):softmax { dim = 0 }:tolist() end
  local contradiction = entailment == 0 and logits.shape[2] - 1 or 0
  local both = logits:index_select(1, tensor.tensor { contradiction, entailment })
  return both:softmax { dim = -1 }:select(1, 1):tolist()
end

function ZeroShot:postprocess(rows, o, text)
  local logits, results = {}, {}
  for i, row in ipairs(rows) do logits[i] = row.output end
  local scores = scores_of(tensor.stack(logits), self:entailment_id(), o.multi_label or #rows == 1)
  for i, row in ipairs(rows) do results[i] = { label = row.label, score = scores[i] } end
  local labels, sorted = {}, {}
  for i, entry in ipairs(self.best(results)) do labels[i], sorted[i] = entry.label, entry.score end
  return ordered.new("sequence", text, "labels", labels, "scores", sorted)
end

--- classifier(texts, {candidate_labels = {...}}) or classifier(texts, {"label", "other"}).
function ZeroShot:__call(inputs, given, more)
  if type(given) == "string" or (type(given) == "table" and given[1] ~= nil) then
    local labels = given
    given = { candidate_labels = labels }
    for name, value in pairs(more or {}) do given[name] = value end
  end
  return Pipeline.__call(self, inputs, given)
end

return ZeroShot
