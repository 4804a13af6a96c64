--- Models: loading and saving, configurations, what is reported and refused, packing, heads and losses.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local golden = require "golden"
local program = require "program"
local tiny = require "tiny"
local hf = require "hflua"
local models, tensor, json = hf.models, hf.tensor, hf.json

local sizes = { vocab_size = 60, hidden_size = 16, num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 24,
  max_position_embeddings = 20, initializer_range = 0.3, hidden_dim = 24 } -- hidden_dim: intermediate_size of DistilBERT

local function with(base, changes)
  local fields = {}
  for name, value in pairs(base) do fields[name] = value end
  for name, value in pairs(changes or {}) do fields[name] = value end
  return fields
end

local function bert(changes) return models.BertConfig(with(sizes, changes)) end

local function build(name, changes)
  hf.set_seed(7)
  local config = models[name].config_class
  return models[name].from_config(config(with(sizes, changes))):eval()
end

-- A folder with a saved model; build's arguments.
local function saved(...)
  local folder = tiny.folder()
  build(...):save_pretrained(folder)
  return folder
end

local ids, mask = tensor.tensor { { 5, 6, 7, 8 }, { 9, 10, 1, 1 } }, tensor.tensor { { 1, 1, 1, 1 }, { 1, 1, 0, 0 } }
local function batch(changes) return with({ input_ids = ids, attention_mask = mask }, changes) end

local families = { Bert = "bert", Roberta = "roberta", DistilBert = "distilbert" }
local kinds = { "Model", "ForSequenceClassification", "ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering" }

local function result(out) return out.logits or out.start_logits or out.last_hidden_state end

-- ---- saving and loading

for family in pairs(families) do
  t.test(family .. ": every head comes back from its folder with the same results", function()
    for _, kind in ipairs(kinds) do
      local name = family .. kind
      local model = build(name)
      local folder = tiny.folder()
      model:save_pretrained(folder)
      local again = models[name].from_pretrained(folder)
      assert(not again.training, name)
      golden.close(result(again(batch())), result(model(batch())), 0, name)
      t.same(json.load_file(folder .. "/config.json").architectures, { name })
    end
  end)

  t.test(family .. ": headless and headed checkpoints load into each other", function()
    local headed = build(family .. "ForTokenClassification")
    local folder, headless = tiny.folder(), tiny.folder()
    headed:save_pretrained(folder)
    local base = models[family .. "Model"].from_pretrained(folder, { quiet = true })
    base:save_pretrained(headless)
    local again = models[family .. "ForTokenClassification"].from_pretrained(headless, { quiet = true })
    local inner = again[families[family]]
    golden.close(inner(batch()).last_hidden_state, headed[families[family]](batch()).last_hidden_state, 0, "hidden states")
    golden.close(base(batch()).last_hidden_state, headed[families[family]](batch()).last_hidden_state, 0, "hidden states")
  end)
end

t.test("a masked-word head that a checkpoint lacks starts with transformers' values", function()
  local folder = saved "BertModel"
  for _ = 1, 20 do tensor.full({ 60 }, 5.0) end -- memory that was used before
  local model = models.BertForMaskedLM.from_pretrained(folder, { quiet = true })
  t.same(model.cls.predictions.bias:abs():max():item(), 0)
  t.same(model.cls.predictions.transform.LayerNorm.weight:detach():tolist()[1], 1)
end)

t.test("one seed gives the same weights, another gives others", function()
  local function weight(seed)
    hf.set_seed(seed)
    return models.BertForSequenceClassification(bert()).classifier.weight
  end
  golden.close(weight(1), weight(1), 0, "weight")
  assert((weight(1) - weight(2)):abs():max():item() > 0)
end)

-- Of transformers 5.23: torch.manual_seed(42), then the class over the configuration below; first value of a weight of the head, and
-- what torch.rand(1) gives after it.
local drawn = {
  BertForSequenceClassification = { "classifier.weight", 0.0305553004, 0.519391119 },
  BertForMaskedLM = { "cls.predictions.transform.dense.weight", -0.0214104559, 0.650063574 },
  BertForPreTraining = { "cls.seq_relationship.weight", -0.0011039644, 0.102434278 },
  RobertaForMaskedLM = { "lm_head.dense.weight", -0.0214104559, 0.650063574 },
  RobertaForSequenceClassification = { "classifier.out_proj.weight", 0.0305553004, 0.519391119 },
  DistilBertForMaskedLM = { "vocab_transform.weight", -0.0367619619, 0.203633487 },
  DistilBertForSequenceClassification = { "pre_classifier.weight", 0.0123859392, 0.678229392 },
}

