-- slow: whole runs of transformers' Trainer replayed: logs, batches, states, weights, predictions.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local golden = dofile(t.dir .. "/lib/golden.lua")
local tiny = dofile(t.dir .. "/lib/tiny.lua")
local hf = require "hflua"
local files = require "hflua.core.files"

-- What the reference runs train: rows, model class, collator, metrics.
local tasks = {
  seqcls = { class = "BertForSequenceClassification", collator = function() return hf.trainer.DataCollatorWithPadding(tiny.tokenizer, {}) end, has_scores = true },
  clm = { class = "GPT2LMHeadModel", collator = function() return hf.trainer.DataCollatorForLanguageModeling { tokenizer = tiny.tokenizer, mlm = false } end },
}
tasks.clm_llama = { class = "LlamaForCausalLM", collator = tasks.clm.collator }

local function task_of(case) return tasks[case.task or "seqcls"] end

local function rows_of(case) return golden.json("trainer/" .. (case.data or "data_seqcls.json")) end

local function first_rows(rows, count) return table.move(rows, 1, count, 1, {}) end

local function scores(eval_pred)
  local logits, labels = eval_pred:unpack()
  local given = { predictions = hf.tensor.argmax(logits, { dim = -1 }), references = labels }
  return hf.evaluate.load("glue", "mrpc"):compute(given)
end

-- A collator that notes which rows it was given, as 0-based numbers.
local function watched_collator(case, orders)
  local number_of, collator, data = {}, task_of(case).collator(), rows_of(case)
  for split, rows in pairs { train = first_rows(data.train, case.train_rows), eval = data.eval } do
    for i, row in ipairs(rows) do number_of[table.concat(row.input_ids, " ")] = { split, i - 1 } end
  end
  return function(rows)
    local numbers, split = {}, nil
    for i, row in ipairs(rows) do split, numbers[i] = table.unpack(number_of[table.concat(row.input_ids, " ")]) end
    table.insert(orders[split], numbers)
    return collator(rows)
  end
end

local function set_dropout(model, p)
  for _, module in model:named_modules() do
    if module.__name == "Dropout" then module.p = p end
  end
end

-- The Trainer of a reference run, in a folder of its own.
local function trainer_of(case, orders, callbacks)
  local given = { output_dir = tiny.folder(), hf_quirks = true, dropout_rng = "torch" }
  for name, value in pairs(case.args) do given[name] = value end
  local task, data = task_of(case), rows_of(case)
  local model = hf.models[task.class].from_pretrained(golden.path("trainer/" .. (case.init or "init_seqcls")), { quiet = true })
  if case.dropout and case.dropout > 0 then set_dropout(model, case.dropout) end
  local trainer = hf.Trainer { model = model, args = hf.TrainingArguments(given), train_dataset = first_rows(data.train, case.train_rows),
    eval_dataset = data.eval, data_collator = watched_collator(case, orders), processing_class = tiny.tokenizer,
    compute_metrics = task.has_scores and scores or nil,
    callbacks = callbacks }
  trainer:pop_callback(hf.trainer.PrinterCallback)
  return trainer
end

local function check_number(actual, expected, name, path, relative)
  assert(type(actual) == "number", ("%s: expected %s, found %s"):format(path, tostring(expected), tostring(actual)))
  local limit = name == "learning_rate" and 1e-12 or relative or 1e-5
  t.near(actual, expected, name == "learning_rate" and 0 or limit, limit, path)
end

