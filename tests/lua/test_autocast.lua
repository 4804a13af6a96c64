--- Mixed precision: which dtype results have, gradients of float32 parameters, the copies of weights, whole models beside float32.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local tensor, models = hf.tensor, hf.models

local function bf16(fn, ...) return hf.autocast("cpu", { dtype = "bfloat16" }, fn, ...) end

-- The largest difference beside the largest entry of `want`.
local function distance(found, want) return (found:float() - want:float()):abs():max():item() / want:abs():max():item() end

t.test("products are 16-bit, the rest keeps its dtype", function()
  tensor.manual_seed(0)
  local x, w, b = tensor.randn(4, 8), tensor.randn(6, 8), tensor.randn(6)
  local found = bf16(function()
    local y = tensor.linear(x, w, b)
    return { y.dtype, tensor.matmul(x, w:t()).dtype, (x + 1).dtype, x:softmax { dim = -1 }.dtype,
      hf.nn.LayerNorm(6)(y, tensor.zeros(4, 6)).dtype, tensor.cross_entropy(y, tensor.tensor { 0, 1, 2, 3 }).dtype,
      tensor.mse_loss(y, y).dtype }
  end)
  t.same(found, { "bfloat16", "bfloat16", "float32", "float32", "float32", "float32", "float32" })
  t.same(tensor.linear(x, w, b).dtype, "float32")
end)

t.test("autocast ends with its function, also after an error, and can be nested", function()
  local x = tensor.ones(2, 2)
  t.raises(function() bf16(function() error "stop" end) end, "stop")
  t.same(tensor.matmul(x, x).dtype, "float32")
  local inner, outer = bf16(function()
    local inner = hf.autocast("cpu", { enabled = false }, function() return tensor.matmul(x, x).dtype end)
    return inner, tensor.matmul(x, x).dtype
  end)
  t.same({ inner, outer }, { "float32", "bfloat16" })
  t.same(hf.autocast("cpu", { dtype = "float16" }, function() return tensor.matmul(x, x).dtype end), "float16")
end)

t.test("options of autocast are checked", function()
  t.raises(function() hf.autocast("cpu", { dtype = "int64" }, print) end, "expected bfloat16 or float16, found int64")
  t.raises(function() hf.autocast("cpu", { dtyp = "bfloat16" }, print) end, "dtype")
  t.raises(function() hf.autocast("cpu", {}) end, "expected a function")
  t.raises(function() hf.autocast(1, {}, print) end, "device")
end)

t.test("gradients of float32 parameters are float32 and close to those of float32 products", function()
  for _, activation in ipairs { "none", "gelu", "relu", "silu", "tanh", "gelu_tanh" } do
    local name = activation ~= "none" and activation or nil
    local x, w, b = tensor.randn(40, 32), tensor.randn(24, 32) * 0.2, tensor.randn(24)
    local function gradients(run)
      local p, q, r = x:clone():requires_grad_(), w:clone():requires_grad_(), b:clone():requires_grad_()
      run(function() return tensor.linear(p, q, r, { activation = name }) end):float():square():sum():backward()
      return { p.grad, q.grad, r.grad }
    end
    local found, want = gradients(bf16), gradients(function(fn) return fn() end)
    for i = 1, 3 do
      t.same(found[i].dtype, "float32")
      assert(distance(found[i], want[i]) < 3e-2, activation .. " " .. i .. ": " .. distance(found[i], want[i]))
    end
  end
end)

t.test("batched products and attention have gradients", function()
  local a, b = tensor.randn(3, 5, 16):requires_grad_(), tensor.randn(3, 16, 7):requires_grad_()
  bf16(tensor.matmul, a, b):float():sum():backward()
  local found = a.grad:clone()
  a.grad = nil
  tensor.matmul(a, b):sum():backward()
  assert(distance(found, a.grad) < 2e-2)
end)

