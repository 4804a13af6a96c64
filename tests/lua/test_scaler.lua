-- Scaled losses: GradScaler's bookkeeping, Trainer with fp16 and bf16, overflowed steps, resume, Accelerator.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local tiny = dofile(t.dir .. "/lib/tiny.lua")
local hf = require "hflua"
local tensor = hf.tensor

local function parameter(value) return hf.nn.Parameter(tensor.tensor { value }) end

local function with_gradient(p, value)
  p.grad = nil
  (p * value):sum():backward()
end

t.test("a good step is unscaled, and the scale grows after growth_interval of them", function()
  local p, scaler = parameter(1.0), hf.GradScaler { growth_interval = 2 }
  local optimizer = hf.trainer.SGD({ p }, { lr = 0.5 })
  for i = 1, 2 do
    optimizer:zero_grad()
    scaler:scale((p * 2):sum()):backward()
    t.near(p.grad:item(), 2 * 65536, 0)
    local _, skipped = scaler:step(optimizer)
    t.same(skipped, false)
    t.near(p.grad:item(), 2, 0)
    t.near(p:item(), 1 - i, 0)
    scaler:update()
  end
  t.same(scaler:state_dict(), { scale = 131072.0, growth_factor = 2.0, backoff_factor = 0.5, growth_interval = 2, _growth_tracker = 0 })
end)

t.test("an overflowed step is left out and halves the scale", function()
  local p, scaler = parameter(1.0), hf.GradScaler()
  local optimizer = hf.trainer.SGD({ p }, { lr = 0.5 })
  for _, bad in ipairs { math.huge, -math.huge, 0 / 0 } do
    with_gradient(p, bad)
    local _, skipped = scaler:step(optimizer)
    t.same({ skipped, p:item() }, { true, 1.0 })
    scaler:update()
  end
  t.same(scaler:get_scale(), 65536.0 / 8)
end)

t.test("mistakes with a scaler are named", function()
  local p, scaler = parameter(1.0), hf.GradScaler()
  local optimizer = hf.trainer.SGD({ p }, { lr = 0.5 })
  t.raises(function() scaler:update() end, "needs a step")
  t.raises(function() scaler:step(optimizer) end, "no gradients")
  with_gradient(p, 1)
  scaler:unscale_(optimizer)
  t.raises(function() scaler:unscale_(optimizer) end, "already")
  scaler:step(optimizer)
  t.raises(function() scaler:step(optimizer) end, "already")
  t.raises(function() hf.GradScaler { growth_factor = 1 } end, "growth_factor")
  t.raises(function() hf.GradScaler { init_scal = 1 } end, "init_scale")
  t.raises(function() scaler:load_state_dict {} end, "scale: expected a number")
end)

t.test("a scaler that is not enabled changes nothing", function()
  local p, scaler = parameter(1.0), hf.GradScaler { enabled = false }
  local optimizer = hf.trainer.SGD({ p }, { lr = 0.5 })
  scaler:scale((p * 2):sum()):backward()
  scaler:step(optimizer)
  scaler:update()
  t.same({ p:item(), scaler:get_scale(), next(scaler:state_dict()) }, { 0.0, 1.0 })
end)

local function losses(trainer)
  local list = {}
  for _, row in ipairs(trainer.state.log_history) do if row.loss then list[#list + 1] = row.loss end end
  return list
end

t.test("bf16 and fp16 train as float32 does, nearly", function()
  local plain = tiny.trainer { max_steps = 6 }
  plain:train()
  for _, kind in ipairs { "bf16", "fp16" } do
    local mixed = tiny.trainer { max_steps = 6, [kind] = true }
    mixed:train()
    local found, want = losses(mixed), losses(plain)
    for i = 1, 6 do t.near(found[i], want[i], 0.02, 0, kind .. " " .. i) end
    for _, p in mixed.model:named_parameters() do t.same(p.dtype, "float32") end
  end
end)

-- A Trainer whose gradients overflow at the given steps.
local function overflowing(given, bad)
  local trainer = tiny.trainer(given)
  local training_step = trainer.training_step
  function trainer:training_step(...)
    local loss = training_step(self, ...)
    if bad(self.state.global_step) then
      for _, p in self.model:named_parameters() do if p.grad then p.grad:mul_(math.huge) end end
    end
    return loss
  end
  return trainer
end

t.test("an overflow skips optimizer and schedule but counts the step", function()
  local trainer = overflowing({ max_steps = 4, fp16 = true }, function(step) return step == 1 end)
  trainer:train()
  local rates = {}
  for _, row in ipairs(trainer.state.log_history) do rates[#rates + 1] = row.learning_rate end
  t.same(trainer.state.global_step, 4)
  t.same(rates[2], rates[3])
  t.same(trainer.scaler:get_scale(), 32768.0)
end)

t.test("ten overflows in a row end the run", function()
  local trainer = overflowing({ max_steps = 20, fp16 = true }, function() return true end)
  t.raises(function() trainer:train() end, "step 10: gradients overflow in float16: 10 steps in a row")
end)

t.test("the scaler is part of a checkpoint", function()
  local folder = os.tmpname()
  os.remove(folder)
  local given = { max_steps = 4, fp16 = true, output_dir = folder, save_strategy = "steps", save_steps = 2 }
  local function bad(step) return step == 0 end
  local whole = overflowing(given, bad)
  whole:train()
  t.same(hf.json.load_file(folder .. "/checkpoint-2/scaler.json").scaler.scale, 32768)
  local resumed = overflowing(given, bad)
  resumed:train { resume_from_checkpoint = folder .. "/checkpoint-2" }
  t.same(tiny.weights(resumed.model), tiny.weights(whole.model))
  t.same(resumed.scaler:state_dict(), whole.scaler:state_dict())
  os.execute("rm -r '" .. folder .. "'")
end)

t.test("bf16 and fp16 exclude each other", function()
  t.raises(function() tiny.trainer { bf16 = true, fp16 = true } end, "at most one of fp16 and bf16")
end)

t.test("Accelerator casts the forward and scales the loss", function()
  for kind, dtype in pairs { bf16 = "bfloat16", fp16 = "float16" } do
    local acc = hf.Accelerator { mixed_precision = kind, cpu = true }
    local model = hf.nn.Linear(4, 2)
    local optimizer = hf.trainer.SGD(model:parameters(), { lr = 0.1 })
    model, optimizer = acc:prepare(model, optimizer)
    local x = tensor.ones(3, 4)
    t.same({ model(x).dtype, acc:autocast(tensor.matmul, x, x:t()).dtype }, { "float32", dtype })
    local before = model.weight:clone()
    acc:backward(model(x):mean())
    acc:clip_grad_norm_(model:parameters(), 100.0)
    t.near(model.weight.grad:max():item(), 0.5, 0.01)
    optimizer:step()
    t.near((before - model.weight):max():item(), 0.05, 0.001)
    t.same(acc.optimizer_step_was_skipped, false)
    acc:unwrap_model(model)
    t.same({ rawget(model, "forward"), acc.scaler ~= nil }, { nil, kind == "fp16" })
  end
end)

t.finish()
