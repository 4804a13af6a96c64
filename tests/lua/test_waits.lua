--- What a GPU's host waits for: numbers known on the host are read there, a Trainer step goes on without its own loss and norm,
-- and an error that comes late leaves the weights of the last good step. On the emulated device too.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local tiny = require "tiny"
local hf = require "hflua"
local tensor, core = hf.tensor, hf.tensor.core

t.test("numbers read later, and gradient checks, on the processor", function()
  local late = core.read_later(tensor.tensor(2.5))
  t.same(late:is_late(), false)
  t.same({ late:item(), late:item(), core.read_later(tensor.tensor { 7 }):item() }, { 2.5, 2.5, 7 })
  t.raises(function() core.read_later(tensor.ones(2)) end, "read_later: expected one element")
  local p = tensor.tensor({ 3.0, 4.0 }, { requires_grad = true })
  p:sum():backward()
  p.grad = tensor.tensor { 3.0, 4.0 }
  local check = core.gradient_check()
  t.raises(function() check:norm() end, "did not run yet")
  t.raises(function() check:run({ p }, { los = 1 }) end, "unknown option 'los'", "loss")
  t.raises(function() check:run({ p }, { loss = tensor.ones(2) }) end, "gradient_check: loss: expected one element")
  t.same({ check:run({ p }, { loss = tensor.tensor(0.5), max_norm = 1.0 }):read_later():item() }, { 0.5, 5.0 })
  core.scale_gradients({ p }, check)
  t.near(p.grad:tolist()[2], 0.8, 1e-6)
  t.same({ check:run({}):read_later():item() }, { 0.0, 0.0 })
end)

if not hf.cuda.is_available() then
  t.skip("waits for the device", "no device")
  t.finish()
  return
end
local device = "cuda"

local function waits() return hf.cuda.memory_stats().waits end

-- fn must not wait for the device.
local function without_waits(fn, ...)
  local before = waits()
  local results = table.pack(fn(...))
  t.same(waits() - before, 0, "waits")
  return table.unpack(results, 1, results.n)
end

-- ---- twins

t.test("whole numbers moved to the device are read without a wait, through views too", function()
  local x = tensor.arange(12, { dtype = "int64" }):reshape(3, 4)
  local y = x:to(device)
  without_waits(function()
    t.same(y:tolist(), x:tolist())
    t.same(y:to("cpu"):tolist(), x:tolist())
    t.same(y:narrow(1, 1, 2):transpose(0, 1):tolist(), { { 1, 5, 9 }, { 2, 6, 10 } })
    t.same(y:select(0, 2):select(0, 3):item(), 11)
    t.same(y:ne(5) and y:nonzero():tolist()[1], { 0, 1 })
    t.same(x:transpose(0, 1):to(device):tolist()[2], { 1, 5, 9 })
    t.same(x[2]:to(device):tolist(), { 4, 5, 6, 7 })
    t.same(x:gt(3):to(device):tolist()[2], { true, true, true, true })
    t.same(tensor.tensor({ 1, 2 }, { device = device, dtype = "int32" }):tolist(), { 1, 2 })
  end)
end)

t.test("a copy of the device's is another tensor", function()
  local x = tensor.arange(3, { dtype = "int64" })
  local y = x:to(device)
  local back = y:to("cpu")
  back:fill_(9)
  t.same({ x:tolist(), y:tolist(), y:to("cpu"):tolist() }, { { 0, 1, 2 }, { 0, 1, 2 }, { 0, 1, 2 } })
end)

t.test("what was read as a whole is known afterwards", function()
  local y = tensor.arange(6, { dtype = "int64", device = device }) * 2
  local before = waits()
  local copy = y:to("cpu")
  t.same(waits() - before, 1)
  without_waits(function() t.same(y:narrow(0, 2, 2):tolist(), { 4, 6 }) end)
  copy:fill_(1)
  t.same(y:tolist(), { 0, 2, 4, 6, 8, 10 })
end)

t.test("changes in place on either side are seen", function()
  local changes = {
    function(x) x:fill_(5) end, function(x) x:zero_() end, function(x) x:add_(2) end, function(x) x:sub_(1) end, function(x) x:mul_(3) end,
    function(x) x:copy_(tensor.tensor({ 7, 8, 9 }, { device = x.device })) end, function(x) x[2] = 40 end, function(x) x:neg_() end,
    function(x) x:narrow(0, 1, 2):fill_(6) end, function(x) x:masked_fill_(x:gt(2), 0) end, function(x) x:clamp_(0, 2) end,
    function(x) x:copy_(tensor.tensor { 1.0, 2.0, 5.0 }) end, function(x) x:view(3, 1):transpose(0, 1):add_(1) end,
  }
  for i, change in ipairs(changes) do
    local expected, x = tensor.tensor { 1, 2, 3 }, tensor.tensor { 1, 2, 3 }
    local y = x:to(device)
    change(expected)
    change(y)
    t.same(y:tolist(), expected:tolist(), "change " .. i .. " on the device")
    t.same(y:to("cpu"):tolist(), expected:tolist(), "change " .. i .. " on the device, copied")
    local z = x:to(device)
    change(x)
    t.same(z:tolist(), { 1, 2, 3 }, "change " .. i .. " on the host")
  end
end)