t.test("the vocabulary's product and its gradients are in bfloat16, the loss in float32", function()
  local x, w, b, labels = tensor.randn(300, 32), tensor.randn(90, 32) * 0.3, tensor.randn(90), tensor.randint(0, 90, { 300 })
  labels[4]:fill_(-100)
  local function run(on, dtype, scale)
    local p, q, r = x:clone():to(dtype):requires_grad_(), w:clone():to(dtype):requires_grad_(), b:clone():to(dtype):requires_grad_()
    local loss = on(function() return tensor.linear_cross_entropy(p * 1, q, labels, r) end);
    (loss * scale):backward()
    return { loss:reshape { 1 }, p.grad, q.grad, r.grad }
  end
  local function plain(fn) return fn() end
  local want = run(plain, "float32", 2)
  for _, found in ipairs { run(bf16, "float32", 2), run(plain, "bfloat16", 2), run(bf16, "bfloat16", 2) } do
    for i = 1, 4 do
      t.same(found[i].dtype, "float32")
      assert(distance(found[i], want[i]) < 1.5e-2, i .. ": " .. distance(found[i], want[i]))
    end
    assert(found[1]:item() ~= want[1]:item(), "float32 products")
    t.same(found[2][4]:abs():max():item(), 0.0)
  end
end)

t.test("a changed parameter is converted again", function()
  local x, w = tensor.ones(2, 4), tensor.ones(3, 4):requires_grad_()
  local function first() return bf16(tensor.linear, x, w):float():flatten()[1]:item() end
  t.same(first(), 4.0)
  tensor.no_grad(function() w:mul_(2) end)
  t.same(first(), 8.0)
  local y = bf16(tensor.linear, x, w)
  tensor.no_grad(function() w:mul_(2) end)
  t.same({ first(), y:float():flatten()[1]:item() }, { 16.0, 8.0 })
end)

t.test("a result that was changed in place is converted again", function()
  local x, w = tensor.ones(2, 4):requires_grad_() * 1, tensor.ones(3, 4)
  local y = bf16(tensor.linear, x, w)
  t.same({ y:float():flatten()[1]:item(), bf16(tensor.linear, x, w):float():flatten()[1]:item() }, { 4.0, 4.0 })
  tensor.no_grad(function() x:mul_(2) end)
  t.same({ bf16(tensor.linear, x, w):float():flatten()[1]:item(), y:float():flatten()[1]:item() }, { 8.0, 4.0 })
end)

local sizes = { vocab_size = 60, hidden_size = 32, num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 48,
  max_position_embeddings = 40, hidden_dropout_prob = 0, attention_probs_dropout_prob = 0, initializer_range = 0.1 }

local function compare(class, config)
  tensor.manual_seed(0)
  local model = class.from_config(config)
  local batch = { input_ids = tensor.randint(0, 60, { 4, 20 }), labels = tensor.randint(0, 2, { 4 }) }
  local plain, mixed = model(batch), bf16(model, batch)
  plain.loss:backward()
  local want = {}
  for name, p in model:named_parameters() do want[name], p.grad = p.grad, nil end
  mixed.loss:backward()
  assert(distance(mixed.logits, plain.logits) < 5e-2, distance(mixed.logits, plain.logits))
  for name, p in model:named_parameters() do
    if name:find "weight$" and want[name] and not name:find "key" then assert(distance(p.grad, want[name]) < 6e-2, name) end
  end
  local half = model:bfloat16()
  local out = half(batch)
  assert(distance(out.logits, plain.logits) < 5e-2, "bfloat16 model")
  out.loss:backward()
  t.same({ half.classifier.weight.dtype, half.classifier.weight.grad.dtype }, { "bfloat16", "float32" })
end

t.test("BERT under autocast and in bfloat16 is close to float32", function() compare(models.BertForSequenceClassification, models.BertConfig(sizes)) end)

t.test("half, bfloat16 and float convert a model", function()
  local model = hf.nn.Linear(3, 2)
  t.same({ model:half().weight.dtype, model:bfloat16().weight.dtype, model:float().weight.dtype }, { "float16", "bfloat16", "float32" })
end)

t.finish()
