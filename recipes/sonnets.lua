--- Fine-tunes a GPT-2 on sonnets until it writes verse: training with checkpoints, resuming, saving, reloading, sampling.
--
--   hflua recipes/sonnets.lua --builtin                            the small GPT-2 and the verse that come with hflua (about a minute)
--   hflua recipes/sonnets.lua --data_files=sonnets.txt             distilgpt2 as Python's Hugging Face cache has it, and a text of poems
--   hflua recipes/sonnets.lua --data_files=sonnets.txt --model=FOLDER --new_model   new weights, with the folder's tokenizer alone
--   hflua recipes/sonnets.lua --builtin --resume_from_checkpoint=true               goes on behind the last checkpoint
--
-- Expect an evaluation loss of about 1.4 with --builtin, where the model begins at 12.0, and lines that scan. Every field of
-- TrainingArguments is an option.
local hf = require "hflua"
local datasets, models, tensor, tokenizer, trainer = hf.datasets, hf.models, hf.tensor, hf.tokenizer, hf.trainer

local config, training, given = hf.parse_args({
  builtin = false,                                -- true: the model and the verse that come with hflua, offline
  model = "distilgpt2",                           -- a folder, or a name on the Hub
  new_model = false,                              -- true: weights drawn anew (six layers, as DistilGPT-2); the folder gives the tokenizer
  dataset = "kkawamu1/shakespeares_sonnets",
  data_files = "",                                -- a text with poems, empty lines between them
  max_length = 256,                               -- tokens of a poem; longer ones are cut
  dropout = 0.1,                                  -- of a new model
  prompt = "shall i compare thee to a summer's day?\n",
  sample_length = 250,                            -- tokens of the sample, prompt included
  save_to = "./fine-tuned-sonnets",               -- where model and tokenizer are saved at the end
}, trainer.TrainingArguments {
  output_dir = "./results", overwrite_output_dir = true, num_train_epochs = 5, per_device_train_batch_size = 4, per_device_eval_batch_size = 4,
  eval_steps = 100, save_steps = 100, warmup_steps = 100, eval_strategy = "steps", logging_dir = "./logs", logging_steps = 10,
  learning_rate = 5e-5, save_total_limit = 2, weight_decay = 0.01, fp16 = tensor.cuda.is_available(),
})

if config.builtin then
  config.model, config.data_files = hf.builtin "gpt2", hf.builtin "verse" .. "/verse.txt"
  training = training:with { learning_rate = given.learning_rate or 3e-3, warmup_steps = given.warmup_steps or 20 } -- small models learn faster
end

hf.set_seed(training.seed)

-- ---- data

local raw = datasets.load_dataset(config.dataset, config.data_files ~= "" and { data_files = config.data_files } or nil)
local shuffled = raw.train:shuffle { seed = 42 }
local train_size = math.floor(0.9 * #shuffled)
local train_set = shuffled:select(hf.range(train_size))
local validation_set = shuffled:select(hf.range(train_size + 1, #shuffled))
print(("Train set size: %d, Validation set size: %d"):format(#train_set, #validation_set))

-- "<|eos|>" is no special token but plain text of six tokens: the model learns to write it behind a poem, and the sample is cut there.
local END = "<|eos|>"

local function clean(row)
  row.text = hf.strip(hf.lower(row.text)) .. END
  return row
end

local tok = tokenizer.AutoTokenizer.from_pretrained(config.model)
tok.pad_token = tok.eos_token

local function tokenize(rows)
  return tok(rows.text, { truncation = true, padding = "max_length", max_length = config.max_length })
end

local function prepare(ds)
  local tokenized = ds:map(clean):map(tokenize, { batched = true, remove_columns = { "id" } })
  tokenized:set_format("torch", { columns = { "input_ids", "attention_mask" } })
  return tokenized
end

-- ---- model

local function new_model()
  return models.AutoModelForCausalLM.from_config(models.GPT2Config {
    vocab_size = #tok, n_layer = 6, resid_pdrop = config.dropout, embd_pdrop = config.dropout, attn_pdrop = config.dropout,
    bos_token_id = tok.eos_token_id, eos_token_id = tok.eos_token_id,
  })
end

local model = config.new_model and new_model() or models.AutoModelForCausalLM.from_pretrained(config.model)

-- ---- training

local tr = trainer.Trainer {
  model = model, args = training, train_dataset = prepare(train_set), eval_dataset = prepare(validation_set),
  data_collator = trainer.DataCollatorForLanguageModeling { tokenizer = tok, mlm = false }, -- labels = input_ids, -100 where they are padding
}
print(("evaluation loss before training: %.4f"):format(tr:evaluate().eval_loss))
tr:train { resume_from_checkpoint = training.resume_from_checkpoint }
print(("evaluation loss: %.4f"):format(tr:evaluate().eval_loss))

hf.makedirs(config.save_to)
model:save_pretrained(config.save_to)
tok:save_pretrained(config.save_to)

-- ---- a sample from what was saved

local saved_model = models.AutoModelForCausalLM.from_pretrained(config.save_to)
local saved_tok = tokenizer.AutoTokenizer.from_pretrained(config.save_to)

local function sample(prompt)
  local inputs = saved_tok(prompt, { return_tensors = "pt" })
  local outputs = saved_model:generate(inputs.input_ids, {
    attention_mask = inputs.attention_mask, max_length = config.sample_length, temperature = 0.9, top_p = 0.92, do_sample = true,
    pad_token_id = saved_tok.pad_token_id,
  })
  local text = saved_tok:decode(outputs[1], { skip_special_tokens = true })
  return hf.strip(hf.split(text:sub(#prompt + 1), END)[1])
end

print(config.prompt .. sample(config.prompt))
