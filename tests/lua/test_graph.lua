--- hf.tensor.graph: whatever the device, a graph gives what calling its function gives; what only devices with graphs do is tested
-- where they are (ctest runs this file on the emulated device too).
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local tensor, nn = hf.tensor, hf.nn
local core = tensor.core

tensor.ones({ 1 }):sum():item() -- the device is in use from here on
local has_graphs = core.graphs_work()

local function on_device(name, fn)
  if has_graphs then t.test(name, fn) else t.skip(name, "needs a device with graphs") end
end

local function numbers(x) return x:detach():float():cpu():tolist() end
local function same(a, b, what) t.same(numbers(a), numbers(b), what) end
local function fails(expected, fn, ...)
  local ok, message = pcall(fn, ...)
  if ok or not tostring(message):find(expected, 1, true) then error(("expected an error with %q, found %s"):format(expected, tostring(message)), 2) end
end

-- A transformer block with every kind of dropout, and a head: (ids, labels) -> loss.
local VOCABULARY, C, HEADS = 31, 32, 2
local function new_model(dropout)
  hf.set_seed(7)
  local m = { tokens = nn.Embedding(VOCABULARY, C), qkv = nn.Linear(C, 3 * C), out = nn.Linear(C, C), norm = nn.LayerNorm(C), up = nn.Linear(C, 4 * C),
    down = nn.Linear(4 * C, C), head = nn.Linear(C, VOCABULARY) }
  local parameters = {}
  for _, name in ipairs { "tokens", "qkv", "out", "norm", "up", "down", "head" } do
    m[name]:to(tensor.get_default_device())
    for _, p in m[name]:named_parameters() do parameters[#parameters + 1] = p end
  end
  local function hidden(ids)
    local B, T = ids:size(0), ids:size(1)
    local x = tensor.dropout(m.tokens(ids), { p = dropout, training = true })
    local parts = m.qkv(x):reshape(B, T, 3, HEADS, C // HEADS):permute(2, 0, 3, 1, 4)
    local y = tensor.sdpa(parts:select(0, 0), parts:select(0, 1), parts:select(0, 2), { is_causal = true, dropout_p = dropout })
    y = m.out(y:transpose(1, 2):reshape(B, T, C))
    x = tensor.layer_norm(y, m.norm.weight, m.norm.bias, { eps = 1e-5, residual = x, dropout = dropout })
    return x + m.down(tensor.gelu(m.up(x)))
  end
  local function loss(ids, labels) return tensor.cross_entropy(m.head(hidden(ids)):reshape(-1, VOCABULARY), labels:reshape(-1)) end
  return { hidden = hidden, loss = loss, logits = function(ids) return m.head(hidden(ids)) end, parameters = parameters }
end

local function batch(i, B, T)
  local ids = tensor.arange(B * T):add(i * 5):mul(i + 2):remainder(VOCABULARY):long():reshape(B, T)
  return ids, ids:add(1):remainder(VOCABULARY)
end

t.test("each call is the function's work on the numbers of that moment", function()
  local x, w = tensor.ones { 4, 8 }, tensor.arange(64):float():div(64):reshape(8, 8)
  local function work() return tensor.gelu(x:matmul(w)):sum(), { twice = x * 2, name = "twice" } end
  local graph = tensor.graph(work)
  for i = 1, 6 do
    x:fill_(i)
    local sum, others = graph()
    same(sum, (work()), "sum " .. i)
    same(others.twice, x * 2)
    t.same(others.name, "twice")
    t.same(graph:is_recorded(), has_graphs and i > 2)
  end
  t.same(tostring(graph), has_graphs and "graph (recorded)" or "graph (not recorded)")
  t.same(hf.graph, tensor.graph)
  same(hf.cuda.graph(function() return x + 1 end)(), x + 1)
end)

t.test("arguments are copied in; others of the same shape may follow", function()
  local graph = tensor.graph(function(x, y, factor) return x * factor + y end, { warmup = 1 })
  for i = 1, 4 do
    local x, y = tensor.full({ 3 }, i), tensor.full({ 3 }, 10 * i)
    same(graph(x, y, 2), x * 2 + y)
  end
end)

t.test("hf.step around each call frees nothing that the graph keeps", function()
  local graph = tensor.graph(function(x) return x * 2 + 1 end, { warmup = 1 })
  for i = 1, 4 do t.same(numbers(hf.step(graph, tensor.full({ 3 }, i))), { 2 * i + 1, 2 * i + 1, 2 * i + 1 }, "call " .. i) end
end)

t.test("gradients and dropout of training steps are those without a graph", function()
  local function train(wrap)
    local m = new_model(0.2)
    local ids, labels = batch(0, 3, 5)
    local step = wrap(function()
      local loss = m.loss(ids, labels)
      loss:backward()
      return loss
    end)
    local optimizer, losses = hf.AdamW(m.parameters, { lr = 1e-2 }), {}
    for i = 1, 7 do
      core.dropout_begin_step(i)
      local new_ids, new_labels = batch(i, 3, 5)
      ids:copy_(new_ids) labels:copy_(new_labels)
      losses[i] = step():item()
      optimizer:step()
      optimizer:zero_grad()
      losses[#losses + 1] = core.dropout_position()
    end
    local sums = {}
    for i, p in ipairs(m.parameters) do sums[i] = numbers(p) end
    return losses, sums
  end
  local losses, parameters = train(function(fn) return fn end)
  local found, after = train(tensor.graph)
  t.same(found, losses)
  t.same(after, parameters)
end)

t.test("accumulated gradients: a graph that begins them and one that adds", function()
  local function train(wrap)
    local m = new_model(0.1)
    local ids, labels = batch(0, 2, 4)
    local function work() local loss = m.loss(ids, labels) loss:backward() return loss end
    local first, more, out = wrap(work), wrap(work), {}
    for i = 1, 4 do
      core.dropout_begin_step(i)
      for part = 1, 3 do
        local a, b = batch(3 * i + part, 2, 4)
        ids:copy_(a) labels:copy_(b)
        out[#out + 1] = (part == 1 and first or more)():item()
      end
      for _, p in ipairs(m.parameters) do out[#out + 1] = numbers(p.grad) p.grad = nil end
    end
    return out
  end
  t.same(train(tensor.graph), train(function(fn) return fn end))
end)

t.test("checkpointing inside", function()
  local function train(wrap)
    local m, out = new_model(0.3), {}
    local ids, labels = batch(1, 2, 4)
    local step = wrap(function()
      local x = tensor.checkpoint(m.hidden, ids)
      local loss = (x * x):mean()
      loss:backward()
      return loss
    end)
    for i = 1, 5 do
      core.dropout_begin_step(i)
      out[#out + 1] = step():item()
      for _, p in ipairs(m.parameters) do out[#out + 1] = p.grad and numbers(p.grad) or "none" p.grad = nil end
    end
    return out
  end
  t.same(train(tensor.graph), train(function(fn) return fn end))
end)

t.test("autocast: 16-bit copies follow the parameters", function()
  local device = tensor.device(tensor.get_default_device()):match "^%a+"
  local function train(wrap)
    local m, out = new_model(0.0), {}
    local ids, labels = batch(1, 2, 4)
    local step = wrap(function()
      return hf.autocast(device, { dtype = "bfloat16" }, function()
        local loss = m.loss(ids, labels)
        loss:backward()
        return loss
      end)
    end)
    local optimizer = hf.AdamW(m.parameters, { lr = 1e-2 })
    for _ = 1, 6 do
      out[#out + 1] = step():item()
      optimizer:step()
      optimizer:zero_grad()
      out[#out + 1] = hf.autocast(device, { dtype = "bfloat16" }, function() return m.loss(ids, labels):item() end)
    end
    return out
  end
  t.same(train(tensor.graph), train(function(fn) return fn end))
end)

t.test("tokens one after another: the graph feeds itself through tensors", function()
  local m = new_model(0.0)
  local function decode(wrap)
    local ids, out = tensor.zeros({ 2, 6 }, { dtype = "int64" }), {}
    local step = wrap(function()
      return tensor.no_grad(function()
        local token = m.logits(ids):select(1, 5):argmax(-1)
        ids:copy_(tensor.cat({ ids:narrow(1, 1, 5), token:reshape(2, 1) }, 1))
        return token
      end)
    end)
    for i = 1, 12 do out[i] = numbers(step()) end
    return out
  end
  t.same(decode(tensor.graph), decode(function(fn) return fn end))
end)

on_device("a result is one tensor, written by each call; the tape sees that it was", function()
  local x = tensor.ones { 3 }
  local graph = tensor.graph(function() return x * 2 end, { warmup = 0 })
  local first = graph()
  local w = tensor.ones({ 3 }, { requires_grad = true })
  local product = (w * first):sum()
  x:fill_(5)
  t.same(rawequal(first, graph()), true)
  t.same(numbers(first), { 10.0, 10.0, 10.0 })
  fails("changed in place", product.backward, product)
  t.same(graph().requires_grad, false)
end)

on_device("what cannot be recorded says so, and all is as before", function()
  local x, w = tensor.ones { 4 }, tensor.ones({ 4 }, { requires_grad = true })
  local waited, copied = "graph: the function waited for the device", "graph: the function copied numbers from the processor"
  local function refused(expected, fn) fails(expected, tensor.graph(fn, { warmup = 0 })) end
  refused(waited, function() return (x * 2):sum():item() end)
  refused(waited, function() return (x * 2):tolist() end)
  refused(waited, function() return (x * 2):cpu() end)
  refused(waited, function() return tostring(x * 2) end)
  refused(waited, function() return (x * 2):nonzero() end)
  refused(waited, function() hf.cuda.synchronize() end)
  refused(waited, function() pcall(x.item, x:sum()) return x + 1 end)
  refused(copied, function() return x + tensor.tensor { 1, 2, 3, 4 } end)
  refused("drew random numbers", function() return x + tensor.rand { 4 } end)
  refused("set dropout's seed or step", function() core.dropout_begin_step(9) return tensor.dropout(x, { p = 0.5, training = true }) end)
  refused("asked nothing of the device", function() return 1 end)
  refused("my own error", function() local _ = x + 1 error "my own error" end)
  refused("yield", function() local _ = x + 1 coroutine.yield() end)
  refused("results: expected tensors", function() return setmetatable({ x + 1 }, {}) end)
  -- half of a backward, then a failure
  core.dropout_begin_step(3)
  local place = core.dropout_position()
  refused(waited, function()
    local y = tensor.dropout(w * x, { p = 0.5, training = true }):sum()
    y:backward()
    return y:item()
  end)
  t.same(w.grad, nil)
  t.same(core.dropout_position(), place)
  w.grad = tensor.full({ 4 }, 3.0)
  refused(waited, function() (w * x):sum():backward() w.grad = nil return x:sum():item() end)
  t.same(numbers(w.grad), { 3.0, 3.0, 3.0, 3.0 })
  same(x * 2, tensor.full({ 4 }, 2))
end)

on_device("a failed recording leaves no stale 16-bit copy", function()
  local layer, x = nn.Linear(4, 4), tensor.ones { 2, 4 }
  layer:to(tensor.get_default_device())
  local function run() return hf.autocast("cuda", { dtype = "bfloat16" }, function() return layer(x) end) end
  run()
  tensor.no_grad(function() layer.weight:fill_(0.5) layer.bias:fill_(0) end)
  fails("graph: ", tensor.graph(function() return run():sum():item() end, { warmup = 0 }))
  t.same(numbers(run())[1][1], 2.0)
end)

on_device("numbers from the processor as constants, when asked for", function()
  local x = tensor.ones { 3 }
  local graph = tensor.graph(function() return x + tensor.tensor { 1, 2, 3 } end, { warmup = 0, constants = true })
  t.same(numbers(graph()), { 2.0, 3.0, 4.0 })
  for i = 1, 100 do tensor.tensor({ i, i, i }):sum():item() end
  x:fill_(10)
  t.same(numbers(graph()), { 11.0, 12.0, 13.0 })
end)

on_device("no random numbers of the processor among the constants", function()
  fails("drew random numbers on the processor", tensor.graph(function() return tensor.rand { 4 } + 1 end, { warmup = 0, constants = true }))
end)

on_device("what the host knows of whole numbers is not taken for granted", function()
  local device, ids = tensor.get_default_device(), tensor.arange(4, { dtype = "int64", device = "cpu" })
  local x = ids:to(device)
  fails("graph: the function waited for the device", tensor.graph(function() return x * x:tolist()[2] end, { warmup = 0 }))
  local fixed = tensor.graph(function() return x * x:tolist()[2] end, { warmup = 0, constants = true })
  t.same(numbers(fixed()), { 0.0, 1.0, 2.0, 3.0 })
  t.same({ core.graph_was_read(x), core.graph_was_read(tensor.ones { 1 }) }, { true, false })
  -- written by launches: in place, as a result, and by neither
  local kept
  local graph = tensor.graph(function()
    kept = x * 2
    x:add_(1)
    return x * 3
  end, { warmup = 0 })
  for i = 1, 4 do
    local result = graph()
    t.same({ x:cpu():tolist(), result:cpu():tolist(), kept:cpu():tolist() }, { { i, i + 1, i + 2, i + 3 }, { 3 * i, 3 * i + 3, 3 * i + 6, 3 * i + 9 },
      { 2 * i - 2, 2 * i, 2 * i + 2, 2 * i + 4 } })
  end
end)

on_device("gradients that are not as they were recorded: recorded again", function()
  local w = tensor.ones({ 3 }, { requires_grad = true })
  local recordings = 0
  local function work() recordings = recordings + 1 (w * w):sum():backward() end
  local graph = tensor.graph(work, { warmup = 0 })
  local function expect(gradient, recorded)
    graph()
    t.same({ numbers(w.grad)[1], recordings }, { gradient, recorded })
    collectgarbage() -- w.grad was looked at: it is nobody else's again
  end
  expect(2.0, 1)
  w.grad = nil
  expect(2.0, 1)
  expect(4.0, 2) -- adds
  expect(6.0, 2);
  (w * w):sum():backward() -- without a graph, into the same numbers
  expect(10.0, 2)
  w.grad:fill_(0)
  collectgarbage()
  expect(2.0, 2)
  w.grad = tensor.ones { 3 }
  expect(3.0, 3)
  w.grad = nil
  expect(2.0, 4)
  local clears = tensor.graph(function() w.grad = nil work() end, { warmup = 0 })
  for _ = 1, 3 do clears() end
  t.same({ numbers(w.grad)[1], recordings }, { 2.0, 5 })
  w.data, w.grad = tensor.full({ 3 }, 5.0), nil
  expect(10.0, 6) -- the parameter lies elsewhere
end)

on_device("memory: a graph's blocks are its own until it is reset, then anyone's", function()
  local x = tensor.ones { 64, 64 }
  local graph = tensor.graph(function() return (x * 2 + 1):mul(3):sum(0), x:matmul(x) end, { warmup = 1 })
  graph()
  local s, p = graph()
  local expected = { numbers(s), numbers(p) }
  for round = 1, 3 do -- tensors of all the sizes the graph uses, full of other numbers
    local others = {}
    for i = 1, 12 do others[i] = tensor.full({ i % 2 == 0 and 64 * 64 or 64 }, -round) end
    graph()
    for i = 1, 12 do t.same(others[i]:sum():item(), -round * others[i]:numel()) end
    t.same({ numbers(s), numbers(p) }, expected)
    others = nil
    collectgarbage()
    hf.cuda.empty_cache()
  end
  t.same(hf.cuda.memory_stats().in_graphs > 0, true)
  local reserved = hf.cuda.memory_reserved()
  graph:reset()
  t.same(hf.cuda.memory_stats().in_graphs, 0)
  t.same(hf.cuda.memory_reserved(), reserved)
  t.same({ numbers(s), numbers(p) }, expected) -- results outlive their graph
  s, p, graph = nil, nil, nil
  collectgarbage()
  hf.cuda.empty_cache()
  t.same(hf.cuda.memory_reserved() < reserved, true)
end)

on_device("memory: what a graph reads is not given to others while it lives", function()
  local x, y = tensor.full({ 1000 }, 4), tensor.full({ 1000 }, 5)
  local graph = tensor.graph(function() y:copy_(x * 2) return y + 0 end, { warmup = 0 })
  local result = graph()
  x, y = nil, nil
  collectgarbage()
  local others = {}
  for i = 1, 8 do others[i] = tensor.full({ 1000 }, i) end
  graph()
  t.same(result:sum():item(), 8000.0)
  for i = 1, 8 do t.same(others[i]:sum():item(), 1000.0 * i) end
  local held = hf.cuda.memory_stats().in_graphs
  local second = tensor.graph(function() return others[1] + 1 end, { warmup = 0 })
  second()
  graph:reset()
  t.same(hf.cuda.memory_stats().in_graphs < held, true)
  second:reset()
  t.same(hf.cuda.memory_stats().in_graphs, 0)
end)

on_device("memory: tables of the host stay with the graph, whatever is uploaded in between", function()
  local q = tensor.arange(2 * 5 * 2 * 8):float():div(160):reshape(2, 2, 5, 8)
  local graph = tensor.graph(function() return tensor.sdpa(q, q, q, { is_causal = true }) end, { warmup = 0 })
  local expected = numbers(graph())
  for i = 1, 80 do tensor.sdpa(tensor.ones { 1, 2, i, 8 }, tensor.ones { 1, 2, i, 8 }, tensor.ones { 1, 2, i, 8 }) end
  t.same(numbers(graph()), expected)
end)

on_device("memory: too little for the recording is an error, after which there is enough again", function()
  if not os.getenv "HFLUA_EMULATED" then return end
  local code = [[local hf = require "hflua" local x = hf.tensor.ones({ 1024, 1024 }, { device = "cuda" })
    print(pcall(hf.graph(function() local kept = {} for i = 1, 20 do kept[i] = x + i end return kept[1] end, { warmup = 0 })))
    collectgarbage() hf.cuda.empty_cache() print(hf.cuda.memory_reserved() < 8 << 20, hf.cuda.memory_stats().in_graphs, (x + 1):sum():item())]]
  local pipe = assert(io.popen(("HFLUA_EMULATION_MEMORY=64 HFLUA_CUDA_BACKEND='%s' '%s' -e '%s' 2>&1"):format(os.getenv "HFLUA_EMULATED", os.getenv "HFLUA_BIN", code)))
  local text = pipe:read "a"
  pipe:close()
  for _, part in ipairs { "out of memory for 4194304 bytes", "true\t0\t2097152.0" } do
    if not text:find(part, 1, true) then error(("expected %q in %q"):format(part, text)) end
  end
end)

on_device("graphs dropped, and called, while another is recorded", function()
  local x = tensor.ones { 8 }
  local inner = tensor.graph(function() return x * 3 end, { warmup = 0 })
  inner()
  local outer = tensor.graph(function()
    inner = inner:reset()
    collectgarbage()
    return tensor.graph(function() return x * 5 end, { warmup = 0 })() + 1
  end, { warmup = 0 })
  t.same(outer():sum():item(), 48.0)
  x:fill_(2)
  t.same(outer():sum():item(), 88.0)
end)

on_device("arguments that a graph cannot take", function()
  local graph = tensor.graph(function(x, n) return x * n end, { warmup = 0 })
  graph(tensor.ones { 3 }, 2)
  fails("argument 1: the function was recorded with [3] float32, found [4] float32", graph, tensor.ones { 4 }, 2)
  fails("argument 2: the function was recorded with 2, found 3", graph, tensor.ones { 3 }, 3)
  fails("recorded with 2 arguments, found 1", graph, tensor.ones { 3 })
  fails("argument 1 has a gradient", tensor.graph(function(x) return x end, { warmup = 0 }), tensor.ones({ 3 }, { requires_grad = true }))
end)

on_device("a bad index in a launch is told by the next wait", function()
  local table_, ids = tensor.ones { 4, 2 }, tensor.zeros({ 3 }, { dtype = "int64" })
  local graph = tensor.graph(function() return table_:index_select(0, ids) end, { warmup = 0 })
  graph()
  ids:fill_(9)
  fails("9 is out of range; expected 0 .. 3", function() graph():tolist() end)
  ids:fill_(1)
  t.same(graph():sum():item(), 6.0)
end)

t.test("options", function()
  fails("graph: expected a function, found nil", tensor.graph)
  fails("unknown option 'warmups' (did you mean 'warmup'?)", tensor.graph, print, { warmups = 1 })
  fails("warmup: expected a whole number of at least 0, found -1", tensor.graph, print, { warmup = -1 })
  do
    local graph <close> = tensor.graph(function() return tensor.ones { 1 } + 1 end, { warmup = 0 })
    graph()
  end
end)

t.finish()
