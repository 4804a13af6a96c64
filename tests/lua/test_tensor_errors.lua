-- Messages of tensor operations: they name the operation, both sides of a mismatch, and the script's line.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local tensor = hf.tensor

local a, b = tensor.zeros(2, 3), tensor.zeros(4, 5)

-- Each: what is done, texts that its message must hold.
local cases = {
  ["shapes that do not broadcast"] = { function() return a + b end, "add", "[2, 3] float32 cpu", "[4, 5] float32 cpu" },
  ["inner sizes of a product"] = { function() return a:matmul(b) end, "matmul", "[2, 3]", "[4, 5]" },
  ["weight of linear"] = { function() return tensor.linear(a, b) end, "linear", "[4, 5]" },
  ["ranks of bmm"] = { function() return tensor.bmm(a, b) end, "bmm: expected two tensors of 3 dims" },
  ["bad dim"] = { function() return a:softmax(2) end, "softmax: dim must be in -2 .. 1, found 2" },
  ["bad dim of size"] = { function() return a:size(5) end, "size: dim must be in -2 .. 1, found 5" },
  ["dim named twice"] = { function() return a:sum { 0, 0 } end, "sum", "twice" },
  ["row behind the end"] = { function() return a[4] end, "row 4 does not exist in [2, 3] float32 cpu", "counted from 1" },
  ["row 0"] = { function() return a[0] end, "row 0 does not exist" },
  ["rows of a single value"] = { function() return a:sum()[1] end, "0 dims", ":item()" },
  ["item of several"] = { function() return a:item() end, "item: expected one element, found [2, 3] float32 cpu" },
  ["unknown option"] = { function() return a:sum { keepdin = true } end, "sum: unknown option 'keepdin' (did you mean 'keepdim'?)" },
  ["unknown option without a neighbour"] = { function() return a:sum { zzzzzz = 1 } end, "sum: unknown option 'zzzzzz'" },
  ["options beside positions"] = { function() return a:sum(1, { dim = 1 }) end, "sum: argument 'dim' is given twice" },
  ["names in a sequence"] = { function() return a:sum { 0, keepdim = true } end, "sum: argument 'dim'", "named fields" },
  ["missing argument"] = { function() return a:softmax() end, "softmax: argument 'dim' is missing" },
  ["missing tensor"] = { function() return tensor.matmul(a) end, "matmul: argument 'y' is missing" },
  ["too many arguments"] = { function() return a:neg(1, 2) end, "neg: expected at most 1 arguments, found 3" },
  ["no tensor"] = { function() return tensor.matmul(a, "x") end, "matmul: argument 'y': expected a tensor, found string" },
  ["no number"] = { function() return a:add {} end, "add: argument 'y' is missing" },
  ["adding a text"] = { function() return a + "x" end, "add: argument 'y': expected a tensor or a number, found string" },
  ["comparing with an operator"] = { function() return a < 1 end, "x:lt(y)" },
  ["fraction for a dim"] = { function() return a:sum(0.5) end, "sum: argument 'dim': expected a whole number, found 0.5" },
  ["bad choice"] = { function() return a:gelu("tahn") end, "gelu: argument 'approximate': 'tahn' is none of none, tanh" },
  ["bad dtype"] = { function() return tensor.zeros(2, { dtype = "float31" }) end, "dtype 'float31' is none of float32" },
  ["double precision"] = { function() return tensor.zeros(2, { dtype = "float64" }) end, "dtype 'float64' is none of float32" },
  ["bad device"] = { function() return a:to("gpu") end, "to: argument 'target': 'gpu' is neither a dtype", "nor a device" },
  ["reshape of another size"] = { function() return a:reshape(4, 2) end, "reshape", "[2, 3]" },
  ["view of a transposed tensor"] = { function() return a:t():view(6) end, "view" },
  ["t of three dims"] = { function() return tensor.zeros(2, 2, 2):t() end, "t: expected at most 2 dims" },
  ["expand of a size"] = { function() return a:expand(3, 3) end, "expand" },
  ["narrow past the end"] = { function() return a:narrow(1, 2, 4) end, "narrow: 4 from 2 on does not fit into dim 1 of size 3" },
  ["select past the end"] = { function() return a:select(1, 3) end, "select" },
  ["step of a slice"] = { function() return a:slice { step = 0 } end, "slice: argument 'step': expected 1 or more, found 0" },
  ["expression of a slice"] = { function() return a:slice "[a:b]" end, "slice: cannot read 'a:b'" },
  ["too many parts of a slice"] = { function() return a:slice "[0, 0, 0]" end, "has 3 parts for a tensor of 2 dims" },
  ["cat of unequal shapes"] = { function() return tensor.cat({ a, b }, 0) end, "cat" },
  ["cat of nothing"] = { function() return tensor.cat({}, { dim = 0 }) end, "cat" },
  ["cat of something else"] = { function() return tensor.cat({ a, 3 }, 0) end, "cat: argument 'tensors': expected tensors, found number at 2" },
  ["split into sizes that do not fit"] = { function() return a:split({ 1, 1 }, 1) end, "split: the sizes add up to 2, but dim 1 has 3" },
  ["index outside its table"] = { function() return a:index_select(0, tensor.tensor { 2 }) end, "index_select: index 2 is out of range" },
  ["negative index"] = { function() return a:gather(1, tensor.tensor { { -1 }, { 0 } }) end, "gather: index -1 is out of range" },
  ["id outside the embedding"] = { function() return tensor.embedding(a, tensor.tensor { 0, 7 }) end, "embedding", "7" },
  ["index of another dtype"] = { function() return a:index_select(0, tensor.tensor { 0.5 }) end, "index_select", "int64" },
  ["label outside the classes"] = { function() return tensor.cross_entropy(a, tensor.tensor { 0, 3 }) end, "cross_entropy", "3" },
  ["labels of another length"] = { function() return tensor.cross_entropy(a, tensor.tensor { 0, 1, 2 }) end, "cross_entropy" },
  ["bad reduction"] = { function() return tensor.mse_loss(a, a, { reduction = "avg" }) end, "mse_loss: reduction: 'avg' is none of mean, sum, none" },
  ["loss of unequal shapes"] = { function() return tensor.mse_loss(tensor.zeros(3, 1), tensor.zeros(3)) end, "mse_loss", "[3, 1]", "[3]" },
  ["mask that is no bool"] = { function() return a:masked_fill(tensor.zeros(2, 3), 1) end, "bool" },
  ["dropout above 1"] = { function() return a:dropout(1.5) end, "dropout: p must be in 0 .. 1, found 1.5" },
  ["clamp without a limit"] = { function() return a:clamp() end, "clamp: argument 'min': one of min and max is needed" },
  ["arange without a step"] = { function() return tensor.arange(0, 5, 0) end, "arange: argument 'step'" },
  ["a negative size"] = { function() return tensor.zeros(2, -3) end, "-3" },
  ["a huge size"] = { function() return tensor.zeros(1 << 40, 1 << 40) end, "" },
  ["too many dims"] = { function() return tensor.zeros(1, 1, 1, 1, 1, 1, 1, 1, 1) end, "zeros: argument 'sizes': expected at most 8 numbers, found 9" },
  ["ragged rows"] = { function() return tensor.tensor { { 1, 2 }, { 3 } } end, "tensor: [2] has length 1, expected 2" },
  ["a number among rows"] = { function() return tensor.tensor { { 1 }, 2 } end, "tensor: [2]: expected a sequence of 1, found number" },
  ["text among numbers"] = { function() return tensor.tensor { { 1 }, { "2" } } end, "tensor: [2][1]: expected a number, found string" },
  ["null among numbers"] = { function() return tensor.tensor { 1, hf.null } end, "tensor: [2]: expected a number, found null" },
  ["tensors among numbers"] = { function() return tensor.tensor { a, a } end, "tensor: [1] is [2, 3] float32 cpu", "tensor.stack" },
  ["a value outside its dtype"] = { function() return tensor.tensor({ 1, 256 }, { dtype = "uint8" }) end, "tensor: [2]: 256 does not fit into uint8" },
  ["infinity as a whole number"] = { function() return tensor.tensor({ math.huge }, { dtype = "int64" }) end, "does not fit into int64" },
  ["gradient of whole numbers"] = { function() return tensor.tensor({ 1 }, { requires_grad = true }) end, "only float tensors have gradients, this one is int64" },
  ["backward of several values"] = { function() (a:clone():requires_grad_() * 2):backward() end, "backward: expected a loss of one element, found [2, 3]" },
  ["backward without a graph"] = { function() a:sum():backward() end, "backward", "requires_grad" },
  ["gradient of another shape"] = { function() (a:clone():requires_grad_() * 2):backward(b) end, "backward: expected a gradient of the shape of [2, 3]" },
  ["gradient field of another shape"] = { function() a:clone().grad = b end, "grad: expected [2, 3] float32 cpu, found [4, 5] float32 cpu" },
  ["unknown field"] = { function() a.foo = 1 end, "no field 'foo' to set" },
  ["result in place of another shape"] = { function() tensor.zeros(3):add_(tensor.zeros(2, 3)) end, "add_", "does not fit into [3]" },
  ["einsum letter of two sizes"] = { function() return tensor.einsum("ij,jk->ik", a, b) end, "einsum: 'j' is 3 and 4" },
  ["einsum of the wrong rank"] = { function() return tensor.einsum("ijk->i", a) end, "names 3 dims of operand 1" },
  ["einsum of too few operands"] = { function() return tensor.einsum("ij,jk->ik", a) end, "needs operand 2" },
  ["heads that do not divide"] = { function()
    return tensor.sdpa(tensor.zeros(1, 3, 2, 2), tensor.zeros(1, 2, 2, 2), tensor.zeros(1, 2, 2, 2), { enable_gqa = true })
  end, "sdpa: the query heads (3) are not a multiple of the key heads (2)" },
  ["adam without a gradient"] = { function()
    tensor.core.adam_step({ { parameter = a, exp_avg = a, exp_avg_sq = a } }, {})
  end, "adam_step: parameter 1 [2, 3] float32 cpu has no plain float32 gradient" },
  ["adam with an unknown setting"] = { function() tensor.core.adam_step({}, { learning_rate = 1 }) end, "adam_step: unknown option 'learning_rate'" },
}

