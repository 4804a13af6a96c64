-- The loop of accelerate's examples under mpirun, against the reference run of tests/golden/parallel/accelerator.json: losses, rates, which
-- rows each process saw, what gather_for_metrics gave, final weights.
local hf = require "hflua"
local json = require "hflua.core.json"
local process_group = require "hflua.process_group"

local golden = (arg[0]:match "^(.*)/parallel/[^/]*$" or "..") .. "/golden"
local expected = json.load_file(golden .. "/parallel/accelerator.json")
local data = json.load_file(golden .. "/trainer/data_seqcls.json")
local rows = { train = table.move(data.train, 1, 45, 1, {}), eval = table.move(data.eval, 1, 19, 1, {}) }

local number_of, seen = {}, { train = {}, eval = {} }
for split, list in pairs(rows) do
  for i, row in ipairs(list) do number_of[table.concat(row.input_ids, " ")] = { split, i - 1 } end
end
local pad = hf.DataCollatorWithPadding({ pad_token_id = 0, padding_side = "right", model_input_names = { "input_ids", "attention_mask" } }, {})
local function collate(batch)
  local numbers, split = {}, nil
  for i, row in ipairs(batch) do split, numbers[i] = table.unpack(number_of[table.concat(row.input_ids, " ")]) end
  table.insert(seen[split], numbers)
  return pad(batch)
end

local function near(actual, wanted, limit, what)
  if type(wanted) == "table" then
    assert(#actual == #wanted, ("%s: expected %d, found %d"):format(what, #wanted, #actual))
    for i = 1, #wanted do near(actual[i], wanted[i], limit, what .. "[" .. i .. "]") end
  else
    assert(math.abs(actual - wanted) <= limit, ("%s: expected %.9g, found %.9g"):format(what, wanted, actual))
  end
end

hf.set_seed(7)
local acc = hf.Accelerator { cpu = os.getenv "HFLUA_DEVICE" == nil, gradient_accumulation_steps = 2 }
assert(acc.num_processes == 2 and acc.process_index == process_group.info().rank and acc.is_main_process == (acc.process_index == 0))
local model = hf.BertForSequenceClassification.from_pretrained(golden .. "/trainer/init_seqcls", { quiet = true })
local optimizer = hf.AdamW(model:parameters(), { lr = 0.002, weight_decay = 0.01 })
local train = hf.DataLoader(rows.train, { shuffle = true, batch_size = 4, collate_fn = collate })
local dev = hf.DataLoader(rows.eval, { batch_size = 4, collate_fn = collate })
local schedule = hf.get_scheduler("linear", { optimizer = optimizer, num_warmup_steps = 0, num_training_steps = 24 })
train, dev, model, optimizer, schedule = acc:prepare(train, dev, model, optimizer, schedule)
assert(#train == expected.train_batches)
local losses, rates = {}, {}
for _ = 1, 2 do
  model:train()
  for batch in train do
    acc:accumulate(model, function()
      local loss = model(batch).loss
      acc:backward(loss)
      if acc.sync_gradients then acc:clip_grad_norm_(model:parameters(), 1.0) end
      optimizer:step() schedule:step() optimizer:zero_grad()
      losses[#losses + 1] = acc:gather(loss:detach()):tolist()
    end)
    rates[#rates + 1] = schedule:get_last_lr()[1]
  end
end
model:eval()
local logits, labels = {}, {}
for batch in dev do
  local out = hf.no_grad(function() return model(batch).logits end)
  local all = acc:gather_for_metrics { out, batch.labels }
  for _, row in ipairs(all[1]:tolist()) do logits[#logits + 1] = row end
  for _, label in ipairs(all[2]:tolist()) do labels[#labels + 1] = label end
end
near(rates, expected.rates, 1e-12, "rate")
near(seen.train, expected.batches[acc.process_index + 1].train, 0, "rows")
near(seen.eval, expected.batches[acc.process_index + 1].eval, 0, "rows of the evaluation")
near(losses, expected.losses, 1e-5, "loss")
near(logits, expected.logits, 1e-5, "logits")
near(labels, expected.labels, 0, "labels")
for name, parameter in model:named_parameters() do
  if not name:find("key.bias", 1, true) then -- its gradient is zero but for rounding
    near(table.move(parameter:detach():reshape { -1 }:tolist(), 1, 4, 1, {}), table.move(expected.weights[name], 3, 6, 1, {}), 1e-5, name)
  end
end

-- ---- save and load: each process gets its own generators back
local folder = process_group.from_main(function()
  local path = os.tmpname()
  os.remove(path)
  return path
end)
acc:save_state(folder)
for _ = 0, acc.process_index do require("hflua.core.random").random_int64() end
local weights = model.classifier.weight:tolist()
hf.no_grad(function() model.classifier.weight:fill_(1) end)
acc:load_state(folder)
near(model.classifier.weight:tolist(), weights, 0, "classifier.weight")
acc:wait_for_everyone()
process_group.from_main(function() require("hflua.core.files").remove(folder) end)