t.test("a seed gives transformers' weights, and leaves the generator where transformers leaves it", function()
  for name, expected in pairs(drawn) do
    hf.set_seed(42)
    local fields = with(sizes, { num_hidden_layers = 1, initializer_range = 0.02 })
    local model = models[name].from_config(models[name].config_class(fields))
    t.near(tensor.rand({ 1 }):item(), expected[3], 1e-7, 0, name .. ": next number")
    t.near(model:state_dict()[expected[1]]:reshape(-1):tolist()[1], expected[2], 3e-7, 0, name)
  end
end)

t.test("DistilBERT's fixed positions", function()
  local model = build("DistilBertModel", { sinusoidal_pos_embds = true })
  local row = model.embeddings.position_embeddings.weight:detach():tolist()[4]
  for i, want in ipairs { math.sin(3), math.cos(3), math.sin(3 / 10000 ^ (2 / 16)) } do t.near(row[i], want, 1e-6) end
end)

t.test("a padding row starts as zeros, norms as one and zero", function()
  local model = build("BertForMaskedLM")
  t.same(model.bert.embeddings.word_embeddings.weight:select(0, 0):abs():max():item(), 0)
  t.same(model.cls.predictions.bias:abs():max():item(), 0)
end)

t.test("what is new and what is unused is named on stderr, unless quiet", function()
  local folder = saved "BertForMaskedLM"
  local script = ("require('hflua').models.BertForSequenceClassification.from_pretrained(%q, {quiet=%s})"):format(folder, "%s")
  local loud, quiet = program.hflua { "-e", script:format "false" }, program.hflua { "-e", script:format "true" }
  t.same({ loud.status, quiet.status, quiet.err }, { 0, 0, "" })
  for _, text in ipairs { "Some weights of the checkpoint at " .. folder, "were not used when initializing BertForSequenceClassification: ['cls.predictions.bias'",
    "newly initialized: ['bert.pooler.dense.bias', 'bert.pooler.dense.weight', 'classifier.bias', 'classifier.weight']", "You should probably TRAIN" } do
    assert(loud.err:find(text, 1, true), text .. " in: " .. loud.err)
  end
end)

t.test("bfloat16 is saved, named in config.json and loaded as asked", function()
  local model, folder = build("BertForSequenceClassification"), tiny.folder()
  model:to("bfloat16"):save_pretrained(folder)
  t.same(json.load_file(folder .. "/config.json").dtype, "bfloat16")
  local class = models.BertForSequenceClassification
  t.same(class.from_pretrained(folder).classifier.weight.dtype, "float32")
  t.same(class.from_pretrained(folder, { dtype = "auto" }).classifier.weight.dtype, "bfloat16")
  t.same(models.BertForTokenClassification.from_pretrained(folder, { dtype = "bfloat16", quiet = true, num_labels = 4, ignore_mismatched_sizes = true })
    .classifier.weight.dtype, "bfloat16")
  golden.close(class.from_pretrained(folder)(batch()).logits, class.from_pretrained(folder, { dtype = "auto" })(batch()).logits, 0.05, "logits")
  t.raises(function() class.from_pretrained(folder, { dtype = "int64" }) end, "dtype: expected float32, float16, bfloat16 or auto, found int64")
end)

t.test("the Auto classes choose by model_type", function()
  for family in pairs(families) do
    local folder = saved(family .. "ForSequenceClassification")
    t.same(models.AutoModelForSequenceClassification.from_pretrained(folder).__name, family .. "ForSequenceClassification")
    t.same(models.AutoConfig.from_pretrained(folder).vocab_size, 60)
    t.raises(function() models.AutoModelForCausalLM.from_pretrained(folder) end, "config.json: there is no " .. family .. "ForCausalLM")
  end
  t.same(models.AutoModel.from_config(bert()).__name, "BertModel")
  t.raises(function() models.AutoConfig.for_model "brt" end, "unknown architecture 'brt' (did you mean 'bert'?)")
  t.raises(function() models.AutoModel.from_config(nil) end, "AutoModel.from_config: expected a configuration, found nil")
end)

