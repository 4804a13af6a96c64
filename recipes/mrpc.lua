--- Fine-tunes a BERT to tell whether two sentences say the same (GLUE/MRPC).
--
--   hflua recipes/mrpc.lua                  bert-base-uncased and glue/mrpc as Python's Hugging Face cache has them
--   hflua recipes/mrpc.lua --builtin        the small BERT and the sentence pairs that come with hflua (about a minute)
--   hflua recipes/mrpc.lua --model=FOLDER --data_dir=FOLDER --num_train_epochs=2 --learning_rate=3e-5
--
-- Expect an accuracy of about 0.86 (F1 0.90) from bert-base-uncased on MRPC's validation rows, and 0.94 from the built-in model on
-- the built-in rows, where always giving the commoner answer scores 0.58. Every field of TrainingArguments is an option.
local hf = require "hflua"
local datasets, models, tensor, tokenizer, trainer = hf.datasets, hf.models, hf.tensor, hf.tokenizer, hf.trainer

local config, training, given = hf.parse_args({
  builtin = false,              -- true: the model and the pairs that come with hflua, offline
  model = "bert-base-uncased",  -- a folder, or a name on the Hub
  data_dir = "",                -- a folder with MRPC's files, instead of the Hub's
}, trainer.TrainingArguments("test-trainer", { eval_strategy = "epoch" }))

if config.builtin then
  config.model, config.data_dir = hf.builtin "bert", hf.builtin "paraphrases"
  training = training:with { learning_rate = given.learning_rate or 5e-4, logging_steps = given.logging_steps or 100 }  -- small models learn faster
end

hf.set_seed(training.seed)  -- the new classifier is drawn before Trainer sets the seed

local raw_datasets = datasets.load_dataset("glue", "mrpc", { data_dir = config.data_dir ~= "" and config.data_dir or nil })
local tok = tokenizer.AutoTokenizer.from_pretrained(config.model)

local function tokenize_function(rows)
  return tok(rows.sentence1, rows.sentence2, { truncation = true })
end

local tokenized_datasets = raw_datasets:map(tokenize_function, { batched = true })
local data_collator = trainer.DataCollatorWithPadding { tokenizer = tok }
local model = models.AutoModelForSequenceClassification.from_pretrained(config.model, { num_labels = 2 })

local metric = hf.evaluate.load("glue", "mrpc")

local function compute_metrics(eval_pred)
  local logits, labels = eval_pred:unpack()
  return metric:compute { predictions = tensor.argmax(logits, { dim = -1 }), references = labels }
end

local tr = trainer.Trainer(model, training, {
  train_dataset = tokenized_datasets.train,
  eval_dataset = tokenized_datasets.validation,
  data_collator = data_collator,
  processing_class = tok,
  compute_metrics = compute_metrics,
})
tr:train()

-- What always giving the commoner answer would score.
local labels = tokenized_datasets.validation.label
local positive = 0
for _, label in ipairs(labels) do positive = positive + label end
local baseline = math.max(positive, #labels - positive) / #labels

local result = tr:evaluate()
print(("accuracy %.4f, F1 %.4f (always the commoner answer: %.4f)"):format(result.eval_accuracy, result.eval_f1, baseline))
