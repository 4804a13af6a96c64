-- SFTTrainer: what trl packs, prepares and collates; options; masked models; adapters.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local golden = dofile(t.dir .. "/lib/golden.lua")
local tiny = dofile(t.dir .. "/lib/tiny.lua")
local hf = require "hflua"
local packing = require "hflua.trainer.sft_packing"

local reference = hf.json.load_file(t.dir .. "/golden/sft/expected.json")
local collated = golden.json "collators/expected.json"

local function plain(list)
  if type(list) ~= "table" then return list end
  local out = {}
  for key, value in pairs(list) do out[key] = plain(value) end
  return out
end

t.test("packing is trl's", function()
  for i, case in ipairs(reference.packing) do
    local packed = packing.pack(plain(case.rows), case.length, case.strategy)
    t.same(packed, plain(case.out), ("case %d (%s)"):format(i, case.strategy))
  end
end)

local options_of_case = { trl_lm = {}, trl_lm_completion_labels = {}, trl_lm_multiple_of_8 = { pad_to_multiple_of = 8 }, trl_lm_padding_free = { padding_free = true } }

for name, options in pairs(options_of_case) do
  t.test("collator, " .. name, function()
    local case = collated.cases[name]
    options.pad_token_id = 0
    local batch = hf.trainer.DataCollatorForSFT(options)(plain(case["in"]))
    local found = {}
    for column, value in pairs(batch) do
      found[column] = type(value) == "userdata" and plain(value:tolist()) or value
      if case.dtypes[column] then t.same(value.dtype, case.dtypes[column], column) end
    end
    t.same(found, plain(case.out))
  end)
end

