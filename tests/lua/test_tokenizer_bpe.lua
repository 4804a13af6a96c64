--- Byte pair encoding against Hugging Face's tokenizers: a small one that is here, vocabulary files, and the trained and published
-- ones of ../shared.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local checks = dofile(t.dir .. "/lib/tokenizer_checks.lua")(t)
local json = require "hflua.core.json"
local tokenizer = require "hflua.tokenizer"

-- ---- what the repository holds

t.test("a small byte-level tokenizer: ids, offsets, decoding", function() checks.trained(t.dir .. "/golden/tokenizers/bpe", {}) end)

local root = os.tmpname()
os.remove(root)
assert(os.execute(("mkdir -p '%s'"):format(root)))

local function write(name, text)
  local file = assert(io.open(root .. "/" .. name, "w"))
  file:write(text)
  file:close()
  return root .. "/" .. name
end

local vocabulary = write("vocab.json", [[{"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ġa": 4, "<|endoftext|>": 5}]])
local merges = write("merges.txt", "#version: 0.2\na b\nĠ a\n")

t.test("vocab.json and merges.txt: calls, saving, loading again", function()
  local tok = tokenizer.GPT2Tokenizer(vocabulary, merges)
  t.same(tok("ab aab").input_ids, { 2, 4, 2 })
  assert(tok.model_max_length == 1024 and tok.pad_token == nil and tok.eos_token_id == 5)
  t.raises(function() tok({ "a", "b" }, { padding = true }) end, "Asking to pad but the tokenizer does not have a padding token")
  tok:save_pretrained(root .. "/saved")
  t.same(tokenizer.AutoTokenizer.from_pretrained(root .. "/saved")("ab aab").input_ids, { 2, 4, 2 })
  tok:save_vocabulary(root .. "/files")
  local again = tokenizer.AutoTokenizer.from_pretrained(root .. "/files")
  assert(again.tokenizer_class == "GPT2Tokenizer")
  t.same(again("ab aab").input_ids, { 2, 4, 2 })
  t.same(tokenizer.GPT2Tokenizer(vocabulary, merges, { add_prefix_space = true, add_bos_token = true })("ab").input_ids, { 5, 3, 2 })
end)

t.test("options that change between calls are seen", function()
  local tok, options = tokenizer.GPT2Tokenizer(vocabulary, merges, { pad_token = "<|endoftext|>" }), { padding = "max_length", max_length = 2 }
  t.same(tok("a", options).input_ids, { 0, 5 })
  tok.pad_token = "b"
  t.same(tok("a", options).input_ids, { 0, 1 })
  tok.padding_side = "left"
  t.same(tok("a", options).input_ids, { 1, 0 })
  options.max_length = 3
  t.same(tok("a", options).input_ids, { 1, 1, 0 })
end)

-- A tokenizer.json with this pre-tokenizer, model options and merges.
local function document(pre_tokenizer, more)
  local model = { type = "BPE", vocab = { a = 0, b = 1, ab = 2, ["?"] = 3 }, merges = json.array { "a b" } }
  for name, value in pairs(more or {}) do model[name] = value end
  return write("tokenizer.json", json.encode { model = model, pre_tokenizer = pre_tokenizer or json.null })
end

local function split(pattern, behavior, invert)
  local path = document { type = "Split", pattern = pattern, behavior = behavior, invert = invert or false }
  local pieces = {}
  for i, piece in ipairs(tokenizer.PreTrainedTokenizer(path)._engine:pre_tokenize("a--b c")) do pieces[i] = piece[1] end
  return table.concat(pieces, "|")
end

t.test("Split: behaviors, inverted, texts and regular expressions", function()
  local dash = { Regex = "-" }
  assert(split(dash, "Isolated") == "a|-|-|b c" and split(dash, "Removed") == "a|b c")
  assert(split(dash, "MergedWithPrevious") == "a-|-|b c" and split(dash, "MergedWithNext") == "a|-|-b c")
  assert(split(dash, "Contiguous") == "a|--|b c" and split(dash, "Removed", true) == "-|-")
  assert(split({ String = "--" }, "Isolated") == "a|--|b c" and split({ Regex = [[\s|\p{P}{2}]] }, "Removed") == "a|b|c")
end)

t.test("what is wrong in a regular expression or in merges is said", function()
  t.raises(function() split({ Regex = "(a" }, "Isolated") end, "regular expression", "a parenthesis has no end")
  t.raises(function() split({ Regex = [[\p{Nope}]] }, "Isolated") end, 'character property "Nope" is not supported')
  t.raises(function() split({ Regex = [[\X]] }, "Isolated") end, 'X" is not supported')
  local function load(more) return tokenizer.PreTrainedTokenizer(document(nil, more)) end
  t.raises(function() load { merges = json.array { "b a" } } end, "merges: number 0", "not in the vocabulary")
  t.raises(function() load { merges = json.array { json.array { "a" } } } end, "merges: number 0", "expected two tokens")
  t.raises(function() load { merges = 5 } end, "merges", "expected array")
  t.raises(function() load { dropout = 0.5 } end, "dropout", "expected null or 0")
  t.raises(function() load { unk_token = "<unk>" } "x" end, 'neither is the unknown token "<unk>"')
  t.same(load { unk_token = "?" }("axxb").input_ids, { 0, 3, 3, 1 })
  t.same(load { unk_token = "?", fuse_unk = true }("axxb").input_ids, { 0, 3, 1 })
  t.same(load {}("axxb").input_ids, { 2 })
end)

t.test("a regular expression that takes too many steps is an error", function()
  local path = document { type = "Split", pattern = { Regex = "(a|aa|aaa)+$|(a*)*b" }, behavior = "Isolated", invert = false }
  local tok = tokenizer.PreTrainedTokenizer(path)
  t.raises(function() tok(("a"):rep(40) .. "c") end, "regular expression", "limit")
end)

-- ---- what ../shared holds

local shared = t.shared and t.shared .. "/golden/tokenizers"

if not shared or not t.exists(shared .. "/texts.json") then
  t.skip("the goldens of byte pair encoding", "no ../shared")
  return t.finish()
end

local texts = checks.load(shared .. "/texts.json")

for _, name in ipairs { "bpe_gpt2", "bpe_roberta", "bpe_llama2", "bpe_llama3", "bpe_qwen2", "bpe_added_tokens", "bpe_word_suffix" } do
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
