--- Fine-tunes a BERT folder on a folder with MRPC's files, start to end; prints its log and one JSON line.
--   hflua tests/bench/mrpc.lua --model=FOLDER --data=FOLDER [--epochs=3] [--seed=42] [--max_steps=-1]
local hf = require "hflua"
local system = require "hflua.core.system"
local began = system.clock()

local o = hf.parse_args { model = "", data = "", epochs = 3, seed = 42, max_steps = -1, dropout = true }
local tok = hf.tokenizer.AutoTokenizer.from_pretrained(o.model)
local raw = hf.datasets.load_dataset("glue", "mrpc", { data_dir = o.data })
local rows = raw:map(function(r) return tok(r.sentence1, r.sentence2, { truncation = true }) end, { batched = true, load_from_cache_file = false })
hf.set_seed(o.seed)
local changes = { num_labels = 2, quiet = true }
if not o.dropout then changes.hidden_dropout_prob, changes.attention_probs_dropout_prob = 0.0, 0.0 end
local model = hf.models.AutoModelForSequenceClassification.from_pretrained(o.model, changes)
local metric = hf.evaluate.load("glue", "mrpc")
local args = hf.trainer.TrainingArguments("bench-out", { eval_strategy = o.max_steps < 0 and "epoch" or "no", num_train_epochs = o.epochs,
  max_steps = o.max_steps, save_strategy = "no", seed = o.seed, disable_tqdm = true, logging_steps = 50 })
local tr = hf.trainer.Trainer(model, args, {
  train_dataset = rows.train, eval_dataset = rows.validation, data_collator = hf.trainer.DataCollatorWithPadding { tokenizer = tok }, processing_class = tok,
  compute_metrics = function(p)
    local logits, labels = p:unpack()
    return metric:compute { predictions = logits:argmax { dim = -1 }, references = labels }
  end,
})
local ready = system.clock()
local result = tr:train()
print(hf.json.encode { seed = o.seed, setup_seconds = ready - began, train_seconds = system.clock() - ready, steps = result.global_step,
  peak_mib = system.peak_memory() // 2 ^ 20, last = tr.state.log_history[#tr.state.log_history - 1] })
