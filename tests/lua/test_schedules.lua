-- Learning-rate schedules against those of transformers.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local golden = dofile(t.dir .. "/lib/golden.lua")
local hf = require "hflua"

local reference = golden.json "schedules/expected.json"

local function fake_optimizer(lr, groups)
  local optimizer = { defaults = { lr = lr }, param_groups = {} }
  for i = 1, groups or 1 do optimizer.param_groups[i] = { lr = lr } end
  return optimizer
end

local function scheduler_of(case, optimizer)
  local given = { optimizer = optimizer, num_warmup_steps = reference.num_warmup_steps, scheduler_specific_kwargs = {} }
  if not case.kwargs.num_stable_steps then given.num_training_steps = reference.num_training_steps end
  for k, v in pairs(case.kwargs) do given.scheduler_specific_kwargs[k] = v end
  return hf.trainer.get_scheduler(case.name, given)
end

for name, case in pairs(reference.cases) do
  t.test("get_scheduler " .. name, function()
    local optimizer = fake_optimizer(reference.base_lr)
    local scheduler = scheduler_of(case, optimizer)
    for i, expected in ipairs(case.lrs) do
      t.near(optimizer.param_groups[1].lr, expected, 1e-18, 1e-12, "step " .. i - 1)
      scheduler:step(case.metrics and case.metrics[i])
    end
  end)

  t.test("state of " .. name .. " continues the run", function()
    local optimizer = fake_optimizer(reference.base_lr)
    local scheduler = scheduler_of(case, optimizer)
    for i = 1, 13 do scheduler:step(case.metrics and case.metrics[i]) end
    local other = fake_optimizer(reference.base_lr)
    local again = scheduler_of(case, other)
    again:load_state_dict(hf.json.decode(hf.json.encode(scheduler:state_dict())))
    for i = 14, 40 do
      t.near(other.param_groups[1].lr, optimizer.param_groups[1].lr, 0, 0)
      scheduler:step(case.metrics and case.metrics[i])
      again:step(case.metrics and case.metrics[i])
    end
  end)
end

t.test("named constructors take positions, tables and an optimizer field", function()
  for _, make in ipairs {
    function(o) return hf.get_linear_schedule_with_warmup(o, 10, 50) end,
    function(o) return hf.get_linear_schedule_with_warmup(o, { num_warmup_steps = 10, num_training_steps = 50 }) end,
    function(o) return hf.get_linear_schedule_with_warmup { optimizer = o, num_warmup_steps = 10, num_training_steps = 50 } end,
    function(o) return hf.get_scheduler("linear", o, { num_warmup_steps = 10, num_training_steps = 50 }) end,
  } do
    local o = fake_optimizer(1.0, 2)
    local scheduler = make(o)
    for _ = 1, 5 do scheduler:step() end
    t.same(scheduler:get_last_lr(), { 0.5, 0.5 })
    t.near(o.param_groups[2].lr, 0.5)
  end
end)

t.test("LambdaLR multiplies the rate each group began with", function()
  local optimizer = fake_optimizer(1.0, 2)
  optimizer.param_groups[2].lr = 4.0
  local scheduler = hf.trainer.LambdaLR(optimizer, { lr_lambda = function(s) return 1 - s / 10 end })
  scheduler:step()
  t.near(optimizer.param_groups[1].lr, 0.9)
  t.near(optimizer.param_groups[2].lr, 3.6)
  local own = hf.trainer.LambdaLR(fake_optimizer(1.0, 2), { lr_lambda = { function() return 2 end, function() return 3 end } })
  t.same(own:get_last_lr(), { 2.0, 3.0 })
end)

t.test("mistakes are named", function()
  local o = fake_optimizer(1e-3)
  t.raises(function() hf.get_scheduler("liner", { optimizer = o }) end, "unknown schedule 'liner'", "did you mean 'linear'")
  t.raises(function() hf.get_scheduler("linear", { optimizer = o, num_warmup_steps = 1 }) end, "linear: needs num_training_steps")
  t.raises(function() hf.get_scheduler("cosine", { optimizer = o, num_training_steps = 1 }) end, "cosine: needs num_warmup_steps")
  t.raises(function() hf.get_scheduler("linear", { num_warmup_steps = 1 }) end, "expected an optimizer")
  t.raises(function()
    hf.get_scheduler("cosine_with_min_lr", { optimizer = o, num_warmup_steps = 1, num_training_steps = 5 })
  end, "needs min_lr or min_lr_rate")
  t.raises(function()
    hf.get_scheduler("cosine", { optimizer = o, num_warmup_steps = 1, num_training_steps = 5,
      scheduler_specific_kwargs = { num_cycle = 2 } })
  end, "unknown option 'num_cycle'", "num_cycles")
  t.raises(function() hf.trainer.ReduceLROnPlateau(o, { mode = "up" }) end, "mode 'up'")
  t.raises(function() hf.trainer.GreedyLR(o, { factor = 1.5 }) end, "factor")
end)

t.finish()
