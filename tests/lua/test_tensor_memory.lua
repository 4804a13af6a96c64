-- Memory of custom loops (slow): Lua's collector knows tensor bytes, so that resident memory stays flat.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local tensor = hf.tensor
local core = tensor.core

-- MiB resident, or nil where /proc is not there.
local function resident()
  local file = io.open "/proc/self/statm"
  if not file then return nil end
  local _, pages = file:read("n", "n")
  file:close()
  return pages * 4096 / 2 ^ 20
end

local function live_bytes()
  collectgarbage() collectgarbage()
  return (core.device_bytes())
end

-- A loss over one hidden layer, all of small operations; about 30 KiB of results a step.
local function loss_of(w1, w2, x, y)
  local h = (x:matmul(w1) + 0.1):tanh()
  local out = (h * 2):matmul(w2):sigmoid()
  return ((out - y) ^ 2):mean()
end

local sanitized = (os.getenv("HFLUA_SANITIZE") or "") ~= "" -- freed memory is kept aside then
local resident_test = sanitized and function(name) t.skip(name, "resident memory means nothing under a sanitizer") end or t.test

resident_test("10,000 steps of a custom loop keep memory flat", function()
  local w1 = (tensor.arange(8 * 32):float() % 13 / 13 - 0.5):reshape(8, 32):requires_grad_()
  local w2 = (tensor.arange(32 * 4):float() % 7 / 7 - 0.5):reshape(32, 4):requires_grad_()
  local x, y = (tensor.arange(32 * 8):float() % 5 - 2):reshape(32, 8), tensor.ones(32, 4) * 0.3
  local first, last, early, most
  for step = 1, 10000 do
    local loss = loss_of(w1, w2, x, y)
    loss:backward()
    hf.no_grad(function()
      for _, w in ipairs { w1, w2 } do
        w:sub_(w.grad, { alpha = 0.5 })
        w.grad = nil
      end
    end)
    if step == 1 then first = loss:item() end
    if step == 10000 then last = loss:item() end
    if step == 1000 then early, most = resident(), core.device_bytes() end
    if step > 1000 and step % 100 == 0 then most = math.max(most, (core.device_bytes())) end
  end
  assert(last < first * 0.5, ("the loss fell from %g to %g only"):format(first, last))
  assert(most < 128 * 2 ^ 20, ("%.0f MiB of tensors at one time"):format(most / 2 ^ 20))
  if early then
    local grown = resident() - early
    assert(grown < 8, ("resident memory grew by %.1f MiB from step 1,000 to step 10,000"):format(grown))
  end
end)

t.test("a loop without gradients keeps memory flat, large tensors too", function()
  local x, most = tensor.ones(256, 1024), 0
  for step = 1, 500 do
    local _ = (x * 2):relu():sum(1)
    if step % 10 == 0 then most = math.max(most, (core.device_bytes())) end
  end
  assert(most < 64 * 2 ^ 20, ("%.0f MiB at one time"):format(most / 2 ^ 20))
end)

t.test("hf.step frees at once", function()
  local x = tensor.ones(256, 1024):requires_grad_()
  local before, most = live_bytes(), 0
  for _ = 1, 50 do
    hf.step(function() (x * 2):exp():sum():backward() end)
    x.grad = nil
    most = math.max(most, core.device_bytes() - before)
  end
  assert(most < 2 ^ 20, ("%.0f KiB left after a step"):format(most / 2 ^ 10))
end)

t.test("a long chain of operations is released without recursion", function()
  local before = live_bytes()
  do
    local x = tensor.ones(1):requires_grad_()
    for _ = 1, 20000 do x = x + 1 end
    t.same(x:item(), 20001.0)
  end
  t.same(live_bytes(), before)
end)

t.test("nothing is left behind by graphs that were never walked", function()
  local storages = core.storage_count()
  do
    local w = tensor.ones(8, 8):requires_grad_()
    for _ = 1, 100 do
      local y = hf.checkpoint(function(v) return v:matmul(w):relu() end, tensor.ones(4, 8))
      pcall(function() return y:sum() + tensor.ones(3, 3):matmul(w) end)
    end
  end
  collectgarbage() collectgarbage()
  t.same(core.storage_count(), storages)
end)

t.test("memory that cannot be had is an error, and smaller work goes on", function()
  t.raises(function() return tensor.zeros(1 << 46) end, "out of memory")
  t.same(tensor.ones(3):sum():item(), 3.0)
end)
t.finish()
