--- hf.tokenizer as recipes use it: loading, calls, special tokens, padding, saving, and what wrong input gets.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local json, null, tokenizer = hf.json, hf.null, hf.tokenizer

local root = os.tmpname()
os.remove(root)

local function write(name, text)
  local path = root .. "/" .. name
  assert(os.execute(("mkdir -p '%s'"):format(path:match("^(.*)/"))))
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

local words = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "un", "##aff", "##able", ",", "!", "cafe", "a", "b", "c",
  "Hello", "café", "'", "t", "don" }
write("bert/vocab.txt", table.concat(words, "\n") .. "\n")
write("bert/tokenizer_config.json", [[{"do_lower_case": true, "model_max_length": 16, "tokenizer_class": "BertTokenizer"}]])

local function load(options) return tokenizer.AutoTokenizer.from_pretrained(root .. "/bert", options) end
local tok = load()

t.test("an empty table is options, not a second text", function()
  t.same(tok("hello world", {}).input_ids, tok("hello world").input_ids)
  t.same(tok({ "hello", "world" }, {}).input_ids, tok({ "hello", "world" }).input_ids)
end)

t.test("a special token that no vocabulary has is warned of", function()
  local notes, said = require "hflua.trainer.notes", nil
  local warn = notes.warn
  notes.warn = function(format, ...) said = format:format(...) end
  local some = load()
  some.pad_token = "[SEP]"
  assert(said == nil)
  some.pad_token = "[NOPE]"
  notes.warn = warn
  assert(said:find("[NOPE]", 1, true) and said:find("add_special_tokens{pad_token", 1, true), said)
end)

t.test("a tokenizer of no known class gives no token types unless asked for", function()
  local path = root .. "/classless"
  tok:save_pretrained(path)
  os.remove(path .. "/tokenizer_config.json")
  local bare = tokenizer.AutoTokenizer.from_pretrained(path)
  t.same(bare("hello", "world"):keys(), { "input_ids", "attention_mask" })
  t.same(bare("hello", "world", { return_token_type_ids = true }).token_type_ids, { 0, 0, 0, 1, 1 })
end)

-- ---- loading