t.test("a twin lives and goes with its tensor", function()
  collectgarbage() collectgarbage()
  local before = core.storage_count()
  do
    local y = tensor.arange(4, { dtype = "int64" }):to(device)
    collectgarbage() collectgarbage()
    t.same(core.storage_count() - before, 2)
    t.same(y:tolist()[4], 3)
  end
  collectgarbage() collectgarbage()
  t.same(core.storage_count(), before)
end)

-- ---- reading later

t.test("numbers are those of their moment", function()
  local x, readings = tensor.zeros({}, { device = device }), {}
  without_waits(function()
    for i = 1, 200 do
      readings[i] = core.read_later(x)
      x:add_(1)
    end
    t.same(readings[1]:is_late(), true)
    for i = 1, 200, 3 do t.same(readings[i]:item(), i - 1.0) end
    t.same({ readings[4]:is_late(), readings[4]:item() }, { false, 3.0 })
    t.same(core.read_later(tensor.tensor({ 3 }, { device = device }) * 2):item(), 6)
    t.same(core.read_later(x:gt(5)):item(), true)
  end)
end)

t.test("a bad index found before a reading is told there, once", function()
  local table_ = tensor.ones({ 4, 2 }, { device = device })
  local ok, message = pcall(function()
    local bad = table_:index_select(0, tensor.tensor({ 1, 7 }, { device = device })):sum()
    local first, second = core.read_later(bad), core.read_later(bad)
    t.raises(function() first:item() end, "index 7 is out of range")
    second:item()
  end)
  assert(ok, message)
  t.same(table_:sum():item(), 8.0)
end)

-- ---- steps

-- Padded rows of 4 to 8 tokens out of 50. label: "class" 0 or 1 for a row; for a token itself ("token"), for some ("masked"), or 0 or 1 ("two").
local function rows(count, label)
  local list = {}
  for i = 1, count do
    local n, ids, mask, labels = 4 + i % 5, {}, {}, {}
    for k = 1, 8 do
      ids[k], mask[k] = k <= n and (i * 7 + k * 3) % 49 + 1 or 0, k <= n and 1 or 0
      labels[k] = k <= n and (label ~= "masked" or k % 3 == 0) and (label == "two" and k % 2 or ids[k]) or -100
    end
    list[i] = { input_ids = ids, attention_mask = mask, labels = label == "class" and i % 2 or labels }
  end
  return list
end

local bert = { vocab_size = 50, hidden_size = 16, num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 32, max_position_embeddings = 16, num_labels = 2 }
local gpt2 = { vocab_size = 50, n_embd = 16, n_layer = 2, n_head = 2, n_positions = 16, pad_token_id = 0 }
local llama = { vocab_size = 50, hidden_size = 16, intermediate_size = 32, num_hidden_layers = 2, num_attention_heads = 2, num_key_value_heads = 1,
  max_position_embeddings = 16, pad_token_id = 0 }

local cases = {
  { "BERT for classes", function() return hf.BertForSequenceClassification(hf.BertConfig(bert)) end, "class" },
  { "BERT for masked words", function() return hf.BertForMaskedLM(hf.BertConfig(bert)) end, "masked" },
  { "BERT for tokens", function() return hf.BertForTokenClassification(hf.BertConfig(bert)) end, "two" },
  { "GPT-2", function() return hf.GPT2LMHeadModel(hf.GPT2Config(gpt2)) end, "token" },
  { "GPT-2 for classes", function() return hf.GPT2ForSequenceClassification(hf.GPT2Config(gpt2)) end, "class" },
  { "Llama", function() return hf.LlamaForCausalLM(hf.LlamaConfig(llama)) end, "token" },
}

local function trainer(model, list, given, o)
  local args = { output_dir = "/nonexistent", per_device_train_batch_size = 4, max_steps = 6, learning_rate = 0.01, logging_strategy = "no",
    save_strategy = "no", disable_tqdm = true, use_cpu = false }
  for name, value in pairs(given or {}) do args[name] = value end
  local options = { model = model, args = hf.TrainingArguments(args), train_dataset = list }
  for name, value in pairs(o or {}) do options[name] = value end
  local made = hf.Trainer(options)
  made:pop_callback(hf.trainer.PrinterCallback)
  return made
end

-- The waits from the first step to the end of the last, and the late readings in between.
local function count_training(tr)
  local first, last
  tr:add_callback { on_step_begin = function() first = first or hf.cuda.memory_stats() end, on_step_end = function() last = hf.cuda.memory_stats() end }
  tr:train()
  return last.waits - first.waits, last.late_reads - first.late_reads
end

