--- Times one training step (forward, backward, clip, AdamW) of a model with random weights and ids; prints one JSON line.
--   hflua tests/bench/step.lua [--model=bert-base|minilm|gpt2] [--batch=16] [--length=128] [--padded_to=0] [--steps=6] [--dtype=fp32|bf16]
-- Every row has `length` real tokens, padded to `padded_to` when that is more.
local hf = require "hflua"
local system = require "hflua.core.system"
local tensor, models, trainer = hf.tensor, hf.models, hf.trainer

local o = hf.parse_args { model = "bert-base", batch = 16, length = 128, padded_to = 0, steps = 6, dropout = 0.1, dtype = "fp32" }
local total = math.max(o.padded_to, o.length)

local function bert(layers, width, heads, inner)
  local config = models.BertConfig { num_hidden_layers = layers, hidden_size = width, num_attention_heads = heads, intermediate_size = inner,
    hidden_dropout_prob = o.dropout, attention_probs_dropout_prob = o.dropout }
  return models.BertForSequenceClassification.from_config(config), tensor.randint(0, 2, { o.batch }), layers, width, inner, 0
end

local function gpt2(layers, width, heads)
  local config = models.GPT2Config { n_layer = layers, n_embd = width, n_head = heads, n_positions = math.max(1024, total), embd_pdrop = o.dropout,
    attn_pdrop = o.dropout, resid_pdrop = o.dropout }
  return models.GPT2LMHeadModel.from_config(config), tensor.randint(1000, 30000, { o.batch, total }), layers, width, 4 * width, config.vocab_size
end

local makers = { ["bert-base"] = function() return bert(12, 768, 12, 3072) end, minilm = function() return bert(6, 384, 12, 1536) end,
  gpt2 = function() return gpt2(12, 768, 12) end }
local model, labels, layers, width, inner, vocabulary = (makers[o.model] or error("model: expected bert-base, minilm or gpt2"))()
model:train()
local batch = { input_ids = tensor.randint(1000, 30000, { o.batch, total }), labels = labels }
if total > o.length then
  batch.attention_mask = tensor.arange(total):lt(o.length):to("int64"):expand(o.batch, total)
  if vocabulary > 0 then batch.labels = labels:masked_fill(batch.attention_mask:eq(0), -100) end
end
local optimizer = trainer.AdamW(model:parameters(), { lr = 5e-5 })
local parameters = model:parameters()

assert(o.dtype == "fp32" or o.dtype == "bf16", "dtype: expected fp32 or bf16")
local function forward() return hf.autocast("cpu", { dtype = "bfloat16", enabled = o.dtype == "bf16" }, model, batch) end

local function step()
  hf.step(function()
    forward().loss:backward()
    hf.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer:step()
    optimizer:zero_grad()
  end)
end

local times = {}
for i = 1, o.steps + 2 do
  local start = system.clock()
  step()
  times[i] = system.clock() - start
end
times = table.move(times, 3, #times, 1, {})
table.sort(times)
local median = times[(#times + 1) // 2]
local tokens = o.batch * o.length
local flops = 6 * tokens * (layers * (4 * width * width + 2 * width * inner) + vocabulary * width) + 12 * o.batch * layers * o.length * o.length * width
print(hf.json.encode { seconds = median, best = times[1], tokens_per_second = tokens / median, gflops = flops / median * 1e-9,
  peak_mib = system.peak_memory() // 2 ^ 20 })
