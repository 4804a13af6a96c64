--- Each family of kernels at the sizes of real models, beside the processor: results and every gradient, in float32 and under
-- bfloat16 autocast, and twice on the device, which must give the same bits. `hflua tests/gpu/smoke.lua [--small] [--only=TEXT]`
-- Limits are of the largest entry: 2e-5 in float32; in bfloat16 2e-2 against the processor's bfloat16, and against its float32 5e-2
-- or twice what the processor's bfloat16 differs by.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local tensor = hf.tensor
local o = hf.parse_args { small = false, only = "", device = "cuda" }

local N, C, V, B, T, H = 1024, 768, 50257, 8, 512, 12 -- rows, channels, classes, sequences, positions, heads
if o.small then N, C, V, B, T, H = 40, 128, 101, 2, 70, 2 end

-- fn's results on a device for these inputs (tensors of the processor), then the gradient of each float input.
local function run(device, dtype, inputs, fn)
  tensor.manual_seed(7) -- dropout's counters
  local own, out = {}, nil
  for i, x in ipairs(inputs) do own[i] = x:to(device):clone():requires_grad_(x:is_floating_point()) end
  local results = { hf.autocast(device, { dtype = dtype or "bfloat16", enabled = dtype ~= nil }, fn, table.unpack(own)) }
  out = results[1]
  if out.requires_grad then
    tensor.manual_seed(8)
    out:backward { gradient = tensor.randn(out.shape):to(device):to(out.dtype) }
    for _, x in ipairs(own) do results[#results + 1] = x.grad end
  end
  for i, x in ipairs(results) do results[i] = x:detach():cpu() end
  return results
end

-- The largest difference beside the largest entry of `want`.
local function distance(found, want)
  return (found:float() - want:float()):abs():max():item() / math.max(want:float():abs():max():item(), 1e-6)
end

-- peers: results that may be as far from `want` by half, where that is more than the limit.
local function compare(found, want, limit, what, peers)
  t.same(#found, #want, what)
  for i, x in ipairs(want) do
    local worst, most = distance(found[i], x), math.max(limit, peers and 2 * distance(peers[i], x) or 0)
    if not (worst <= most) then
      error(("%s, result %d of shape %s: differs by %.3g of the largest entry (limit %.0e)"):format(what, i, tostring(x.shape), worst, most), 2)
    end
  end
end

local function same_bits(a, b)
  for i, x in ipairs(a) do assert(tensor.equal(x, b[i]), "two runs differ in result " .. i) end
end

-- inputs() makes tensors on the processor; half: also under autocast.
local function family(name, half, inputs, fn)
  if not name:find(o.only, 1, true) then return end
  tensor.manual_seed(3)
  local given = inputs()
  t.test(name, function()
    local found = run(o.device, nil, given, fn)
    compare(found, run("cpu", nil, given, fn), 2e-5, "float32")
    same_bits(found, run(o.device, nil, given, fn))
  end)
  if not half then return end
  t.test(name .. ", bfloat16", function()
    local found = run(o.device, "bfloat16", given, fn)
    local half_run = run("cpu", "bfloat16", given, fn)
    compare(found, half_run, 2e-2, "beside bfloat16")
    compare(found, run("cpu", nil, given, fn), 5e-2, "beside float32", half_run)
    same_bits(found, run(o.device, "bfloat16", given, fn))
  end)
end

local function randn(...) local sizes = { ... } return tensor.randn(sizes) end
local function unit(n, m) return tensor.randn { n, m } * (m ^ -0.5) end

-- ---- products: batches, shapes that no tile divides, every activation
family("product", true, function() return { randn(N, C), unit(4 * C, C) } end, function(x, w) return tensor.matmul(x, w:t()) end)
for _, shape in ipairs { { 7, 2, 769 }, { 1, 768, 3072 }, { 33, 1, 5 }, { 65, 3, 64 }, { 129, 1001, 131 } } do
  local m, n, k = table.unpack(shape)
  family(("product %d x %d x %d"):format(m, n, k), true, function() return { randn(m, k), unit(n, k), randn(n) } end, tensor.linear)
end
family("batched product", true, function() return { randn(6, 65, 40), randn(6, 40, 33) } end, tensor.bmm)
for _, activation in ipairs { "gelu", "gelu_tanh", "silu", "tanh" } do
  family("linear and " .. activation, true, function() return { randn(N, C), unit(4 * C, C), randn(4 * C) } end,
    function(x, w, b) return tensor.linear(x, w, b, { activation = activation }) end)
end

-- whole numbers and a half: no argument is near the kink
family("linear and relu", true, function() return { tensor.randint(-2, 3, { N, 32 }):float(), tensor.randint(-1, 2, { 4 * C, 32 }):float(), tensor.full({ 4 * C }, 0.5) } end,
  function(x, w, b) return tensor.linear(x, w, b, { activation = "relu" }) end)

-- ---- normalisation: rows for warps, rows for blocks, with what is folded in
for _, c in ipairs { C, 1024, 33, 1600 } do
  family("layer_norm of " .. c, true, function() return { randn(N // 4, c), randn(c), randn(c), randn(N // 4, c) } end,
    function(x, w, b, r) return tensor.layer_norm(x, w, b, { residual = r, dropout = 0.1 }) end)
end
family("rms_norm", true, function() return { randn(N // 4, C), randn(C) } end, function(x, w) return tensor.rms_norm(x, w) end)

-- ---- attention
for _, d in ipairs { 64, 128, 32, 40 } do
  for _, causal in ipairs { false, true } do
    family(("attention, heads of %d%s"):format(d, causal and ", causal" or ""), true,
      function() return { randn(B // 2, T // 2 + 3, H, d), randn(B // 2, T // 2 + 3, H, d), randn(B // 2, T // 2 + 3, H, d) } end,
      function(q, k, v) return tensor.core.attention_rows(q, k, v, { causal = causal, scale = d ^ -0.5, dropout = causal and 0.1 or 0 }) end)
  end
end

-- ---- embedding and losses
family("embedding", false, function() return { randn(V, C), tensor.randint(0, V, { N }) } end, tensor.embedding)
family("embedding of few ids", false, function() return { randn(3, C), tensor.randint(0, 2, { N }) } end, tensor.embedding)
family("cross_entropy", false, function() return { randn(N // 16, V), tensor.randint(0, V, { N // 16 }) } end,
  function(x, y) return tensor.cross_entropy(x, y, nil, { label_smoothing = 0.1 }) end)
family("linear_cross_entropy", true, function() return { randn(N // 16, C), unit(V, C), tensor.randint(0, V, { N // 16 }) } end,
  function(x, w, y) return tensor.linear_cross_entropy(x, w, y) end)

-- ---- one by one
family("functions", false, function() return { randn(N + 3, 65) } end, function(x) return (x:gelu() + x:exp():log1p() * x:sigmoid()):tanh() end)
family("dropout", false, function() return { randn(N, 67) } end, function(x) return tensor.dropout(x, { p = 0.3, training = true }) end)
family("broadcast and where", false, function() return { randn(N, 1, 5), randn(33, 1) } end, function(x, y) return tensor.where(x:gt(y), x * y, x / (y:abs() + 1)) end)
family("turned copies", false, function() return { randn(B, 65, H, 40) } end, function(x) return x:permute(0, 2, 3, 1):contiguous() end)
family("softmax and sums", false, function() return { randn(N // 8, 1001) } end, function(x) return x:softmax { dim = 1 } + x:log_softmax { dim = 0 } + x:sum { dim = 1, keepdim = true } * 1e-3 end)
family("variance and running sums", false, function() return { randn(64, 999) } end, function(x) return x:cumsum { dim = 1 } + x:var { dim = 1, keepdim = true } end)
family("sort and topk", false, function() return { randn(4, V) } end, function(x)
  local sorted, at = x:sort { dim = 1 }
  local top, first = x:topk(50)
  return sorted, at, top, first, x:argmax { dim = 1 }
end)
family("rows by index", false, function() return { randn(N, 64), tensor.randint(0, N, { 3 * N }) } end,
  function(x, i) return tensor.index_add(tensor.zeros_like(x), 0, i, x:index_select(0, i)) end)

-- ---- an optimizer's steps, clipped
t.test("AdamW", function()
  local function steps(device)
    tensor.manual_seed(5)
    local p = hf.nn.Parameter(randn(N, 77):to(device))
    local optimizer = hf.AdamW({ p }, { lr = 1e-2, weight_decay = 0.1 })
    for _ = 1, 3 do
      (p * p):sum():backward()
      hf.nn.utils.clip_grad_norm_({ p }, 1.0)
      optimizer:step()
      optimizer:zero_grad()
    end
    return { p:detach():cpu() }
  end
  local found = steps(o.device)
  compare(found, steps "cpu", 2e-5, "float32")
  same_bits(found, steps(o.device))
end)

-- ---- whole models: logits and every gradient
local function model_results(device, dtype, class, config)
  tensor.manual_seed(11)
  local model = hf.models[class](config)
  local ids = tensor.randint(5, config.vocab_size - 1, { 2, o.small and 24 or 128 })
  local labels = class == "GPT2LMHeadModel" and ids or tensor.tensor { 0, 1 }
  model:eval():to(device)
  local out = hf.autocast(device, { dtype = dtype or "bfloat16", enabled = dtype ~= nil }, model, { input_ids = ids:to(device), labels = labels:to(device) })
  out.loss:backward()
  local results = { out.logits:detach():cpu() }
  for name, p in model:named_parameters() do
    if not name:find "key%.bias" then results[#results + 1] = p.grad:cpu() end -- a key's bias has no gradient but rounding
  end
  return results
end
local width = o.small and 64 or 256
for class, config in pairs {
  BertForSequenceClassification = hf.models.BertConfig { hidden_size = width, num_hidden_layers = 2, num_attention_heads = 4, intermediate_size = 4 * width, vocab_size = 1000 },
  GPT2LMHeadModel = hf.models.GPT2Config { n_embd = width, n_layer = 2, n_head = 4, vocab_size = 1001 },
} do
  if class:find(o.only, 1, true) then
    t.test(class, function() compare(model_results(o.device, nil, class, config), model_results("cpu", nil, class, config), 1e-4, "float32") end)
    t.test(class .. ", bfloat16", function()
      local found = model_results(o.device, "bfloat16", class, config)
      compare(found, model_results("cpu", nil, class, config), 5e-2, "beside float32", model_results("cpu", "bfloat16", class, config))
      same_bits(found, model_results(o.device, "bfloat16", class, config))
    end)
  end
end
t.finish()