-- A word-level tokenizer of these words: ids are their places.
local function word_tokenizer(words, given)
  local folder, vocab, added = tiny.folder(), {}, {}
  for i, word in ipairs(words) do vocab[word] = i - 1 end
  for _, word in ipairs(given.special or {}) do
    added[#added + 1] = { id = vocab[word], content = word, special = true, normalized = false, single_word = false, lstrip = false, rstrip = false }
  end
  hf.json.save_file({ version = "1.0", added_tokens = added, pre_tokenizer = { type = "WhitespaceSplit" },
    model = { type = "WordLevel", vocab = vocab, unk_token = "[UNK]" } }, folder .. "/tokenizer.json")
  hf.json.save_file({ tokenizer_class = "PreTrainedTokenizerFast", unk_token = "[UNK]", pad_token = "[PAD]", eos_token = given.eos, mask_token = given.mask,
    chat_template = given.template, model_max_length = given.model_max_length }, folder .. "/tokenizer_config.json")
  return hf.tokenizer.AutoTokenizer.from_pretrained(folder), folder
end

local function gpt2(vocab_size, positions)
  hf.set_seed(1)
  return hf.models.GPT2LMHeadModel.from_config(hf.models.GPT2Config { vocab_size = vocab_size, n_embd = 8, n_layer = 1, n_head = 2,
    n_positions = positions or 64, bos_token_id = 3, eos_token_id = 3 })
end

local function config(given)
  local o = { output_dir = tiny.folder(), save_strategy = "no", use_cpu = true, disable_tqdm = true, train_sampling_strategy = "sequential" }
  for name, value in pairs(given or {}) do o[name] = value end
  return hf.SFTConfig(o)
end

local function quiet(trainer)
  trainer:pop_callback(hf.trainer.PrinterCallback)
  return trainer
end

local function check_case(case, tokenizer, model, batch_size)
  local given = plain(case.options or case.config)
  given.per_device_train_batch_size = batch_size
  local trainer = hf.SFTTrainer { model = model, args = config(given), train_dataset = plain(case.rows), processing_class = tokenizer }
  for i, row in ipairs(case.prepared or case.prepared_rows) do
    for _, name in ipairs { "input_ids", "labels", "seq_lengths" } do t.same(plain(trainer.train_dataset[i][name]), plain(row[name]), ("row %d, %s"):format(i, name)) end
  end
  t.same(#trainer.train_dataset, #(case.prepared or case.prepared_rows))
  local i = 0
  for batch in trainer:get_train_dataloader() do
    i = i + 1
    for name, value in pairs(case.batches[i]) do t.same(plain(batch[name]:tolist()), plain(value), ("batch %d, %s"):format(i, name)) end
  end
  t.same(i, #case.batches)
  return trainer
end

local tok = word_tokenizer(reference.words, { eos = "</s>", template = reference.template, special = { "[PAD]", "[UNK]", "</s>" } })

for name, case in pairs(reference.prepared) do
  t.test("rows and batches, " .. name, function() check_case(case, tok, gpt2(#reference.words), 2) end)
end

local words = {}
for word, id in pairs(collated.sft.vocab) do words[id + 1] = word end
local other = word_tokenizer(words, { eos = "[SEP]", mask = "[MASK]", special = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" }, model_max_length = 64 })

for name, case in pairs(collated.sft.cases) do
  t.test("rows and batches, " .. name, function() check_case(case, other, gpt2(#words), 3) end)
end

local texts = { { text = "the cat sat on the mat ." }, { text = "a dog ran" }, { text = "red sky and blue tree . it slept" }, { text = "what is it ?" } }

local function trained(given, options)
  local o = { model = gpt2(#words, 16), args = config(given), train_dataset = texts, processing_class = other }
  for name, value in pairs(options or {}) do o[name] = value end
  local trainer = quiet(hf.SFTTrainer(o))
  trainer:train()
  return trainer
end

t.test("packed and padded rows train alike: examples do not see each other", function()
  local dropout = { per_device_train_batch_size = 4, num_train_epochs = 3, learning_rate = 0.01, logging_steps = 1 }
  local function no_dropout(model)
    for _, module in model:named_modules() do
      if module.__name == "Dropout" then module.p = 0.0 end
    end
    return model
  end
  local padded = trained(dropout, { model = no_dropout(gpt2(#words, 16)) })
  dropout.packing, dropout.max_length = true, 16
  local packed = trained(dropout, { model = no_dropout(gpt2(#words, 16)) })
  t.same(#packed.train_dataset, 2)
  for i = 1, 3 do t.near(packed.state.log_history[i].loss, padded.state.log_history[i].loss, 1e-5) end
end)

t.test("adapters alone are trained and saved", function()
  local trainer = trained({ max_steps = 2, save_strategy = "steps", save_steps = 2 }, { peft_config = hf.peft.LoraConfig { r = 2, target_modules = { "c_attn" }, task_type = "CAUSAL_LM" } })
  local folder = trainer.args.output_dir .. "/checkpoint-2"
  assert(t.exists(folder .. "/adapter_model.safetensors"), "no adapter was saved")
  assert(not t.exists(folder .. "/model.safetensors"), "the whole model was saved")
end)

t.test("a run that is taken up again ends as one that went through", function()
  local given = { packing = true, max_length = 12, per_device_train_batch_size = 1, max_steps = 6, save_strategy = "steps", save_steps = 3, logging_steps = 1 }
  local whole = trained(given)
  local again = quiet(hf.SFTTrainer { model = gpt2(#words, 16), args = config(given), train_dataset = texts, processing_class = other })
  again:train { resume_from_checkpoint = whole.args.output_dir .. "/checkpoint-3" }
  t.same(tiny.weights(again.model), tiny.weights(whole.model))
end)

t.test("a masked model: copying with a warning, or masked words", function()
  local bert = hf.models.BertForMaskedLM.from_config(hf.models.BertConfig { vocab_size = #words, hidden_size = 8, num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 16 })
  local args = hf.TrainingArguments { output_dir = tiny.folder(), max_steps = 1, learning_rate = 5e-5, per_device_train_batch_size = 2, disable_tqdm = true, save_strategy = "no", use_cpu = true }
  local copying = quiet(hf.SFTTrainer(bert, { args = args, train_dataset = texts, dataset_text_field = "text", processing_class = other }))
  t.same(copying.args.learning_rate, 5e-5)
  local batch = copying:get_train_dataloader()(nil, nil)
  t.same(batch.labels:eq(batch.input_ids):sum():item(), batch.attention_mask:sum():item())
  copying:train()
  local masked = quiet(hf.SFTTrainer { model = bert, args = args, train_dataset = texts, processing_class = other, mlm = true })
  t.same(masked.data_collator.mlm, true)
  masked:train()
end)

t.test("defaults and spellings", function()
  local c = hf.SFTConfig("out", { max_seq_length = 5 })
  t.same({ c.learning_rate, c.logging_steps, c.max_length, c.dataset_text_field, c.packing_strategy, c.packing }, { 2e-5, 10, 5, "text", "bfd", false })
  t.same(c:with({ packing = true, num_train_epochs = 1 }).packing, true)
  t.same(c:with({ packing = true }).max_length, 5)
  t.same(c:to_dict().max_length, 5)
  local trainer = hf.SFTTrainer { model = gpt2(#words), args = config {}, train_dataset = { { question = "what is it ?" } }, processing_class = other,
    formatting_func = function(row) return "a " .. row.question end }
  t.same(plain(trainer.train_dataset[1].input_ids)[1], collated.sft.vocab.a)
end)

t.test("mistakes are named", function()
  local function make(given, rows, more)
    local o = { model = gpt2(#words), args = config(given), train_dataset = rows or texts, processing_class = other }
    for name, value in pairs(more or {}) do o[name] = value end
    return function() hf.SFTTrainer(o) end
  end
  t.raises(make({}, { { question = "x" } }), "expected a column 'text'", "it has question")
  t.raises(make({ padding_free = true }), "padding_free without packing")
  t.raises(make({ assistant_only_loss = true }), "no conversations")
  t.raises(make({ mlm = true }), "masked models")
  t.raises(make({ eos_token = "<nothing>" }), "is not in the vocabulary")
  t.raises(make({}, texts, { peft_confg = {} }), "unknown option 'peft_confg' (did you mean 'peft_config'?)")
  t.raises(make({}, {}), "has no rows")
  t.raises(function() hf.SFTConfig { packing_strategy = "ffd" } end, "expected one of bfd, bfd_split, wrapped")
  t.raises(function() hf.SFTConfig { max_length = -1 } end, "max_length")
  t.raises(function() hf.SFTConfig { learning_rat = 1 } end, "unknown option 'learning_rat'")
  t.raises(function() hf.SFTTrainer { model = gpt2(#words), args = config {}, train_dataset = texts } end, "give its tokenizer")
  other.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
  t.raises(make({ assistant_only_loss = true }, { { messages = { { role = "user", content = "a" }, { role = "assistant", content = "cat" } } } }), "{% generation %}")
end)

t.finish()
