--- Byte pair encoding against Hugging Face's tokenizers: the trained tokenizers of ../shared/golden/tokenizers.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local checks = dofile(t.dir .. "/lib/tokenizer_checks.lua")(t)
local json = require "hflua.core.json"
local tokenizer = require "hflua.tokenizer"

local shared = t.shared and t.shared .. "/golden/tokenizers"

if not shared or not t.exists(shared .. "/texts.json") then
  t.skip("the goldens of byte pair encoding", "no ../shared")
  return t.finish()
end

local texts = checks.load(shared .. "/texts.json")

for _, name in ipairs { "bpe_gpt2", "bpe_roberta", "bpe_llama2", "bpe_llama3", "bpe_qwen2", "bpe_added_tokens" } do
  t.test("trained/" .. name, function() checks.trained(shared .. "/trained/" .. name, texts) end)
end

-- ---- the published vocabularies

local data = t.shared .. "/data"

local function gpt2(options) return tokenizer.GPT2TokenizerFast(data .. "/gpt2/vocab.json", data .. "/gpt2/merges.txt", options or {}) end

local families = {
  gpt2 = function() return gpt2 { pad_token = "<|endoftext|>", model_max_length = 1024 } end,
  roberta = function()
    return tokenizer.PreTrainedTokenizerFast(data .. "/tokenizer_json/roberta-base/tokenizer.json", { bos_token = "<s>", eos_token = "</s>",
      cls_token = "<s>", sep_token = "</s>", unk_token = "<unk>", pad_token = "<pad>", mask_token = "<mask>", model_max_length = 512,
      model_input_names = { "input_ids", "attention_mask" } })
  end,
}

for _, name in ipairs { "gpt2", "roberta" } do
  local tok = families[name]()
  local golden = checks.load(shared .. "/" .. name .. ".json")
  t.test(name .. ": ids, offsets and tokens of all texts", function()
    assert(#tok == golden.vocab_size)
    for key, value in pairs(golden.special_tokens) do assert(tok[key] == value, key) end
    checks.encodings(tok, texts, golden.encodings)
  end)
  t.test(name .. ": a batch of all texts", function()
    for i, ids in ipairs(tok(texts).input_ids) do t.same(ids, golden.encodings[i].ids, "text " .. i) end
  end)
  for i, case in ipairs(checks.load(shared .. "/" .. name .. "_calls.json").calls) do
    t.test(("%s: call %d %s"):format(name, i, json.encode(case.kwargs)), function() checks.call(tok, case) end)
  end
  t.test(name .. ": decoding", function() checks.decode(tok, checks.load(shared .. "/" .. name .. "_decode.json")) end)
end

local options_golden = checks.load(shared .. "/options.json")
for name, case in pairs(options_golden.cases) do
  if name:find("^gpt2/") then
    t.test(name, function()
      local tok = gpt2(case.kwargs)
      for i, index in ipairs(options_golden.text_indices) do
        t.same(tok(texts[index + 1]).input_ids, case.ids[i], ("%q"):format(texts[index + 1]))
      end
    end)
  end
end

local function read(path) local f = assert(io.open(path, "rb")) local s = f:read("a") f:close() return s end

local function ids_of(line)
  local ids = {}
  for id in line:gmatch("%d+") do ids[#ids + 1] = math.tointeger(id) end
  return ids
end

t.test("46 cases of a GGUF vocabulary", function()
  local base, tok, cases = data .. "/gguf/ggml-vocab-gpt-2.gguf", gpt2(), 0
  local inputs = read(base .. ".inp")
  for line in read(base .. ".out"):gmatch("([^\n]*)\n") do
    local stop = assert(inputs:find("\n__ggml_vocab_test__\n", 1, true))
    local text = inputs:sub(1, stop - 1)
    inputs = inputs:sub(stop + #"\n__ggml_vocab_test__\n")
    t.same(tok(text).input_ids, ids_of(line), ("%q"):format(text))
    cases = cases + 1
  end
  assert(cases == 46)
end)

t.test("100 cases of GGML", function()
  local tok, cases = gpt2(), 0
  for line in read(data .. "/gpt2/golden_ids_ggml.txt"):gmatch("([^\n]+)\n?") do
    local text, ids = line:match("^(.*) => ([%d,%s]*)$")
    t.same(tok(text).input_ids, ids_of(ids), ("%q"):format(text))
    cases = cases + 1
  end
  assert(cases == 100)
end)

t.finish()
