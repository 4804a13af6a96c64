-- Gradients of every operation against two-sided differences of its values. An operation without a case here, and not in the
-- list of those without a gradient, fails the last test.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local tensor = hf.tensor
local core = tensor.core

-- A small generator of its own, so that the cases never change: numbers in low .. high.
local state = 12345
local function uniform(low, high)
  state = (state * 1103515245 + 12345) % 2147483648
  return low + (high - low) * (state / 2147483648)
end

local function count_of(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n
end

local function make(shape, low, high)
  local numbers = {}
  for i = 1, count_of(shape) do numbers[i] = uniform(low or -1.5, high or 1.5) end
  return tensor.tensor(numbers):reshape { sizes = shape }
end

local function ids(shape, classes)
  local numbers = {}
  for i = 1, count_of(shape) do numbers[i] = math.floor(uniform(0, classes)) end
  return tensor.tensor(numbers):reshape { sizes = shape }
end

-- The float results of fn as one list of numbers.
local function values(fn, inputs)
  core.dropout_begin_step(0)
  local out = {}
  for _, y in ipairs { fn(table.unpack(inputs)) } do
    if y:is_floating_point() then table.move(y:detach():flatten():tolist(), 1, y:numel(), #out + 1, out) end
  end
  return out
end

local function weighted(list, weights)
  local sum = 0.0
  for i, v in ipairs(list) do sum = sum + v * weights[i] end
  return sum
end

local function backward(fn, inputs, weights)
  core.dropout_begin_step(0)
  local total, used
  used = 0
  for _, y in ipairs { fn(table.unpack(inputs)) } do
    if y:is_floating_point() and y.requires_grad then
      local w = tensor.tensor({ table.unpack(weights, used + 1, used + y:numel()) }):reshape { sizes = y.shape }
      total = total and total + (y * w):sum() or (y * w):sum()
    end
    if y:is_floating_point() then used = used + y:numel() end
  end
  total:backward()
end

local function numeric(fn, inputs, which, weights, step)
  local x, out = inputs[which], {}
  local flat = x:detach():flatten()
  local numbers = flat:tolist()
  local function at(i, value)
    local moved = { table.unpack(numbers) }
    moved[i] = value
    local changed = { table.unpack(inputs) }
    changed[which] = tensor.tensor(moved, { dtype = "float32" }):reshape { sizes = x.shape }
    return weighted(values(fn, changed), weights)
  end
  for i, v in ipairs(numbers) do out[i] = (at(i, v + step) - at(i, v - step)) / (2 * step) end
  return out
end

local covered = {}

-- Checks the gradients of all float inputs of fn.
local function check(name, inputs, fn, options)
  options = options or {}
  covered[options.covers or name:match "^[%w_]+"] = true
  t.test(name, function()
    local leaves = {}
    for i, x in ipairs(inputs) do
      leaves[i] = x:is_floating_point() and x:clone():requires_grad_() or x
    end
    local weights = {}
    for i = 1, #values(fn, inputs) do weights[i] = uniform(-1, 1) end
    backward(fn, leaves, weights)
    for i, x in ipairs(leaves) do
      if x.requires_grad then
        local expected = numeric(fn, inputs, i, weights, options.step or 0.01)
        local found = x.grad and x.grad:flatten():tolist() or {}
        local largest = 0.05
        for _, v in ipairs(expected) do largest = math.max(largest, math.abs(v)) end
        for j, v in ipairs(expected) do t.near(found[j] or 0, v, (options.tolerance or 3e-3) * largest, 0, ("input %d [%d]"):format(i, j - 1)) end
      end
    end
  end)
end

-- ---- functions of one value; `around` avoids the places where they have corners
local positive = { exp = true, log = true, sqrt = true, rsqrt = true, reciprocal = true, log1p = true, expm1 = true }
for _, name in ipairs { "neg", "abs", "square", "sqrt", "rsqrt", "reciprocal", "exp", "expm1", "log", "log1p", "sin", "cos", "erf", "tanh",
  "sigmoid", "logsigmoid", "softplus", "relu", "silu", "gelu", "gelu_tanh", "leaky_relu", "elu" } do
  local x = positive[name] and make({ 3, 4 }, 0.6, 2.5) or make({ 3, 4 }, 0.1, 2) * tensor.tensor { 1.0, -1.0, 1.0, -1.0 }
  check(name, { x }, tensor[name])
end
check("gelu of a view", { make { 3, 4 } }, function(x) return x:t():gelu { approximate = "tanh" } end)
check("pow", { make({ 3, 4 }, 0.5, 2) }, function(x) return x ^ 2.5 end)
check("pow of tensors", { make({ 3, 4 }, 0.5, 2), make { 4 } }, tensor.pow)
check("add_scalar", { make { 5 } }, function(x) return x:add_scalar(2) end)
check("mul_scalar", { make { 5 } }, function(x) return x:mul_scalar(-3) end)
check("rsub_scalar", { make { 5 } }, function(x) return 2 - x end)
check("rdiv_scalar", { make({ 5 }, 0.5, 2) }, function(x) return 3 / x end)
check("clamp", { make { 4, 5 } }, function(x) return x:clamp(-0.7, 0.9) end)
check("dropout", { make { 6, 5 } }, function(x) return x:dropout(0.4) end)
check("tril", { make { 2, 4, 4 } }, function(x) return x:tril(-1) end)
check("triu", { make { 4, 5 } }, function(x) return x:triu() end)
check("cast", { make({ 3, 4 }) }, function(x) return x:to("float32") * 2 end)
check("to", { make({ 3, 4 }) }, function(x) return x:to("cpu") * 2 end)
check("clone", { make { 3, 4 } }, tensor.clone)
check("contiguous", { make { 3, 4 } }, function(x) return x:t():contiguous() end)

-- ---- two operands
for _, name in ipairs { "add", "sub", "mul", "div", "maximum", "minimum" } do
  check(name, { make { 2, 3, 4 }, make({ 3, 1 }, 0.5, 2) }, tensor[name])
  check(name .. " with a vector", { make { 4 }, make({ 2, 4 }, 0.5, 2) }, tensor[name])
  check(name .. " of one operand with itself", { make { 4 } }, function(x) return tensor[name](x, x * 2 + 0.3) end)
end
check("add with alpha", { make { 4 }, make { 4 } }, function(x, y) return tensor.add(x, y, { alpha = 0.3 }) end)
check("where", { make { 3, 4 }, make { 4 } }, function(x, y) return tensor.where(tensor.gt(x, y):detach(), x * 2, y) end, { step = 1e-3, tolerance = 2e-2 })
check("masked_fill", { make { 3, 4 } }, function(x) return x:masked_fill(tensor.tensor { true, false, true, false }, 7.0) end)
check("lerp by hand", { make { 4 }, make { 4 } }, function(x, y) return x + (y - x) * 0.3 end, { covers = "add" })
check("remainder", { make({ 4 }, 0.2, 0.8) }, function(x) return (x + 3) % 2 end)

-- ---- shapes
local x234 = make { 2, 3, 4 }
check("reshape", { x234 }, function(x) return x:transpose(0, 1):reshape(-1, 2) end)
check("view", { x234 }, function(x) return x:view(6, 4) end)
check("permute", { x234 }, function(x) return x:permute(2, 0, 1) end)
check("transpose", { x234 }, function(x) return x:transpose(0, 2) end)
check("t", { make { 3, 4 } }, function(x) return x:t() end)
check("expand", { make { 3, 1 } }, function(x) return x:expand(2, 3, 4) end)
check("expand_as", { make { 3, 1 } }, function(x) return x:expand_as(x234) end)
check("view_as", { make { 6, 4 } }, function(x) return x:view_as(x234) end)
check("reshape_as", { make { 6, 4 } }, function(x) return x:reshape_as(x234) end)
check("squeeze", { make { 3, 1, 2 } }, function(x) return x:squeeze(1) end)
check("unsqueeze", { make { 3, 2 } }, function(x) return x:unsqueeze(-1) end)
check("flatten", { x234 }, function(x) return x:flatten(1) end)
check("slice", { x234 }, function(x) return x:slice { dim = 2, start = 1, step = 2 } end)
check("slice by an expression", { x234 }, function(x) return x:slice("[..., 1, ::2]") end)
check("narrow", { x234 }, function(x) return x:narrow(1, 1, 2) end)
check("select", { x234 }, function(x) return x:select(1, 2) end)
check("rows", { x234 }, function(x) return x[2][1] end, { covers = "select" })
check("split", { make { 5, 3 } }, function(x) return x:split(2) end)
check("split by sizes", { make { 5, 3 } }, function(x) return x:split({ 1, 4 }, 0) end)
check("chunk", { make { 3, 7 } }, function(x) return x:chunk(3, 1) end)
check("unbind", { make { 3, 2 } }, function(x) return x:unbind(1) end)
check("flip", { x234 }, function(x) return x:flip(0, 2) end)
check("roll", { x234 }, function(x) return x:roll({ 1, -2 }, { 0, 2 }) end)
check("roll of flat values", { make { 2, 3 } }, function(x) return x:roll(2) end)
check("pad", { make { 2, 3 } }, function(x) return x:pad({ 1, 2, 0, 1 }, 0.5) end)
check("cat", { make { 2, 3 }, make { 1, 3 } }, function(x, y) return tensor.cat({ x, y }, 0) end)
check("stack", { make { 2, 3 }, make { 2, 3 } }, function(x, y) return tensor.stack(x, y, { dim = 1 }) end)
check("tile", { make { 2, 3 } }, function(x) return x:tile(2, 1, 2) end)
check("repeat_interleave", { make { 2, 3 } }, function(x) return x:repeat_interleave(2, 1) end)

-- ---- indexing
check("index_select", { x234 }, function(x) return x:index_select(1, tensor.tensor { 2, 0, 2 }) end)
local columns = ids({ 2, 3, 2 }, 4)
check("gather", { x234 }, function(x) return x:gather(2, columns) end)
check("scatter_add", { make { 3, 4 }, make { 3, 5 } }, function(x, y)
  return x:scatter_add(1, tensor.tensor { { 0, 1, 3, 3, 2 }, { 2, 2, 2, 0, 1 }, { 3, 1, 0, 0, 0 } }, y)
end)
check("index_add", { make { 4, 3 }, make { 2, 3 } }, function(x, y) return x:index_add(0, tensor.tensor { 3, 1 }, y) end)
check("index", { x234 }, function(x) return x:index(tensor.tensor { 1, 0, 1 }, tensor.tensor { 2, 2, 0 }) end)
check("masked_select", { make { 3, 4 } }, function(x) return x:masked_select(tensor.tensor { true, false, true, true }:expand(3, 4)) end)
check("embedding", { make { 5, 3 } }, function(w) return tensor.embedding(w, tensor.tensor { { 4, 0 }, { 1, 4 } }) end)
check("embedding with a padding id", { make { 5, 3 }, }, function(w)
  return tensor.embedding(w, tensor.tensor { 1, 4, 1 }, { padding_idx = 2 })
end)
check("embedding_sum", { make { 5, 3 }, make { 4, 3 } }, function(a, b)
  return tensor.embedding_sum({ a, b }, { tensor.tensor { 4, 0, 4 }, tensor.tensor { 1, 2, 3 } })
end)

-- ---- reductions
for _, name in ipairs { "sum", "mean", "prod", "amax", "amin", "logsumexp", "norm", "var", "std" } do
  check(name, { x234 }, function(x) return tensor[name](x, { dim = 1 }) end)
  check(name .. " kept", { x234 }, function(x) return tensor[name](x, { dim = { 0, 2 }, keepdim = true }) end)
  if name ~= "logsumexp" then check(name .. " of all", { make({ 2, 3 }, 0.5, 2) }, function(x) return tensor[name](x) end) end
end
check("max", { x234 }, function(x) return x:max(2) end)
check("min", { x234 }, function(x) return x:min { dim = 0, keepdim = true } end)
check("cumsum", { x234 }, function(x) return x:cumsum(1) end)
check("softmax", { x234 }, function(x) return x:softmax(1) end)
check("log_softmax", { x234 }, function(x) return x:log_softmax(-1) end)
check("sort", { make { 3, 5 } }, function(x) return x:sort(1, true) end, { step = 1e-3, tolerance = 2e-2 })
check("topk", { make { 3, 5 } }, function(x) return x:topk(2) end, { step = 1e-3, tolerance = 2e-2 })
check("normalize", { make { 3, 4 } }, function(x) return x:normalize() end)
check("cosine_similarity", { make { 3, 4 }, make { 3, 4 } }, tensor.cosine_similarity)

-- ---- products
check("matmul", { make { 2, 3, 4 }, make { 4, 2 } }, tensor.matmul)
check("matmul of stacks", { make { 2, 1, 3, 4 }, make { 3, 4, 2 } }, tensor.matmul)
check("matmul of vectors", { make { 4 }, make { 4 } }, tensor.matmul)
check("matmul of a transposed view", { make { 3, 4 }, make { 3, 2 } }, function(a, b) return a:t():matmul(b) end)
check("mm", { make { 2, 3 }, make { 3, 2 } }, tensor.mm)
check("bmm", { make { 2, 2, 3 }, make { 2, 3, 2 } }, tensor.bmm)
check("dot", { make { 4 }, make { 4 } }, tensor.dot)
check("outer", { make { 3 }, make { 4 } }, tensor.outer)
check("addmm", { make { 2 }, make { 3, 4 }, make { 4, 2 } }, function(b, x, y) return tensor.addmm(b, x, y, { beta = 0.5, alpha = 2 }) end)
check("einsum", { make { 2, 3, 4 }, make { 2, 5, 4 }, make { 5 } }, function(x, y, z) return tensor.einsum("bij,bkj,k->ib", x, y, z) end)
check("linear of an (in, out) weight", { make { 3, 4 }, make { 4, 2 }, make { 2 } }, function(x, w, b)
  return tensor.linear(x, w, b, { activation = "gelu", in_out = true })
end, { covers = "linear" })
check("linear", { make { 2, 3, 4 }, make { 5, 4 }, make { 5 } }, tensor.linear)
for _, name in ipairs { "gelu", "gelu_tanh", "silu", "tanh" } do
  check("linear with " .. name, { make { 3, 4 }, make { 5, 4 }, make { 5 } }, function(x, w, b) return tensor.linear(x, w, b, { activation = name }) end)
end
check("linear with relu", { make({ 3, 4 }, 0.2, 1), make({ 5, 4 }, 0.2, 1), make { 5 } }, function(x, w, b) return tensor.linear(x, w, b, { activation = "relu" }) end)

-- ---- layers
check("layer_norm", { make { 3, 6 }, make { 6 }, make { 6 } }, function(x, w, b) return tensor.layer_norm(x, w, b) end)
check("layer_norm of two dims", { make { 2, 3, 4 }, make { 3, 4 } }, function(x, w) return tensor.layer_norm(x, w, { normalized = { 3, 4 } }) end)
check("layer_norm with residual and dropout", { make { 3, 6 }, make { 6 }, make { 6 }, make { 3, 6 } }, function(x, w, b, residual)
  return tensor.layer_norm(x, w, b, { residual = residual, dropout = 0.3 })
end)
check("rms_norm", { make { 3, 6 }, make { 6 } }, function(x, w) return tensor.rms_norm(x, w) end)

local plan = core.pack_plan(tensor.tensor { { 1, 1, 1, 0 }, { 0, 1, 0, 1 } })
local function packed_case(label, options, queries)
  check("attention " .. label, { make { queries or 5, 4, 3 }, make { 5, 2, 3 }, make { 5, 2, 3 } }, function(q, k, v)
    return core.attention(q, k, v, plan, options)
  end, { covers = "attention" })
end
packed_case("packed", {})
packed_case("packed and causal", { causal = true })
packed_case("with dropout", { dropout = 0.3, scale = 0.7 })
packed_case("of the first rows", { first_only = true }, 2)
local joined_plan = core.pack_plan(tensor.ones { 2, 3 }, false, tensor.tensor { { 0, 1, 2 }, { 0, 0, 1 } })
for label, options in pairs { plain = {}, causal = { causal = true, scale = 0.4 } } do
  check("attention of one matrix, " .. label, { make { 6, 12 } }, function(qkv) return core.attention_joined(qkv, 2, joined_plan, options) end,
    { covers = "attention_joined" })
end
check("rotary", { make { 3, 2, 4 } }, function(x) return tensor.rotary(x, tensor.tensor { { 1, 0.5 }, { 0.2, -1 }, { 0, 0.3 } }, tensor.tensor { { 0, 0.5 }, { 0.4, 1 }, { 1, -0.7 } }) end)
check("sdpa", { make { 1, 2, 3, 4 }, make { 1, 2, 5, 4 }, make { 1, 2, 5, 4 } }, tensor.sdpa)
check("sdpa with a mask", { make { 1, 4, 3, 2 }, make { 1, 2, 3, 2 }, make { 1, 2, 3, 2 }, make { 3, 3 } }, function(q, k, v, mask)
  return tensor.sdpa(q, k, v, mask, { is_causal = true, enable_gqa = true })
end)

-- ---- losses
local logits, labels = make { 4, 3 }, tensor.tensor { 2, 0, -100, 1 }
local class_weights = tensor.tensor { 0.5, 1.0, 2.0 }
for _, reduction in ipairs { "mean", "sum", "none" } do
  check("cross_entropy " .. reduction, { logits }, function(x)
    return tensor.cross_entropy(x, labels, class_weights, { reduction = reduction, label_smoothing = 0.1 })
  end)
  if reduction ~= "none" then check("linear_cross_entropy " .. reduction, { make { 4, 5 }, make { 3, 5 }, make { 3 } }, function(x, w, b)
    return tensor.linear_cross_entropy(x, w, labels, b, { reduction = reduction, label_smoothing = 0.1 })
  end) end
  check("nll_loss " .. reduction, { logits }, function(x) return tensor.nll_loss(x, labels, class_weights, { reduction = reduction }) end)
end
check("cross_entropy of probabilities", { logits, make({ 4, 3 }, 0.1, 0.9) }, function(x, p)
  return tensor.cross_entropy(x, p, { label_smoothing = 0.2 })
end)
check("cross_entropy over dim 1", { make { 2, 3, 2 } }, function(x) return tensor.cross_entropy(x, tensor.tensor { { 0, 2 }, { 1, 1 } }) end)
for _, name in ipairs { "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss" } do
  check(name, { make({ 3, 4 }, -2, -0.2), make({ 3, 4 }, 0, 1.5) }, tensor[name], { step = 2e-3, tolerance = 1e-2 })
end
check("bce_with_logits", { make { 3, 4 }, make({ 3, 4 }, 0, 1) }, function(x, y) return tensor.bce_with_logits(x, y, tensor.tensor { 1.0, 2.0, 0.5, 3.0 }) end)
check("binary_cross_entropy", { make({ 3, 4 }, 0.2, 0.8) }, function(x) return tensor.binary_cross_entropy(x, tensor.full_like(x, 0.3)) end)
check("kl_div", { make { 3, 4 }, make({ 3, 4 }, 0.2, 1) }, function(x, y) return tensor.kl_div(x, y, "batchmean") end)

-- ---- nothing may be left out
local without_gradient = {}
for name in ([[tensor tensor_ core cuda device is_tensor no_grad enable_grad is_grad_enabled set_grad_enabled custom_op checkpoint step graph
  backward detach zeros ones empty full zeros_like ones_like empty_like full_like arange linspace eye float half bfloat16 long int byte bool
  cpu cuda eq ne lt le gt ge any all argmax argmin argsort sign floor ceil round trunc nonzero one_hot unique bincount
  logical_and logical_or logical_xor logical_not isnan isinf isfinite floor_divide allclose equal
  rand randn rand_like randn_like randint randperm bernoulli multinomial normal manual_seed Generator default_generator initial_seed
  seed get_rng_state set_rng_state set_default_device get_default_device]]):gmatch "%S+" do without_gradient[name] = true end

t.test("every operation has a case", function()
  local of_function = {}
  for _, names in ipairs { covered, without_gradient } do
    for name in pairs(names) do if tensor[name] then of_function[tensor[name]] = true end end
  end
  for name, fn in pairs(tensor) do
    if not of_function[fn] then error("no gradient case for " .. name) end
  end
end)
t.finish()