local function check_history(actual, expected, relative)
  t.same(#actual, #expected, "log rows")
  for i, row in ipairs(expected) do
    for name, value in pairs(row) do check_number(actual[i][name], value, name, ("log row %d, %s"):format(i, name), relative) end
  end
end

local clock = { train_runtime = true, train_samples_per_second = true, train_steps_per_second = true }

local function without_clock(history)
  local rows = {}
  for i, row in ipairs(history) do
    rows[i] = {}
    for name, value in pairs(row) do
      if not clock[name] and not name:find("_runtime$") and not name:find("_per_second$") then rows[i][name] = value end
    end
  end
  return rows
end

-- Same keys, same values; numbers near.
local function check_tree(actual, expected, path)
  if type(expected) == "table" then
    assert(type(actual) == "table", path .. ": expected a table")
    for key, value in pairs(expected) do check_tree(actual[key], value, path .. "." .. key) end
    for key in pairs(actual) do assert(expected[key] ~= nil, path .. "." .. key .. ": unexpected") end
  elseif math.type(expected) == "float" then
    check_number(actual, expected, path:match("[^.]+$"), path)
  else
    assert(actual == expected, ("%s: expected %s, found %s"):format(path, tostring(expected), tostring(actual)))
  end
end

local function check_state(trainer, path)
  local state = hf.json.decode(trainer.state:to_json())
  state.log_history = without_clock(state.log_history)
  local expected = hf.json.load_file(path)
  local best = expected.best_model_checkpoint
  if type(best) == "string" then
    expected.best_model_checkpoint, state.best_model_checkpoint = best:match("[^/]+$"), state.best_model_checkpoint:match("[^/]+$")
  end
  check_tree(state, expected, "trainer_state")
end

-- Final weights, wherever float32 and float64 runs end alike: the gradient of key biases is zero but for rounding.
local function check_weights(model, path, drift)
  local expected = hf.safetensors.load_file(path)
  for name, value in pairs(model:state_dict()) do
    local loose = drift and (drift[name] or 0) > 1e-6 or not drift and name:find("key.bias", 1, true)
    if not loose then golden.close(value, expected[name], 1e-5, name) end
  end
end

local function checkpoints_left(trainer)
  local names = {}
  for _, name in ipairs(files.list(trainer.args.output_dir)) do
    if name:find("^checkpoint%-") then names[#names + 1] = name end
  end
  return names
end

local function plain(list)
  local out = {}
  for i, value in ipairs(list) do out[i] = type(value) == "table" and plain(value) or value end
  return out
end

local function check_predictions(name, trainer, case, orders)
  orders.eval = {}
  local output = trainer:predict(rows_of(case).eval)
  for key, value in pairs(case.predict_metrics) do check_number(output.metrics[key], value, key, key) end
  local order = {}
  for _, batch in ipairs(orders.eval) do table.move(batch, 1, #batch, #order + 1, order) end
  local wanted = case.predict_order -- where batches were dropped it begins with rows of the evaluation before
  t.same(order, plain(table.move(wanted, #wanted - #order + 1, #wanted, 1, {})))
  local path = golden.path("trainer/" .. name .. "/predictions.safetensors")
  if not path then return end
  local expected = hf.safetensors.load_file(path)
  golden.close(output.predictions, expected.predictions, 1e-5, "predictions")
  t.same(output.label_ids:tolist(), expected.label_ids:tolist())
end

local function replay(name)
  local case, orders = golden.json("trainer/" .. name .. "/expected.json"), { train = {}, eval = {} }
  local trainer = trainer_of(case, orders)
  local output = trainer:train()
  check_history(trainer.state.log_history, case.log_history)
  t.same(orders.train, plain(table.move(case.train_batches, 1, #orders.train, 1, {}))) -- accelerate fetches one ahead
  t.same(table.move(orders.eval, 1, #case.first_eval_batches, 1, {}), plain(case.first_eval_batches))
  t.same(output.global_step, case.train_output.global_step)
  check_number(output.training_loss, case.train_output.training_loss, "", "training_loss")
  for key, value in pairs(case.train_output.metrics) do check_number(output.metrics[key], value, key, key) end
  t.same(checkpoints_left(trainer), plain(case.checkpoints_left))
  local folder = "trainer/" .. name
  local state, final = golden.path(folder .. "/trainer_state.json"), golden.path(folder .. "/final.safetensors")
  if state then check_state(trainer, state) end
  if final then check_weights(trainer.model, final, case.final_fp32_vs_fp64) end
  if case.predict_metrics then check_predictions(name, trainer, case, orders) end
  files.remove(trainer.args.output_dir)
end

for _, name in ipairs { "base", "accum2_partial", "accum3_partial", "label_smoothing", "cosine_warmup", "group_by_length",
  "drop_last_noclip", "best_model_steps", "log_every_step", "dropout", "resume", "clm", "clm_accum2", "clm_label_smoothing", "clm_llama_accum2" } do
  if golden.path("trainer/" .. name .. "/expected.json") then
    t.test(name, function() replay(name) end)
  else
    t.skip(name, "shared/golden is not there")
  end
end

t.test("early stopping", function()
  local case = golden.json "trainer/early_stopping/expected.json"
  local trainer = trainer_of(case, { train = {}, eval = {} },
    { hf.EarlyStoppingCallback { early_stopping_patience = case.early_stopping_patience } })
  trainer:train()
  check_history(trainer.state.log_history, case.log_history, 1e-3)
  t.same(trainer.state.global_step, case.global_step)
  t.same(trainer.state.best_model_checkpoint:match("[^/]+$"), case.best_model_checkpoint)
  t.same(checkpoints_left(trainer), plain(case.checkpoints_left))
  files.remove(trainer.args.output_dir)
end)

local function from_foreign_checkpoint()
  local case, orders = golden.json "trainer/resume/expected.json", { train = {}, eval = {} }
  local trainer = trainer_of(case, orders)
  local output = trainer:train { resume_from_checkpoint = golden.path "trainer/resume/checkpoint-10" }
  check_history(trainer.state.log_history, case.resumed.log_history)
  t.same(orders.train, plain(case.resumed.train_batches))
  check_number(output.training_loss, case.resumed.training_loss, "", "training_loss")
  files.remove(trainer.args.output_dir)
end

if golden.path "trainer/resume/checkpoint-10/model.safetensors" then
  t.test("a run goes on from transformers' checkpoint", from_foreign_checkpoint)
else
  t.skip("a run goes on from transformers' checkpoint", "shared/golden is not there")
end

if golden.path "trainer/bf16/expected.json" then
  t.test("bf16 logs what transformers' autocast does, nearly", function()
    local case, orders = golden.json "trainer/bf16/expected.json", { train = {}, eval = {} }
    local trainer = trainer_of(case, orders)
    trainer:train()
    for i, row in ipairs(case.log_history) do
      if row.loss then t.near(trainer.state.log_history[i].loss, row.loss, 0.03, 0.03, "log row " .. i) end
    end
    t.same(orders.train, plain(case.train_batches))
    files.remove(trainer.args.output_dir)
  end)
end

t.test("without hf_quirks accumulation gives the loss of the large batch", function()
  local case, orders = golden.json "trainer/accum2_partial/expected.json", { train = {}, eval = {} }
  local trainer = trainer_of(case, orders)
  trainer.args.hf_quirks = false
  trainer:train()
  for i, row in ipairs(case.log_history) do
    if row.loss and i == 1 then t.near(trainer.state.log_history[i].loss, row.loss / 2, 1e-2) end
  end
  files.remove(trainer.args.output_dir)
end)

-- Batches of 8, or twice 4 whose numbers of labels differ: the same steps, for both ways of counting labels.
for _, name in ipairs { "clm_accum2", "clm_llama_accum2" } do
  if golden.path("trainer/" .. name .. "/expected.json") then
    t.test(name .. " without hf_quirks is one large batch", function()
      local runs = {}
      for i, batch in ipairs { { 8, 1 }, { 4, 2 } } do
        local case = golden.json("trainer/" .. name .. "/expected.json")
        case.args.per_device_train_batch_size, case.args.gradient_accumulation_steps = table.unpack(batch)
        local trainer = trainer_of(case, { train = {}, eval = {} })
        trainer.args.hf_quirks = false
        trainer:train()
        for _, row in ipairs(trainer.state.log_history) do row.total_flos = nil end -- padded tokens, which differ
        runs[i] = trainer
        files.remove(trainer.args.output_dir)
      end
      check_history(without_clock(runs[2].state.log_history), without_clock(runs[1].state.log_history))
      local large = runs[1].model:state_dict()
      for parameter, value in pairs(runs[2].model:state_dict()) do
        if not parameter:find("c_attn.bias", 1, true) then golden.close(value, large[parameter], 1e-5, parameter) end
      end
    end)
  end
end

t.finish()