for _, case in ipairs(cases) do
  local name, make, label = table.unpack(case)
  t.test("a Trainer step of " .. name .. " waits for nothing of its own", function()
    local whole, late = count_training(trainer(make(), rows(24, label)))
    t.same({ whole, late }, { 0, 5 }) -- the numbers of each step are read in the next one
  end)

  t.test("a loop of one's own over " .. name .. " waits for nothing", function()
    local model = make():to(device)
    local optimizer = hf.AdamW(model:parameters(), { lr = 0.01 })
    local list = rows(12, label)
    local loader = hf.DataLoader(list, { batch_size = 4, collate_fn = hf.trainer.default_data_collator })
    local losses = {}
    without_waits(function()
      for batch in loader do
        local loss = model(batch:to(device)).loss
        loss:backward()
        hf.nn.utils.clip_grad_norm_(model:parameters(), 1.0)
        optimizer:step()
        optimizer:zero_grad()
        losses[#losses + 1] = core.read_later(loss)
      end
      for _, loss in ipairs(losses) do assert(loss:item() > 0) end
    end)
    t.same(#losses, 3)
  end)
end

t.test("neither do accumulated batches, bfloat16, nor batches that are on the device already", function()
  local function make() return cases[4][2]() end
  t.same(count_training(trainer(make(), rows(48, "token"), { gradient_accumulation_steps = 2 })), 0)
  t.same(count_training(trainer(make(), rows(24, "token"), { bf16 = true })), 0)
  local collate = hf.trainer.default_data_collator
  t.same(count_training(trainer(make(), rows(24, "token"), {}, { data_collator = function(list) return collate(list):to(device) end })), 0)
end)

t.test("numbers of a run are those of the processor", function()
  local function history(use_cpu)
    local tr = tiny.trainer({ use_cpu = use_cpu, logging_steps = 3, max_steps = 10, max_grad_norm = 0.1 })
    rawset(tr.args, "use_cpu", use_cpu)
    tr:train()
    return tr.state.log_history, tr.device
  end
  local expected, found, where = history(true), history(false)
  t.same(#found, #expected)
  for i, row in ipairs(expected) do
    for _, name in ipairs { "loss", "grad_norm", "train_loss", "learning_rate" } do
      if row[name] then t.near(found[i][name], row[name], 1e-5, 1e-4, name .. " of row " .. i) end
    end
  end
end)

t.test("other optimizers and float16 read their numbers first", function()
  local function steps(o, given)
    local whole, late = count_training(trainer(cases[1][2](), rows(24, "class"), given, o and { optimizers = o }))
    t.same({ whole, late }, { 0, 6 })
  end
  steps(nil, { optim = "sgd" })
  steps(nil, { fp16 = true })
end)

-- ---- errors that come late

-- A trainer whose loss is infinite at step 3, and the weights after step 2.
local function failing(given, options)
  local calls, kept = 0, {}
  local o = { compute_loss_func = function(outputs, labels)
    calls = calls + 1
    local loss = tensor.cross_entropy(outputs.logits, labels)
    return calls == 3 and loss * math.huge or loss
  end, eval_dataset = tiny.rows(4) }
  for name, value in pairs(options or {}) do o[name] = value end
  given.use_cpu = false
  local tr = tiny.trainer(given, o)
  tr:add_callback { on_step_end = function(_, _, state)
    if state.global_step == 2 then kept.weights = tiny.weights(tr.model) end
  end }
  return tr, kept
end

local function check_failure(tr, kept)
  t.raises(function() tr:train() end, "step 3", "the loss is inf", "last finite loss", "the weights are those of step 2")
  t.same(tr.state.global_step, 2)
  t.same(tr.state.epoch, 2 / 5)
  local found = tiny.weights(tr.model)
  for i, value in ipairs(kept.weights) do t.same(found[i], value) end
end

t.test("a loss that is not finite names its step and leaves the weights before it", function()
  check_failure(failing { max_steps = 20, logging_strategy = "no" })
  check_failure(failing { max_steps = 3, logging_strategy = "no" })      -- found at the end
  check_failure(failing { max_steps = 20, logging_steps = 3 })           -- before a log
  check_failure(failing { max_steps = 20, logging_strategy = "no", eval_strategy = "steps", eval_steps = 3 })
  check_failure(failing { max_steps = 20, logging_strategy = "no", optim = "sgd" })
end)

t.test("nothing is saved of a step that was not finite", function()
  local folder = tiny.folder()
  check_failure(failing { max_steps = 20, logging_strategy = "no", save_strategy = "steps", save_steps = 3, output_dir = folder })
  t.same(require("hflua.core.files").type(folder .. "/checkpoint-3"), nil)
end)

t.test("training again after such an error steps again", function()
  local tr = failing { max_steps = 5, logging_strategy = "no" }
  pcall(tr.train, tr)
  local before = tiny.weights(tr.model)
  t.same(tr:train().global_step, 5)
  assert(tiny.weights(tr.model)[1] ~= before[1] or tiny.weights(tr.model)[9] ~= before[9])
end)

t.test("a bad label is an error of the run", function()
  local list = rows(24, "class")
  for i = 9, 12 do list[i].labels = 5 end
  t.raises(function() trainer(cases[1][2](), list, { max_steps = 12 }):train() end, "cross_entropy: label 5 is out of range")
end)

t.finish()
