--- slow: a DistilGPT-2 from a seed has transformers' start weights to the bit, and follows its losses on the sonnets, half of the steps
-- in a second run that resumes the first.
-- Needs ../shared/golden/distilgpt2_curve, ../shared/data/sonnets and ../shared/data/gpt2. HFLUA_CURVE_STEPS: up to 20 steps.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local files = require "hflua.core.files"

local shared = os.getenv "HFLUA_SHARED" or ""
local golden, sonnets = shared .. "/golden/distilgpt2_curve/expected.json", shared .. "/data/sonnets/sonnets.txt"
if not t.exists(golden) or not t.exists(sonnets) then
  t.skip("DistilGPT-2's curve", "needs ../shared/golden/distilgpt2_curve and ../shared/data/sonnets")
  return t.finish()
end

local expected = hf.json.load_file(golden)
local steps = math.tointeger(tonumber(os.getenv "HFLUA_CURVE_STEPS" or "")) or 6

local function new_model(seed)
  hf.set_seed(seed)
  return hf.GPT2LMHeadModel(hf.GPT2Config { n_layer = 6, resid_pdrop = 0.0, embd_pdrop = 0.0, attn_pdrop = 0.0 })
end

local model = new_model(42)

-- SHA-256 of a tensor's numbers: those behind the header of a safetensors file.
local function sha256_of(tensor)
  local path = os.tmpname()
  hf.safetensors.save_file({ x = tensor }, path)
  local file <close> = assert(io.open(path, "rb"))
  local header = string.unpack("<I8", file:read(8))
  file:seek("cur", header)
  local numbers = file:read "a"
  local out <close> = assert(io.open(path, "wb"))
  out:write(numbers)
  out:close()
  local digest = files.sha256(path)
  os.remove(path)
  return digest
end

t.test("start weights are PyTorch's, to the bit", function()
  local state = model:state_dict()
  local count = 0
  for name, want in pairs(expected.init.check) do
    t.same(sha256_of(state[name]), want.sha256_float32_le, name)
    count = count + 1
  end
  t.same(count, 10)
end)

-- The rows of the run, from their ids; labels leave out what is padding.
local function training_rows(tok)
  local raw = hf.load_dataset("shakespeares_sonnets", { data_files = sonnets })
  local shuffled = raw.train:shuffle { seed = 42 }
  return shuffled:select(hf.range(138)):map(function(row)
    return tok(hf.strip(hf.lower(row.text)) .. "<|eos|>", { truncation = true, padding = "max_length", max_length = 256 })
  end, { remove_columns = { "id", "text" } })
end

-- Trains until step `last`, which leaves a checkpoint where `save` is set; the log.
local function train(started, tok, rows, folder, last, options)
  local args = hf.TrainingArguments { output_dir = folder, num_train_epochs = 5, per_device_train_batch_size = 4, learning_rate = 5e-5, warmup_steps = 100,
    weight_decay = 0.01, seed = 42, logging_steps = 1, save_strategy = options.save and "steps" or "no", save_steps = last, use_cpu = true, disable_tqdm = true,
    hf_quirks = true }
  local Stop = hf.trainer.TrainerCallback:extend("Stop")
  function Stop:on_step_end(_, state, control) control.should_training_stop = state.global_step >= last end
  local trainer = hf.Trainer { model = started, args = args, train_dataset = rows, callbacks = { Stop() },
    data_collator = hf.DataCollatorForLanguageModeling { tokenizer = tok, mlm = false } }
  trainer:remove_callback(hf.trainer.PrinterCallback)
  trainer:train { resume_from_checkpoint = options.resume }
  return trainer.state.log_history
end

local has_tokenizer, tok = pcall(function() return hf.GPT2TokenizerFast(shared .. "/data/gpt2/vocab.json", shared .. "/data/gpt2/merges.txt") end)
if not has_tokenizer then
  t.skip("losses follow step by step", "needs the GPT-2 tokenizer and ../shared/data/gpt2")
  return t.finish()
end
tok.pad_token = "<|endoftext|>"
local rows = training_rows(tok)

t.test("rows are transformers' rows", function()
  for i, want in ipairs(expected.tokens.first_two_rows) do t.same(rows[i].input_ids, want.input_ids, "row " .. i) end
end)

t.test("losses follow step by step, through a resume", function()
  local folder, want = os.tmpname(), expected.training
  os.remove(folder)
  train(model, tok, rows, folder, steps // 2, { save = true })
  model = nil
  local history = train(new_model(7), tok, rows, folder, steps, { resume = true })
  files.remove(folder)
  for i = 1, steps do
    t.near(history[i].loss, want.loss[i], 0, 1e-4, "loss of step " .. i)
    t.near(history[i].grad_norm, want.grad_norm[i], 0, 1e-3, "gradient norm of step " .. i)
    t.near(history[i].learning_rate, want.learning_rate[i], 0, 1e-12, "learning rate of step " .. i)
  end
end)
t.finish()