t.test("classes, names and sizes", function()
  assert(tok.tokenizer_class == "BertTokenizer" and tok.is_fast and tok.model_max_length == 16 and tok.name_or_path == root .. "/bert")
  assert(#tok == #words and tok.vocab_size == #words)
  assert(tostring(tok):find("BertTokenizer(name_or_path=", 1, true) and tostring(tok):find('2: AddedToken("[CLS]"', 1, true))
  assert(tokenizer.BertTokenizerFast.from_pretrained(root .. "/bert").tokenizer_class == "BertTokenizer")
  assert(hf.AutoTokenizer == tokenizer.AutoTokenizer)
  t.same(tokenizer.DistilBertTokenizer.from_pretrained(root .. "/bert")("a"):keys(), { "input_ids", "attention_mask" })
end)

t.test("options of from_pretrained win over the files", function()
  local cased = load { do_lower_case = false, model_max_length = 8, padding_side = "left" }
  t.same(cased("Hello café").input_ids, { 2, 16, 17, 3 })
  assert(cased.model_max_length == 8 and cased.padding_side == "left")
end)

t.test("a class is found by config.json, a vocabulary alone is BERT's", function()
  write("typed/vocab.txt", table.concat(words, "\n"))
  write("typed/config.json", [[{"model_type": "distilbert"}]])
  assert(tokenizer.AutoTokenizer.from_pretrained(root .. "/typed").tokenizer_class == "DistilBertTokenizer")
  write("bare/vocab.txt", table.concat(words, "\n"))
  assert(tokenizer.AutoTokenizer.from_pretrained(root .. "/bare").tokenizer_class == "BertTokenizer")
end)

t.test("special_tokens_map.json and added_tokens.json of old checkpoints", function()
  write("old/vocab.txt", table.concat(words, "\n"))
  write("old/special_tokens_map.json", [[{"bos_token": {"content": "<s>", "lstrip": false, "normalized": false, "rstrip": false, "single_word": false}}]])
  write("old/added_tokens.json", [[{"<x>": 22, "<s>": 21}]])
  local old = tokenizer.BertTokenizer.from_pretrained(root .. "/old")
  assert(old.bos_token == "<s>" and old.bos_token_id == 21 and #old == 23)
  t.same(old("<s> a <x>").input_ids, { 2, 21, 13, 22, 3 })
  write("old/added_tokens.json", [[{"<x>": 40}]])
  t.raises(function() tokenizer.BertTokenizer.from_pretrained(root .. "/old") end, "'<x>'", "expected id 40", "22")
end)

t.test("what is missing or wrong is said", function()
  t.raises(function() tokenizer.AutoTokenizer.from_pretrained(root .. "/none") end, "/none", "no such folder")
  t.raises(function() tokenizer.AutoTokenizer.from_pretrained("nobody/nothing", { cache_dir = root }) end, "not in the local Hub cache")
  t.raises(function() load { do_lowercase = true } end, "unknown option 'do_lowercase' (did you mean 'do_lower_case'?)")
  t.raises(function() load { do_lower_case = "yes" } end, "do_lower_case", "expected a boolean, found a string")
  t.raises(function() load { padding_side = "up" } end, "expected 'left' or 'right', found 'up'")
  t.raises(function() return tokenizer.T9Tokenizer end, "no class T9Tokenizer")
  write("nothing/config.json", "{}")
  t.raises(function() tokenizer.AutoTokenizer.from_pretrained(root .. "/nothing") end, "no tokenizer files", "tokenizer.json")
  write("bpe/vocab.json", "{}")
  write("bpe/merges.txt", "")
  t.raises(function() tokenizer.AutoTokenizer.from_pretrained(root .. "/bpe") end, "vocab.json: no tokens in the file")
  write("bpe/vocab.json", [[{"a": 0, "b": 1, "ab": 2}]])
  write("bpe/merges.txt", "#version: 0.2\na b\nb a\n")
  t.raises(function() tokenizer.AutoTokenizer.from_pretrained(root .. "/bpe") end, "merges.txt: line 3", '"b" and "a"', "not in the vocabulary")
  write("twice/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\na\n")
  t.raises(function() tokenizer.BertTokenizer.from_pretrained(root .. "/twice") end, "vocab.txt: line 7", 'token "a" has two ids, 5 and 6')
  write("nocls/vocab.txt", "[PAD]\n[UNK]\na\n")
  t.raises(function() tokenizer.BertTokenizer.from_pretrained(root .. "/nocls") end, "vocab.txt", "is not in the vocabulary")
  write("latin/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncaf\xe9\n")
  t.raises(function() tokenizer.BertTokenizer.from_pretrained(root .. "/latin") end, "expected UTF-8, found byte 0xe9")
end)

-- A tokenizer.json with one thing changed.
local function document(change)
  local value = json.decode(tok:to_json())
  change(value)
  return write("broken/tokenizer.json", json.encode(value))
end

local function refuses(change, ...)
  local path, parts = document(change), { ... }
  t.raises(function() tokenizer.PreTrainedTokenizerFast(path) end, "broken/tokenizer.json", table.unpack(parts))
end

t.test("a tokenizer.json that contradicts itself is refused", function()
  refuses(function(d) d.model.vocab.hello = 6 end, 'token "world"', "id 6 belongs to another token")
  refuses(function(d) d.model.vocab.hello = 1000 end, 'token "hello"', "from 0 to 41")
  refuses(function(d) d.model.vocab.hello = -1 end, 'token "hello"')
  refuses(function(d) d.model.vocab.hello = 1.5 end, 'token "hello"', "whole number")
  refuses(function(d) d.added_tokens[1].id = 7 end, 'added_tokens: token "[PAD]": expected id 0', "found 7")
  refuses(function(d) d.post_processor.sep[2] = 99 end, 'special token "[SEP]"', "not in the vocabulary")
  refuses(function(d) d.normalizer.type = "Magic" end, 'normalizer "Magic" is not supported')
  refuses(function(d) d.pre_tokenizer.type = "Magic" end, 'pre-tokenizer "Magic" is not supported')
  refuses(function(d) d.model.type = "Magic" end, 'model "Magic" is not supported')
  refuses(function(d) d.decoder.type = "Magic" end, 'decoder "Magic" is not supported')
  refuses(function(d) d.model.vocab = nil end, "vocab")
  refuses(function(d) d.normalizer.lowercase = "yes" end, '"lowercase"', "found string")
end)

-- ---- calls

t.test("single, pair and batch, in HF's order of keys", function()
  local enc = tok("Hello, unaffable world!", "a b")
  t.same(enc:keys(), { "input_ids", "token_type_ids", "attention_mask" })
  t.same(enc.input_ids, { 2, 5, 10, 7, 8, 9, 6, 11, 3, 13, 14, 3 })
  t.same(enc.token_type_ids, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1 })
  local names = {}
  for name in pairs(tok({ "a", "b c" }, { "a", "" })) do names[#names + 1] = name end
  t.same(names, enc:keys())
  t.same(tok({ "a", "b c" }, { "a", "" }).input_ids, { { 2, 13, 3, 13, 3 }, { 2, 14, 15, 3, 3 } })
  t.same(tok({ { "a", "b" }, { "c", "a" } }).input_ids, { { 2, 13, 3, 14, 3 }, { 2, 15, 3, 13, 3 } })
  t.same(tok("a", "").input_ids, { 2, 13, 3 })
  t.same(tok({}).input_ids, {})
  t.same(tok("").input_ids, { 2, 3 })
  t.same(tok:encode("a b", { add_special_tokens = false }), { 13, 14 })
  t.same(tok:tokenize("unaffable café"), { "un", "##aff", "##able", "cafe" })
  assert(tostring(tok("a")) == "{'input_ids': [2, 13, 3], 'token_type_ids': [0, 0, 0], 'attention_mask': [1, 1, 1]}")
end)

t.test("columns of a dataset that make their values when asked", function()
  local column = setmetatable({}, { __len = function() return 2 end, __index = function(_, i) return i <= 2 and ("a "):rep(i) or nil end })
  t.same(tok(column).input_ids, { { 2, 13, 3 }, { 2, 13, 13, 3 } })
end)

t.test("padding and truncation", function()
  local enc = tok({ "a b c", "a" }, { padding = true })
  t.same(enc.input_ids, { { 2, 13, 14, 15, 3 }, { 2, 13, 3, 0, 0 } })
  t.same(enc.attention_mask[2], { 1, 1, 1, 0, 0 })
  t.same(tok({ "a b c", "a" }, { padding = true, padding_side = "left" }).input_ids[2], { 0, 0, 2, 13, 3 })
  assert(#tok("a", { padding = "max_length" }).input_ids == 16)
  assert(#tok({ "a" }, { padding = true, pad_to_multiple_of = 8 }).input_ids[1] == 8)
  t.same(tok("a b c", { max_length = 4 }).input_ids, { 2, 13, 14, 3 })
  t.same(tok("a b c", { truncation = true, max_length = 4, truncation_side = "left" }).input_ids, { 2, 14, 15, 3 })
  t.same(tok(("a "):rep(40), { truncation = true }).length, nil)
  assert(#tok(("a "):rep(40), { truncation = true }).input_ids == 16)
end)

t.test("overflow keeps everything, stride repeats", function()
  local enc = tok("a b c a b", { truncation = true, max_length = 4, stride = 1, return_overflowing_tokens = true, return_length = true })
  t.same(enc.input_ids, { { 2, 13, 14, 3 }, { 2, 14, 15, 3 }, { 2, 15, 13, 3 }, { 2, 13, 14, 3 } })
  t.same(enc.overflow_to_sample_mapping, { 0, 0, 0, 0 })
  t.same(enc.length, { 4, 4, 4, 4 })
  t.raises(function() tok("a b c a b", { truncation = true, max_length = 4, stride = 2, return_overflowing_tokens = true }) end,
    "stride set to 2", "effective max length of 2")
end)

t.test("words, characters and tokens", function()
  local enc = tok("Hello, unaffable", "café")
  t.same(enc:word_ids(), { null, 0, 1, 2, 2, 2, null, 0, null })
  t.same(enc:sequence_ids(), { null, 0, 0, 0, 0, 0, null, 1, null })
  t.same(enc:tokens(), { "[CLS]", "hello", ",", "un", "##aff", "##able", "[SEP]", "cafe", "[SEP]" })
  assert(enc:char_to_token(8) == 3 and enc:char_to_token(6) == nil and enc:char_to_token(1, 2, 1) == 7)
  assert(enc:token_to_word(4) == 2 and enc:token_to_word(0) == nil and enc:token_to_sequence(7) == 1)
  t.same({ enc:token_to_chars(4) }, { 9, 12 })
  t.same({ enc:word_to_tokens(2) }, { 3, 6 })
  t.same({ enc:word_to_chars(2) }, { 7, 16 })
  assert(enc:char_to_word(15) == 2)
  local split = tok({ "unaffable", "a" }, { is_split_into_words = true })
  t.same(split:word_ids(), { null, 0, 0, 0, 1, null })
  t.raises(function() enc:word_ids(2) end, "batch index 2: expected 1 to 1")
end)

t.test("tensors", function()
  local enc = tok({ "a b", "a" }, { padding = true, return_tensors = "pt", return_offsets_mapping = true })
  t.same(enc.input_ids.shape, { 2, 4 })
  t.same(enc.offset_mapping.shape, { 2, 4, 2 })
  assert(enc.input_ids.dtype == "int64")
  t.same(enc.input_ids:tolist(), { { 2, 13, 14, 3 }, { 2, 13, 3, 0 } })
  assert(enc:to("cpu") == enc)
  t.same(tok("a", { return_tensors = "tensor" }).input_ids:tolist(), { { 2, 13, 3 } })
  t.raises(function() return tok({ "a b", "a" }, { return_tensors = "pt" }).input_ids end, "Unable to create tensor", "padding=true", "`input_ids`")
  t.raises(function() tok("a", { return_tensors = "np" }) end, "expected 'pt' or 'tensor', found 'np'")
end)

t.test("columns can be set, replaced and removed", function()
  local enc = tok({ "a", "b" })
  enc.labels = { 1, 0 }
  enc.token_type_ids = nil
  t.same(enc:keys(), { "input_ids", "attention_mask", "labels" })
  local read = tok({ "a" })
  local _ = read.token_type_ids
  read.token_type_ids = nil
  assert(read.token_type_ids == nil)
  t.same(read:keys(), { "input_ids", "attention_mask" })
  local packed = tok:encode_columns { "a", "b c" }
  assert(packed[1][1] == "input_ids" and #packed[1][2] == 2 and #packed == 3)
end)

t.test("text_target becomes labels", function()
  t.same(tok("a", { text_target = "b" }).labels, { 2, 14, 3 })
end)

t.test("wrong calls say what was expected", function()
  t.raises(function() tok("a", { paddin = true }) end, "unknown option 'paddin' (did you mean 'padding'?)")
  t.raises(function() tok("a", { padding = "longst" }) end, "longst is not a valid PaddingStrategy", "'max_length'")
  t.raises(function() tok("a", { truncation = "first" }) end, "first is not a valid TruncationStrategy")
  t.raises(function() tok("a", { max_length = -1 }) end, "'max_length'", "found -1")
  t.raises(function() tok("a", { max_length = 2.5 }) end, "'max_length'", "found 2.5")
  t.raises(function() tok("a", { return_offsets_mapping = 1 }) end, "'return_offsets_mapping'", "expected true or false, found number")
  t.raises(function() tok(3) end, "text input must be of type", "found number")
  t.raises(function() tok(nil) end, "text input must be of type")
  t.raises(function() tok { "a", 3 } end, "row 2: expected a string, found number")
  t.raises(function() tok { "a", null } end, "row 2: expected a string, found null")
  t.raises(function() tok({ "a", "b" }, { "c" }) end, "batch length of `text`: 2 does not match batch length of `text_pair`: 1")
  t.raises(function() tok({ "a", "b" }, "c") end, "`text_pair` must be a list")
  t.raises(function() tok("a b", "c d", { truncation = "only_first", max_length = 4 }) end, "Sequence to truncate too short")
  t.raises(function() tok("a b", { truncation = "only_second", max_length = 3 }) end, "Second sequence not provided")
  t.raises(function() tok("bad \xff byte") end, "row 1", "text is not UTF-8: byte 0xff at 4")
  t.raises(function() tok({ "a" }, { padding = "max_length", truncation = true, max_length = 5, pad_to_multiple_of = 4 }) end,
    "truncation length (5) is not a multiple of pad_to_multiple_of (4)")
end)

-- ---- special tokens and vocabulary

t.test("special tokens are fields", function()
  local own = load()
  assert(own.pad_token == "[PAD]" and own.pad_token_id == 0 and own.mask_token_id == 4 and own.bos_token == nil and own.bos_token_id == nil)
  t.same(own.all_special_tokens, { "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]" })
  t.same(own.all_special_ids, { 1, 3, 0, 2, 4 })
  own.eos_token = "[SEP]"
  assert(own.eos_token_id == 3)
  own.pad_token = own.eos_token
  assert(own.pad_token_id == 3)
  t.same(own({ "a b", "a" }, { padding = true }).input_ids[2], { 2, 13, 3, 3 })
  own.pad_token = nil
  t.raises(function() own({ "a", "b" }, { padding = true }) end, "Asking to pad but the tokenizer does not have a padding token.",
    "tokenizer.pad_token = tokenizer.eos_token")
  assert(own:add_special_tokens { pad_token = "<pad>", additional_special_tokens = { "<e1>", "<e2>" } } == 3)
  assert(own.pad_token_id == #words and #own == #words + 3)
  t.same(own.additional_special_tokens, { "<e1>", "<e2>" })
  t.same(own("a<e2>").input_ids, { 2, 13, own:convert_tokens_to_ids("<e2>"), 3 })
  t.raises(function() own:add_special_tokens { pad_tokn = "x" } end, "did you mean 'pad_token'")
end)

t.test("added tokens", function()
  local own = load()
  assert(own:add_tokens { "new", "world", "new" } == 2 and #own == #words + 1)
  t.same(own("newt NEW").input_ids, { 2, 21, 19, 21, 3 })
  assert(own:add_tokens(tokenizer.AddedToken("<y>", { single_word = true })) == 1)
  t.same(own("a <y>").input_ids, { 2, 13, 22, 3 })
  t.same(own("a<y>b").input_ids, { 2, 13, 1, 1, 1, 14, 3 })
end)

t.test("ids, tokens and text", function()
  t.same(tok:convert_tokens_to_ids { "a", "nowhere" }, { 13, 1 })
  assert(tok:convert_ids_to_tokens(13) == "a" and tok:convert_ids_to_tokens(999) == nil)
  t.same(tok:convert_ids_to_tokens({ 2, 13, 999 }, { skip_special_tokens = true }), { "a", null })
  assert(tok:convert_tokens_to_string { "un", "##aff", "!" } == "unaff!")
  assert(tok:decode(tok("Hello, a!").input_ids) == "[CLS] hello, a! [SEP]")
  assert(tok:decode({ 2, 13, 3, 500 }, { skip_special_tokens = true }) == "a" and tok:decode {} == "" and tok:decode(13) == "a")
  t.same(tok:batch_decode(tok({ "a", "b c" }, { padding = true, return_tensors = "pt" }).input_ids, { skip_special_tokens = true }), { "a", "b c" })
  assert(tok:decode({ 20, 18, 19 }, { clean_up_tokenization_spaces = true }) == "don't")
  assert(tok:decode { 20, 18, 19 } == "don ' t")
  assert(tok:get_vocab().hello == 5)
  assert(tok:num_special_tokens_to_add(true) == 3 and tok:num_special_tokens_to_add() == 2)
  t.same(tok:build_inputs_with_special_tokens({ 13 }, { 14, 15 }), { 2, 13, 3, 14, 15, 3 })
  t.same(tok:create_token_type_ids_from_sequences({ 13 }, { 14, 15 }), { 0, 0, 0, 1, 1, 1 })
  t.same(tok:get_special_tokens_mask({ 2, 13, 3 }, { already_has_special_tokens = true }), { 1, 0, 1 })
  t.raises(function() tok:decode "a" end, "decode: expected ids")
  t.raises(function() tok:decode { 1, "x" } end, "id 2: expected a whole number, found string")
end)

t.test("pad", function()
  local padded = tok:pad { { input_ids = { 2, 13, 3 }, labels = 1 }, { input_ids = { 2, 3 }, labels = 0 } }
  t.same(padded.input_ids, { { 2, 13, 3 }, { 2, 3, 0 } })
  t.same(padded.attention_mask, { { 1, 1, 1 }, { 1, 1, 0 } })
  t.same(padded.labels, { 1, 0 })
  t.same(tok:pad(tok({ "a b", "a" }), { return_tensors = "pt" }).attention_mask:tolist(), { { 1, 1, 1, 1 }, { 1, 1, 1, 0 } })
  t.same(tok:pad({ input_ids = { 2, 3 } }, { padding = "max_length", max_length = 4 }).input_ids, { 2, 3, 0, 0 })
  t.raises(function() tok:pad { labels = { 1 } } end, "includes input_ids", "labels")
end)

-- ---- saving

t.test("saved and loaded again, it is the same", function()
  local own = load { do_lower_case = false }
  own:add_special_tokens { additional_special_tokens = { "<e>" } }
  own.padding_side = "left"
  own:save_pretrained(root .. "/saved")
  local again = tokenizer.AutoTokenizer.from_pretrained(root .. "/saved")
  assert(again.tokenizer_class == "BertTokenizer" and again.padding_side == "left" and again.model_max_length == 16)
  t.same(again.additional_special_tokens, { "<e>" })
  local text = "Hello, <e> café unaffable [MASK]"
  t.same(again(text).input_ids, own(text).input_ids)
  assert(again:to_json() == own:to_json())
end)

-- ---- text functions

t.test("Unicode strings", function()
  assert(hf.lower "ÀΣ İ" == "àς i̇" and hf.upper "straße ﬁ" == "STRASSE FI")
  assert(hf.strip " \u{a0}\tx y\u{3000}\n" == "x y" and hf.strip("--x-", "-") == "x")
  t.same(hf.split "  a\u{2003}b ", { "a", "b" })
  t.same(hf.split("a<|eos|><|eos|>b", "<|eos|>"), { "a", "", "b" })
  t.same(hf.split("a,b,c", ",", 1), { "a", "b,c" })
  assert(hf.slice("naïve café", 1, 4) == "aïv" and hf.slice("naïve", -2) == "ve" and hf.slice("naïve", 4, 2) == "" and hf.length "naïve" == 5)
  t.raises(function() hf.lower "\xff" end, "lower: text is not UTF-8: byte 0xff at 0")
end)

os.execute(("rm -r '%s'"):format(root))
t.finish()
