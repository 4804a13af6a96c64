-- The Trainer on a tiny model: accumulation, evaluation, prediction, overrides, mistakes.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local tiny = dofile(t.dir .. "/lib/tiny.lua")
local hf = require "hflua"
local tensor = hf.tensor

local function losses(trainer)
  local list = {}
  for _, row in ipairs(trainer.state.log_history) do
    if row.loss then list[#list + 1] = row.loss end
  end
  return list
end

local function near_lists(actual, expected, limit, what)
  assert(#actual == #expected, ("%s: %d and %d entries"):format(what, #actual, #expected))
  for i = 1, #expected do t.near(actual[i], expected[i], limit, 0, ("%s %d"):format(what, i)) end
end

local function accuracy(eval_pred)
  local logits, labels = eval_pred:unpack()
  return hf.evaluate.load("accuracy"):compute { predictions = tensor.argmax(logits, { dim = -1 }), references = labels }
end

t.test("it learns, and tells what it did", function()
  local trainer = tiny.trainer { num_train_epochs = 10 }
  local output = trainer:train()
  local list = losses(trainer)
  t.same(output.global_step, 50)
  t.same(#list, 50)
  assert(list[50] < list[1] / 2)
  t.near(output.training_loss, (function() local s = 0 for _, l in ipairs(list) do s = s + l end return s / 50 end)(), 1e-12)
  for _, key in ipairs { "train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "train_loss", "epoch" } do
    assert(output.metrics[key], key)
  end
  t.same(trainer.state.epoch, 10.0)
  assert(tostring(output):find("^TrainOutput%(global_step=50, training_loss=0%.%d+, metrics={'train_runtime'"))
end)

t.test("accumulated micro-batches equal one large batch, the last partial ones too", function()
  local function run(given)
    local trainer = tiny.trainer(given, { train_dataset = tiny.rows(22) })
    trainer:train()
    return losses(trainer), tiny.weights(trainer.model)
  end
  local sequential = { train_sampling_strategy = "sequential", num_train_epochs = 2 }
  local function with(more)
    local given = {}
    for _, source in ipairs { sequential, more } do
      for k, v in pairs(source) do given[k] = v end
    end
    return given
  end
  local whole, whole_weights = run(with { per_device_train_batch_size = 8 })
  local parts, parts_weights = run(with { per_device_train_batch_size = 2, gradient_accumulation_steps = 4 })
  near_lists(parts, whole, 1e-6, "loss")
  near_lists(parts_weights, whole_weights, 1e-5, "weight")
  local uneven, uneven_weights = run(with { per_device_train_batch_size = 4, gradient_accumulation_steps = 2 })
  near_lists(uneven, whole, 1e-6, "loss")
  near_lists(uneven_weights, whole_weights, 1e-5, "weight")
  local quirk = run(with { per_device_train_batch_size = 2, gradient_accumulation_steps = 4, hf_quirks = true, max_grad_norm = 0.0 })
  t.near(quirk[1], 4 * whole[1], 1e-5, 0, "the sum of the means, as transformers has it")
end)

t.test("token losses of unequal rows are averaged over the tokens of the whole step", function()
  local Causal = hf.nn.Module:extend("TinyLMHeadModel")
  Causal.forward_arguments = { "input_ids", "attention_mask", "labels" }
  function Causal:init() self.table = hf.nn.Parameter(tensor.arange(0, 400, 1, { dtype = "float32" }):reshape { 20, 20 }:sin()) end
  function Causal:forward(inputs)
    local logits, labels = tensor.embedding(self.table, inputs.input_ids), inputs.labels
    local loss = tensor.cross_entropy(logits:slice { dim = 1, start = 0, stop = -1 }:reshape { -1, 20 }, labels:slice { dim = 1, start = 1 }:reshape { -1 })
    return { loss = loss, logits = logits }
  end
  local tok = setmetatable({ pad_token_id = 0, padding_side = "right" }, {})
  local rows, labels, first_labels = tiny.rows(8), 0, 0
  for _, row in ipairs(rows) do
    row.label = nil
    labels, first_labels = labels + #row.input_ids, first_labels + 1
  end
  local function first_loss(given)
    given.max_steps, given.train_sampling_strategy = 1, "sequential"
    return tiny.trainer(given, { model = Causal(), train_dataset = rows,
      data_collator = hf.trainer.DataCollatorForLanguageModeling(tok, { mlm = false }) }):train().training_loss
  end
  local whole = first_loss { per_device_train_batch_size = 8 }
  t.near(first_loss { per_device_train_batch_size = 2, gradient_accumulation_steps = 4 }, whole, 1e-6)
  t.near(first_loss { per_device_train_batch_size = 3, gradient_accumulation_steps = 3 }, whole, 1e-6)
  local quirk = first_loss { per_device_train_batch_size = 2, gradient_accumulation_steps = 4, hf_quirks = true }
  t.near(quirk, whole * (labels - first_labels) / labels, 1e-6, 0, "divided by all labels, as transformers has it")
end)

t.test("steps, epochs and max_steps", function()
  local function steps(given, rows)
    local trainer = tiny.trainer(given, { train_dataset = tiny.rows(rows or 20) })
    return trainer:train().global_step, trainer.state
  end
  t.same((steps { num_train_epochs = 1.5 }), 8)
  t.same((steps { max_steps = 7 }), 7)
  t.same((steps { gradient_accumulation_steps = 3 }), 4)
  t.same((steps({ dataloader_drop_last = true }, 23)), 10)
  local _, state = steps { max_steps = 7 }
  t.same(state.num_train_epochs, 2)
  t.near(state.epoch, 1.4, 1e-12)
end)

t.test("evaluate weighs batches by rows and puts eval_ before the metrics", function()
  local trainer = tiny.trainer({ per_device_eval_batch_size = 8 }, { eval_dataset = tiny.rows(11, 3), compute_metrics = accuracy })
  local metrics = trainer:evaluate()
  local names = {}
  for name in pairs(metrics) do names[#names + 1] = name end
  t.same(names, { "eval_loss", "eval_accuracy", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "epoch" })
  local one = tiny.trainer({ per_device_eval_batch_size = 11 }, { eval_dataset = tiny.rows(11, 3) }):evaluate()
  t.near(metrics.eval_loss, one.eval_loss, 1e-6)
  t.same(one.eval_accuracy, nil)
  local other = trainer:evaluate(tiny.rows(4, 5), { metric_key_prefix = "test" })
  assert(other.test_loss and other.test_accuracy)
  local both = trainer:evaluate { a = tiny.rows(4, 5), b = tiny.rows(3, 6) }
  assert(both.eval_a_loss and both.eval_b_accuracy)
end)

t.test("evaluation leaves weights, gradients and mode alone", function()
  local trainer = tiny.trainer({}, { eval_dataset = tiny.rows(5) })
  trainer.model:train()
  local before = tiny.weights(trainer.model)
  trainer:evaluate()
  near_lists(tiny.weights(trainer.model), before, 0, "weight")
  assert(trainer.model.training)
  for _, p in trainer.model:named_parameters() do assert(p.grad == nil) end
end)

t.test("predict gathers logits and labels, padded with -100", function()
  local trainer = tiny.trainer({ per_device_eval_batch_size = 2 }, { compute_metrics = accuracy })
  local output = trainer:predict(tiny.rows(5))
  t.same(output.predictions.shape[1], 5)
  t.same(output.label_ids.shape[1], 5)
  assert(output.metrics.test_loss and output.metrics.test_accuracy)
  trainer.preprocess_logits_for_metrics = function(logits) return tensor.zeros { logits:size(0), logits:size(0) + 1 } end
  trainer.compute_metrics = nil
  local padded = trainer:predict(tiny.rows(5)).predictions
  t.same({ padded.shape[1], padded.shape[2] }, { 5, 3 })
  t.same(padded:select(0, 4):tolist(), { 0.0, 0.0, -100.0 })
end)

t.test("metrics batch by batch, inputs and losses beside the predictions, batches left apart", function()
  local right, total, results = 0, 0, 0
  local trainer = tiny.trainer({ per_device_eval_batch_size = 4, batch_eval_metrics = true }, { eval_dataset = tiny.rows(10, 3),
    compute_metrics = function(eval_pred, o)
      local hits = tensor.argmax(eval_pred.predictions, { dim = -1 }):eq(eval_pred.label_ids):long():sum():item()
      right, total = right + hits, total + eval_pred.label_ids:numel()
      results = results + (o.compute_result and 1 or 0)
      return o.compute_result and { accuracy = right / total } or nil
    end })
  local whole = tiny.trainer({}, { eval_dataset = tiny.rows(10, 3), compute_metrics = accuracy }):evaluate()
  t.near(trainer:evaluate().eval_accuracy, whole.eval_accuracy, 1e-12)
  t.same({ total, results }, { 10, 1 })
  local seen
  tiny.trainer({ include_for_metrics = { "inputs", "loss" }, per_device_eval_batch_size = 4 }, { eval_dataset = tiny.rows(10, 3),
    compute_metrics = function(eval_pred)
      seen = eval_pred
      return {}
    end }):evaluate()
  t.same({ seen.inputs.shape[1], seen.losses.shape[1] }, { 10, 10 })
  local parts = tiny.trainer({ eval_do_concat_batches = false, per_device_eval_batch_size = 4 }):predict(tiny.rows(10, 3))
  t.same(#parts.predictions, 3)
end)

t.test("rows without labels are predicted, and compute_metrics is left alone", function()
  local rows = tiny.rows(4)
  for _, row in ipairs(rows) do row.label = nil end
  local called = false
  local trainer = tiny.trainer({}, { compute_metrics = function() called = true return {} end })
  local output = trainer:predict(rows)
  assert(output.label_ids == nil and output.metrics.test_loss == nil and not called)
end)

t.test("compute_loss, compute_loss_func and callbacks can be replaced", function()
  local Mine = hf.Trainer:extend("Mine")
  function Mine:compute_loss(model, inputs)
    local outputs = model(inputs)
    return outputs.loss * 2, outputs
  end
  local plain = tiny.trainer({ max_steps = 1 }):train().training_loss
  local base = tiny.trainer { max_steps = 1 }
  setmetatable(base, Mine)
  t.near(base:train().training_loss, 2 * plain, 1e-6)
  local func = tiny.trainer({ max_steps = 1, gradient_accumulation_steps = 2, train_sampling_strategy = "sequential" }, {
    compute_loss_func = function(outputs, labels, o)
      t.same(o.num_items_in_batch, 8)
      return tensor.cross_entropy(outputs.logits, labels, { reduction = "sum" }) / o.num_items_in_batch
    end })
  local whole = tiny.trainer { max_steps = 1, per_device_train_batch_size = 8, train_sampling_strategy = "sequential" }
  t.near(func:train().training_loss, whole:train().training_loss, 1e-6)
  local seen = {}
  local trainer = tiny.trainer({ max_steps = 2 }, { callbacks = { {
    on_step_end = function(_, args, state) seen[#seen + 1] = state.global_step end,
    on_train_end = function(_, args, state, control, kwargs) seen[#seen + 1] = kwargs.model ~= nil end } } })
  trainer:train()
  t.same(seen, { 1, 2, true })
end)

t.test("label smoothing is cross entropy with smoothing", function()
  local trainer = tiny.trainer { max_steps = 1, label_smoothing_factor = 0.2, train_sampling_strategy = "sequential" }
  local expected = tiny.trainer({ max_steps = 1, train_sampling_strategy = "sequential" }, {
    compute_loss_func = function(outputs, labels) return tensor.cross_entropy(outputs.logits, labels, { label_smoothing = 0.2 }) end })
  t.near(trainer:train().training_loss, expected:train().training_loss, 1e-6)
end)

t.test("two groups: norms and biases do not decay", function()
  local trainer = tiny.trainer { weight_decay = 0.1 }
  t.same(trainer:get_decay_parameter_names(trainer.model), { "embedding", "weight" })
  local groups = trainer:create_optimizer().param_groups
  t.same({ groups[1].weight_decay, #groups[1].params, groups[2].weight_decay, #groups[2].params }, { 0.1, 2, 0.0, 3 })
end)

t.test("rows come in the order of the seed, whatever was drawn before", function()
  local function first_batches(given)
    local seen = {}
    local collate = hf.trainer.DataCollatorWithPadding(tiny.tokenizer, {})
    local trainer = tiny.trainer(given, { data_collator = function(rows)
      seen[#seen + 1] = table.concat(rows[1].input_ids, " ")
      return collate(rows)
    end })
    require("hflua.core.random").randperm(13)
    trainer:train()
    return seen
  end
  t.same(first_batches {}, first_batches {})
  assert(table.concat(first_batches {}) ~= table.concat(first_batches { seed = 1 }))
  t.same(first_batches { data_seed = 1, seed = 42 }, first_batches { data_seed = 1, seed = 43 })
end)

t.test("columns that the model does not take are left out", function()
  local rows = tiny.rows(4)
  for _, row in ipairs(rows) do row.text, row.idx = "some text", 3 end
  tiny.trainer({ max_steps = 1 }, { train_dataset = rows }):train()
  local only_text = { { text = "a" }, { text = "b" } }
  t.raises(function() tiny.trainer({}, { train_dataset = only_text }):train() end, "no column is an argument of",
    "TinyForSequenceClassification", "input_ids", "text")
end)

t.test("a loss that is not finite stops the run before the weights change", function()
  local steps = 0
  local trainer = tiny.trainer({ max_steps = 5 }, { compute_loss_func = function(outputs, labels)
    steps = steps + 1
    local loss = tensor.cross_entropy(outputs.logits, labels)
    return steps == 3 and loss * math.huge or loss
  end })
  local after_two
  trainer:add_callback { on_step_end = function(_, args, state)
    if state.global_step == 2 then after_two = tiny.weights(trainer.model) end
  end }
  t.raises(function() trainer:train() end, "step 3", "the loss is inf", "the weights are those of step 2")
  near_lists(tiny.weights(trainer.model), after_two, 0, "weight")
end)

t.test("a model without a loss is told what to use", function()
  local Headless = hf.nn.Module:extend("BertModel")
  function Headless:init() self.w = hf.nn.Parameter(tensor.zeros { 1 }) end
  function Headless:forward(inputs) return { last_hidden_state = inputs.input_ids:float() * self.w } end
  local trainer = tiny.trainer({}, { model = Headless() })
  t.raises(function() trainer:train() end, "The model did not return a loss from the inputs, only the following keys: last_hidden_state",
    "For reference, the inputs it received are", "BertForSequenceClassification")
end)

t.test("mistakes are named", function()
  t.raises(function() hf.Trainer { modl = 1 } end, "Trainer: unknown option 'modl'", "model")
  t.raises(function() hf.Trainer {} end, "needs a model")
  t.raises(function() tiny.trainer { eval_strategy = "epoch" } end, "there is no eval_dataset")
  t.raises(function() tiny.trainer({}, { train_dataset = {} }):train() end, "the dataset has no rows")
  t.raises(function() tiny.trainer({}, { args = { learning_rate = 1 } }) end, "expected TrainingArguments")
  t.raises(function() tiny.trainer():evaluate() end, "requires an eval_dataset")
  t.raises(function() tiny.trainer():train { resume = true } end, "unknown option 'resume'")
  t.raises(function() tiny.trainer({ dataloader_drop_last = true }, { train_dataset = tiny.rows(3) }):train() end, "make no batch of 4")
  local none = tiny.trainer({ eval_strategy = "epoch", metric_for_best_model = "f1" }, { eval_dataset = tiny.rows(4) })
  t.raises(function() none:train() end, "metric_for_best_model is 'eval_f1'", "eval_loss")
end)

t.test("training twice starts a fresh schedule and goes on with the weights", function()
  local trainer = tiny.trainer { max_steps = 3 }
  local first = trainer:train().training_loss
  local second = trainer:train().training_loss
  assert(second < first)
  t.same(trainer.state.global_step, 3)
  t.near(trainer.state.log_history[1].learning_rate, 0.05, 1e-12)
end)

t.test("printed lines are those of transformers", function()
  local trainer = tiny.trainer { max_steps = 1 }
  local lines, write = {}, io.stdout.write
  trainer:add_callback(hf.trainer.PrinterCallback)
  local real = io.stdout
  io.stdout = { write = function(_, ...) lines[#lines + 1] = table.concat { ... } end, flush = function() end }
  local ok, message = pcall(trainer.train, trainer)
  io.stdout = real
  assert(ok, message)
  assert(lines[1]:find("^{'loss': '0%.%d+', 'grad_norm': '0%.%d+', 'learning_rate': '0%.05', 'epoch': '0%.2'}\n$"), lines[1])
  assert(lines[2]:find("^{'train_runtime': '"), lines[2])
end)

t.finish()
