--- feature-extraction: the hidden state of each token, [1][T][C] for a text, or a tensor (1, T, C) with return_tensors.
local Pipeline = require "hflua.pipelines.base"

local FeatureExtraction = Pipeline:extend("FeatureExtractionPipeline")

FeatureExtraction.parameters = { return_tensors = "boolean", truncation = "any", tokenize_kwargs = "table" }

function FeatureExtraction:preprocess(text, o)
  self:check_text(text)
  local arguments = {}
  for name, value in pairs(o.tokenize_kwargs or {}) do arguments[name] = value end
  if o.truncation ~= nil then
    if arguments.truncation ~= nil then self:fail("option 'truncation' is also in tokenize_kwargs") end
    arguments.truncation = o.truncation
  end
  return { self:row_of(self.tokenizer(text, nil, arguments)) }
end

-- The model's first output; in a batch, without the padding behind shorter texts.
function FeatureExtraction:pick(outputs, i, row)
  local _, first = pairs(outputs)(outputs)
  if #first.shape < 3 then return first[i] end
  return self:own_part(first, i, #row.input_ids)
end

function FeatureExtraction:postprocess(rows, o)
  local features = rows[1].output:unsqueeze(0)
  return o.return_tensors and features or features:tolist()
end

return FeatureExtraction
