-- The tape as scripts see it: accumulation, switching off, recomputation, custom operations, changes in place, steps.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local tensor = hf.tensor
local core = tensor.core

local function leaf(...) return tensor.tensor({ ... }, { requires_grad = true }) end
local function numbers(x, expected) t.same(x:tolist(), expected) end

t.test("gradients add up until they are cleared", function()
  local x = leaf(1.0, 2.0)
  tensor.sum(x * x):backward()
  numbers(x.grad, { 2.0, 4.0 })
  tensor.sum(x * 3):backward()
  numbers(x.grad, { 5.0, 7.0 })
  x.grad = nil
  assert(x.grad == nil)
end)

t.test("a tensor used several times, and a leaf used directly", function()
  local x = leaf(2.0)
  local y = x * x
  tensor.sum(y * y + y + x):backward()
  numbers(x.grad, { 4 * 8 + 2 * 2 + 1.0 })
end)

t.test("what is a leaf and what wants a gradient", function()
  local x, plain = leaf(1.0), tensor.tensor { 1.0 }
  local y = x * plain
  t.same({ x.is_leaf, y.is_leaf, y.requires_grad, (plain * 2).requires_grad, y:detach().requires_grad }, { true, false, true, false, false })
  y:sum():backward()
  assert(plain.grad == nil)
  t.raises(function() y.requires_grad = false end, "detach")
end)

t.test("backward with a gradient and with the graph kept", function()
  local x = leaf(1.0, 2.0)
  local y = x * x
  y:backward { gradient = tensor.tensor { 1.0, 10.0 }, retain_graph = true }
  numbers(x.grad, { 2.0, 40.0 })
  y:backward(tensor.tensor { 1.0, 0.0 })
  numbers(x.grad, { 4.0, 40.0 })
  t.raises(function() y:backward(tensor.ones(2)) end, "already walked", "retain_graph")
end)

t.test("no_grad nests and is undone by errors", function()
  local x = leaf(1.0)
  t.same(hf.no_grad(function(a, b) return a + b end, 1, 2), 3)
  hf.no_grad(function()
    assert(not (x * 2).requires_grad)
    hf.no_grad(function() end)
    assert(not tensor.is_grad_enabled())
    tensor.enable_grad(function() assert((x * 2).requires_grad) end)
    assert(not tensor.is_grad_enabled())
  end)
  t.raises(function() hf.no_grad(function() error("inside") end) end, "inside")
  assert(tensor.is_grad_enabled())
end)

t.test("a change in place after use is noticed", function()
  local x = leaf(1.0, 2.0)
  local y = x:exp()
  hf.no_grad(function() y:add_(1) end)
  t.raises(function() y:sum():backward() end, "changed in place", "clone")
  local w = leaf(3.0)
  local z = w * w
  hf.no_grad(function() w:mul_(2) end)
  t.raises(function() z:backward() end, "changed in place")
  numbers(w, { 6.0 })
end)

t.test("leaves and results with history refuse changes in place", function()
  local x = leaf(1.0)
  t.raises(function() x:add_(1) end, "add_", "requires grad", "no_grad")
  t.raises(function() (x * 2):mul_(2) end, "mul_")
  t.raises(function() tensor.zeros(1):copy_(x) end, "copy_: argument 'source'", "requires grad")
  hf.no_grad(function() x:add_(1) end)
  numbers(x, { 2.0 })
end)

-- Two linear layers with dropout between them; the second pass must repeat the first one's masks.
local function small_network()
  local w1 = (tensor.arange(12):float() / 12 - 0.5):reshape(4, 3):requires_grad_()
  local w2 = (tensor.arange(8):float() / 8 - 0.3):reshape(2, 4):requires_grad_()
  local function forward(x) return tensor.linear(tensor.linear(x, w1, nil, "gelu"):dropout(0.4), w2) end
  return forward, { w1, w2 }
end

t.test("checkpoint gives the same values and gradients, dropout included", function()
  local forward, weights = small_network()
  local x = (tensor.arange(15):float() / 7):reshape(5, 3)
  local results = {}
  for i, run in ipairs { forward, function(v) return hf.checkpoint(forward, v) end } do
    core.dropout_seed(7)
    local input = x:clone():requires_grad_()
    local y = run(input)
    local after = y:dropout(0.5) -- the position after the checkpoint must be the same too
    after:square():sum():backward()
    results[i] = { y:tolist(), after:tolist(), input.grad:tolist(), weights[1].grad:tolist(), weights[2].grad:tolist() }
    weights[1].grad, weights[2].grad = nil, nil
  end
  t.same(results[2], results[1])
end)

t.test("checkpoint of arguments without gradient still reaches the parameters", function()
  local w = leaf(2.0)
  hf.checkpoint(function(x) return x * w end, tensor.tensor { 3.0 }):sum():backward()
  numbers(w.grad, { 3.0 })
end)

t.test("checkpoint keeps no intermediate results", function()
  local x = tensor.ones(1000):requires_grad_()
  local function chain(v) for _ = 1, 20 do v = v:exp():log() end return v end
  local function held(run)
    collectgarbage() collectgarbage()
    local before = core.device_bytes()
    local y = run(chain, x)
    collectgarbage() collectgarbage()
    local bytes = core.device_bytes() - before
    y:sum():backward()
    return bytes
  end
  local plain, recomputed = held(function(fn, v) return fn(v) end), held(hf.checkpoint)
  assert(recomputed * 8 < plain, ("%d bytes against %d"):format(recomputed, plain))
end)

