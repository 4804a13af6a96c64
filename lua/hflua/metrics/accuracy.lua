--- Accuracy{ task = "multiclass", num_classes = 5 }: the running metric of a custom loop, in torchmetrics' form.
--
--     local metric = hf.Accuracy{ task = "multiclass", num_classes = 5 }:to(device)
--     metric(predictions, labels)       -- the batch's accuracy; also added up
--     metric:compute():item()           -- micro average over everything seen
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"

local Accuracy = class("Accuracy")

function Accuracy:init(given)
  local o = options.merge({ task = "multiclass", num_classes = options.none, num_labels = options.none, threshold = 0.5,
    average = "micro", ignore_index = options.none }, given, "Accuracy")
  if o.task ~= "multiclass" and o.task ~= "binary" and o.task ~= "multilabel" then
    errors.raise("Accuracy: task '%s': expected binary, multiclass or multilabel", o.task)
  end
  if o.task == "multiclass" and not o.num_classes then errors.raise("Accuracy: task 'multiclass' needs num_classes") end
  if o.average ~= "micro" then errors.raise("Accuracy: average '%s': expected micro", o.average) end
  self.options = o
  self:reset()
end

-- Class scores (N, C) become classes; probabilities of the other tasks become 0 and 1.
local function to_classes(predictions, o)
  if o.task == "multiclass" then
    return #predictions.shape > 1 and predictions:argmax { dim = -1 } or predictions
  end
  if predictions.dtype:sub(1, 5) ~= "float" then return predictions end
  return predictions:gt(o.threshold)
end

local function flatten(list, out)
  if type(list) ~= "table" then list = { list } end
  for _, value in ipairs(list) do
    if type(value) == "table" then flatten(value, out) else out[#out + 1] = value end
  end
  return out
end

local function number(value)
  if type(value) == "boolean" then return value and 1 or 0 end
  return value
end

--- Adds a batch of tensors: predicted classes or scores, and labels. Returns the number of right ones and of all.
function Accuracy:update(predictions, labels)
  local o = self.options
  local p, l = flatten(to_classes(predictions, o):tolist(), {}), flatten(labels:tolist(), {})
  if #p ~= #l then errors.raise("Accuracy: %d predictions but %d labels", #p, #l) end
  local right, total = 0, 0
  for i, label in ipairs(l) do
    if label ~= o.ignore_index then
      total = total + 1
      if number(p[i]) == number(label) then right = right + 1 end
    end
  end
  self.right, self.total = self.right + right, self.total + total
  return right, total
end

local function share(right, total)
  return require("hflua.tensor").tensor(total > 0 and right / total or 0.0, { dtype = "float32" })
end

function Accuracy:__call(predictions, labels) return share(self:update(predictions, labels)) end

--- The accuracy over all batches since the last reset, as a tensor.
function Accuracy:compute() return share(self.right, self.total) end

function Accuracy:reset() self.right, self.total = 0, 0 end

--- Counting happens on the host; returns the metric itself.
function Accuracy:to() return self end

return Accuracy