-- ---- labels

t.test("num_labels and id2label", function()
  t.same(bert { num_labels = 3 }.id2label[2], "LABEL_2")
  local config = bert { id2label = { "no", "yes" } }
  t.same({ config.num_labels, config.id2label[0], config.id2label["1"], config.label2id.yes }, { 2, "no", "yes", 1 })
  t.same(bert { id2label = { [0] = "a", [1] = "b", [2] = "c" } }.label2id, { a = 0, b = 1, c = 2 })
  t.raises(function() bert { id2label = { [0] = "a", [2] = "c" } } end, "id2label: expected a name for each of 0 .. 1, found nil for 1")
  t.raises(function() bert { id2label = "a" } end, "id2label: expected names by id, found string")
  for _, count in ipairs { 0, -1, 2.0, "two", 2147483647 } do
    t.raises(function() bert { num_labels = count } end, "num_labels: expected a whole number in 1 .. 1000000, found " .. tostring(count))
  end
end)

t.test("names of two labels survive saving; default names are left out", function()
  local folder = saved("BertForSequenceClassification", { id2label = { "no", "yes" } })
  t.same(json.load_file(folder .. "/config.json").id2label, { ["0"] = "no", ["1"] = "yes" })
  t.same(models.AutoConfig.from_pretrained(folder).id2label[1], "yes")
  t.same(json.load_file(saved "BertForSequenceClassification" .. "/config.json").id2label, nil)
end)

t.test("another number of labels needs ignore_mismatched_sizes", function()
  local folder = saved("BertForSequenceClassification", { num_labels = 3 })
  local load = models.BertForSequenceClassification.from_pretrained
  t.raises(function() load(folder, { num_labels = 5 }) end, 'tensor "classifier.weight": expected shape [5, 16], found [3, 16]', "ignore_mismatched_sizes=true")
  t.same(load(folder, { num_labels = 5, ignore_mismatched_sizes = true, quiet = true }).classifier.weight.shape, { 5, 16 })
end)

t.test("problem types: one number, one of many, several at once", function()
  local function loss(changes, labels) return build("BertForSequenceClassification", changes)(batch { labels = labels }) end
  local out = loss({ num_labels = 1 }, tensor.tensor { 0.5, -1.0 })
  golden.close(out.loss, ((out.logits:reshape(-1) - tensor.tensor { 0.5, -1.0 }) ^ 2):mean(), 1e-6, "regression")
  out = loss({ num_labels = 3 }, tensor.tensor { 2, 0 })
  golden.close(out.loss, tensor.cross_entropy(out.logits, tensor.tensor { 2, 0 }), 1e-6, "single label")
  local several = tensor.tensor { { 1.0, 0.0, 1.0 }, { 0.0, 0.0, 1.0 } }
  out = loss({ num_labels = 3 }, several)
  golden.close(out.loss, tensor.bce_with_logits(out.logits, several), 1e-6, "several labels")
  out = loss({ num_labels = 3, problem_type = "multi_label_classification" }, several:to "int64")
  golden.close(out.loss, tensor.bce_with_logits(out.logits, several), 1e-6, "several labels, whole numbers")
  t.raises(function() bert { problem_type = "regresion" } end, "problem_type: expected regression, single_label_classification or multi_label_classification, found regresion")
end)

-- ---- what is refused

t.test("unknown options and inputs are named with the nearest known one", function()
  local folder = saved "BertForSequenceClassification"
  local class = models.BertForSequenceClassification
  t.raises(function() class.from_pretrained(folder, { num_lables = 3 }) end, "unknown option 'num_lables' (did you mean 'num_labels'?)")
  t.raises(function() class.from_pretrained(folder, 3) end, "options: expected a table, found number")
  t.raises(function() class.from_pretrained(nil) end, "BertForSequenceClassification.from_pretrained: expected a folder or a name, found nil")
  t.raises(function() class.from_pretrained(folder .. "/nowhere") end, "nowhere")
  local model = class.from_pretrained(folder)
  t.raises(function() model { input_ids = ids, atention_mask = mask } end, "unknown option 'atention_mask' (did you mean 'attention_mask'?)")
  t.raises(function() model { input_ids = { { 1, 2 } } } end, "input_ids: expected a tensor, found table")
  t.raises(function() model(ids) end, "expected a table of inputs", "found a tensor")
  t.raises(function() model() end, "expected a table of inputs", "found nil")
end)

