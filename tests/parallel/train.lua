-- Runs of the Trainer for tests/lua/test_parallel.lua, in one process or under mpirun: hflua train.lua CASES.json RESULTS.json.
-- CASES is a list of { task =, train_rows =, eval_rows =, args =, resume =, stop = } over the rows and start weights of tests/golden/trainer;
-- the first process writes for each what was logged, which rows each process saw, the metrics and the final weights.
local hf = require "hflua"
local json, files = require "hflua.core.json", require "hflua.core.files"
local process_group = require "hflua.process_group"

local golden = (arg[0]:match "^(.*)/parallel/[^/]*$" or "..") .. "/golden"

local function rows_of(case)
  local data = json.load_file(("%s/trainer/data_%s.json"):format(golden, case.task))
  return { train = table.move(data.train, 1, case.train_rows, 1, {}), eval = table.move(data.eval, 1, case.eval_rows, 1, {}) }
end

-- A collator that notes which rows it was given, as 0-based numbers.
local function watched_collator(case, rows, seen)
  local number_of = {}
  for split, list in pairs(rows) do
    for i, row in ipairs(list) do number_of[table.concat(row.input_ids, " ")] = { split, i - 1 } end
  end
  local tokenizer = { pad_token_id = 0, padding_side = "right", model_input_names = { "input_ids", "attention_mask" } }
  local collator = case.task == "clm" and hf.DataCollatorForLanguageModeling { tokenizer = tokenizer, mlm = false } or hf.DataCollatorWithPadding(tokenizer, {})
  return function(batch)
    local numbers, split = {}, nil
    for i, row in ipairs(batch) do split, numbers[i] = table.unpack(number_of[table.concat(row.input_ids, " ")]) end
    table.insert(seen[split], json.array(numbers))
    return collator(batch)
  end
end

local function accuracy(p)
  local right = p.predictions:argmax { dim = -1 }:eq(p.label_ids):float():mean():item()
  local scores = { accuracy = right, rows = p.label_ids:size(0) }
  if p.inputs then scores.tokens, scores.losses = p.inputs:gt(0):long():sum():item(), p.losses:numel() end
  return scores
end

-- With batch_eval_metrics: adds up over batches.
local function accuracy_by_batch()
  local right, rows = 0, 0
  return function(p, o)
    right, rows = right + p.predictions:argmax { dim = -1 }:eq(p.label_ids):long():sum():item(), rows + p.label_ids:size(0)
    if not o.compute_result then return end
    local scores = { accuracy = right / rows, rows = rows }
    right, rows = 0, 0
    return scores
  end
end

-- compute_loss_func: the sum of the losses by the number of labels of the whole step.
local function summed_loss(outputs, labels, o)
  assert(o.num_items_in_batch)
  return hf.tensor.cross_entropy(outputs.logits, labels, { reduction = "sum" }) / o.num_items_in_batch
end

local function set_dropout(model, p)
  for _, module in model:named_modules() do
    if module.__name == "Dropout" then module.p = p end
  end
end

local function trainer_of(case, seen)
  local rows, kind = rows_of(case), case.task == "clm" and "GPT2LMHeadModel" or "BertForSequenceClassification"
  local model = hf.models[kind].from_pretrained(("%s/trainer/init_%s"):format(golden, case.task), { quiet = true })
  if case.dropout then set_dropout(model, case.dropout) end
  for name, parameter in model:named_parameters() do
    if case.frozen and name:find(case.frozen, 1, true) then parameter.requires_grad = false end
  end
  if process_group.info().rank > 0 then -- the weights of the first process count
    hf.no_grad(function() for _, parameter in model:named_parameters() do parameter:fill_(0.5) end end)
  end
  local trainer = hf.Trainer { model = model, args = hf.TrainingArguments(case.args), train_dataset = rows.train, eval_dataset = rows.eval,
    data_collator = watched_collator(case, rows, seen), compute_metrics = case.task == "seqcls" and (case.args.batch_eval_metrics and accuracy_by_batch() or accuracy) or nil,
    compute_loss_func = case.summed_loss and summed_loss or nil }
  trainer:pop_callback(hf.PrinterCallback)
  trainer:add_callback { on_pre_optimizer_step = function()
    if not trainer.exchange then return end
    local buckets, overlapped = trainer.exchange:buckets() -- every parameter has its gradient when the backward ends
    assert(overlapped == buckets, ("%d of %d buckets behind the backward"):format(overlapped, buckets))
  end }
  if case.stop then
    trainer:add_callback { on_step_end = function(_, _, state, control) control.should_training_stop = state.global_step >= case.stop end }
  end
  return trainer, rows
end

local function timeless(row)
  local kept = {}
  for name, value in pairs(row) do
    if not name:find "_runtime$" and not name:find "_per_second$" then kept[name] = value end
  end
  return kept
end

-- sum, sum of squares, the first four numbers
local function summary(model)
  local out = {}
  for name, parameter in model:named_parameters() do
    local numbers, sum, squares = parameter:detach():reshape { -1 }:tolist(), 0.0, 0.0
    for _, x in ipairs(numbers) do sum, squares = sum + x, squares + x * x end
    out[name] = { sum, squares, table.unpack(numbers, 1, math.min(4, #numbers)) }
  end
  return out
end

local function same_everywhere(model)
  local text = json.encode(summary(model), { sort_keys = true })
  for r, other in ipairs(process_group.gather_texts(text)) do
    assert(other == text, ("the weights of process %d are not those of process %d"):format(r - 1, process_group.info().rank))
  end
end

local function run(case)
  local seen = { train = json.array {}, eval = json.array {} }
  local trainer, rows = trainer_of(case, seen)
  local output = trainer:train { resume_from_checkpoint = case.resume }
  same_everywhere(trainer.model)
  local batches = process_group.gather_texts(json.encode(seen))
  for r, text in ipairs(batches) do batches[r] = json.decode(text) end
  local history = {}
  for i, row in ipairs(trainer.state.log_history) do history[i] = timeless(row) end
  local result = { global_step = output.global_step, training_loss = output.training_loss, max_steps = trainer.state.max_steps, log_history = history,
    train_batch_size = trainer.state.train_batch_size, batches = batches, weights = summary(trainer.model) }
  if case.task == "seqcls" and not case.args.batch_eval_metrics then
    local predicted = trainer:predict(rows.eval)
    result.predictions, result.predict_metrics = predicted.predictions:tolist(), timeless(predicted.metrics)
    assert(#predicted.label_ids:tolist() == #rows.eval)
  end
  return result
end

local results = {}
for i, case in ipairs(json.load_file(arg[1])) do results[i] = run(case) end
if process_group.is_main() then files.write(arg[2], json.encode(json.array(results))) end
