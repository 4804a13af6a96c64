-- Training vocabularies, beside those that Hugging Face's tokenizers train on the same texts, and tokenizers put together
-- from parts.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local json = require "hflua.core.json"
local T = hf.tokenizer

local here = t.dir .. "/golden/tokenizers"
local texts = json.load_file(here .. "/texts.json")
local golden = json.load_file(here .. "/training.json")
local special = { "[UNK]", "[PAD]" }

local function size(map)
  local count = 0
  for _ in pairs(map) do count = count + 1 end
  return count
end

-- ---- as the library trains

local function train_as(name, model, trainer)
  local expected, tok = golden[name], T.Tokenizer(model)
  tok.normalizer, tok.pre_tokenizer = expected.normalizer, expected.pre_tokenizer
  tok:train_from_iterator(texts, trainer)
  return tok, expected
end

local function check_vocabulary(name, model, trainer)
  local tok, expected = train_as(name, model, trainer)
  t.same(tok:get_vocab(), expected.vocab, name)
  for i, ids in ipairs(expected.ids) do t.same(tok:encode(texts[i]).ids, ids, name .. " text " .. i) end
  if expected.merges and expected.merges ~= json.null then t.same(tok.model.merges, expected.merges, name .. " merges") end
end

t.test("BPE on words", function()
  check_vocabulary("bpe", T.models.BPE { unk_token = "[UNK]" }, T.trainers.BpeTrainer { vocab_size = 400, special_tokens = special })
end)

t.test("BPE on bytes", function()
  check_vocabulary("byte_level_bpe", T.models.BPE(), T.trainers.BpeTrainer { vocab_size = 420, min_frequency = 2, special_tokens = special,
    initial_alphabet = T.pre_tokenizers.ByteLevel.alphabet() })
end)

t.test("BPE with a small alphabet and short tokens", function()
  local tok = T.Tokenizer(T.models.BPE { unk_token = "[UNK]" })
  tok.pre_tokenizer = T.pre_tokenizers.Whitespace()
  tok:train_from_iterator(texts, T.trainers.BpeTrainer { vocab_size = 300, limit_alphabet = 60, max_token_length = 5, special_tokens = special })
  local characters = 0
  for token in pairs(tok:get_vocab()) do
    local length = utf8.len(token)
    if length == 1 then characters = characters + 1 end
    assert(length <= 5, token)
  end
  assert(characters == 60, characters)
end)

t.test("WordLevel", function()
  check_vocabulary("word_level", T.models.WordLevel { unk_token = "[UNK]" },
    T.trainers.WordLevelTrainer { vocab_size = 200, min_frequency = 2, special_tokens = special })
end)

