-- What processes exchange, under mpirun -np 2: texts, numbers, tensors, gradients in buckets.
local hf = require "hflua"
local core = require "hflua.core.process_group"
local group = require "hflua.process_group"
local tensor = hf.tensor

local device = os.getenv "HFLUA_DEVICE" or "cpu"
local info = group.info()
assert(info.size == 2 and info.local_size == 2 and info.local_rank == info.rank)
local rank = info.rank

local function equal(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(b) do
    if not equal(a[key], value) then return false end
  end
  return #a == #b
end

local function same(actual, expected, what)
  if not equal(actual, expected) then error(("%s: expected %s, found %s"):format(what, hf.json.encode(expected), hf.json.encode(actual)), 2) end
end

-- ---- texts and numbers
same(core.broadcast(rank == 1 and "from one\0" or "", 1), "from one\0", "broadcast")
same(core.broadcast("", 0), "", "broadcast of nothing")
same(group.gather_texts(("x"):rep(3 * rank)), { "", "xxx" }, "texts")
same(group.sum(rank + 1), 3, "sum")
assert(math.type(group.sum(1)) == "integer" and group.sum(0.5) == 1.0 and group.mean(rank) == 0.5 and group.max(-rank) == 0)
same(group.broadcast_order(rank == 0 and { 3, 1, 2 } or {}), { 3, 1, 2 }, "order")
same(group.from_main(function() return "rank " .. rank end), "rank 0", "from_main")
assert(group.from_main(function() return nil end) == nil)
local ok, message = pcall(group.from_main, function() error("the disk is full", 0) end)
assert(not ok and message == "the disk is full", "an error of the first process reaches all")

-- ---- tensors
local t = tensor.tensor({ { 1.0 + rank, 2.0 } }, { device = device })
same(group.gather_tensor(t):tolist(), { { 1.0, 2.0 }, { 2.0, 2.0 } }, "gather")
same(group.gather_tensor(tensor.tensor(rank)):tolist(), { 0, 1 }, "gather of single numbers")
same(group.reduce_tensor(t, "mean"):tolist(), { { 1.5, 2.0 } }, "mean")
same(group.reduce_tensor(tensor.tensor { rank, 5 }, "max"):tolist(), { 1, 5 }, "max")
same(group.reduce_tensor(tensor.tensor { rank == 0, true }, "sum"):tolist(), { true, true }, "sum of truth values")
same(group.pad_tensor(tensor.ones(1, 1 + rank):long(), 1, -100):tolist(), { rank == 0 and { 1, -100 } or { 1, 1 } }, "padded behind")
same(group.pad_tensor(tensor.ones(1, 1 + rank), 1, 0, true):tolist(), { rank == 0 and { 0, 1 } or { 1, 1 } }, "padded in front")
ok, message = pcall(group.gather_tensor, tensor.ones(1 + rank))
assert(not ok and message:find("pad_across_processes", 1, true), message)

ok, message = pcall(core.average_on_device, tensor.ones(2):to(device))
assert(not ok and message:find("the device has none", 1, true), message)

-- ---- rows
local shard = require "hflua.datasets.shard"
local function rows(n, drop_last)
  local order = {}
  for i = 1, n do order[i] = i end
  return shard.rows(order, 2, drop_last, rank, 2)
end
same(rows(8), rank == 0 and { 1, 2, 5, 6 } or { 3, 4, 7, 8 }, "rows")
same(rows(5), rank == 0 and { 1, 2, 5, 1 } or { 3, 4, 2, 3 }, "rows, the last round completed")
same(rows(7, true), rank == 0 and { 1, 2 } or { 3, 4 }, "rows, the last round dropped")
same(rows(1), { 1, 1 }, "one row for all")

-- ---- gradients
local function parameter(...) return hf.nn.Parameter(tensor.ones { ... }:to(device)) end
local p, q, unused, one_sided = parameter(3, 2), parameter(2), parameter(4), parameter(5)
local list = { unused, p, q, one_sided }
local exchange = core.exchange(list, 1) -- a bucket each
local function backward(fn)
  for _, x in ipairs(list) do x.grad = nil end
  fn()
  exchange:finish()
end
local function loss() return (p * (rank + 1)):sum() + (q * q * (3 * rank)):sum() + (rank == 0 and (one_sided * 4):sum() or 0) end
for round = 1, 3 do
  backward(function()
    exchange:begin()
    loss():backward()
  end)
  same(p.grad:tolist(), { { 1.5, 1.5 }, { 1.5, 1.5 }, { 1.5, 1.5 } }, "p")
  same(q.grad:tolist(), { 3.0, 3.0 }, "q")
  same(one_sided.grad:tolist(), { 2.0, 2.0, 2.0, 2.0, 2.0 }, "a gradient in one process alone")
  assert(unused.grad == nil, "a parameter that nobody used keeps no gradient")
  local buckets, overlapped = exchange:buckets()
  assert(buckets == 4 and overlapped == (rank == 0 and 3 or 0), ("%d of %d behind the backward"):format(overlapped, buckets))
  assert(device == "cpu" or exchange:detour(), "the emulated device has no collectives")
end

-- accumulated before, without begin; a graph that is walked twice; operations that record operations of their own
backward(function() loss():backward() loss():backward() end)
same(q.grad:tolist(), { 6.0, 6.0 }, "accumulated")
backward(function()
  exchange:begin()
  local x = loss()
  x:backward { retain_graph = true }
  x:backward()
end)
same(q.grad:tolist(), { 6.0, 6.0 }, "walked twice")
backward(function()
  exchange:begin()
  local function inner(x) return (x * q):sum() * (rank + 1) end
  local total = hf.checkpoint(inner, p:sum { dim = 0 }) + hf.checkpoint(inner, q * 2) + (one_sided * 1):sum()
  total:backward()
end)
same(q.grad:tolist(), { (3 + 4) * 1.5, (3 + 4) * 1.5 }, "recomputed")
ok, message = pcall(backward, function()
  exchange:begin()
  for _ = 1, 2 do one_sided:sum():backward() end
end)
assert(not ok and message:find("changed after its exchange had begun", 1, true), message)
ok, message = pcall(core.exchange, { unused, p, q }, 1)
assert(not ok and message:find("is in another one already", 1, true), message)
backward(function() exchange:begin() loss():backward() end)
assert(select(2, exchange:buckets()) == (rank == 0 and 3 or 0), "the first exchange still watches")
exchange:close()
core.exchange({ p }, 1):close()

-- larger than a bucket, many of them
local many = {}
for i = 1, 40 do many[i] = parameter(50 + i) end
exchange = core.exchange(many, 1000)
for _ = 1, 5 do
  exchange:begin()
  local sum = 0
  for i, x in ipairs(many) do sum = sum + (x * (i + rank)):sum() end
  sum:backward()
  exchange:finish()
  for i, x in ipairs(many) do
    assert(x.grad:sum():item() == (50 + i) * (i + 0.5), i)
    x.grad = nil
  end
  local buckets, overlapped = exchange:buckets()
  assert(buckets > 3 and overlapped == buckets, ("%d of %d"):format(overlapped, buckets))
end
exchange:close()

-- ---- Accelerator's helpers
local acc = hf.Accelerator { cpu = device == "cpu" }
same(acc:split_between_processes { "a", "b", "c" }, rank == 0 and { "a", "b" } or { "c" }, "split")
same(acc:split_between_processes({ "a", "b", "c" }, { apply_padding = true }), rank == 0 and { "a", "b" } or { "c", "c" }, "split, padded")
same(acc:split_between_processes { x = { 1, 2 }, y = { 3, 4 } }, rank == 0 and { x = { 1 }, y = { 3 } } or { x = { 2 }, y = { 4 } }, "split of lists")
same(acc:split_between_processes(tensor.tensor { 1, 2, 3 }):tolist(), rank == 0 and { 1, 2 } or { 3 }, "split of a tensor")
local order = {}
acc:main_process_first(function() order[1] = rank end)
assert(order[1] == rank and acc:on_main_process(function() return 1 end)() == (rank == 0 and 1 or nil))
assert(acc:on_process(function() return 1 end, { process_index = 1 })() == (rank == 1 and 1 or nil))
same(acc:reduce({ a = tensor.tensor { rank + 0.0 } }, "mean").a:tolist(), { 0.5 }, "reduce")
same(acc:pad_across_processes(tensor.ones(1 + rank), { pad_index = 7 }):tolist(), rank == 0 and { 1, 7 } or { 1, 1 }, "pad")
acc:print("printed once")

-- no_sync: gradients stay apart until the next backward outside
local model = hf.nn.Linear(2, 1)
model = acc:prepare(model)
local x = tensor.tensor({ { 1.0 + rank, 2.0 } }, { device = tostring(acc.device) })
acc:no_sync(model, function() acc:backward(model(x):sum()) end)
same(model.weight.grad:tolist(), { { 1.0 + rank, 2.0 } }, "own gradient")
acc:backward(model(x):sum())
same(model.weight.grad:tolist(), { { 3.0, 4.0 } }, "mean of what was added up")
for _, given in ipairs { { even_batches = false }, { dataloader_config = { dispatch_batches = true } } } do
  ok, message = pcall(hf.Accelerator, given)
  assert(not ok and message:find("with several processes", 1, true), message)
end
assert(hf.launch(function(a) return a + rank end, { args = { 1 }, num_processes = 2 }) == 1 + rank)
ok, message = pcall(hf.launch, print, { num_processes = 3 })
assert(not ok and message:find("num_processes is 3, but mpirun started 2", 1, true), message)
