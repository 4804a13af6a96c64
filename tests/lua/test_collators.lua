-- Data collators against those of transformers, from lists of rows and from datasets.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local golden = dofile(t.dir .. "/lib/golden.lua")
local hf = require "hflua"
local trainer = hf.trainer

local reference = golden.json "collators/expected.json"

-- The reference's word-level tokenizer, as far as collators ask.
local function tokenizer(side)
  return setmetatable({ pad_token_id = 0, padding_side = side or "right", mask_token_id = 4, all_special_ids = { 0, 1, 2, 3, 4 },
    model_max_length = 64 }, { __len = function() return reference.mlm.vocab_size end })
end

local tok, left = tokenizer(), tokenizer "left"

local collators = {
  padding = trainer.DataCollatorWithPadding { tokenizer = tok },
  padding_float_label = trainer.DataCollatorWithPadding(tok, {}),
  padding_multiple_of_8 = trainer.DataCollatorWithPadding(tok, { pad_to_multiple_of = 8 }),
  padding_max_length_16 = trainer.DataCollatorWithPadding(tok, { padding = "max_length", max_length = 16 }),
  padding_left = trainer.DataCollatorWithPadding(left, {}),
  clm = trainer.DataCollatorForLanguageModeling { tokenizer = tok, mlm = false },
  clm_multiple_of_8 = trainer.DataCollatorForLanguageModeling(tok, { mlm = false, pad_to_multiple_of = 8 }),
  clm_pad_id_inside = trainer.DataCollatorForLanguageModeling(tok, { mlm = false }),
  token_classification = trainer.DataCollatorForTokenClassification { tokenizer = tok },
  token_classification_multiple_of_4 = trainer.DataCollatorForTokenClassification(tok, { pad_to_multiple_of = 4 }),
  token_classification_left = trainer.DataCollatorForTokenClassification(left, {}),
  seq2seq = trainer.DataCollatorForSeq2Seq { tokenizer = tok },
  seq2seq_multiple_of_8 = trainer.DataCollatorForSeq2Seq(tok, { pad_to_multiple_of = 8 }),
  seq2seq_completion_labels = trainer.DataCollatorForSeq2Seq(tok, {}),
  flattening = trainer.DataCollatorWithFlattening(),
  default = trainer.default_data_collator,
}

local function plain(list)
  local out = {}
  for i, value in ipairs(list) do out[i] = type(value) == "table" and plain(value) or value end
  return out
end

local function check_batch(batch, expected, dtypes)
  local names, wanted = {}, {}
  for name in pairs(batch) do names[#names + 1] = name end
  for name in pairs(expected) do wanted[#wanted + 1] = name end
  table.sort(names)
  table.sort(wanted)
  t.same(names, wanted, "columns")
  for name, value in pairs(expected) do
    t.same(plain(batch[name]:tolist()), plain(value), name)
    if dtypes then t.same(batch[name].dtype, dtypes[name], name .. ".dtype") end
  end
end

for name, collator in pairs(collators) do
  local case = reference.cases[name]
  t.test(name, function() check_batch(collator(case["in"]), case.out, case.dtypes) end)
  t.test(name .. " from a dataset", function()
    local dataset = hf.datasets.Dataset.from_list(case["in"])
    local loader = require("hflua.trainer.batch_loader")(dataset, { batch_size = #dataset, collate_fn = collator,
      sampler = require("hflua.trainer.samplers").SequentialSampler(#dataset) })
    for batch in loader do check_batch(batch, case.out, case.dtypes) end
  end)
end

for name, case in pairs(reference.mlm.cases) do
  local seed, probability = name:match("^seed_(%d+)_p_([%d.]+)$")
  seed, probability = math.tointeger(tonumber(seed)), tonumber(probability)
  t.test("masked words, " .. name, function()
    local seeded = trainer.DataCollatorForLanguageModeling(tok, { mlm_probability = probability, seed = seed })
    for _, expected in ipairs(case.seed_argument_two_calls) do check_batch(seeded(reference.mlm["in"]), expected) end
    require("hflua.core.random").manual_seed(seed)
    local global = trainer.DataCollatorForLanguageModeling(tok, { mlm_probability = probability })
    check_batch(global(reference.mlm["in"]), case.global_rng_after_manual_seed)
  end)
end

t.test("a batch moves as a whole and knows its names", function()
  local batch = collators.padding(reference.cases.padding["in"])
  t.same(batch:keys()[#batch:keys()], "labels")
  t.same(batch:to("cpu").labels:tolist(), batch.labels:tolist())
end)

t.test("a missing attention mask is made", function()
  local batch = collators.padding_left { { input_ids = { 5, 6, 7 } }, { input_ids = { 8 } } }
  t.same(batch.attention_mask:tolist(), { { 1, 1, 1 }, { 0, 0, 1 } })
end)

t.test("mistakes are named", function()
  local no_pad = { padding_side = "right", tokenizer = nil }
  t.raises(function() trainer.DataCollatorWithPadding(no_pad, {}) { { input_ids = { 1 } } } end,
    "Asking to pad but the tokenizer does not have a padding token", "tokenizer.pad_token = tokenizer.eos_token")
  t.raises(function() trainer.DataCollatorWithPadding {} end, "needs a tokenizer")
  t.raises(function() trainer.DataCollatorWithPadding(tok, { pad_to_multiple = 8 }) end, "unknown option 'pad_to_multiple'")
  t.raises(function() collators.padding {} end, "expected a list of rows")
  t.raises(function() collators.padding { { text = "a" } } end, "no 'input_ids' to pad", "text")
  t.raises(function() collators.padding { { input_ids = { 1 }, label = 1 }, { input_ids = { 1 } } } end, "row 2 of the batch has no column 'label'")
  t.raises(function() collators.padding { { input_ids = { 1 }, tags = { 1 } }, { input_ids = { 1, 2 }, tags = { 1, 2 } } } end,
    "column 'tags': rows of unequal length")
  t.raises(function() collators.padding { { input_ids = { 1 }, sentence1 = "a" } } end, "column 'sentence1' is text: remove_columns{\"sentence1\"}")
  t.raises(function() trainer.DataCollatorForLanguageModeling(setmetatable({ pad_token_id = 0 }, {}), {}) end, "no mask token")
  t.raises(function() trainer.DataCollatorForLanguageModeling(tok, { mlm_probability = 2.0 }) end, "mlm_probability")
end)

t.finish()
