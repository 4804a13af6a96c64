--- What the Hugging Face examples do wrong is answered by a sentence that says what to do.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"

local function tokenizer() return hf.AutoTokenizer.from_pretrained(t.dir .. "/../recipes/builtin/gpt2") end

local function config() return hf.GPT2Config { vocab_size = 2048, n_embd = 16, n_layer = 1, n_head = 2, n_positions = 32, bos_token_id = 0, eos_token_id = 0 } end

local texts = { "The silver moon", "Corvin Steel said on Monday that", "Well,", "a b c d" }

local function rows(tok)
  return hf.Dataset.from_dict { text = texts, label = { 0, 1, 0, 1 } }:map(function(d) return tok(d.text, { padding = "max_length", truncation = true, max_length = 8 }) end, { batched = true })
end

local function trainer(model, ds) return hf.Trainer { model = model, args = hf.TrainingArguments { output_dir = os.tmpname(), max_steps = 1, save_strategy = "no", disable_tqdm = true }, train_dataset = ds } end

t.test("padding without a padding token", function()
  t.raises(function() rows(tokenizer()) end, "Asking to pad but the tokenizer does not have a padding token", "pad_token = tokenizer.eos_token")
end)

t.test("a headless model under Trainer", function()
  local tok = tokenizer()
  tok.pad_token = tok.eos_token
  t.raises(function() trainer(hf.GPT2Model.from_config(config()), rows(tok)):train() end,
    "The model did not return a loss from the inputs, only the following keys: last_hidden_state", "GPT2ForSequenceClassification (class label) or GPT2LMHeadModel (text)")
end)

t.test("a padding token that the model has no vector for, until it is resized", function()
  local tok = tokenizer()
  t.same(tok:add_special_tokens { pad_token = "[PAD]" }, 1)
  local model, ds = hf.GPT2ForSequenceClassification.from_config(config()), rows(tok)
  model.config.pad_token_id = tok.pad_token_id
  model.config.pack = false -- padding is looked up too, as in Python
  local tr = trainer(model, ds)
  t.raises(function() tr:train() end, "id 2048 is out of range", "2048 rows", "resize_token_embeddings")
  model:resize_token_embeddings(#tok)
  local before = model:get_input_embeddings().weight:detach():clone()
  tr:train() -- the same Trainer goes on, with an optimizer for the new parameters
  assert(not model:get_input_embeddings().weight:detach():equal(before), "the resized table is trained")
end)

t.test("a batch for a classifier that knows no padding token", function()
  local tok = tokenizer()
  tok.pad_token = tok.eos_token
  t.raises(function() trainer(hf.GPT2ForSequenceClassification.from_config(config()), rows(tok)):train() end,
    "Cannot handle batch sizes > 1 if no padding token is defined", "model.config.pad_token_id = tok.pad_token_id")
end)
t.finish()
