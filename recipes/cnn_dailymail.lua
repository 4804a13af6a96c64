--- Fine-tunes a GPT-2 on news, in either of two ways: to write the summary behind an article, or to tell a review's verdict.
--
--   hflua recipes/cnn_dailymail.lua --builtin                             the small GPT-2 and the news that come with hflua (half a minute)
--   hflua recipes/cnn_dailymail.lua --builtin --task=classification       the same on built-in reviews
--   hflua recipes/cnn_dailymail.lua --data_dir=FOLDER                     gpt2 from Hugging Face's cache; CSV or .story files of cnn_dailymail
--   hflua recipes/cnn_dailymail.lua --task=classification --data_dir=FOLDER --model=gpt2-medium      CSV files of imdb
--
-- Expect from --builtin a perplexity of about 1.7 (15 before) and a summary that looks like one, of names it makes up; an accuracy of 1.0
-- on the reviews, which are easy. Every field of TrainingArguments is an option.
local hf = require "hflua"
local datasets, models, tensor, tokenizer, trainer = hf.datasets, hf.models, hf.tensor, hf.tokenizer, hf.trainer

local config, training, given = hf.parse_args({
  builtin = false,            -- true: the model and the texts that come with hflua, offline
  task = "lm",                -- lm: article, " TL;DR: ", highlights as one text; classification: imdb's labels
  model = "gpt2",             -- a folder, or a name on the Hub
  data_dir = "",              -- a folder with the data set's files
  rows = 1000,                -- rows for training, and for evaluation
  max_length = 1024,          -- tokens of a row; longer articles are cut, their highlights are not
  summary_length = 128,       -- tokens kept free for the highlights
  summary_only = false,       -- true: only the highlights are learned, the article is read
}, trainer.TrainingArguments("test_trainer", { eval_strategy = "epoch" }))

if config.task ~= "lm" and config.task ~= "classification" then error("--task: expected lm or classification, found " .. config.task, 0) end
local is_lm = config.task == "lm"

if config.builtin then
  config.model, config.data_dir = hf.builtin "gpt2", hf.builtin(is_lm and "news" or "reviews")
  training = training:with { learning_rate = given.learning_rate or 1e-3, logging_steps = given.logging_steps or 50 } -- small models learn faster
end

hf.set_seed(training.seed)

local where = config.data_dir ~= "" and { data_dir = config.data_dir } or nil
local tok = tokenizer.AutoTokenizer.from_pretrained(config.model)
-- GPT-2 has no padding token. Its end token serves; a new one, tok:add_special_tokens{pad_token = "[PAD]"}, would get an id that the model
-- has no vector for until model:resize_token_embeddings(#tok).
tok.pad_token = tok.eos_token
local max_length = math.tointeger(math.min(config.max_length, tok.model_max_length))

-- Rows to train on and to evaluate on, shuffled: of the splits that are there, or of a part of the only one.
local function train_and_test(raw)
  local splits = {}
  for name, ds in pairs(raw) do splits[name] = ds end
  local train, test = splits.train or splits.validation, splits.test or splits.validation
  if train == test or not train or not test then
    local parts = (train or test):train_test_split { test_size = 0.2, seed = 42 }
    train, test = parts.train, parts.test
  end
  local function some(ds) return ds:shuffle { seed = 42 }:select(hf.range(math.min(config.rows, #ds))) end
  return some(train), some(test)
end

-- ---- article TL;DR: highlights

local TLDR = " TL;DR:"

local function append(list, more, count) table.move(more, 1, count or #more, #list + 1, list) end

-- The articles, cut where they are long, with " TL;DR:" behind each.
local function prompt_ids(articles)
  local ids, tldr = tok(articles, { truncation = true, max_length = max_length - config.summary_length }).input_ids, tok(TLDR).input_ids
  for _, row in ipairs(ids) do append(row, tldr) end
  return ids
end

-- Labels are given here: a collator that hides padding would hide the end token too, which is the padding token, and the model would
-- never learn to stop.

local function tokenize_stories(rows)
  local ids, labels, endings = prompt_ids(rows.article), {}, {}
  for i, highlights in ipairs(rows.highlights) do endings[i] = " " .. highlights .. tok.eos_token end
  for i, ending in ipairs(tok(endings).input_ids) do
    labels[i] = {}
    for j = 1, #ids[i] do labels[i][j] = config.summary_only and -100 or ids[i][j] end
    local room = math.min(#ending, max_length - #ids[i])
    append(ids[i], ending, room)
    append(labels[i], ending, room)
  end
  return { input_ids = ids, labels = labels }
end

local function summary_of(model, article)
  local ids = tensor.tensor(prompt_ids { article })
  local out = model:eval():generate(ids, { max_new_tokens = config.summary_length // 2, do_sample = false, pad_token_id = tok.pad_token_id })
  return hf.strip(tok:decode(out[1]:slice { start = ids.shape[2] }, { skip_special_tokens = true }))
end

local function language_model()
  local train, test = train_and_test(datasets.load_dataset("cnn_dailymail", "3.0.0", where))
  local function prepare(ds) return ds:map(tokenize_stories, { batched = true, remove_columns = { "article", "highlights", "id" } }) end
  local model = models.GPT2LMHeadModel.from_pretrained(config.model)
  local tr = trainer.Trainer {
    model = model, args = training, train_dataset = prepare(train), eval_dataset = prepare(test), processing_class = tok,
    data_collator = trainer.DataCollatorForSeq2Seq { tokenizer = tok }, -- pads labels with -100
  }
  print(("perplexity before training: %.2f"):format(math.exp(tr:evaluate().eval_loss)))
  tr:train()
  print(("perplexity: %.2f"):format(math.exp(tr:evaluate().eval_loss)))
  print(("\narticle: %s\n\nhighlights: %s\n\nwritten: %s"):format(hf.slice(test[1].article, 0, 600), test[1].highlights, summary_of(model, test[1].article)))
  return model
end

-- ---- the verdict of a review

local function tokenize_function(rows) return tok(rows.text, { padding = "max_length", truncation = true, max_length = max_length }) end

local function classifier()
  local train, test = train_and_test(datasets.load_dataset("imdb", where))
  local model = models.GPT2ForSequenceClassification.from_pretrained(config.model, { num_labels = 2 })
  model.config.pad_token_id = tok.pad_token_id -- the class is read at the last token that is no padding
  local metric = hf.load_metric "accuracy"
  local tr = trainer.Trainer {
    model = model, args = training, train_dataset = train:map(tokenize_function, { batched = true }), eval_dataset = test:map(tokenize_function, { batched = true }),
    compute_metrics = function(eval_pred)
      local logits, labels = eval_pred:unpack()
      return metric:compute { predictions = tensor.argmax(logits, { axis = -1 }), references = labels }
    end,
  }
  tr:train()
  print(("accuracy %.4f"):format(tr:evaluate().eval_accuracy))
  return model
end

local model = is_lm and language_model() or classifier()
model:save_pretrained "path/to/model.pt" -- a folder, whatever its name
tok:save_pretrained "path/to/model.pt"
