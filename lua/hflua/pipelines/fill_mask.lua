--- fill-mask: words for the masked places of a text, the likeliest first.
local Pipeline = require "hflua.pipelines.base"
local notes = require "hflua.trainer.notes"
local ordered = require "hflua.ordered"
local tensor = require "hflua.tensor"

local FillMask = Pipeline:extend("FillMaskPipeline")

FillMask.parameters = { top_k = "count", targets = "strings", tokenizer_kwargs = "table" }

function FillMask:init(...)
  Pipeline.init(self, ...)
  if not self.tokenizer.mask_token_id then self:fail("the tokenizer has no mask_token") end
end

-- Rows of a text; row.masks are the positions of the mask, from 0.
function FillMask:preprocess(text, o)
  self:check_text(text)
  local row, masks = self:row_of(self.tokenizer(text, nil, o.tokenizer_kwargs)), {}
  for i, id in ipairs(row.input_ids) do
    if id == self.tokenizer.mask_token_id then masks[#masks + 1] = i - 1 end
  end
  if #masks == 0 then self:fail("No mask_token (%s) found on the input", self.tokenizer.mask_token) end
  row.masks = masks
  return { row }
end

-- Logits (M, V) of the masked places.
function FillMask:pick(outputs, i, row)
  return self:own_part(Pipeline.pick(self, outputs, i):unsqueeze(0), 1, #row.input_ids):index_select(0, tensor.tensor(row.masks))
end

-- The id of a target: of the word itself, else of its first piece.
local function target_id(self, vocabulary, target)
  if vocabulary[target] then return vocabulary[target] end
  local id = self.tokenizer(target, { add_special_tokens = false }).input_ids[1]
  if not id then
    notes.warn("fill-mask: the target '%s' is not in the vocabulary and has no tokens: it is left out", target)
    return nil
  end
  notes.warn("fill-mask: the target '%s' is not in the vocabulary: '%s' stands for it", target, self.tokenizer:convert_ids_to_tokens(id))
  return id
end

-- The ids of the targets, each once.
local function target_ids(self, targets)
  local vocabulary, ids, seen = self.tokenizer:get_vocab(), {}, {}
  for _, target in ipairs(type(targets) == "string" and { targets } or targets) do
    local id = target_id(self, vocabulary, target)
    if id and not seen[id] then ids[#ids + 1], seen[id] = id, true end
  end
  if #ids == 0 then self:fail("option 'targets': none of them has a token") end
  return ids
end

-- The text with `id` at a place; the special tokens are left out only where no other mask is shown.
local function sequence_with(self, row, place, id, single)
  local ids = {}
  for i, token in ipairs(row.input_ids) do
    token = i - 1 == place and id or token
    if token ~= self.tokenizer.pad_token_id then ids[#ids + 1] = token end
  end
  return self.tokenizer:decode(ids, { skip_special_tokens = single })
end

function FillMask:postprocess(rows, o)
  local row, results = rows[1], {}
  local probabilities, ids = row.output:softmax { dim = -1 }, o.targets and target_ids(self, o.targets)
  if ids then probabilities = probabilities:index_select(1, tensor.tensor(ids)) end
  local values, indices = probabilities:topk(math.min(o.top_k or 5, probabilities.shape[2]))
  values, indices = values:tolist(), indices:tolist()
  for m, place in ipairs(row.masks) do
    results[m] = {}
    for k, score in ipairs(values[m]) do
      local id = ids and ids[indices[m][k] + 1] or indices[m][k]
      results[m][k] = ordered.new("score", score, "token", id, "token_str", self.tokenizer:decode { id },
        "sequence", sequence_with(self, row, place, id, #row.masks == 1))
    end
  end
  return #results == 1 and results[1] or results
end

--- A text with one mask gives a list of results, with several a list for each; a list of one text gives that text's.
function FillMask:__call(inputs, given)
  local result = Pipeline.__call(self, inputs, given)
  if self:is_list(inputs) and #inputs == 1 then return result[1] end
  return result
end

return FillMask
