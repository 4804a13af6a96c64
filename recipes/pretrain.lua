--- Pretrains a small BERT from nothing, as BERT was: guessing masked words, and whether a second sentence belongs to the first.
-- This is how recipes/builtin/bert was made.
--
--   hflua recipes/pretrain.lua                              the built-in stories, about four minutes on two cores
--   hflua recipes/pretrain.lua --text=FILE --vocab=FILE     a text of one's own: one sentence a line
--
-- Expect an evaluation loss near 1.15 on the stories, words and pairs together (an untrained model has about 7).
local hf = require "hflua"
local datasets, models, tokenizer, trainer = hf.datasets, hf.models, hf.tokenizer, hf.trainer

local here = arg[0]:match "^(.*)/[^/]*$" or "."
local config, training = hf.parse_args({
  text = "",                                   -- a file with one sentence a line; empty: the built-in stories
  vocab = here .. "/builtin/bert/vocab.txt",   -- WordPiece vocabulary
  passages = 60000,                            -- how many pairs of sentences are invented
  hidden_size = 128,                           -- width; 256 is slower and a little better
  num_hidden_layers = 2,
  num_attention_heads = 4,
  intermediate_size = 512,
  initializer_range = 0.08,                    -- spread of the first weights: about 1 / sqrt(hidden_size)
  max_length = 64,                             -- longer passages are cut
  output = "pretrained-bert",                  -- where the model is saved
  dtype = "bfloat16",                          -- of the saved weights: half the bytes of float32
}, trainer.TrainingArguments {
  output_dir = "pretrain-trainer", num_train_epochs = 2, per_device_train_batch_size = 64, per_device_eval_batch_size = 64, learning_rate = 2e-3,
  warmup_steps = 100, weight_decay = 0.01, lr_scheduler_type = "cosine", eval_strategy = "epoch", save_strategy = "no", logging_steps = 100, seed = 1,
})

hf.set_seed(training.seed)

-- Two sentences a passage: two tellings of one event (label 0, "belongs"), or of two events (label 1).
local function built_in_passages()
  local stories = dofile(here .. "/builtin/stories.lua")
  math.randomseed(training.seed)
  local list = {}
  for i = 1, config.passages do
    local first, second, same = stories.pair(math.random, 60, 40)
    list[i] = { text = first, second = second, next_sentence_label = 1 - same }
  end
  return datasets.Dataset.from_list(list)
end

-- A text of one's own: each line, followed by the next one or by another.
local function passages_of(path)
  local lines = datasets.load_dataset("text", { data_files = path, split = "train" }).text
  math.randomseed(training.seed)
  local list = {}
  for i = 1, #lines - 1 do
    local follows = math.random(2) == 1
    list[i] = { text = lines[i], second = follows and lines[i + 1] or lines[math.random(#lines)], next_sentence_label = follows and 0 or 1 }
  end
  return datasets.Dataset.from_list(list)
end

local tok = tokenizer.BertTokenizer(config.vocab, { do_lower_case = true, model_max_length = config.max_length })
local raw = config.text == "" and built_in_passages() or passages_of(config.text)
local splits = raw:train_test_split { test_size = 0.02, seed = training.seed }

local tokenized = splits:map(function(rows)
  return tok(rows.text, rows.second, { truncation = true, max_length = config.max_length })
end, { batched = true, remove_columns = { "text", "second" } })

local model = models.BertForPreTraining.from_config(models.BertConfig {
  vocab_size = #tok, hidden_size = config.hidden_size, num_hidden_layers = config.num_hidden_layers,
  num_attention_heads = config.num_attention_heads, intermediate_size = config.intermediate_size, max_position_embeddings = config.max_length, initializer_range = config.initializer_range,
  hidden_dropout_prob = 0.0, attention_probs_dropout_prob = 0.0,
})
print(("%d parameters, %d passages"):format(model:num_parameters(), #tokenized.train))

local tr = trainer.Trainer {
  model = model, args = training, train_dataset = tokenized.train, eval_dataset = tokenized.test, processing_class = tok,
  data_collator = trainer.DataCollatorForLanguageModeling { tokenizer = tok, mlm_probability = 0.2 },
}
tr:train()
print(tr:evaluate().eval_loss)

model:to(config.dtype):save_pretrained(config.output)
tok:save_pretrained(config.output)
print("saved to " .. config.output)