t.test("configurations that cannot be", function()
  local wrong = {
    { { num_attention_heads = 3 }, "hidden_size: expected a multiple of num_attention_heads 3, found 16" },
    { { pad_token_id = 60 }, "pad_token_id: expected an id below vocab_size 60, found 60" },
    { { layer_norm_eps = 0 }, "layer_norm_eps: expected a positive number, found 0" },
    { { hidden_size = "16" }, "hidden_size: expected a whole number of at least 1" },
    { { hidden_size = 16.5 }, "hidden_size: expected a whole number of at least 1, found 16.5" },
    { { vocab_size = 2147483648 }, "vocab_size: expected a whole number" },
    { { hidden_dropout_prob = 1.5 }, "hidden_dropout_prob: expected a number in 0 .. 1, found 1.5" },
    { { hidden_act = "geluu" }, 'unknown activation "geluu"' },
    { { is_decoder = true }, "is_decoder: expected false" },
    { { position_embedding_type = "relative_key" }, "position_embedding_type: expected absolute, found relative_key" },
  }
  for _, case in ipairs(wrong) do t.raises(function() bert(case[1]) end, "BertConfig: ", case[2]) end
  t.raises(function() models.RobertaConfig { pad_token_id = 9, max_position_embeddings = 9 } end, "pad_token_id: expected an id below max_position_embeddings 9")
  t.raises(function() models.RobertaConfig { pad_token_id = hf.null } end, "pad_token_id: expected an id", "found null")
  t.raises(function() models.DistilBertConfig { n_heads = 5 } end, "DistilBertConfig: dim: expected a multiple of n_heads 5, found 768")
  t.raises(function() models.BertForMaskedLM.from_config(bert { tie_word_embeddings = false }) end, "tie_word_embeddings: expected true, found false")
  t.raises(function() models.BertForQuestionAnswering.from_config(bert { num_labels = 3 }) end, "num_labels: expected 2 for question answering")
  t.raises(function() models.BertModel.from_config(models.RobertaConfig()) end, "config: expected a BertConfig, found one of model_type roberta")
end)

t.test("no padding id: every word is trained", function()
  local folder = saved("BertModel", { pad_token_id = hf.null })
  t.same(json.load_file(folder .. "/config.json").pad_token_id, hf.null)
  local model = models.BertModel.from_pretrained(folder)
  t.same(model.embeddings.word_embeddings.padding_idx, nil)
  assert(model.embeddings.word_embeddings.weight:select(0, 0):abs():max():item() > 0)
end)

t.test("a model that cannot fit is refused before it is built", function()
  local huge = { { vocab_size = 2147483647, hidden_size = 2147483646 }, { num_hidden_layers = 2147483647 }, { intermediate_size = 2147483647, num_hidden_layers = 1000 } }
  local folder = saved "BertModel"
  for _, changes in ipairs(huge) do
    t.raises(function() models.BertModel.from_config(bert(changes)) end, "BertConfig: BertModel: ", " parameters need ", "bytes of memory are free")
    json.save_file(with(json.load_file(folder .. "/config.json"), changes), folder .. "/config.json")
    t.raises(function() models.BertModel.from_pretrained(folder) end, "config.json: BertModel: ", " parameters need ")
  end
  local memory = require "hflua.models.memory"
  t.same(memory.parameters(models.BertForMaskedLM, bert()), build("BertForMaskedLM"):num_parameters() + 0.0)
end)

local function write(path, text)
  local f <close> = assert(io.open(path, "wb"))
  f:write(text)
end

