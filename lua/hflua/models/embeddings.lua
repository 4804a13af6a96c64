--- The word embeddings of a model: where they are, sharing them with the output layer, another number of rows.
-- These functions are methods of PreTrainedModel.
local tensor = require "hflua.tensor"
local errors = require "hflua.errors"
local init = require "hflua.nn.parameter"
local options_of = require "hflua.options"

local embeddings = {}

--- Path of the word embeddings in the headless model, of the output layer over the vocabulary, and of biases over the vocabulary that
-- stand apart from it, in the model itself.
embeddings.input_embeddings = "embeddings.word_embeddings"
embeddings.output_embeddings = nil
embeddings.vocabulary_biases = {}
--- Modules whose weight is that of another, as paths: { { "lm_head", "transformer.wte" } }.
embeddings.tied_weights = {}

-- What is at a path of field names ("transformer.wte"), and the module that holds it under its last name.
local function at(model, path)
  local owner, key
  for field in path:gmatch "[^.]+" do owner, key, model = model, field, model[field] end
  return model, owner, key
end

--- The module of the word embeddings.
function embeddings:get_input_embeddings()
  local base = self.base_model_prefix == "" and self or self[self.base_model_prefix]
  return (at(base, self.input_embeddings))
end

--- The output layer over the vocabulary, or nil.
function embeddings:get_output_embeddings() return self.output_embeddings and at(self, self.output_embeddings) or nil end

--- Makes output layers share the weight of the embeddings, where config.tie_word_embeddings says so.
function embeddings:tie_weights()
  if not self.config.tie_word_embeddings then return end
  for _, pair in ipairs(self.tied_weights) do
    local output, input = at(self, pair[1]), at(self, pair[2])
    output.weight = input.weight
    if output.out_features then output.out_features = input.weight.shape[1] end
  end
end

-- old (rows, C) or (rows) with n rows: those kept, then new ones as they stand in `fresh`.
local function with_rows(old, fresh)
  local kept = math.min(old.shape[1], fresh.shape[1])
  local new = tensor.no_grad(function()
    fresh:detach():narrow(0, 0, kept):copy_(old:detach():narrow(0, 0, kept))
    return fresh:detach():to(old.dtype):to(old.device)
  end)
  new.requires_grad = old.requires_grad
  return new
end

-- First values for more rows: the mean of the old ones, or drawn anew. Draws what Python's module draws when it is made.
local function fresh_rows(old, n, std, mean, draw_default)
  local fresh = init.new { n, old.shape[2] }
  draw_default(fresh)
  if n <= old.shape[1] then return fresh end
  if mean then tensor.no_grad(function() fresh:copy_(old:detach():float():mean { dim = 0, keepdim = true }:expand(n, old.shape[2])) end)
  else init.normal_(fresh, 0, std) end
  return fresh
end

local function resize_input(model, n, mean)
  local module, std = model:get_input_embeddings(), model.config.initializer_range
  module.weight = with_rows(module.weight, fresh_rows(module.weight, n, std, mean, function(fresh) init.normal_(fresh, 0, 1) end))
  module.num_embeddings = n
  if module.padding_idx and module.padding_idx >= n then module.padding_idx = nil end
end

-- The output layer, where it is not the embeddings; its bias, where it has one, goes on with zeros.
local function resize_output(model, n, mean)
  local module, std = model:get_output_embeddings(), model.config.initializer_range
  if module and module.weight and module.weight.shape[1] ~= n then
    module.weight = with_rows(module.weight, fresh_rows(module.weight, n, std, mean, init.linear_))
    module.out_features = n
  end
  for _, path in ipairs(model.vocabulary_biases) do
    local bias, owner, key = at(model, path)
    local longer = init.new { n }
    init.zeros_(longer)
    owner[key] = with_rows(bias, longer)
  end
end

local function wanted_rows(model, n, multiple)
  local where = model.__name .. ".resize_token_embeddings"
  n = n or model:get_input_embeddings().weight.shape[1]
  if math.type(n) ~= "integer" or n < 1 then errors.raise("%s: expected a whole number of at least 1, found %s", where, tostring(n)) end
  if multiple == nil then return n end
  if math.type(multiple) ~= "integer" or multiple < 1 then
    errors.raise("%s: pad_to_multiple_of: expected a whole number of at least 1, found %s", where, tostring(multiple))
  end
  return (n + multiple - 1) // multiple * multiple
end

--- Gives the word embeddings (and the output layer) n rows: ids up to n - 1. Rows are cut off or added at the end; new ones begin as
-- the mean of the old rows, or with {mean_resizing=false} drawn as first values are. {pad_to_multiple_of=} rounds n up. Returns the
-- module of the embeddings. An optimizer made before steps the old parameters: make it after.
function embeddings:resize_token_embeddings(n, options)
  options_of.check("resize_token_embeddings", options, { "pad_to_multiple_of", "mean_resizing" })
  local o = options or {}
  local rows, mean = wanted_rows(self, n, o.pad_to_multiple_of), o.mean_resizing ~= false
  if rows ~= self:get_input_embeddings().weight.shape[1] then
    resize_input(self, rows, mean)
    self:tie_weights()
    resize_output(self, rows, mean)
    self.config.vocab_size = rows
  end
  return self:get_input_embeddings()
end

return embeddings