local names = {}
for name in pairs(cases) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  t.test(name, function() t.raises(table.unpack(cases[name])) end)
end

t.test("errors name the line of the script, also from inside hflua's own Lua", function()
  t.raises(function() return a + b end, "test_tensor_errors.lua:")
  t.raises(function() return tensor.mse_loss(a, b) end, "test_tensor_errors.lua:")
  t.raises(function() return tensor.nll_loss(a, tensor.tensor { 5, 0 }) end, "test_tensor_errors.lua:", "gather")
end)

-- Every function with operands of odd shapes and dtypes, in every place: a result or an error, never a crash.
t.test("no operation crashes on odd operands", function()
  local odd = { tensor.tensor(2.5), tensor.tensor(1), tensor.zeros(0), tensor.zeros(0, 3), tensor.ones(1, 1, 1, 1, 1, 1, 1, 1), tensor.tensor { true },
    tensor.ones(2, 3):t(), tensor.tensor({ 1.0, 2.0 }, { dtype = "bfloat16" }), tensor.ones(2, 1):expand(2, 4), tensor.tensor { 0, 1 }, -1, 0, 1.5, {}, { 0 }, "x",
    tensor.tensor({ 1.0, 2.0 }, { requires_grad = true }), tensor.ones(1, 2, 2, 2), hf.null, 1 << 62 }
  local keep = { core = true, device = true, cuda = true, checkpoint = true, custom_op = true, set_grad_enabled = true, step = true, Generator = true }
  for _, list in ipairs { tensor, tensor.core.methods } do
    for name, fn in pairs(list) do
      if not keep[name] then
        for i = 1, #odd do
          pcall(fn, odd[i])
          for j = 1, #odd do
            pcall(fn, odd[i], odd[j])
            pcall(fn, odd[i], odd[j], odd[(i * 7 + j * 3) % #odd + 1])
            pcall(fn, odd[i], odd[j], odd[(i * 5 + j) % #odd + 1], odd[(i + j * 11) % #odd + 1])
          end
        end
      end
    end
  end
  assert(tensor.is_grad_enabled())
end)

t.test("an error leaves everything usable", function()
  local before = tensor.core.storage_count()
  for _ = 1, 50 do pcall(function() return (a * 2) + b end) end
  collectgarbage()
  t.same(tensor.core.storage_count(), before)
end)
t.finish()