t.test("broken config.json", function()
  local folder = saved "BertModel"
  local function refused(content, ...)
    write(folder .. "/config.json", content)
    local texts = { ... }
    t.raises(function() models.BertModel.from_pretrained(folder) end, "config.json", table.unpack(texts))
    t.raises(function() models.AutoModel.from_pretrained(folder) end, "config.json")
  end
  refused("3", "expected an object, found number")
  refused("{", "expected")
  refused('{"model_type": "roberto"}', "model_type: expected bert for BertConfig, found roberto")
  refused('{"model_type": "bert", "hidden_size": null, "vocab_size": -4}', "vocab_size: expected a whole number of at least 1, found -4")
  refused('{"model_type": "bert", "id2label": {"1": "a"}}', "id2label: expected a name for each of 0 .. 0, found nil for 0")
end)

-- Saves the tensors of a good model after change(tensors); returns a function that loads them.
local function altered(change)
  local folder = saved "BertForSequenceClassification"
  local copy = {}
  for name, value in pairs(hf.safetensors.load_file(folder .. "/model.safetensors")) do copy[name] = value:clone() end
  change(copy)
  hf.safetensors.save_file(copy, folder .. "/model.safetensors")
  return function() return models.BertForSequenceClassification.from_pretrained(folder, { quiet = true }) end
end

t.test("checkpoints that do not fit", function()
  local name = "bert.encoder.layer.1.output.dense.weight"
  t.raises(altered(function(s) s[name] = nil end), 'tensor "' .. name .. '": not found, and it is no part of a task head')
  t.raises(altered(function(s) s[name] = tensor.zeros { 16, 25 } end), 'tensor "' .. name .. '": expected shape [16, 24], found [16, 25]', "config.json")
  t.raises(altered(function(s) s[name] = tensor.zeros { 16, 24, 1 } end), "expected shape [16, 24], found [16, 24, 1]")
  t.raises(altered(function(s) s[name] = tensor.zeros({ 16, 24 }, { dtype = "int64" }) end), 'tensor "' .. name .. '": expected floating-point numbers, found int64')
  t.same(altered(function(s) s["bert.embeddings.position_ids"] = tensor.zeros({ 1, 20 }, { dtype = "int64" }) end)().training, false)
  local old = altered(function(s)
    s["bert.embeddings.LayerNorm.gamma"], s["bert.embeddings.LayerNorm.weight"] = s["bert.embeddings.LayerNorm.weight"] * 3, nil
  end)()
  t.same(old.bert.embeddings.LayerNorm.weight:detach():tolist()[1], 3)
end)

t.test("shards: an index is followed, and believed only as far as its files go", function()
  local folder = saved "BertForSequenceClassification"
  local want = models.BertForSequenceClassification.from_pretrained(folder)(batch()).logits
  local parts, map = { {}, {} }, {}
  for name, value in pairs(hf.safetensors.load_file(folder .. "/model.safetensors")) do
    local i = #name % 2 + 1
    parts[i][name], map[name] = value:clone(), "part-" .. i .. ".safetensors"
  end
  for i = 1, 2 do hf.safetensors.save_file(parts[i], folder .. "/part-" .. i .. ".safetensors") end
  assert(os.remove(folder .. "/model.safetensors"))
  local index = folder .. "/model.safetensors.index.json"
  local function load(changes)
    json.save_file({ weight_map = with(map, changes) }, index)
    return models.BertForSequenceClassification.from_pretrained(folder, { quiet = true })
  end
  golden.close(load()(batch()).logits, want, 0, "logits")
  for _, file in ipairs { "../model.safetensors", "/etc/passwd", "a\\b", "..", "", "a\0b" } do
    t.raises(function() load { x = file } end, 'weight_map: "x": expected a plain file name')
  end
  t.raises(function() load { x = "part-3.safetensors" } end, "part-3.safetensors: no such file in the folder")
  t.raises(function() load { x = "part-1.safetensors" } end, 'part-1.safetensors: tensor "x": not found, but model.safetensors.index.json says it is here')
  write(index, "[]")
  t.raises(function() models.BertModel.from_pretrained(folder) end, "weight_map: expected an object, found nil")
  assert(os.remove(index))
  write(folder .. "/pytorch_model.bin", "\128\2")
  t.raises(function() models.BertModel.from_pretrained(folder) end, "pytorch_model.bin: byte 2: the stream ends inside a value")
  assert(os.remove(folder .. "/pytorch_model.bin"))
  t.raises(function() models.BertModel.from_pretrained(folder) end, "model.safetensors: not found; expected a folder written by save_pretrained")
end)