t.test("Unigram: pieces and scores of expectation and maximization", function()
  local tok, expected = train_as("unigram", T.models.Unigram(), T.trainers.UnigramTrainer { vocab_size = 3000, unk_token = "[UNK]",
    max_piece_length = 8, special_tokens = special })
  local scores = {}
  for _, entry in ipairs(tok.model.vocab) do scores[entry[1]] = entry[2] end
  assert(size(scores) == #expected.vocab, "number of pieces")
  for _, entry in ipairs(expected.vocab) do t.near(scores[entry[1]] or 0, entry[2], 1e-3, 0, entry[1]) end
  local total, wanted = 0, 0 -- equal scores may be cut differently
  for i, ids in ipairs(expected.ids) do total, wanted = total + #tok:encode(texts[i]).ids, wanted + #ids end
  t.near(total, wanted, 0, 0.01, "number of tokens")
end)

t.test("Unigram: pruned to the size asked for", function()
  local tok = T.Tokenizer(T.models.Unigram())
  tok.pre_tokenizer = T.pre_tokenizers.Metaspace()
  tok:train_from_iterator(texts, T.trainers.UnigramTrainer { vocab_size = 500, unk_token = "<unk>", special_tokens = { "<unk>" } })
  assert(tok:get_vocab_size() <= 500)
  tok.decoder = T.decoders.Metaspace()
  local text = "the quick brown fox"
  assert(tok:decode(tok:encode(text).ids) == text)
end)

t.test("WordPiece: every word of the texts comes back", function()
  local tok = T.Tokenizer(T.models.WordPiece { unk_token = "[UNK]" })
  tok.normalizer, tok.pre_tokenizer, tok.decoder = T.normalizers.BertNormalizer(), T.pre_tokenizers.BertPreTokenizer(), T.decoders.WordPiece()
  tok:train_from_iterator(texts, T.trainers.WordPieceTrainer { vocab_size = 600, special_tokens = special })
  assert(tok:get_vocab_size() <= 600)
  for _, text in ipairs(texts) do
    for _, token in ipairs(text:find("[", 1, true) and {} or tok:encode(text).tokens) do assert(token ~= "[UNK]", text) end
  end
end)

-- ---- how texts are given

t.test("texts as a list, in batches, from a function and from a column give the same", function()
  local function train(given)
    local tok = T.Tokenizer(T.models.BPE())
    tok.pre_tokenizer = T.pre_tokenizers.Whitespace()
    tok:train_from_iterator(given, T.trainers.BpeTrainer { vocab_size = 300 })
    return tok:to_str()
  end
  local i = 0
  local expected = train(texts)
  assert(train { table.move(texts, 1, 50, 1, {}), table.move(texts, 51, #texts, 1, {}) } == expected)
  assert(train(function() i = i + 1 return texts[i] end) == expected)
  assert(train(hf.Dataset.from_dict { text = texts }["text"]) == expected)
end)

t.test("train reads the lines of files", function()
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write("low low low\nlower lowest\n")
  file:close()
  local tok = T.Tokenizer(T.models.BPE { unk_token = "[UNK]" })
  tok.pre_tokenizer = T.pre_tokenizers.Whitespace()
  tok:train({ path }, T.trainers.BpeTrainer { vocab_size = 12, special_tokens = { "[UNK]" } })
  os.remove(path)
  t.same(tok:encode("low low").tokens, { "low", "low" })
end)

-- ---- train_new_from_iterator

local function base()
  local tok = T.Tokenizer(T.models.WordPiece { unk_token = "[UNK]" })
  tok.normalizer, tok.pre_tokenizer, tok.decoder = T.normalizers.BertNormalizer(), T.pre_tokenizers.BertPreTokenizer(), T.decoders.WordPiece()
  tok:train_from_iterator(texts, T.trainers.WordPieceTrainer { vocab_size = 300, special_tokens = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" } })
  tok.post_processor = T.processors.BertProcessing({ "[SEP]", 3 }, { "[CLS]", 2 })
  return T.BertTokenizerFast { tokenizer_object = tok, model_max_length = 128 }
end

t.test("train_new_from_iterator keeps the pipeline, the special tokens and the settings", function()
  local old = base()
  local new = old:train_new_from_iterator({ "aaa bbb ccc", "aaa bbb" }, 40, { new_special_tokens = { "<x>" } })
  assert(new.model_max_length == 128 and new.tokenizer_class == old.tokenizer_class)
  assert(new.cls_token == "[CLS]" and new.convert_tokens_to_ids(new, "<x>") == 5)
  t.same(new:tokenize("AAA <x> bbb"), { "aaa", "<x>", "bbb" })
  local ids = new("aaa").input_ids
  assert(ids[1] == new.cls_token_id and ids[#ids] == new.sep_token_id)
  assert(#old == #base(), "the old one is as it was")
end)

t.test("special tokens get new names", function()
  local new = base():train_new_from_iterator({ "aaa bbb" }, 30, { special_tokens_map = { ["[CLS]"] = "<s>" } })
  assert(new.cls_token == "<s>" and new("aaa").input_ids[1] == new:convert_tokens_to_ids "<s>")
  assert(new:convert_tokens_to_ids "[CLS]" == new.unk_token_id)
end)

t.test("what is trained is saved and loaded again", function()
  local folder = os.tmpname()
  os.remove(folder)
  local new = base():train_new_from_iterator(texts, 200)
  new:save_pretrained(folder)
  local again = T.AutoTokenizer.from_pretrained(folder)
  for _, text in ipairs(texts) do t.same(again(text).input_ids, new(text).input_ids) end
  os.remove(folder .. "/tokenizer.json")
  os.remove(folder .. "/tokenizer_config.json")
  os.remove(folder)
end)

-- ---- parts

t.test("parts by position and by name make the tables of tokenizer.json", function()
  t.same(T.normalizers.Replace(T.Regex " {2,}", " "), { type = "Replace", pattern = { Regex = " {2,}" }, content = " " })
  t.same(T.pre_tokenizers.Split("a", "merged_with_next"), { type = "Split", pattern = { String = "a" }, behavior = "MergedWithNext", invert = false })
  t.same(T.pre_tokenizers.Metaspace { prepend_scheme = "first" }, { type = "Metaspace", replacement = "▁", prepend_scheme = "first", split = true })
  t.same(T.decoders.Strip(" ", 1), { type = "Strip", content = " ", start = 1, stop = 0 })
  t.same(T.processors.TemplateProcessing { single = "[CLS] $A", special_tokens = { { "[CLS]", 1 } } }.single,
    { { SpecialToken = { id = "[CLS]", type_id = 0 } }, { Sequence = { id = "A", type_id = 0 } } })
end)

t.test("parts can be tried by themselves", function()
  assert(T.normalizers.Sequence { T.normalizers.NFKC(), T.normalizers.Lowercase() }:normalize_str("ﬁNE") == "fine")
  t.same(T.pre_tokenizers.Metaspace():pre_tokenize_str("a b"), { { "▁a", { 0, 1 } }, { "▁b", { 1, 3 } } })
  assert(T.decoders.Sequence { T.decoders.ByteFallback(), T.decoders.Fuse() }:decode { "<0x41>", "b" } == "Ab")
end)

t.test("a Tokenizer pads, cuts, is saved and read", function()
  local tok = T.Tokenizer(T.models.WordLevel { vocab = { a = 0, b = 1, ["<unk>"] = 2, ["<pad>"] = 3 }, unk_token = "<unk>" })
  tok.pre_tokenizer = T.pre_tokenizers.WhitespaceSplit()
  tok:enable_padding { pad_id = 3, pad_token = "<pad>", length = 4 }
  tok:enable_truncation(4)
  t.same(tok:encode("a b").ids, { 0, 1, 3, 3 })
  t.same(tok:encode("a b a b a").ids, { 0, 1, 0, 1 })
  local again = T.Tokenizer.from_str(tok:to_str())
  t.same(again:encode("b zz").tokens, { "b", "<unk>", "<pad>", "<pad>" })
  t.same(again:encode("b zz").attention_mask, { 1, 1, 0, 0 })
  again:no_padding()
  t.same(again:encode("a", "b").ids, { 0, 1 })
  assert(again:get_vocab_size() == 4 and again:token_to_id("b") == 1 and again:id_to_token(0) == "a")
end)

-- ---- errors

t.test("errors say what to do", function()
  local tok = T.Tokenizer(T.models.BPE())
  local function train(texts_, trainer) return function() tok:train_from_iterator(texts_, trainer) end end
  t.raises(train({ "a", 1 }), "training: item 2: expected a text or a list of texts, found number")
  t.raises(train({ "a", "\xff" }), "text 2: text is not UTF-8")
  t.raises(train(nil), "expected an iterator or a list of texts, found nil")
  t.raises(train({ "a" }, T.trainers.WordLevelTrainer()), "a WordLevelTrainer cannot train the model BPE")
  t.raises(function() T.trainers.BpeTrainer { vocabsize = 3 } end, "did you mean 'vocab_size'?")
  t.raises(function() T.trainers.UnigramTrainer { shrinking_factor = 1.5 } end, "shrinking_factor: expected a number between 0 and 1")
  t.raises(function() T.normalizers.Replace("a") end, "Replace: content is required")
  t.raises(function() T.models.BPE { unk = "a" } end, "BPE: unknown option 'unk'")
  local unigram = T.Tokenizer(T.models.Unigram())
  t.raises(function() unigram:train_from_iterator({ "abcdef" }, T.trainers.UnigramTrainer { vocab_size = 3 }) end, "expected at least 6")
end)

t.finish()
