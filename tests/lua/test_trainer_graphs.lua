--- Trainer with cuda_graphs: losses and weights are those without, bit for bit, whatever the batches; on the emulated device with
-- recorded steps.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local tiny = require "tiny"
local hf = require "hflua"
local tensor = hf.tensor
local has_graphs = hf.cuda.is_available()

local sizes = { hidden_size = 16, num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 32 }
local function config(more)
  local c = { vocab_size = 50, max_position_embeddings = 16, num_labels = 2 }
  for _, list in ipairs { sizes, more or {} } do for name, value in pairs(list) do c[name] = value end end
  return c
end
local gpt2 = { vocab_size = 50, n_embd = 16, n_layer = 2, n_head = 2, n_positions = 16, pad_token_id = 0 }

-- Rows of 8 tokens, `real(i)` of them real. label: "class", "token" (each token), "masked" (each third token).
local function rows(count, label, real)
  local list = {}
  for i = 1, count do
    local n, ids, mask, labels = real and real(i) or 8, {}, {}, {}
    for k = 1, 8 do
      ids[k], mask[k] = k <= n and (i * 7 + k * 3) % 49 + 1 or 0, k <= n and 1 or 0
      labels[k] = k <= n and (label ~= "masked" or k % 3 == 0) and ids[k] or -100
    end
    list[i] = { input_ids = ids, attention_mask = mask, labels = label == "class" and i % 2 or labels }
  end
  return list
end

-- The losses and gradient norms of the steps, the weights at the end, and how many recordings were launched.
local function train(make, list, given, o)
  hf.set_seed(11)
  local args = { output_dir = "/nonexistent", per_device_train_batch_size = 4, max_steps = 8, learning_rate = 0.01, logging_steps = 1, save_strategy = "no",
    disable_tqdm = true, use_cpu = false, train_sampling_strategy = "sequential" }
  for name, value in pairs(given) do args[name] = value end
  local options = { model = make(), args = hf.TrainingArguments(args), train_dataset = list }
  for name, value in pairs(o or {}) do options[name] = value end
  local tr = hf.Trainer(options)
  tr:pop_callback(hf.trainer.PrinterCallback)
  local launched, step = 0, tr.training_step
  local calls = 0
  function tr.training_step(...) calls = calls + 1 return step(...) end
  tr:train()
  launched = math.max(0, 8 * (given.gradient_accumulation_steps or 1) - calls)
  local log = {}
  for i, row in ipairs(tr.state.log_history) do log[i] = { loss = row.loss, norm = row.grad_norm } end
  return log, tiny.weights(tr.model), launched
end

-- expected: how many of the micro-batches did not call training_step (with graphs); nil: any number.
local function compare(name, make, list, given, expected, o)
  t.test(name, function()
    local log, weights = train(make, list, given, o)
    local with = { cuda_graphs = true }
    for key, value in pairs(given) do with[key] = value end
    local found, after, launched = train(make, list, with, o)
    t.same(found, log, "log")
    t.same(after, weights, "weights")
    if expected then t.same(launched, has_graphs and expected or 0, "launches") end
  end)
end

local models = {
  bert = function() return hf.BertForSequenceClassification(hf.BertConfig(config())) end,
  masked = function() return hf.BertForMaskedLM(hf.BertConfig(config())) end,
  gpt2 = function() return hf.GPT2LMHeadModel(hf.GPT2Config(gpt2)) end,
  gpt2_class = function() return hf.GPT2ForSequenceClassification(hf.GPT2Config(gpt2)) end,
  llama = function()
    return hf.LlamaForCausalLM(hf.LlamaConfig { vocab_size = 50, hidden_size = 16, intermediate_size = 32, num_hidden_layers = 2, num_attention_heads = 2,
      num_key_value_heads = 1, max_position_embeddings = 16, pad_token_id = 0 })
  end,
}

-- two steps as ever, one recorded, five launched without calling training_step
compare("BERT with dropout, rows of one length", models.bert, rows(32, "class"), {}, 5)
compare("BERT for masked words", models.masked, rows(32, "masked"), {}, 5)
compare("GPT-2 with dropout", models.gpt2, rows(32, "token"), {}, 5)
compare("Llama", models.llama, rows(32, "token"), {}, 5)
compare("float16", models.gpt2, rows(32, "token"), { fp16 = true })
compare("bfloat16", models.gpt2, rows(32, "token"), { bf16 = true }, 5)
compare("activation checkpointing", models.gpt2, rows(32, "token"), { activation_checkpointing = true }, 5)
compare("padded rows whose lengths come again", models.gpt2, rows(32, "token", function(i) return 5 + i % 4 end), {}, 5)
compare("lengths that never come again: nothing is recorded", models.gpt2, rows(32, "token", function(i) return 1 + (i * i // 4) % 8 end), { max_steps = 8 }, 0)
compare("two kinds of batches in turn", models.bert, rows(32, "class", function(i) return (i - 1) // 4 % 2 == 0 and 8 or 5 end), {}, 2)
compare("accumulated gradients", models.gpt2, rows(64, "token"), { gradient_accumulation_steps = 2 }, 10)
compare("another optimizer", models.bert, rows(32, "class"), { optim = "sgd" }, 5)
compare("a model that looks at its ids on the processor", models.gpt2_class, rows(32, "class"), {}, 0)
compare("a loss that waits is not recorded", models.bert, rows(32, "class"), {}, 0, { compute_loss_func = function(outputs, labels)
  local loss = tensor.cross_entropy(outputs.logits, labels)
  return loss:item() > 0 and loss or loss * 2
end })
local collate = hf.trainer.default_data_collator
if has_graphs then
  local batches = {}
  compare("batches that are on the device already, and come again", models.gpt2, rows(8, "token"), {}, 5, { data_collator = function(list)
    local at = list[1].input_ids[1]
    batches[at] = batches[at] or collate(list):to "cuda"
    return batches[at]
  end })
end

t.test("transformers' spelling", function()
  local function given(o) return hf.TrainingArguments("out", o).cuda_graphs end
  t.same({ given { torch_compile = true, torch_compile_mode = "reduce-overhead" }, given { torch_compile_mode = "default" }, given {} }, { true, false, false })
end)

t.finish()