t.test("inputs that do not fit", function()
  local model = build("BertForSequenceClassification", { num_labels = 3 })
  local wrong = {
    { { labels = tensor.tensor { 0, 3 } }, "label 3 is out of range; the model has 3 classes" },
    { { labels = tensor.tensor { 0, 1, 2 } }, "cross_entropy: logits [2, 3]" },
    { { input_ids = tensor.tensor { { 1, 2, 3, 60 }, { 1, 1, 1, 1 } } }, "id 60 is out of range; the table has 60 rows" },
    { { input_ids = tensor.tensor { { -1, 2, 3, 4 }, { 1, 1, 1, 1 } } }, "id -1 is out of range" },
    { { input_ids = tensor.tensor { 1, 2 } }, "input_ids: expected shape (B, T) with at least one token, found [2]" },
    { { input_ids = tensor.zeros({ 2, 0 }, { dtype = "int64" }) }, "input_ids: expected shape (B, T) with at least one token, found [2, 0]" },
    { { input_ids = tensor.zeros({ 0, 4 }, { dtype = "int64" }) }, "found [0, 4]" },
    { { input_ids = ids:float() }, "expected int64" },
    { { input_ids = tensor.ones({ 2, 21 }, { dtype = "int64" }), attention_mask = tensor.ones({ 2, 21 }, { dtype = "int64" }) }, "21 tokens a row, but the model has 20 positions; tokenize with truncation=true" },
    { { attention_mask = tensor.tensor { { 1, 1 }, { 1, 1 } } }, "attention_mask: expected shape [2, 4] as input_ids have it, found [2, 2]" },
    { { attention_mask = mask + 1 }, "attention_mask: expected 0 or 1 for each token" },
    { { token_type_ids = mask * 2 }, "id 2 is out of range; the table has 2 rows" },
    { { token_type_ids = tensor.tensor { { 0 } } }, "token_type_ids: expected shape [2, 4]" },
    { { position_ids = ids + 15 }, "id 20 is out of range" },
  }
  for _, case in ipairs(wrong) do t.raises(function() model(batch(case[1])) end, case[2]) end
  t.raises(function() model { attention_mask = mask } end, "input_ids: expected a tensor (B, T), found nothing")
  local masked = build("BertForMaskedLM")
  t.raises(function() masked(batch { labels = tensor.tensor { { 1 } } }) end, "labels: expected shape [2, 4] as input_ids have it, found [1, 1]")
  t.raises(function() masked(batch { labels = ids + 52 }) end, "out of range; the vocabulary has 60 entries")
end)

-- ---- packing

local grids = {
  right = mask, left = tensor.tensor { { 1, 1, 1, 1 }, { 0, 0, 1, 1 } }, holes = tensor.tensor { { 1, 0, 1, 1 }, { 1, 0, 0, 1 } },
  ["without padding"] = tensor.ones({ 2, 4 }, { dtype = "int64" }),
}
local extras = { ForSequenceClassification = { labels = tensor.tensor { 1, 0 } }, ForTokenClassification = { labels = tensor.tensor { { 0, 1, 0, 1 }, { 1, -100, -100, -100 } } },
  ForMaskedLM = { labels = tensor.tensor { { -100, 20, 30, -100 }, { 40, -100, -100, -100 } } },
  ForQuestionAnswering = { start_positions = tensor.tensor { 0, 3 }, end_positions = tensor.tensor { 2, 4 } }, Model = {} }

-- Results at real tokens and gradients, packed or not.
local function run(name, inputs, pack)
  local model = build(name, { pack = pack, hidden_dropout_prob = 0.0 })
  local out = model(inputs)
  local loss = out.loss or (out.last_hidden_state ^ 2 * inputs.attention_mask:float():unsqueeze(-1)):sum() / 100
  loss:backward()
  return out, loss, model
end

