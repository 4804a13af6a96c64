--- Trainer:evaluate and Trainer:predict: a pass without gradients, predictions gathered, metrics computed.
local errors = require "hflua.errors"
local options = require "hflua.options"
local ordered = require "hflua.ordered"
local data = require "hflua.trainer.data"
local notes = require "hflua.trainer.notes"
local process_group = require "hflua.process_group"
local speed = require "hflua.trainer.speed"

local evaluation = {}

local PADDING = -100

local function tensor() return require "hflua.tensor" end

--- What compute_metrics is given: predictions, label_ids, and inputs and losses (one per row) when include_for_metrics names
-- them; `local logits, labels = eval_pred:unpack()`.
local EvalPrediction = {}
EvalPrediction.__index = EvalPrediction

function EvalPrediction:unpack() return self.predictions, self.label_ids, self.inputs end

-- ---- gathering

-- The tensor with dim 1 brought to `width` by -100.
local function widen(t, width)
  local gap = width - t:size(1)
  if gap == 0 then return t end
  local pad = {}
  for _ = 1, 2 * (t.ndim - 2) do pad[#pad + 1] = 0 end
  pad[#pad + 1], pad[#pad + 2] = 0, gap
  return t:pad(pad, PADDING)
end

-- Batches one after another; rows of unequal length are padded with -100. Without `concat` the list of batches stays.
local function concatenate(list, concat)
  if #list == 0 then return nil end
  if concat == false then return list end
  if type(list[1]) == "table" then
    local parts = {}
    for i = 1, #list[1] do
      local column = {}
      for j, item in ipairs(list) do column[j] = item[i] end
      parts[i] = concatenate(column)
    end
    return parts
  end
  if list[1].ndim == 0 then return tensor().stack(list, { dim = 0 }) end
  local width = 0
  if list[1].ndim > 1 then
    for _, t in ipairs(list) do width = math.max(width, t:size(1)) end
    for i, t in ipairs(list) do list[i] = widen(t, width) end
  end
  return tensor().cat(list, { dim = 0 })
end

-- On the host, without history; lists of tensors alike.
local function to_host(value)
  if type(value) == "userdata" then return value:detach():to("cpu") end
  local out = {}
  for i, t in ipairs(value) do out[i] = to_host(t) end
  return out
end

-- ---- one batch

local function contains(list, name)
  for _, entry in ipairs(list) do
    if entry == name then return true end
  end
  return false
end

-- Everything the model gave besides the loss: one tensor, or the list of them in the model's order.
local function logits_of(outputs, ignore)
  local parts = {}
  for name, value in pairs(outputs) do
    if name ~= "loss" and not contains(ignore, name) and (type(value) == "userdata" or type(value) == "table") then
      parts[#parts + 1] = value
    end
  end
  if #parts == 1 then return parts[1] end
  return #parts > 0 and parts or nil
end

-- The labels of a batch, or nil when one of label_names is missing.
local function labels_of(self, inputs)
  local labels = {}
  for i, name in ipairs(self.label_names) do
    labels[i] = inputs[name]
    if labels[i] == nil then return nil end
  end
  if #labels == 1 then return labels[1] end
  return labels
end

--- One batch without gradients: loss (nil without labels), logits and labels (nil when prediction_loss_only).
function evaluation:prediction_step(model, inputs, prediction_loss_only, ignore_keys)
  inputs = self:prepare_inputs(inputs)
  local labels = labels_of(self, inputs)
  local config = model.config or {}
  local ignore = ignore_keys or config.keys_to_ignore_at_inference or { "past_key_values", "hidden_states", "attentions" }
  local loss, outputs
  if labels then
    local weights, items = self:accumulation_weights { inputs }
    loss, outputs = self:compute_loss(model, inputs, { return_outputs = true, num_items_in_batch = items })
    local weight = self.compute_loss_func and items and self:items_factor() or weights[1]
    loss = weight ~= 1 and loss * weight or loss
  else
    outputs = self:call_model(model, inputs)
  end
  loss = loss and loss:item()
  if prediction_loss_only then return loss end
  return loss, logits_of(outputs, ignore), labels
end

-- ---- a whole pass

-- Sums and lists that the batches of a pass are gathered in; `of_all`: from all processes, which share the rows of the dataset.
local function new_gathering(self, dataloader)
  return { loss_sum = 0, loss_rows = 0, rows = 0, predictions = {}, labels = {}, inputs = {}, losses = {},
    of_all = dataloader.is_sharded and self.args.world_size > 1, dataset_rows = dataloader.is_sharded and self:num_examples(dataloader) }
end

local function wants(self, what) return contains(self.args.include_for_metrics, what) end

local function add_loss(self, into, loss, rows)
  into.loss_sum, into.loss_rows = into.loss_sum + loss * rows, into.loss_rows + rows
  if not wants(self, "loss") then return end
  for _ = 1, rows do table.insert(into.losses, loss) end
end

-- The rows of a batch that count, on the host: of this process, or of all.
local function to_rows(self, into, value, count)
  value = to_host(value)
  return into.of_all and self:gather_rows(value, count, PADDING) or value
end

-- The loss of a batch, for each of its rows that count.
local function gather_loss(self, into, loss, kept)
  if not into.of_all then return add_loss(self, into, loss, kept[1]) end
  for r, value in ipairs(process_group.gather_numbers(loss)) do add_loss(self, into, value, kept[r]) end
end

local function gather(self, into, inputs, loss, logits, labels)
  local rows = self:batch_rows(inputs)
  local kept, count = into.of_all and self:rows_that_count(rows, into.dataset_rows - into.rows) or { rows }, 0
  for _, n in ipairs(kept) do count = count + n end
  into.rows = into.rows + count
  if loss then gather_loss(self, into, loss, kept) end
  if logits then
    if self.preprocess_logits_for_metrics then
      if into.of_all then logits, labels = self:pad_rows(logits, PADDING), labels and self:pad_rows(labels, PADDING) end
      logits = self.preprocess_logits_for_metrics(logits, labels)
    end
    table.insert(into.predictions, to_rows(self, into, logits, count))
  end
  if labels then table.insert(into.labels, to_rows(self, into, labels, count)) end
  if wants(self, "inputs") then
    table.insert(into.inputs, to_rows(self, into, inputs[self.model.main_input_name or "input_ids"], count))
  end
end

local function eval_prediction(self, gathered, predictions, labels)
  return setmetatable({ predictions = predictions, label_ids = labels,
    inputs = #gathered.inputs > 0 and concatenate(gathered.inputs, self.args.eval_do_concat_batches) or nil,
    losses = #gathered.losses > 0 and tensor().tensor(gathered.losses) or nil }, EvalPrediction)
end

local function check_metrics(metrics)
  if type(metrics) ~= "table" then errors.raise("compute_metrics: expected it to return a table, found %s", type(metrics)) end
  return metrics
end

-- With batch_eval_metrics compute_metrics hears of each batch alone, and gives the result with the last one.
local function compute_batch(self, gathered, is_last)
  local predictions, labels = gathered.predictions[1], gathered.labels[1]
  if predictions and labels then
    local result = self.compute_metrics(eval_prediction(self, gathered, predictions, labels), { compute_result = is_last })
    if is_last then gathered.metrics = check_metrics(result) end
  end
  gathered.predictions, gathered.labels, gathered.inputs, gathered.losses = {}, {}, {}, {}
end

local function number(value)
  if type(value) == "userdata" and value.item then return value:item() end
  return value
end

-- PREFIX_loss first, then the metrics with the prefix; as HF orders them.
local function with_prefix(metrics, prefix, loss)
  local result = ordered.new()
  if loss then result[prefix .. "_loss"] = loss end
  for name, value in ordered.pairs(metrics) do
    local full = name:sub(1, #prefix + 1) == prefix .. "_" and name or prefix .. "_" .. name
    result[full] = number(value)
  end
  return result
end

local function compute_metrics(self, gathered)
  if gathered.metrics then return gathered.metrics end
  if not self.compute_metrics then return {} end
  if not gathered.all_predictions or not gathered.all_labels then
    notes.once("compute_metrics is not called: the rows have no column '%s'", table.concat(self.label_names, "', '"))
    return {}
  end
  return check_metrics(self.compute_metrics(eval_prediction(self, gathered, gathered.all_predictions, gathered.all_labels)))
end

local function walk(self, dataloader, prediction_loss_only, ignore_keys)
  local gathered, batches, by_batch = new_gathering(self, dataloader), 0, self.args.batch_eval_metrics and self.compute_metrics and not prediction_loss_only
  for inputs in dataloader do
    local loss, logits, labels = self:prediction_step(self.model, inputs, prediction_loss_only, ignore_keys)
    gather(self, gathered, inputs, loss, logits, labels)
    batches = batches + 1
    if by_batch then compute_batch(self, gathered, batches == #dataloader) end
    self:event("on_prediction_step")
    self:poll_signal()
  end
  return gathered
end

--- The pass behind evaluate and predict. Returns predictions, label_ids, metrics, num_samples.
function evaluation:evaluation_loop(dataloader, prediction_loss_only, ignore_keys, prefix)
  self:settle()
  self:convert_for_evaluation()
  self.callback_handler.context.eval_dataloader = dataloader
  local was_training = self.model.training
  self.model:eval()
  local ok, gathered = pcall(tensor().no_grad, walk, self, dataloader, prediction_loss_only, ignore_keys)
  if was_training then self.model:train() end
  if not ok then error(gathered, 0) end
  local concat = self.args.eval_do_concat_batches
  gathered.all_predictions, gathered.all_labels = concatenate(gathered.predictions, concat), concatenate(gathered.labels, concat)
  local loss = gathered.loss_rows > 0 and gathered.loss_sum / gathered.loss_rows or nil
  local metrics = with_prefix(prediction_loss_only and {} or compute_metrics(self, gathered), prefix, loss)
  return { predictions = gathered.all_predictions, label_ids = gathered.all_labels, metrics = metrics, num_samples = gathered.rows }
end

local function read_options(where, first, given, default_prefix)
  local o = options.check(where, given, { "eval_dataset", "test_dataset", "ignore_keys", "metric_key_prefix" })
  return first or o.eval_dataset or o.test_dataset, o.ignore_keys, o.metric_key_prefix or default_prefix
end

local function is_options(value)
  return type(value) == "table" and getmetatable(value) == nil and #value == 0
    and (next(value) == nil or value.eval_dataset ~= nil or value.ignore_keys ~= nil or value.metric_key_prefix ~= nil)
end

-- Several named datasets: eval_NAME_loss and so on.
local function evaluate_each(self, datasets, ignore_keys, prefix)
  local all = ordered.new()
  for name, dataset in ordered.pairs(datasets) do
    local metrics = self:evaluate(dataset, { ignore_keys = ignore_keys, metric_key_prefix = prefix .. "_" .. name })
    for key, value in pairs(metrics) do all[key] = value end
  end
  return all
end

local function is_named_datasets(value)
  return type(value) == "table" and (getmetatable(value) == nil and #value == 0 or data.is_dataset_dict(value))
end

-- Batches of all processes together.
local function steps_of(self, rows)
  local batch_size = self.args.eval_batch_size * self.args.world_size
  return (rows + batch_size - 1) // batch_size
end

--- evaluate([dataset,] { ignore_keys =, metric_key_prefix = "eval" }): the metrics, logged. The dataset is the trainer's
-- unless one is given; a table of named datasets is evaluated one by one.
function evaluation:evaluate(dataset, given)
  if given == nil and is_options(dataset) then dataset, given = nil, dataset end
  local chosen, ignore_keys, prefix = read_options("evaluate", dataset, given, "eval")
  chosen = chosen or self.eval_dataset
  if chosen == nil then errors.raise("Trainer: evaluation requires an eval_dataset") end
  if is_named_datasets(chosen) then return evaluate_each(self, chosen, ignore_keys, prefix) end
  local loader, start = self:get_eval_dataloader(chosen), speed.now()
  local loss_only = self.args.prediction_loss_only or self.compute_metrics == nil
  local output = self:evaluation_loop(loader, loss_only, ignore_keys, prefix)
  speed.add(output.metrics, prefix, start, output.num_samples, steps_of(self, output.num_samples))
  self:log(output.metrics)
  self.control.should_evaluate = false
  self:event("on_evaluate", "metrics", output.metrics)
  return output.metrics
end

--- predict(dataset, { ignore_keys =, metric_key_prefix = "test" }): { predictions =, label_ids =, metrics = }.
function evaluation:predict(dataset, given)
  local chosen, ignore_keys, prefix = read_options("predict", dataset, given, "test")
  local loader, start = self:get_test_dataloader(chosen), speed.now()
  local output = self:evaluation_loop(loader, self.args.prediction_loss_only, ignore_keys, prefix)
  speed.add(output.metrics, prefix, start, output.num_samples, steps_of(self, output.num_samples))
  self:event("on_predict", "metrics", output.metrics)
  return { predictions = output.predictions, label_ids = output.label_ids, metrics = output.metrics }
end

evaluation.EvalPrediction = EvalPrediction

return evaluation
