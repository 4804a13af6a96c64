--- Trainer's loss: of the model, of a given function, or smoothed; and the weight of a micro-batch among those accumulated.
--
-- A step over several micro-batches gives the loss and the gradient of one large batch: each micro-batch counts with its share
-- of the labels. transformers 5 instead adds up the means of classification losses, and counts GPT-2's first labels, which
-- are never predicted; hf_quirks = true does the same.
local errors = require "hflua.errors"

local loss = {}

local IGNORED = -100

-- Class names of the models that predict the next token, and of those among them that transformers recognises as such.
local function is_causal(model)
  local name = model.__name or ""
  return model.loss_shifts_labels or name:find("ForCausalLM$") ~= nil or name:find("LMHeadModel$") ~= nil
end

local function is_recognised_causal(model) return (model.__name or ""):find("ForCausalLM$") ~= nil end

-- The labels that count: how many are not -100, the first of each row left out when `shift`; all of float labels.
local function count(labels, shift)
  if labels.dtype:sub(1, 5) == "float" then return labels:numel() end
  if shift and labels.ndim > 1 then labels = labels:slice { dim = -1, start = 1 } end
  return labels:to("cpu"):ne(IGNORED):long():sum():item()
end

local function rows_of(inputs)
  for _, value in pairs(inputs) do
    if type(value) == "userdata" then return value:size(0) end
  end
  return 1
end

--- The number of rows in a batch.
function loss:batch_rows(inputs) return rows_of(inputs) end

-- What a micro-batch weighs in the mean over the large batch.
local function items_of(self, inputs)
  local labels = inputs[self.label_names[1]]
  if type(labels) ~= "userdata" or #self.label_names > 1 then return rows_of(inputs) end
  return count(labels, is_causal(self.model))
end

-- The weights of transformers: nothing is divided for losses that ignore the number of items, and GPT-2 divides by all labels.
local function quirk_weights(self, batches)
  local weights, total, name = {}, 0, self.label_names[1]
  local takes_items = is_causal(self.model) or self.args.label_smoothing_factor > 0
  for i, inputs in ipairs(batches) do
    local labels = inputs[name]
    weights[i] = takes_items and labels and count(labels, is_causal(self.model)) or 1
    total = total + (takes_items and labels and count(labels, is_recognised_causal(self.model)) or 0)
  end
  local all, factor = self:items_of_all(total)
  for i = 1, #weights do weights[i] = factor * (takes_items and all > 0 and weights[i] / all or 1) end
  return weights
end

--- The weights of the micro-batches of one step, and the number of labels in all of them (nil when it was not needed). In several
-- processes the labels of all count, and weights are such that the mean over the processes divides by their number.
function loss:accumulation_weights(batches)
  if self.args.hf_quirks then return quirk_weights(self, batches) end
  if #batches == 1 and not self.compute_loss_func and self.args.world_size == 1 then return { 1 } end
  local weights, total = {}, 0
  for i, inputs in ipairs(batches) do
    weights[i] = items_of(self, inputs)
    total = total + weights[i]
  end
  local all, factor = self:items_of_all(total)
  for i = 1, #weights do weights[i] = all > 0 and factor * weights[i] / all or 1 / #weights end
  return weights, all
end

local function without(inputs, name)
  local rest = {}
  for key, value in pairs(inputs) do
    if key ~= name then rest[key] = value end
  end
  return rest
end

local function keys_of(value)
  local names = {}
  for key in pairs(value) do names[#names + 1] = tostring(key) end
  return table.concat(names, ",")
end

-- The headed models that a headless one of this name should have been.
local function advice(model)
  local family = (model.__name or ""):match("^(.*)Model$")
  if not family then return "" end
  if family:find("GPT2") or family:find("Llama") or family:find("Qwen") then
    local head = family == "GPT2" and "GPT2LMHeadModel" or family .. "ForCausalLM"
    return (" Use %sForSequenceClassification (class label) or %s (text)."):format(family, head)
  end
  return (" Use %sForSequenceClassification (class label) or another model with a head."):format(family)
end

-- Has the model's forward an argument "labels"? One without a list of arguments has.
local function accepts_labels(model)
  if not model.forward_arguments then return true end
  for _, name in ipairs(model.forward_arguments) do if name == "labels" then return true end end
  return false
end

local function loss_of(self, outputs, inputs)
  local value = outputs.loss
  if value ~= nil then return value end
  errors.raise("The model did not return a loss from the inputs, only the following keys: %s. For reference, the inputs it received are %s.%s",
    keys_of(outputs), keys_of(inputs), advice(self.model))
end

-- Cross entropy with label smoothing on the model's logits, over all that is not -100.
local function smoothed(self, outputs, labels)
  local logits = outputs.logits
  if is_causal(self.model) then
    logits, labels = logits:slice { dim = -2, start = 0, stop = -1 }, labels:slice { dim = -1, start = 1 }
  end
  local tensor = require "hflua.tensor"
  return tensor.cross_entropy(logits:reshape { -1, logits:size(-1) }, labels:reshape { -1 },
    { ignore_index = IGNORED, label_smoothing = self.args.label_smoothing_factor })
end

--- The loss of a batch, and the model's outputs. Replace it for a loss of your own:
-- `function MyTrainer:compute_loss(model, inputs, options) ... return loss, outputs end`; options.num_items_in_batch is the
-- number of labels in the whole step when it is known. What is returned counts as the mean over this batch.
function loss:compute_loss(model, inputs, options)
  local labels = inputs.labels
  local takes_labels = labels ~= nil and (self.compute_loss_func or self.args.label_smoothing_factor > 0)
  local withheld = takes_labels or (labels ~= nil and not accepts_labels(model))
  local outputs = self:call_model(model, withheld and without(inputs, "labels") or inputs)
  if self.compute_loss_func then
    return self.compute_loss_func(outputs, labels, { num_items_in_batch = options and options.num_items_in_batch }), outputs
  end
  if takes_labels then return smoothed(self, outputs, labels), outputs end
  return loss_of(self, outputs, inputs), outputs
end

--- Forward and backward of one micro-batch; returns its part of the step's loss, detached.
function loss:training_step(model, inputs, weight, num_items_in_batch)
  inputs = self:prepare_inputs(inputs)
  local value = self:compute_loss(model, inputs, { num_items_in_batch = num_items_in_batch })
  local scaled = self.loss_is_scaled_for_ga
  if scaled == nil then scaled = self.compute_loss_func ~= nil and num_items_in_batch ~= nil end
  if scaled then weight = self:items_factor() end
  if weight ~= 1 then value = value * weight end
  if self.scaler then self.scaler:scale(value):backward() else value:backward() end
  return value:detach()
end

return loss
