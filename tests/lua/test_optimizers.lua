-- Optimizers against PyTorch's over ten steps of given gradients, and their state.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local golden = dofile(t.dir .. "/lib/golden.lua")
local hf = require "hflua"
local tensor, trainer = hf.tensor, hf.trainer

local reference = golden.json "optim/expected.json"
local tensors = hf.safetensors.load_file(golden.path "optim/optim.safetensors")
local names = { "vector", "matrix", "cube" }

local function parameters()
  local list = {}
  for i, name in ipairs(names) do
    list[i] = tensors["init." .. name]:clone()
    list[i].requires_grad = true
  end
  return list
end

local function set_gradients(list, step)
  for i, name in ipairs(names) do list[i].grad = tensors[("grad.%d.%s"):format(step, name)]:clone() end
end

local function class_of(full)
  if full == "torch.Adafactor" then return trainer.TorchAdafactor end
  if full:find("Lion", 1, true) then return trainer.Lion end
  return trainer[full:match("%.(%w+)$")]
end

-- The options of a reference run; foreign switches without effect are left out.
local function options_of(case, Class)
  local given = {}
  for name, value in pairs(case.kwargs) do
    if value ~= hf.null and (name ~= "fused" or Class.option_defaults.fused ~= nil) then given[name] = value end
  end
  return given
end

local function furthest(a, b) return (a - b):abs():max():item() end

for name, case in pairs(reference.optimizers) do
  local Class = class_of(case.class)
  t.test(name .. " makes the steps of " .. case.class, function()
    local list = parameters()
    local optimizer = Class(list, options_of(case, Class))
    for step = 0, reference.steps - 1 do
      set_gradients(list, step)
      optimizer:step()
      for i, key in ipairs(names) do
        local expected = tensors[name .. "." .. key]:select(0, step)
        t.near(furthest(list[i]:detach(), expected), 0, 2e-6, 0, ("step %d, %s"):format(step, key))
      end
    end
  end)

  t.test(name .. " continues from its state", function()
    local list, copy = parameters(), parameters()
    local optimizer, other = Class(list, options_of(case, Class)), Class(copy, options_of(case, Class))
    local function run(params, o, from, to)
      for step = from, to do
        set_gradients(params, step)
        o:step()
      end
    end
    run(list, optimizer, 0, 4)
    tensor.no_grad(function()
      for i = 1, #list do copy[i]:copy_(list[i]) end
    end)
    other:load_state_dict(optimizer:state_dict())
    run(list, optimizer, 5, 9)
    run(copy, other, 5, 9)
    for i = 1, #list do t.near(furthest(list[i]:detach(), copy[i]:detach()), 0, 0) end
  end)
end

t.test("groups have options of their own, and steps scale gradients", function()
  local list = parameters()
  local optimizer = trainer.SGD({ { params = { list[1] }, lr = 1.0 }, { params = { list[2], list[3] } } }, { lr = 0.5 })
  set_gradients(list, 0)
  local before = { list[1]:detach():clone(), list[2]:detach():clone() }
  optimizer:apply(0.1)
  t.near(furthest(list[1]:detach(), before[1] - list[1].grad * 0.1), 0, 1e-7)
  t.near(furthest(list[2]:detach(), before[2] - list[2].grad * 0.05), 0, 1e-7)
  optimizer:zero_grad()
  assert(list[1].grad == nil)
end)

t.test("parameters without a gradient stay as they are, and catch up later", function()
  local list = parameters()
  local optimizer = trainer.AdamW(list, { lr = 0.1 })
  set_gradients(list, 0)
  list[2].grad = nil
  local before = list[2]:detach():clone()
  optimizer:step()
  t.near(furthest(list[2]:detach(), before), 0, 0)
  set_gradients(list, 1)
  optimizer:step()
  t.same(optimizer.state[list[1]].step, 2)
  t.same(optimizer.state[list[2]].step, 1)
end)

t.test("mistakes are named", function()
  local list = parameters()
  t.raises(function() trainer.AdamW(list, { lrr = 1 }) end, "AdamW: unknown option 'lrr'", "lr")
  t.raises(function() trainer.AdamW({}, {}) end, "the list of parameters is empty")
  t.raises(function() trainer.AdamW(list, { lr = -1 }) end, "option 'lr'")
  t.raises(function() trainer.AdamW(list, { betas = { 0.9, 1.0 } }) end, "betas[2]")
  t.raises(function() trainer.AdamW({ 1, 2 }) end, "parameter 1: expected a tensor")
  t.raises(function() trainer.SGD(list, { nesterov = true }) end, "nesterov needs a momentum")
  t.raises(function() trainer.Adafactor(list, { lr = 0.1 }) end, "exclude each other")
  local optimizer = trainer.AdamW(list)
  t.raises(function() optimizer:load_state_dict(trainer.AdamW { list[1] }:state_dict()) end, "expected 3 parameters, found 1")
end)

t.test("the option optim chooses the class and its options", function()
  local optimizers = require "hflua.trainer.optimizers"
  local Class, given = optimizers.from_arguments(hf.TrainingArguments { adam_beta2 = 0.98, learning_rate = 1e-3 })
  assert(Class == trainer.AdamW)
  t.same(given, { lr = 1e-3, betas = { 0.9, 0.98 }, eps = 1e-8 })
  Class, given = optimizers.from_arguments(hf.TrainingArguments { optim = "sgd", optim_args = "momentum=0.9,nesterov=true" })
  assert(Class == trainer.SGD and given.momentum == 0.9 and given.nesterov == true)
  t.raises(function()
    optimizers.from_arguments(hf.TrainingArguments { optim = "sgd", optim_args = "momentun=0.9" })
  end, "unknown option 'momentun'")
end)

t.finish()