for family in pairs(families) do
  t.test(family .. ": packed results and gradients are those of the padded computation", function()
    for where, grid in pairs(grids) do
      for _, kind in ipairs(kinds) do
        local inputs = with({ input_ids = ids, attention_mask = grid }, extras[kind])
        local packed, packed_loss, a = run(family .. kind, inputs, true)
        local padded, padded_loss, b = run(family .. kind, inputs, false)
        local what = kind .. ", padding " .. where
        t.near(packed_loss:item(), padded_loss:item(), 1e-5, 1e-5, what)
        golden.close_where(result(packed), result(padded), grid, 1e-5, what)
        local gradients = {}
        for name, p in b:named_parameters() do gradients[name] = p.grad end
        for name, p in a:named_parameters() do
          if gradients[name] then golden.close(p.grad, gradients[name], 2e-5, what .. ": " .. name) end
        end
      end
    end
  end)
end

t.test("padding influences nothing, and its hidden states are zeros", function()
  local model = build("BertModel")
  local padded = model(batch())
  local alone = model { input_ids = tensor.tensor { { 9, 10 } } }
  golden.close(padded.last_hidden_state:select(0, 1):narrow(0, 0, 2), alone.last_hidden_state:select(0, 0), 1e-5, "row 2")
  t.same(padded.last_hidden_state:select(0, 1):narrow(0, 2, 2):abs():max():item(), 0)
end)

t.test("labels on padding count, as they do in Python", function()
  local labels = tensor.tensor { { -100, -100, -100, -100 }, { -100, -100, -100, 1 } }
  local packed = build("BertForTokenClassification")(batch { labels = labels })
  local padded = build("BertForTokenClassification", { pack = false })(batch { labels = labels })
  assert(packed.loss:item() > 0)
  golden.close(packed.loss, padded.loss, 1e-6, "loss")
end)

t.test("a row without real tokens gives numbers and leaves the others alone", function()
  local model = build("BertForSequenceClassification")
  local logits = model { input_ids = ids, attention_mask = tensor.tensor { { 1, 1, 1, 1 }, { 0, 0, 0, 0 } } }.logits
  golden.close(logits:select(0, 0), model { input_ids = ids }.logits:select(0, 0), 1e-5, "first row")
  assert(logits:isfinite():all():item() ~= 0)
end)

t.test("a mask without columns has no plan", function()
  local plan, why = tensor.core.pack_plan(tensor.zeros({ 2, 0 }, { dtype = "int64" }), true)
  t.same({ plan, why }, { nil, "the mask is empty" })
end)

-- ---- outputs

