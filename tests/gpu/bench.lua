--- Measures on the GPU; peer.py does the same in PyTorch. One JSON line of results for each, added to --out.
--   hflua tests/gpu/bench.lua --task=ceiling                        the largest matrix products and copies
--   hflua tests/gpu/bench.lua --task=step --kind=bert_base_32x128   training steps of random weights and tokens, dropout as configured
--   hflua tests/gpu/bench.lua --task=curve --kind=gpt2_8x1024       a loss curve; weights and batches are left in --folder for peer.py
--   hflua tests/gpu/bench.lua --task=generate --kind=gpt2_8x1024 --batch=16    greedy tokens
-- --kind is one of kinds.json; --precision is no, bf16 or tf32.
local hf = require "hflua"
local tensor = hf.tensor
local clock = require("hflua.core.system").clock
local o = hf.parse_args { task = "step", kind = "bert_base_32x128", precision = "bf16", folder = "", out = "", batch = 1, new = 128, size = 8192,
  segments = 7, steps = 5, graphs = false }

local kind = hf.json.load_file(arg[0]:match "^(.*)/[^/]*$" .. "/kinds.json")[o.kind] or error("--kind: none of kinds.json")
local low = o.precision == "bf16"
local device = tensor.device "cuda"
hf.set_seed(1)

local function report(line)
  line.phase, line.program, line.precision = o.task, o.graphs and "hflua graph" or "hflua", o.precision
  local text = hf.json.encode(line)
  print(text)
  if o.out == "" then return end
  local file = assert(io.open(o.out, "a"))
  file:write(text, "\n")
  file:close()
end

-- The median of `segments` times of `steps` calls each, for one call; the device is waited for between segments.
local function median_seconds(fn)
  local times = {}
  for i = 1, o.segments do
    hf.cuda.synchronize()
    local start = clock()
    for _ = 1, o.steps do fn() end
    hf.cuda.synchronize()
    times[i] = (clock() - start) / o.steps
  end
  table.sort(times)
  return times[(#times + 1) // 2]
end

local function new_model(dropout)
  if kind.family == "bert" then
    return hf.models.BertForSequenceClassification(hf.models.BertConfig { hidden_size = kind.width, num_hidden_layers = kind.layers,
      num_attention_heads = kind.heads, intermediate_size = 4 * kind.width, vocab_size = kind.vocab, max_position_embeddings = kind.positions })
  end
  return hf.models.GPT2LMHeadModel(hf.models.GPT2Config { n_embd = kind.width, n_layer = kind.layers, n_head = kind.heads, vocab_size = kind.vocab,
    n_positions = kind.positions, embd_pdrop = dropout, attn_pdrop = dropout, resid_pdrop = dropout })
end

-- Floating-point operations of a training step: products of the layers and the output, scores and what is made of them (half where causal).
local function operations(tokens)
  local causal = kind.family == "gpt2"
  local a_token = 12 * kind.layers * kind.width ^ 2 + (causal and kind.vocab * kind.width or 0)
  return tokens * (6 * a_token + 12 * kind.layers * kind.width * kind.length * (causal and 0.5 or 1))
end

-- A function that takes a step over a batch of ids and gives the loss; with --graphs forward and backward are recorded and launched.
local function trainer_of(model, lr, labels)
  local accelerator = hf.Accelerator { mixed_precision = low and "bf16" or "no" }
  local optimizer = hf.AdamW(model:parameters(), { lr = lr, weight_decay = 0.01 })
  model, optimizer = accelerator:prepare(model, optimizer)
  model:train()
  local function backward(ids)
    local out = model { input_ids = ids, labels = labels or ids }
    accelerator:backward(out.loss)
    return out.loss
  end
  if o.graphs then backward = tensor.graph(backward, { constants = true }) end
  return function(ids)
    local loss = backward(ids)
    hf.nn.utils.clip_grad_norm_(model:parameters(), 1.0)
    optimizer:step()
    optimizer:zero_grad()
    return loss
  end
end

local tasks = {}

function tasks.ceiling()
  local n = o.size
  local a, b = tensor.randn({ n, n }):to(device):to(low and "bfloat16" or "float32"), tensor.randn({ n, n }):to(device):to(low and "bfloat16" or "float32")
  local block = tensor.zeros({ n // 32 * 2 ^ 20 // 1 }, { device = device })
  tensor.no_grad(function()
    local function product() hf.step(tensor.matmul, a, b) end
    local function copy() hf.step(block.clone, block) end
    product() copy()
    report { operations_a_second = 2 * n ^ 3 / median_seconds(product), bytes_a_second = 2 * 4 * block:numel() / median_seconds(copy) }
  end)
end

function tasks.step()
  local model = new_model(0.1)
  local ids = tensor.randint(5, kind.vocab - 1, { kind.batch, kind.length }):to(device)
  local train = trainer_of(model, 1e-4, kind.family == "bert" and tensor.randint(0, 2, { kind.batch }):to(device) or ids)
  local function step() return hf.step(train, ids) end
  local first = step():item()
  for _ = 1, 5 do step() end
  hf.cuda.reset_peak_memory_stats()
  local seconds = median_seconds(step)
  local tokens = kind.batch * kind.length
  report { model = o.kind, seconds = seconds, tokens_a_second = tokens / seconds, operations = operations(tokens), peak_mib = hf.cuda.max_memory_allocated() / 2 ^ 20,
    reserved_mib = hf.cuda.max_memory_reserved() / 2 ^ 20, first_loss = first, last_loss = step():item() }
end

-- Tokens with something to learn: each follows from the one before, but for one in four.
local function batches(count)
  local rows = {}
  for i = 1, count do
    rows[i] = {}
    for b = 1, kind.batch do
      local row, id = {}, math.random(0, kind.vocab - 1)
      for t = 1, kind.length do
        row[t] = id
        id = math.random(4) == 1 and math.random(0, kind.vocab - 1) or (id * 7 + 3) % math.min(kind.vocab, 512)
      end
      rows[i][b] = row
    end
  end
  return tensor.tensor(rows)
end

function tasks.curve()
  math.randomseed(1)
  local model, steps = new_model(0.0), 60
  local ids = batches(steps)
  model:save_pretrained(o.folder)
  hf.safetensors.save_file({ ids = ids }, o.folder .. "/batches.safetensors")
  local train, losses = trainer_of(model, 3e-4), {}
  for i = 1, steps do losses[i] = hf.step(train, ids[i]:to(device)):item() end
  report { model = o.kind, losses = losses }
end

function tasks.generate()
  local model = new_model(0.0):to(device):to(low and "bfloat16" or "float32"):eval()
  local ids = tensor.randint(5, kind.vocab - 1, { o.batch, 16 }):to(device)
  local function run() model:generate(ids, { max_new_tokens = o.new, min_new_tokens = o.new, do_sample = false, pad_token_id = 0 }) end
  run()
  o.steps, o.segments = 1, 3
  local seconds = median_seconds(run)
  report { model = o.kind, batch = o.batch, seconds = seconds, tokens_a_second = o.batch * o.new / seconds, peak_mib = hf.cuda.max_memory_allocated() / 2 ^ 20 }
end

(tasks[o.task] or error("--task: expected ceiling, step, curve or generate"))()