t.test("checkpoint of several results, and inside another one", function()
  local x = leaf(1.0, 2.0)
  local a, b = hf.checkpoint(function(v)
    return hf.checkpoint(function(u) return u * u end, v), v * 3
  end, x)
  tensor.backward(a:sum() + b:sum() * 2)
  numbers(x.grad, { 8.0, 10.0 })
end)

t.test("an error in recomputation arrives with its message and leaves the tape on", function()
  local calls, x = 0, leaf(1.0)
  local y = hf.checkpoint(function(v)
    calls = calls + 1
    if calls == 2 then error("second time") end
    return v * 2
  end, x)
  t.raises(function() y:backward() end, "second time")
  assert(tensor.is_grad_enabled())
end)

t.test("custom_op with context, constants and several results", function()
  local scaled = hf.custom_op {
    name = "scaled",
    forward = function(ctx, x, factor, y)
      ctx.factor, ctx.needs = factor, ctx.needs_input_grad
      return x * factor, x + y
    end,
    backward = function(ctx, dscaled, dsum)
      t.same({ ctx.needs[1], ctx.needs[2], ctx.needs[3] }, { true, false, false })
      return dscaled * ctx.factor + dsum
    end,
  }
  local x = leaf(1.0, 2.0)
  local a, b = scaled(x, 3, tensor.tensor { 5.0, 5.0 })
  numbers(a, { 3.0, 6.0 })
  tensor.backward(a:sum() + (b * 2):sum())
  numbers(x.grad, { 5.0, 5.0 })
  t.same(a.grad_fn, "custom_op")
end)

t.test("a result without a gradient gives nil to backward", function()
  local seen
  local both = hf.custom_op { forward = function(_, x) return x * 1, x * 2 end, backward = function(_, first, second)
    seen = { first == nil, second == nil }
    return second * 2
  end }
  local x = leaf(1.0)
  local _, b = both(x)
  b:sum():backward()
  t.same(seen, { true, false })
  numbers(x.grad, { 2.0 })
end)

t.test("an output may be kept in the context without a cycle", function()
  local exp = hf.custom_op { forward = function(ctx, x)
    ctx.y = x:exp()
    return ctx.y
  end, backward = function(ctx, dy) return dy * ctx.y end }
  collectgarbage() collectgarbage()
  local before = core.storage_count()
  for _ = 1, 20 do exp(leaf(0.0)) end
  collectgarbage() collectgarbage()
  t.same(core.storage_count(), before)
end)

t.test("errors of custom operations", function()
  local function op(backward) return hf.custom_op { name = "mine", forward = function(_, x) return x * 1 end, backward = backward } end
  local x = leaf(1.0, 2.0)
  t.raises(function() op(function() error("in my backward") end)(x):sum():backward() end, "test_autograd.lua:", "in my backward")
  t.raises(function() op(function(_, d) return d:sum() end)(x):sum():backward() end, "mine: backward: gradient 1: expected shape [2], found []")
  t.raises(function() op(function() return 1 end)(x):sum():backward() end, "mine: backward: gradient 1: expected a tensor or nil, found number")
  t.raises(function() hf.custom_op { forward = print } end, "custom_op: backward: expected a function, found nil")
  t.raises(function() hf.custom_op { foward = print, backward = print } end, "unknown", "forward")
  t.raises(function() hf.custom_op { forward = function() return 1 end, backward = print }(x) end, "forward must return tensors, found number")
end)

t.test("custom_op inside a coroutine", function()
  local double = hf.custom_op { forward = function(_, x) return x * 2 end, backward = function(_, d) return d * 2 end }
  local x = leaf(1.0)
  coroutine.wrap(function() double(x):sum():backward() end)()
  numbers(x.grad, { 2.0 })
end)

t.test("step releases what is not returned or kept", function()
  local outside, kept
  local x = leaf(1.0, 2.0)
  local result = hf.step(function()
    outside = x * 2
    kept = (x * 3):keep()
    local loss = (outside * kept):sum()
    loss:backward()
    return { loss = loss, list = { x + 1 } }
  end)
  t.same(result.loss:item(), 30.0)
  numbers(result.list[1], { 2.0, 3.0 })
  numbers(kept, { 3.0, 6.0 })
  numbers(x.grad, { 12.0, 24.0 })
  t.raises(function() return outside:item() end, "released at the end of hf.step", ":keep()")
  t.raises(function() hf.step(function() outside = x * 1 error("stop") end) end, "stop")
  t.raises(function() return outside:sum() end, "released at the end of hf.step")
  numbers(x * 1, { 1.0, 2.0 })
end)

t.test("steps nest", function()
  local inner_only, outer
  hf.step(function()
    outer = tensor.ones(1)
    hf.step(function() inner_only = tensor.ones(1) end)
    t.raises(function() return inner_only:item() end, "hf.step")
    t.same(outer:item(), 1.0)
  end)
  t.raises(function() return outer:item() end, "hf.step")
end)

t.test("one pass of AdamW over all parameters, and the global norm", function()
  local p = leaf(1.0, -2.0)
  tensor.sum(p * p):backward()
  local m, v = tensor.zeros(2), tensor.zeros(2)
  local squares, count = core.gradient_sum_squares { p, leaf(1.0) }
  t.same({ squares, count }, { 20.0, 1 })
  t.same(core.sum_squares { p:detach(), tensor.ones(3) }, 8.0)
  core.scale_gradients({ p }, 0.5)
  numbers(p.grad, { 1.0, -2.0 })
  core.adam_step({ { parameter = p, exp_avg = m, exp_avg_sq = v, weight_decay = 0.1 } }, { lr = 0.1, step = 1 })
  local after = p:tolist()
  t.near(after[1], 1.0 * 0.99 - 0.1, 1e-6)
  t.near(after[2], -2.0 * 0.99 + 0.1, 1e-6)
end)
t.finish()