t.test("output_hidden_states: one for the embeddings and one for each layer", function()
  local model = build("BertForSequenceClassification")
  t.same(model(batch()).hidden_states, nil)
  local out = model(batch { output_hidden_states = true })
  t.same({ #out.hidden_states, out.hidden_states[1].shape }, { 3, { 2, 4, 16 } })
  golden.close(out.logits, model(batch()).logits, 1e-5, "logits")
  golden.close_where(out.hidden_states[3], model.bert(batch()).last_hidden_state, mask, 1e-5, "last")
end)

t.test("outputs are read by name, in order, and printed", function()
  local out = build("BertForSequenceClassification")(batch { labels = tensor.tensor { 0, 1 } })
  local order = {}
  for name in pairs(out) do order[#order + 1] = name end
  t.same(order, { "loss", "logits" })
  assert(tostring(out):find("^ModelOutput%(loss=tensor%("))
end)

t.test("RoBERTa counts positions from the padding id, over real tokens only", function()
  local model = build("RobertaModel")
  local padded = tensor.tensor { { 1, 1, 5, 6 }, { 5, 6, 1, 1 } } -- 1 is the padding id
  local grid = tensor.tensor { { 0, 0, 1, 1 }, { 1, 1, 0, 0 } }
  local hidden = model { input_ids = padded, attention_mask = grid }.last_hidden_state
  golden.close(hidden:select(0, 0):narrow(0, 2, 2), hidden:select(0, 1):narrow(0, 0, 2), 1e-5, "left and right padding")
  local given = model { input_ids = tensor.tensor { { 5, 6 } }, position_ids = tensor.tensor { { 2, 3 } } }.last_hidden_state
  golden.close(hidden:select(0, 1):narrow(0, 0, 2), given:select(0, 0), 1e-5, "positions 2 and 3")
end)

t.test("tied word embeddings: one parameter, its gradient from both uses", function()
  local model, labels = build("BertForMaskedLM"), tensor.tensor { { -100, 20, -100, -100 }, { -100, -100, -100, -100 } }
  local table_ = model.bert.embeddings.word_embeddings.weight
  for name in model:named_parameters() do assert(not name:find "decoder", name) end
  model(batch { labels = labels }).loss:backward()
  local gradient = table_.grad:abs():sum { dim = 1 }:tolist()
  assert(gradient[5 + 1] > 0, "an input word") -- seen as an input and scored as an output
  assert(gradient[59 + 1] > 0, "a word that is only scored")
  local step, base = 1e-2, model(batch { labels = labels }).loss:item()
  local slope = table_.grad:tolist()[21][1]
  tensor.no_grad(function() table_:select(0, 20):narrow(0, 0, 1):add_(step) end)
  t.near((model(batch { labels = labels }).loss:item() - base) / step, slope, 2e-2, 0.1, "slope of a label's row")
end)

t.test("BertForPreTraining: the loss is the sum of both, and needs both labels", function()
  local model = build("BertForPreTraining")
  local labels, follows = extras.ForMaskedLM.labels, tensor.tensor { 0, 1 }
  local out = model(batch { labels = labels, next_sentence_label = follows })
  local words = tensor.cross_entropy(out.prediction_logits:reshape(8, 60), labels:reshape(-1))
  golden.close(out.loss, words + tensor.cross_entropy(out.seq_relationship_logits, follows), 1e-5, "sum")
  t.same(model(batch { labels = labels }).loss, nil)
  t.same(model(batch { next_sentence_label = follows }).loss, nil)
end)

t.test("question answering: both positions, or no loss", function()
  local model = build("BertForQuestionAnswering")
  t.same(model(batch { start_positions = tensor.tensor { 0, 1 } }).loss, nil)
  local beyond = model(batch { start_positions = tensor.tensor { 1, 99 }, end_positions = tensor.tensor { 2, 99 } })
  local function one(logits, at) return tensor.cross_entropy(logits:narrow(0, 0, 1), tensor.tensor { at }) end
  golden.close(beyond.loss, (one(beyond.start_logits, 1) + one(beyond.end_logits, 2)) / 2, 1e-5, "positions outside are left out")
end)

-- ---- models as modules

t.test("printed and counted", function()
  local model = build("BertForSequenceClassification")
  local text = tostring(model)
  for _, line in ipairs { "BertForSequenceClassification(\n  (bert): BertModel(\n", "(0-1): 2 x BertLayer(", "(query): Linear(in_features=16, out_features=16, bias=True)",
    "(word_embeddings): Embedding(60, 16, padding_idx=0)", "\n  (classifier): Linear(in_features=16, out_features=2, bias=True)\n)" } do
    assert(text:find(line, 1, true), line)
  end
  local layer = 4 * (16 * 16 + 16) + 2 * 16 * 24 + 24 + 16 + 4 * 16
  local embeddings = (60 + 20 + 2) * 16
  t.same(model:num_parameters(), embeddings + 32 + 2 * layer + 16 * 16 + 16 + 2 * 16 + 2)
  t.same(model:num_parameters { exclude_embeddings = true }, model:num_parameters() - embeddings)
end)

t.test("weights go from model to model by state_dict, with clear errors", function()
  local from = build("BertForSequenceClassification")
  hf.set_seed(8)
  local to = models.BertForSequenceClassification.from_config(bert()):eval()
  to:load_state_dict(from:state_dict())
  golden.close(to(batch()).logits, from(batch()).logits, 0, "logits")
  local state = from:state_dict()
  state["classifier.bias"] = nil
  t.raises(function() to:load_state_dict(state) end, "load_state_dict: BertForSequenceClassification: missing [classifier.bias], unexpected []")
end)

t.test("constructors leave a model in training mode, from_pretrained in evaluation mode", function()
  assert(models.BertModel(bert()).training)
  assert(models.BertModel.from_config(bert()).training)
  assert(not models.BertModel.from_pretrained(saved "BertModel").training)
end)

t.finish()
