-- Loops written by hand: the course's, with get_scheduler and Accelerator, and the metric of a plain loop.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local tiny = dofile(t.dir .. "/lib/tiny.lua")
local hf = require "hflua"
local tensor, trainer, datasets = hf.tensor, hf.trainer, hf.datasets

local function loaders()
  local collator = trainer.DataCollatorWithPadding { tokenizer = tiny.tokenizer }
  local train, eval = datasets.Dataset.from_list(tiny.rows(24)), datasets.Dataset.from_list(tiny.rows(10, 3))
  return datasets.DataLoader(train, { shuffle = true, batch_size = 4, collate_fn = collator }),
    datasets.DataLoader(eval, { batch_size = 4, collate_fn = collator })
end

local function scores_of(model, eval_loader)
  local metric = hf.evaluate.load("glue", "mrpc")
  model:eval()
  for batch in eval_loader do
    local outputs = tensor.no_grad(function() return model(batch) end)
    metric:add_batch { predictions = tensor.argmax(outputs.logits, { dim = -1 }), references = batch.labels }
  end
  return metric:compute()
end

t.test("the course's loop learns", function()
  hf.set_seed(42)
  local train_loader, eval_loader = loaders()
  local model = tiny.model()
  local optimizer = trainer.AdamW(model:parameters(), { lr = 0.05 })
  local num_training_steps = 6 * #train_loader
  local lr_scheduler = trainer.get_scheduler("linear", { optimizer = optimizer, num_warmup_steps = 0, num_training_steps = num_training_steps })
  local first, last
  model:train()
  for _ = 1, 6 do
    for batch in train_loader do
      local loss = model(batch).loss
      loss:backward()
      optimizer:step()
      lr_scheduler:step()
      optimizer:zero_grad()
      first, last = first or loss:item(), loss:item()
    end
  end
  assert(last < first, ("loss %g, then %g"):format(first, last))
  t.near(optimizer.param_groups[1].lr, 0, 1e-12)
  assert(scores_of(model, eval_loader).accuracy > 0.5)
end)

-- The same loop through an Accelerator; returns the weights at its end.
local function accelerated(given, batch_size, accumulate)
  hf.set_seed(1)
  local collator = trainer.DataCollatorWithPadding { tokenizer = tiny.tokenizer }
  local data = datasets.DataLoader(datasets.Dataset.from_list(tiny.rows(22)), { batch_size = batch_size, collate_fn = collator })
  local raw = tiny.model()
  local adam = trainer.AdamW(raw:parameters(), { lr = 0.05 })
  local acc = trainer.Accelerator(given)
  local loader, model, optimizer, scheduler = acc:prepare(data, raw, adam, trainer.get_scheduler("linear",
    { optimizer = adam, num_warmup_steps = 0, num_training_steps = 20 }))
  assert(#loader == #data and model == raw)
  for _ = 1, 2 do
    for batch in loader do
      local function micro_batch()
        acc:backward(model(batch).loss)
        optimizer:step()
        scheduler:step()
        optimizer:zero_grad()
      end
      if accumulate then acc:accumulate(model, micro_batch) else micro_batch() end
    end
  end
  return tiny.weights(acc:unwrap_model(model)), acc, optimizer, scheduler
end

t.test("Accelerator: prepare keeps the order, accumulate steps once a group and at the end of the data", function()
  local _, _, optimizer, scheduler = accelerated({ gradient_accumulation_steps = 2 }, 4, true)
  t.same(optimizer.state[optimizer.param_groups[1].params[1]].step, 6)
  t.same(scheduler.last_epoch, 6)
  local _, _, each = accelerated({}, 4, false)
  t.same(each.state[each.param_groups[1].params[1]].step, 12)
end)

t.test("Accelerator: one process gathers what it has", function()
  local acc = trainer.Accelerator()
  local x = tensor.tensor { 1.0 }
  assert(acc:gather(x) == x and acc:gather_for_metrics(x) == x and acc.is_main_process and acc.num_processes == 1)
  t.same(tostring(acc.device), "cpu")
  t.raises(function() trainer.Accelerator { mixed_precision = "fp8" } end, "mixed_precision 'fp8'")
  t.raises(function() acc:prepare(3) end, "prepare: expected loaders")
end)

t.test("Accelerator: save_state and load_state", function()
  local folder = tiny.folder()
  local weights, acc, optimizer = accelerated({}, 4, false)
  acc:save_state(folder)
  local other_weights, other, other_optimizer = accelerated({}, 3, false)
  assert(other_weights[1] ~= weights[1])
  other:load_state(folder)
  t.same(tiny.weights(other.models[1]), weights)
  t.same(other_optimizer.state[other_optimizer.param_groups[1].params[1]].step, optimizer.state[optimizer.param_groups[1].params[1]].step)
  require("hflua.core.files").remove(folder)
end)

t.test("Accuracy adds up over batches", function()
  local metric = hf.Accuracy { task = "multiclass", num_classes = 3 }:to("cpu")
  local first = metric(tensor.tensor({ 0, 1, 2, 2 }), tensor.tensor({ 0, 1, 1, 2 }))
  t.near(first:item(), 0.75)
  metric(tensor.tensor({ { 0.1, 0.9, 0.0 }, { 0.8, 0.1, 0.1 } }), tensor.tensor({ 0, 0 }))
  t.near(metric:compute():item(), 4 / 6, 1e-7)
  metric:reset()
  t.near(metric:compute():item(), 0)
  t.near(hf.Accuracy { task = "binary" }(tensor.tensor({ 0.2, 0.7 }), tensor.tensor({ 0, 1 })):item(), 1)
  t.raises(function() hf.Accuracy { task = "multiclass" } end, "needs num_classes")
end)

t.finish()
