-- Tensors as scripts see them: making, looking, rows, printing, dtypes, views, changing in place.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local tensor = hf.tensor

local function numbers(x, expected) t.same(x:tolist(), expected) end

t.test("dtype follows the values", function()
  t.same(tensor.tensor({ 1, 2 }).dtype, "int64")
  t.same(tensor.tensor({ 1, 2.5 }).dtype, "float32")
  t.same(tensor.tensor({ true, false }).dtype, "bool")
  t.same(tensor.tensor({ true, 2 }).dtype, "int64")
  t.same(tensor.tensor({}).dtype, "float32")
  t.same(tensor.tensor(7).dtype, "int64")
  t.same(tensor.tensor({ 1, 2 }, { dtype = "bfloat16" }).dtype, "bfloat16")
end)

t.test("shape, size, strides and counts", function()
  local x = tensor.zeros(2, 3, 4)
  t.same({ table.unpack(x.shape) }, { 2, 3, 4 })
  t.same(tostring(x.shape), "[2, 3, 4]")
  assert(x.shape == tensor.ones(2, 3, 4).shape and x.shape ~= tensor.ones(2, 3).shape)
  t.same({ x:size(0), x:size(-1), x.ndim, x:dim(), x:numel(), #x }, { 2, 4, 3, 3, 24, 2 })
  t.same({ x:stride(0), x:stride(2), x:element_size() }, { 12, 1, 4 })
  t.same({ x.dtype, x.device, x:is_contiguous(), x:transpose(0, 1):is_contiguous() }, { "float32", "cpu", true, false })
  t.same({ table.unpack(x.T.shape) }, { 4, 3, 2 })
  t.same({ table.unpack(tensor.tensor({ { {}, {} } }).shape) }, { 1, 2, 0 })
end)

t.test("integers are exact", function()
  local big = { math.maxinteger, math.mininteger, 2 ^ 53 | 0, (2 ^ 53 | 0) + 1 }
  numbers(tensor.tensor(big), big)
  numbers(tensor.tensor({ (2 ^ 53 | 0) }) + 1, { (2 ^ 53 | 0) + 1 })
  t.same(tensor.tensor(math.maxinteger):item(), math.maxinteger)
end)

t.test("creation functions", function()
  numbers(tensor.ones(2, { dtype = "int32" }), { 1, 1 })
  numbers(tensor.full({ 2 }, 2.5), { 2.5, 2.5 })
  t.same(tensor.full({ 2 }, 3).dtype, "int64")
  numbers(tensor.zeros_like(tensor.tensor { 1, 2 }), { 0, 0 })
  numbers(tensor.full_like(tensor.tensor { 1.0 }, 4), { 4.0 })
  numbers(tensor.arange(4), { 0, 1, 2, 3 })
  numbers(tensor.arange(5, 0, -2), { 5, 3, 1 })
  numbers(tensor.arange(1, 2, 0.25), { 1.0, 1.25, 1.5, 1.75 })
  numbers(tensor.linspace(0, 1, 5), { 0.0, 0.25, 0.5, 0.75, 1.0 })
  numbers(tensor.eye(2, 3), { { 1.0, 0.0, 0.0 }, { 0.0, 1.0, 0.0 } })
  t.same(tensor.zeros({ sizes = { 2, 3 } }):numel(), 6)
  local source = tensor.ones(2)
  local copy = tensor.tensor(source)
  copy:add_(1)
  numbers(source, { 1.0, 1.0 })
end)

t.test("rows are counted from 1, positions and dims from 0", function()
  local x = tensor.arange(6):reshape(3, 2)
  numbers(x[1], { 0, 1 })
  numbers(x[-1], { 4, 5 })
  t.same(x[2][2]:item(), 3)
  local seen = {}
  for i, row in ipairs(x) do seen[i] = row[1]:item() end
  t.same(seen, { 0, 2, 4 })
  numbers(x:select(0, 0), { 0, 1 })
  numbers(x:slice { dim = 0, start = -2 }, { { 2, 3 }, { 4, 5 } })
  numbers(x:slice("[1:, 0]"), { 2, 4 })
  numbers(x[tensor.tensor { 2, 0 }], { { 4, 5 }, { 0, 1 } })
  numbers(x[tensor.gt(x, 3)], { 4, 5 })
end)

t.test("a row can be set", function()
  local x = tensor.zeros(2, 3)
  x[2] = tensor.tensor { 1.0, 2.0, 3.0 }
  x[1] = 7
  numbers(x, { { 7.0, 7.0, 7.0 }, { 1.0, 2.0, 3.0 } })
end)

t.test("views share their numbers", function()
  local x = tensor.zeros(2, 3)
  x:view(3, 2):transpose(0, 1)[1]:fill_(5)
  numbers(x, { { 5.0, 0.0, 5.0 }, { 0.0, 5.0, 0.0 } })
  x:reshape(6):slice { start = 0, stop = 4, step = 2 }:zero_()
  numbers(x, { { 0.0, 0.0, 0.0 }, { 0.0, 5.0, 0.0 } })
  local wide = tensor.tensor { { 1.0 }, { 2.0 } }:expand(2, 3)
  numbers(wide, { { 1.0, 1.0, 1.0 }, { 2.0, 2.0, 2.0 } })
  t.same(wide:stride(1), 0)
end)

t.test("arithmetic of mixed dtypes", function()
  local i, f = tensor.tensor { 1, 2 }, tensor.tensor { 0.5, 0.5 }
  t.same({ (i + f).dtype, (i / 2).dtype, (i * 2).dtype, (i * 2.5).dtype }, { "float32", "float32", "int64", "float32" })
end)

t.test("operators", function()
  local x = tensor.tensor { 7.0, -7.0 }
  numbers(x + 1, { 8.0, -6.0 })
  numbers(1 - x, { -6.0, 8.0 })
  numbers(-x, { -7.0, 7.0 })
  numbers(x * x / 7, { 7.0, 7.0 })
  numbers(2 / tensor.tensor { 4.0 }, { 0.5 })
  numbers(tensor.tensor { 3.0 } ^ 2, { 9.0 })
  numbers(2 ^ tensor.tensor { 3.0 }, { 8.0 })
  numbers(x // 2, { 3.0, -4.0 })
  numbers(x % 4, { 3.0, 1.0 })
  numbers(tensor.tensor { 7, -7, 1 << 40 } // 3, { 2, -3, (1 << 40) // 3 })
  numbers(tensor.tensor { 7, -7 } % -3, { 7 % -3, -7 % -3 })
end)

t.test("== is identity, eq compares", function()
  local x = tensor.tensor({ 1.0 }, { requires_grad = true })
  tensor.sum(x * 2):backward()
  assert(x.grad == x.grad and x ~= tensor.tensor { 1.0 })
  numbers(x:eq(1), { true })
  assert(tensor.equal(tensor.tensor { 1, 2 }, tensor.tensor { 1, 2 }) and not tensor.equal(tensor.tensor { 1 }, tensor.tensor { 1, 2 }))
  assert(tensor.allclose(tensor.tensor { 1.0 }, tensor.tensor { 1.0 + 1e-7 }))
end)

t.test("arguments by position, by name, and PyTorch's orders", function()
  local x = tensor.arange(6):reshape(2, 3):float()
  for _, y in ipairs { x:sum(1), x:sum { dim = 1 }, x:sum { axis = 1 }, tensor.sum(x, { 1 }), tensor.sum { x = x, dim = { 1 } } } do
    numbers(y, { 3.0, 12.0 })
  end
  t.same(tostring(x:sum(1, true).shape), "[2, 1]")
  local index = tensor.tensor { { 2 }, { 0 } }
  numbers(x:gather(1, index), { { 2.0 }, { 3.0 } })
  numbers(x:gather(index, { dim = 1 }), { { 2.0 }, { 3.0 } })
  numbers(tensor.embedding(tensor.tensor { 1 }, x), { { 3.0, 4.0, 5.0 } })
  numbers(tensor.cat({ x, x }, 1)[1], { 0.0, 1.0, 2.0, 0.0, 1.0, 2.0 })
  numbers(tensor.cat(x, x, { dim = 0 }):sum(), 30.0)
  numbers(tensor.einsum("ij->ji", x)[1], { 0.0, 3.0 })
  local values, indices = x:topk(2)
  numbers(values, { { 2.0, 1.0 }, { 5.0, 4.0 } })
  numbers(indices, { { 2, 1 }, { 2, 1 } })
  local a, b = x:split(1)
  numbers(b - a, { { 3.0, 3.0, 3.0 } })
end)

t.test("einsum with every kind of letter", function()
  local x, y = tensor.arange(24):float():reshape(2, 3, 4), tensor.arange(8):float():reshape(4, 2)
  assert(tensor.equal(tensor.einsum("...j,jk", x, y), tensor.matmul(x, y)))
  assert(tensor.equal(tensor.einsum("bij->b", x), x:sum { dim = { 1, 2 } }))
  assert(tensor.equal(tensor.einsum("bij,bij->", x, x), (x * x):sum()))
  assert(tensor.equal(tensor.einsum("i,j->ij", x[1][1], x[1][2]), tensor.outer(x[1][1], x[1][2])))
end)

t.test("half precision is stored, and computed in float32", function()
  local x = tensor.tensor({ 1.0, 1.00390625, 3.0 }, { dtype = "bfloat16" })
  t.same({ x.dtype, (x + x).dtype, x:sum().dtype, x:element_size() }, { "bfloat16", "bfloat16", "bfloat16", 2 })
  numbers(x:half():float(), { 1.0, 1.0, 3.0 })
  numbers(tensor.tensor({ 65504.0, 1e-7 }, { dtype = "float16" }), { 65504.0, 1.1920928955078125e-07 })
end)

t.test("to, casts and item", function()
  local x = tensor.tensor { 1.9, -1.9, 0.0 }
  numbers(x:long(), { 1, -1, 0 })
  numbers(x:bool(), { true, true, false })
  numbers(x:to("int32"), { 1, -1, 0 })
  t.same(x:to(tensor.tensor { 1 }).dtype, "int64")
  t.same(x:to("cpu", "float16").dtype, "float16")
  assert(x:to("cpu") == x and x:float() == x)
  t.same({ tensor.tensor(true):item(), tensor.tensor { 2.5 }:item(), tensor.tensor { { 3 } }:item() }, { true, 2.5, 3 })
  t.same(tensor.device("cpu"), "cpu")
  t.same(math.type(tensor.cuda.device_count()), "integer")
end)

t.test("operations in place", function()
  local x = tensor.tensor { 1.0, 2.0, 3.0 }
  assert(x:add_(1) == x)
  numbers(x:mul_(2):sub_(tensor.tensor { 1.0, 1.0, 1.0 }, { alpha = 2 }), { 2.0, 4.0, 6.0 })
  numbers(x:div_(2):clamp_ { max = 2.5 }, { 1.0, 2.0, 2.5 })
  numbers(x:masked_fill_(tensor.tensor { true, false, false }, 9), { 9.0, 2.0, 2.5 })
  numbers(x:copy_(tensor.tensor { 1, 2, 3 }), { 1.0, 2.0, 3.0 })
  numbers(x:addcmul_(x, x, { value = 2 }), { 3.0, 10.0, 21.0 })
  numbers(x:lerp_(tensor.zeros(3), 0.5):zero_(), { 0.0, 0.0, 0.0 })
  local whole = tensor.tensor { 5, 6 }
  numbers(whole:add_(2), { 7, 8 })
end)

t.test("attention with a mask", function()
  local q = tensor.ones(1, 1, 2, 4)
  local v = tensor.tensor { { { { 1.0, 1.0, 1.0, 1.0 }, { 3.0, 3.0, 3.0, 3.0 } } } }
  local mask = tensor.tensor { { true, false }, { false, false } }
  numbers(tensor.sdpa(q, q, v, mask), { { { { 1.0, 1.0, 1.0, 1.0 }, { 0.0, 0.0, 0.0, 0.0 } } } })
end)

t.test("a plan of a padded batch", function()
  local plan = tensor.core.pack_plan(tensor.tensor { { 1, 1, 0 }, { 0, 1, 1 } })
  t.same({ plan.batch, plan.length, plan.tokens, plan.full }, { 2, 3, 4, false })
  numbers(plan.index, { 0, 1, 4, 5 })
  numbers(plan.positions, { 0, 1, 1, 2 })
  numbers(plan.first_rows, { 0, 2 })
  numbers(plan.last_rows, { 1, 3 })
  assert(tensor.core.pack_plan(tensor.ones(2, 2)).full)
  local none, why = tensor.core.pack_plan(tensor.tensor { { 1, 0 }, { 0, 0 } })
  t.same({ none == nil, why }, { true, "row 2 has no real token" })
  none, why = tensor.core.pack_plan(tensor.tensor { { 1.0, 0.5 } })
  t.same({ none == nil, why }, { true, "the mask holds values other than 0 and 1" })
end)

t.test("packed attention equals the padded one", function()
  local x = (tensor.arange(2 * 3 * 2 * 4):float() % 7 - 3):reshape(2, 3, 2, 4)
  local mask = tensor.tensor { { 1, 1, 0 }, { 0, 1, 1 } }
  local plan = tensor.core.pack_plan(mask)
  local packed = x:reshape(6, 2, 4):index_select(0, plan.index)
  local out = tensor.core.attention(packed, packed, packed, plan, { causal = true })
  local padded = x:transpose(1, 2)
  local attend = mask:bool():unsqueeze(1):unsqueeze(1)
  local expected = tensor.sdpa(padded, padded, padded, attend, { is_causal = true }):transpose(1, 2):reshape(6, 2, 4):index_select(0, plan.index)
  assert(tensor.allclose(out, expected, { atol = 1e-6 }))
  local first = tensor.core.attention(packed:index_select(0, plan.first_rows), packed, packed, plan, { first_only = true })
  local all = tensor.core.attention(packed, packed, packed, plan)
  assert(tensor.allclose(first, all:index_select(0, plan.first_rows), { atol = 1e-6 }))
end)

t.test("every function and method is in docs/api/tensor.md", function()
  local file = assert(io.open(t.dir .. "/../docs/api/tensor.md"))
  local text, missing = file:read "a", {}
  file:close()
  local known = {}
  for name in text:gmatch "[%a_][%w_]*" do known[name] = true end
  for _, list in ipairs { tensor, tensor.core.methods, tensor.core } do
    for name in pairs(list) do if not known[name] then missing[#missing + 1] = name end end
  end
  table.sort(missing)
  t.same(table.concat(missing, " "), "")
end)

t.test("random tensors are PyTorch's for a seed", function()
  tensor.manual_seed(0)
  t.same(tostring(tensor.rand(3)), "tensor([0.4963, 0.7682, 0.0885], shape=[3], dtype=float32)")
  tensor.manual_seed(0)
  t.same(tostring(tensor.randn { sizes = { 3 } }), "tensor([ 1.5410, -0.2934, -2.1788], shape=[3], dtype=float32)")
  tensor.manual_seed(0)
  numbers(tensor.randperm(10), { 4, 1, 7, 5, 3, 9, 0, 8, 6, 2 })
  local own = tensor.Generator(0)
  numbers(tensor.randperm(10, { generator = own }), { 4, 1, 7, 5, 3, 9, 0, 8, 6, 2 })
  local x = tensor.zeros(3):uniform_(2, 3)
  assert(x:min():item() >= 2 and x:max():item() < 3)
  local whole = tensor.randint(5, 7, { 100 })
  t.same({ whole.dtype, whole:min():item(), whole:max():item() }, { "int64", 5, 6 })
  t.same(tensor.randint(3, { 4 }):size(0), 4)
  numbers(tensor.bernoulli(tensor.tensor { 0.0, 1.0 }), { 0.0, 1.0 })
  numbers(tensor.multinomial(tensor.tensor { 0.0, 1.0, 0.0 }, 1), { 1 })
  t.same(tensor.normal(0, 1, { 2, 3 }):numel(), 6)
  t.same(tensor.randn_like(x).dtype, "float32")
  t.raises(function() tensor.rand(2, { generator = 5 }) end, "rand: argument 'generator': expected a generator, found number")
  t.raises(function() tensor.randint(7, 5, { 2 }) end, "randint: argument 'high': expected a number above 7, found 5")
end)

-- ---- printing

local function prints(x, expected) t.same(tostring(x), expected) end

t.test("numbers print as in PyTorch", function()
  prints(tensor.tensor { 1, 20, -3 }, "tensor([ 1, 20, -3], shape=[3], dtype=int64)")
  prints(tensor.tensor { 1.0, 2.0 }, "tensor([1., 2.], shape=[2], dtype=float32)")
  prints(tensor.tensor { { 1.5, -2.25 }, { 0.0, 100.0 } },
    "tensor([[  1.5000,  -2.2500],\n        [  0.0000, 100.0000]], shape=[2, 2], dtype=float32)")
  prints(tensor.tensor { 1e-5, 1.0 }, "tensor([1.0000e-05, 1.0000e+00], shape=[2], dtype=float32)")
  prints(tensor.tensor { 1.5, math.huge, -math.huge, 0 / 0 }:slice { stop = 3 }, "tensor([1.5000,    inf,   -inf], shape=[3], dtype=float32)")
  prints(tensor.tensor(0.69315), "tensor(0.6931, dtype=float32)")
  prints(tensor.tensor { true, false }, "tensor([ true, false], shape=[2], dtype=bool)")
  prints(tensor.zeros(0, 3), "tensor([], shape=[0, 3], dtype=float32)")
end)

t.test("what differs from a plain tensor is printed", function()
  local x = tensor.tensor({ 1.0 }, { requires_grad = true })
  prints(x, "tensor([1.], shape=[1], dtype=float32, requires_grad=true)")
  assert(tostring(x:sum()):find("grad_fn=sum", 1, true))
end)

t.test("large tensors are summarised", function()
  prints(tensor.arange(1001), "tensor([   0,    1,    2,  ...,  998,  999, 1000], shape=[1001], dtype=int64)")
  local text = tostring(tensor.zeros(100, 100))
  assert(text:find("...,\n        [0., 0., 0.,  ..., 0., 0., 0.]", 1, true) and #text < 600)
end)

t.test("long rows are broken", function()
  local text = tostring(tensor.arange(40))
  for line in text:gmatch "[^\n]+" do assert(#line <= 100, line) end
  assert(text:find "\n        ")
end)
t.finish()
