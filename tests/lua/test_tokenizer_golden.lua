--- BERT's ids, calls and decoding against Hugging Face's tokenizers: tests/golden/tokenizers, and the whole of
-- ../shared/golden/tokenizers with the published vocabularies where they are.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local json = require "hflua.core.json"
local tokenizer = require "hflua.tokenizer"

local checks = dofile(t.dir .. "/lib/tokenizer_checks.lua")(t)
local load, check_call, check_encodings, check_decode, check_trained = checks.load, checks.call, checks.encodings, checks.decode, checks.trained

-- ---- what the repository holds

local here = t.dir .. "/golden/tokenizers"

t.test("a small WordPiece vocabulary: ids, offsets, pairs, decoding", function()
  check_trained(here .. "/wordpiece", load(here .. "/texts.json"))
end)

t.test("a small Unigram vocabulary: ids, offsets, pairs, decoding", function()
  check_trained(here .. "/unigram", load(here .. "/texts.json"))
end)

-- ---- what ../shared holds

local shared = t.shared and t.shared .. "/golden/tokenizers"
local vocabularies = t.shared and t.shared .. "/data/bert/bert-base-"

if not shared or not t.exists(shared .. "/texts.json") then
  t.skip("the goldens of the published vocabularies", "no ../shared")
  return t.finish()
end

local texts = load(shared .. "/texts.json")

local function bert(name, options)
  options = options or {}
  options.model_max_length = 512
  if options.do_lower_case == nil then options.do_lower_case = name == "uncased" end
  return tokenizer.BertTokenizerFast(vocabularies .. name .. "-vocab.txt", options)
end

for _, name in ipairs { "uncased", "cased" } do
  local tok = bert(name)
  t.test(name .. ": ids, offsets and tokens of all texts", function()
    local golden = load(shared .. "/bert_" .. name .. ".json")
    assert(#tok == golden.vocab_size)
    for key, value in pairs(golden.special_tokens) do assert(tok[key] == value, key) end
    check_encodings(tok, texts, golden.encodings)
  end)
  t.test(name .. ": a batch of all texts", function()
    local golden = load(shared .. "/bert_" .. name .. ".json").encodings
    for i, ids in ipairs(tok(texts).input_ids) do t.same(ids, golden[i].ids, "text " .. i) end
  end)
  for i, case in ipairs(load(shared .. "/bert_" .. name .. "_calls.json").calls) do
    t.test(("%s: call %d %s"):format(name, i, json.encode(case.kwargs)), function() check_call(tok, case) end)
  end
  t.test(name .. ": decoding", function() check_decode(tok, load(shared .. "/bert_" .. name .. "_decode.json")) end)
end

local function python_options(kwargs)
  local options = {}
  for key, value in pairs(kwargs) do options[key] = value end
  return options
end

local options_golden = load(shared .. "/options.json")
for name, case in pairs(options_golden.cases) do
  local vocabulary = name:match("^bert_(%w+)/")
  if vocabulary then
    t.test(name, function()
      local given = python_options(case.kwargs)
      if given.do_lower_case == nil then given.do_lower_case = true end
      local tok = bert(vocabulary, given)
      for i, index in ipairs(options_golden.text_indices) do
        t.same(tok(texts[index + 1]).input_ids, case.ids[i], ("%q"):format(texts[index + 1]))
      end
    end)
  end
end

for _, name in ipairs { "wordpiece_bert", "wordpiece_digits", "wordpiece_added_normalized", "unigram_t5", "unigram_xlmr" } do
  t.test("trained/" .. name, function() check_trained(shared .. "/trained/" .. name, texts) end)
end

-- The rows of this one are cut and padded as its tokenizer.json says, which transformers' tokenizers leave to the caller.
t.test("trained/wordlevel", function()
  local folder = shared .. "/trained/wordlevel"
  local expected, tok = load(folder .. "/expected.json"), tokenizer.PreTrainedTokenizerFast(folder .. "/tokenizer.json")
  tok.pad_token = "[PAD]"
  local function padded(text, pair)
    local ids = tok(text, pair, { truncation = true, max_length = 24 }).input_ids
    return #ids < 12 and tok(text, pair, { padding = "max_length", max_length = 12 }).input_ids or ids
  end
  for i, index in ipairs(expected.text_indices) do
    t.same(padded(texts[index + 1]), expected.encodings[i].ids, ("%q"):format(texts[index + 1]))
  end
  for i, pair in ipairs(expected.pairs) do
    t.same(padded(texts[pair.a + 1], texts[pair.b + 1]), pair.ids, "pair " .. i)
  end
  for i, encoding in ipairs(expected.encodings) do t.same(tok:decode(encoding.ids), expected.decode[i], "decode " .. i) end
end)

-- Normalizers and pre-tokenizers alone: those there are; the names of the others are shown.
local core = require "hflua.core.tokenizer"
local components = load(shared .. "/components.json")

local function engine_of(field, component)
  local document = { model = { type = "WordPiece", vocab = { ["[UNK]"] = 0 } }, [field] = component }
  return pcall(core.from_json, json.encode(document), "component")
end

local function check_component(kind, field, name, case, check)
  local ok, engine = engine_of(field, case.json)
  if not ok then
    assert(tostring(engine):find("is not supported", 1, true), engine)
    return t.skip(kind .. " " .. name, "not supported")
  end
  t.test(kind .. " " .. name, function()
    for i, index in ipairs(components.text_indices) do check(engine, texts[index + 1], case.out[i]) end
  end)
end

for name, case in pairs(components.normalizers) do
  check_component("normalizer", "normalizer", name, case, function(engine, text, expected)
    t.same(engine:normalize(text), expected, ("%q"):format(text))
  end)
end

for name, case in pairs(components.pre_tokenizers) do
  check_component("pre-tokenizer", "pre_tokenizer", name, case, function(engine, text, expected)
    local pieces, offsets = {}, {}
    for i, piece in ipairs(engine:pre_tokenize(text)) do pieces[i], offsets[2 * i - 1], offsets[2 * i] = piece[1], piece[2], piece[3] end
    t.same(pieces, expected.pieces, ("%q"):format(text))
    t.same(offsets, expected.offsets, ("%q offsets"):format(text))
  end)
end

-- Texts and ids of the bge vocabulary (the same words), without [CLS] and [SEP].
t.test("46 cases of a GGUF vocabulary", function()
  local function read(path) local f = assert(io.open(path, "rb")) local s = f:read("a") f:close() return s end
  local base = t.shared .. "/data/gguf/ggml-vocab-bert-bge.gguf"
  local inputs, tok, i = read(base .. ".inp"), bert "uncased", 0
  for line in read(base .. ".out"):gmatch("([^\n]*)\n") do
    local stop = assert(inputs:find("\n__ggml_vocab_test__\n", 1, true))
    local text, ids = inputs:sub(1, stop - 1), {}
    inputs = inputs:sub(stop + #"\n__ggml_vocab_test__\n")
    for id in line:gmatch("%d+") do ids[#ids + 1] = math.tointeger(id) end
    t.same(tok(text, { add_special_tokens = false }).input_ids, ids, ("%q"):format(text))
    i = i + 1
  end
  assert(i == 46)
end)

t.finish()
