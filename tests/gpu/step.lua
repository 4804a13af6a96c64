--- Times training steps on the GPU: `hflua tests/gpu/step.lua --model=bert_base_32x128 --precision=bf16 --out=results.jsonl`.
-- Forward, backward, clipping and AdamW of random weights and tokens, dropout as configured; one JSON line of results.
local hf = require "hflua"
local config = hf.parse_args { model = "bert_base_32x128", precision = "no", steps = 20, warmup = 5, device = "cuda", out = "" }

local kinds = {
  bert_base_32x128 = { batch = 32, length = 128, class = "BertForSequenceClassification", config = { model_type = "bert" } },
  gpt2_8x1024 = { batch = 8, length = 1024, class = "GPT2LMHeadModel", config = { model_type = "gpt2" } },
  tiny = { batch = 2, length = 16, class = "BertForSequenceClassification", config = { model_type = "bert", hidden_size = 32,
    num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 64, vocab_size = 100 } },
}
local kind = kinds[config.model]
hf.set_seed(1)

local model = hf.models[kind.class](hf.AutoConfig.for_model(kind.config.model_type, kind.config))
local accelerator = hf.Accelerator { mixed_precision = config.precision, cpu = config.device == "cpu" }
local optimizer = hf.AdamW(model:parameters(), { lr = 1e-4 })
model, optimizer = accelerator:prepare(model, optimizer)
model:train()

local ids = hf.tensor.randint(5, model.config.vocab_size - 1, { kind.batch, kind.length }):to(accelerator.device)
local labels = kind.class == "GPT2LMHeadModel" and ids or hf.tensor.randint(0, 2, { kind.batch }):to(accelerator.device)

local function step()
  local out = model { input_ids = ids, labels = labels }
  accelerator:backward(out.loss)
  hf.nn.utils.clip_grad_norm_(model:parameters(), 1.0)
  optimizer:step()
  optimizer:zero_grad()
  return out.loss
end

local clock = require("hflua.core.system").clock
local first = step():item()
for _ = 1, config.warmup do hf.step(step) end
hf.cuda.synchronize() hf.cuda.reset_peak_memory_stats()
local start, loss = clock(), nil
for _ = 1, config.steps do loss = hf.step(step) end
hf.cuda.synchronize()
local seconds = (clock() - start) / config.steps

local line = hf.json.encode { program = "hflua", model = config.model, precision = config.precision, seconds_a_step = seconds,
  tokens_a_second = kind.batch * kind.length / seconds, peak_mib = hf.cuda.max_memory_allocated() / 2 ^ 20,
  first_loss = first, last_loss = loss:item() }
print(line)
if config.out ~= "" then
  local file = assert(io.open(config.out, "a"))
  file:write(line, "\n")
  file:close()
end
