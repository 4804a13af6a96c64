--- Pretrains a small GPT-2 from nothing: texts behind one another, cut into blocks, each token guessed from those before it. This is
-- how recipes/builtin/gpt2 was made.
--
--   hflua recipes/pretrain_gpt2.lua                                 built-in tales, news and reviews, about five minutes on two cores
--   hflua recipes/pretrain_gpt2.lua --text=FILE --tokenizer=FOLDER  a text of one's own: one passage a line; the folder has a tokenizer
--
-- Expect an evaluation loss near 0.67 on the built-in texts (an untrained model has 7.6).
local hf = require "hflua"
local datasets, models, tokenizer, trainer = hf.datasets, hf.models, hf.tokenizer, hf.trainer

local here = arg[0]:match "^(.*)/[^/]*$" or "."
local config, training = hf.parse_args({
  text = "",                             -- a file with one passage a line; empty: the built-in texts
  tokenizer = here .. "/builtin/gpt2",   -- a folder with tokenizer.json, or vocab.json and merges.txt
  passages = 24000,                      -- how many built-in passages are invented
  n_embd = 128,                          -- width
  n_layer = 4,
  n_head = 4,
  block_size = 256,                      -- tokens in a row, and positions of the model
  initializer_range = 0.05,              -- spread of the first weights
  output = "pretrained-gpt2",            -- where the model is saved
  dtype = "bfloat16",                    -- of the saved weights: half the bytes of float32
}, trainer.TrainingArguments {
  output_dir = "pretrain-trainer", num_train_epochs = 2, per_device_train_batch_size = 16, per_device_eval_batch_size = 16, learning_rate = 3e-3,
  warmup_steps = 50, weight_decay = 0.01, lr_scheduler_type = "cosine", eval_strategy = "epoch", save_strategy = "no", logging_steps = 50, seed = 1,
})

hf.set_seed(training.seed)

local function built_in_passages()
  math.randomseed(training.seed)
  local passages = dofile(here .. "/builtin/prose.lua").passages(math.random, config.passages)
  return datasets.Dataset.from_dict { text = passages }
end

local raw = config.text == "" and built_in_passages() or datasets.load_dataset("text", { data_files = config.text, split = "train" })
local tok = tokenizer.AutoTokenizer.from_pretrained(config.tokenizer)
local splits = raw:train_test_split { test_size = 0.02, seed = training.seed }

-- Passages behind one another, an end token behind each, cut into blocks of one length; the rest at the end is dropped.
local function blocks_of(rows)
  local blocks, block = {}, {}
  for _, ids in ipairs(tok(rows.text).input_ids) do
    ids[#ids + 1] = tok.eos_token_id
    for _, id in ipairs(ids) do
      block[#block + 1] = id
      if #block == config.block_size then blocks[#blocks + 1], block = block, {} end
    end
  end
  return { input_ids = blocks }
end

local blocks = splits:map(blocks_of, { batched = true, remove_columns = { "text" } })

local model = models.GPT2LMHeadModel.from_config(models.GPT2Config {
  vocab_size = #tok, n_embd = config.n_embd, n_layer = config.n_layer, n_head = config.n_head, n_positions = config.block_size,
  initializer_range = config.initializer_range, bos_token_id = tok.eos_token_id, eos_token_id = tok.eos_token_id,
  resid_pdrop = 0.0, embd_pdrop = 0.0, attn_pdrop = 0.0,
})
print(("%d parameters, %d blocks of %d tokens"):format(model:num_parameters(), #blocks.train, config.block_size))

tok.pad_token = tok.eos_token -- the collator wants one; blocks have one length
local tr = trainer.Trainer {
  model = model, args = training, train_dataset = blocks.train, eval_dataset = blocks.test, processing_class = tok,
  data_collator = trainer.DataCollatorForLanguageModeling { tokenizer = tok, mlm = false },
}
tr:train()
print(("evaluation loss %.4f"):format(tr:evaluate().eval_loss))

model:to(config.dtype):save_pretrained(config.output)
tok.pad_token = nil
tok:save_pretrained(config.output)
print("saved to " .. config.output)
