--- Layers that keep no activations give the same losses, gradients and draws to the bit, in less memory.
local t = dofile((os.getenv("HFLUA_TESTS") or "tests") .. "/lib/tap.lua")
local hf = require "hflua"
local functional = require "hflua.nn.functional"
local tensor = hf.tensor

local models = {
  BertForSequenceClassification = hf.BertConfig { vocab_size = 60, hidden_size = 16, num_hidden_layers = 3, num_attention_heads = 2, intermediate_size = 32 },
  GPT2LMHeadModel = hf.GPT2Config { vocab_size = 60, n_embd = 16, n_layer = 3, n_head = 2, n_positions = 32 },
  LlamaForCausalLM = hf.LlamaConfig { vocab_size = 60, hidden_size = 16, num_hidden_layers = 3, num_attention_heads = 2, intermediate_size = 32 },
}

local function model_of(name, on)
  hf.set_seed(5)
  local model = hf[name].from_config(models[name])
  if on then model:gradient_checkpointing_enable { gradient_checkpointing_kwargs = { use_reentrant = false } } end
  return model
end

-- Three rows, two of them padded.
local function batch_for(name)
  local ids = tensor.randint(0, 50, { 3, 9 })
  local mask = tensor.tensor({ { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, { 1, 1, 1, 1, 1, 0, 0, 0, 0 }, { 1, 1, 1, 1, 1, 1, 1, 0, 0 } }, { dtype = "int64" })
  local labels = name:find "Sequence" and tensor.tensor({ 0, 1, 1 }, { dtype = "int64" }) or ids:masked_fill(mask:eq(0), -100)
  return { input_ids = ids, attention_mask = mask, labels = labels }
end

local function step(name, on)
  local model = model_of(name, on)
  tensor.core.dropout_begin_step(1)
  local loss = model(batch_for(name)).loss
  loss:backward()
  local gradients = {}
  for parameter, p in model:named_parameters() do gradients[parameter] = p.grad end
  return loss:item(), gradients, tensor.rand({ 1 }):item()
end

for name in pairs(models) do
  for _, rng in ipairs { "counter", "torch" } do
    t.test(("%s, dropout by %s"):format(name, rng), function()
      local before = functional.dropout_rng
      functional.dropout_rng = rng
      local loss, gradients, draw = step(name, false)
      local again, same, next_draw = step(name, true)
      functional.dropout_rng = before
      t.same(again, loss)
      t.same(next_draw, draw)
      for parameter, gradient in pairs(gradients) do t.same((gradient - same[parameter]):abs():max():item(), 0.0, parameter) end
    end)
  end
end

local function live_bytes()
  collectgarbage() collectgarbage()
  return (tensor.core.device_bytes())
end

t.test("less memory is held between forward and backward", function()
  local function held(on)
    local model = model_of("GPT2LMHeadModel", on)
    local batch = batch_for "GPT2LMHeadModel"
    local before = live_bytes()
    local loss = model(batch).loss
    local bytes = live_bytes() - before
    return loss and bytes
  end
  local kept, recomputed = held(false), held(true)
  assert(recomputed * 3 < kept, ("%d bytes are held with recomputation, %d without"):format(recomputed, kept))
end)

t.test("evaluation, generation and models without layers", function()
  local model = model_of("GPT2LMHeadModel", true)
  local ids = tensor.tensor({ { 1, 2, 3 } }, { dtype = "int64" })
  t.same(model:eval():generate(ids, { max_new_tokens = 2, do_sample = false }).shape, { 1, 5 })
  t.same(model.is_gradient_checkpointing, true)
  model:gradient_checkpointing_disable()
  t.same(model.is_gradient_checkpointing, false)
  t.raises(function() model:gradient_checkpointing_enable { use_reentrent = true } end, "did you mean 'use_reentrant'")
end)

t.finish()
