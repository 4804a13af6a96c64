--- Tokenizer classes: which special tokens and columns each has, and how its engine is made from a vocabulary.
local errors = require "hflua.errors"
local json = require "hflua.core.json"

local classes = {}

local bert_tokens = { unk_token = "[UNK]", sep_token = "[SEP]", pad_token = "[PAD]", cls_token = "[CLS]", mask_token = "[MASK]" }
local with_types = { "input_ids", "token_type_ids", "attention_mask" }
local without_types = { "input_ids", "attention_mask" }

-- The pipeline of BERT for the lines of a vocab.txt. The special tokens of the class are added by the caller.
local function bert_document(settings, tokens, id_of)
  local function pair(name) return { tokens[name], id_of(tokens[name], name) } end
  local lowercase = settings.do_lower_case ~= false
  return {
    normalizer = { type = "BertNormalizer", clean_text = true, handle_chinese_chars = settings.tokenize_chinese_chars ~= false,
      strip_accents = settings.strip_accents, lowercase = lowercase },
    pre_tokenizer = { type = "BertPreTokenizer" },
    post_processor = { type = "BertProcessing", sep = pair "sep_token", cls = pair "cls_token" },
    decoder = { type = "WordPiece", prefix = "##", cleanup = true },
    model = { type = "WordPiece", unk_token = tokens.unk_token, continuing_subword_prefix = "##", max_input_chars_per_word = 100 },
  }
end

local bert = { tokens = bert_tokens, columns = with_types, vocabulary = "vocab.txt", document = bert_document }
local distilbert = { tokens = bert_tokens, columns = without_types, vocabulary = "vocab.txt", document = bert_document }

-- ---- byte-level BPE, from vocab.json and merges.txt

local function byte_level(add_prefix_space, use_regex)
  return { type = "ByteLevel", add_prefix_space = add_prefix_space, trim_offsets = true, use_regex = use_regex }
end

local function byte_level_document(pre_tokenizer, normalizer)
  return {
    normalizer = normalizer, pre_tokenizer = pre_tokenizer, decoder = byte_level(true, true),
    model = { type = "BPE", dropout = json.null, unk_token = json.null, continuing_subword_prefix = "", end_of_word_suffix = "",
      fuse_unk = false, byte_fallback = false, ignore_merges = false },
  }
end

local function gpt2_document(settings) return byte_level_document(byte_level(settings.add_prefix_space == true, true)) end

local qwen2_words = [[(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+]]

local function qwen2_document(settings)
  local split = { type = "Split", pattern = { Regex = qwen2_words }, behavior = "Isolated", invert = false }
  local bytes = byte_level(settings.add_prefix_space == true, false)
  return byte_level_document({ type = "Sequence", pretokenizers = json.array { split, bytes } }, { type = "NFC" })
end

--- bos A eos, as add_bos_token and add_eos_token say; a pair has them around both.
local function bos_eos_template(settings, tokens, id_of)
  local special_tokens, single, pair = {}, {}, {}
  local function special(name, list, type_id)
    local token = tokens[name .. "_token"]
    if not settings["add_" .. name .. "_token"] or not token then return end
    special_tokens[token] = { id = token, ids = json.array { id_of(token, name .. "_token") }, tokens = json.array { token } }
    list[#list + 1] = { SpecialToken = { id = token, type_id = type_id } }
  end
  local function sequence(list, id, type_id)
    special("bos", list, type_id)
    list[#list + 1] = { Sequence = { id = id, type_id = type_id } }
    special("eos", list, type_id)
  end
  sequence(single, "A", 0)
  sequence(pair, "A", 0)
  sequence(pair, "B", 1)
  return { type = "TemplateProcessing", single = json.array(single), pair = json.array(pair), special_tokens = special_tokens }
end

local function roberta_template(settings, tokens, id_of)
  local function pair(name) return json.array { tokens[name], id_of(tokens[name], name) } end
  return { type = "RobertaProcessing", sep = pair "sep_token", cls = pair "cls_token", trim_offsets = settings.trim_offsets ~= false,
    add_prefix_space = settings.add_prefix_space == true }
end

local bpe_files = { "vocab.json", "merges.txt" }
local end_of_text = "<|endoftext|>"

-- tokens: as names and texts. more: further fields of the class.
local function fill_class(class, tokens, more)
  for name, text in tokens:gmatch "(%w+)=(%S+)" do class.tokens[name .. "_token"] = text end
  for name, value in pairs(more or {}) do class[name] = value end
  return class
end

local function bpe_class(tokens, document, post_processor, more)
  return fill_class({ tokens = {}, columns = without_types, files = bpe_files, document = document, post_processor = post_processor }, tokens, more)
end

-- A class that is read from tokenizer.json alone.
local function from_document(tokens, more) return fill_class({ tokens = {}, columns = without_types }, tokens, more) end

local gpt2 = bpe_class(("bos=%s eos=%s unk=%s"):format(end_of_text, end_of_text, end_of_text), gpt2_document, bos_eos_template,
  { model_max_length = 1024 })
local codegen = bpe_class(("bos=%s eos=%s unk=%s"):format(end_of_text, end_of_text, end_of_text), gpt2_document, bos_eos_template)
local roberta = bpe_class("bos=<s> eos=</s> sep=</s> cls=<s> unk=<unk> pad=<pad> mask=<mask>", gpt2_document, roberta_template)
local qwen2 = bpe_class(("eos=%s unk=%s pad=%s"):format(end_of_text, end_of_text, end_of_text), qwen2_document, bos_eos_template)
local llama = { tokens = { bos_token = "<s>", eos_token = "</s>", unk_token = "<unk>" }, columns = without_types, padding_side = "left" }

local roberta_like = from_document "bos=<s> eos=</s> sep=</s> cls=<s> unk=<unk> pad=<pad> mask=<mask>"
local t5 = from_document("eos=</s> unk=<unk> pad=<pad>", { extra_ids = 100 })
local albert = from_document "bos=[CLS] eos=[SEP] sep=[SEP] cls=[CLS] unk=<unk> pad=<pad> mask=[MASK]"

-- Class names of tokenizer_config.json, without "Fast".
local known = {
  BertTokenizer = bert, ElectraTokenizer = bert, DistilBertTokenizer = distilbert,
  PreTrainedTokenizer = { tokens = {}, columns = without_types },
  GPT2Tokenizer = gpt2, CodeGenTokenizer = codegen, GPTNeoXTokenizer = codegen,
  RobertaTokenizer = roberta, LongformerTokenizer = roberta, BartTokenizer = roberta,
  Qwen2Tokenizer = qwen2, LlamaTokenizer = llama,
  T5Tokenizer = t5, MT5Tokenizer = t5,
  XLMRobertaTokenizer = roberta_like, CamembertTokenizer = roberta_like, MBartTokenizer = roberta_like,
  BarthezTokenizer = roberta_like, NllbTokenizer = roberta_like,
  AlbertTokenizer = albert, RemBertTokenizer = albert,
  XLNetTokenizer = from_document("bos=<s> eos=</s> sep=<sep> cls=<cls> unk=<unk> pad=<pad> mask=<mask>", { padding_side = "left" }),
  PegasusTokenizer = from_document "eos=</s> unk=<unk> pad=<pad> mask=<mask_2>",
  DebertaV2Tokenizer = from_document("bos=[CLS] eos=[SEP] sep=[SEP] cls=[CLS] unk=[UNK] pad=[PAD] mask=[MASK]",
    { columns = { "input_ids", "attention_mask", "token_type_ids" } }),
  BigBirdTokenizer = from_document "bos=<s> eos=</s> sep=[SEP] cls=[CLS] unk=<unk> pad=<pad> mask=[MASK]",
  MPNetTokenizer = from_document "bos=<s> eos=</s> sep=</s> cls=<s> unk=[UNK] pad=<pad> mask=<mask>",
}

local aliases = { TokenizersBackend = "PreTrainedTokenizer", AutoTokenizer = "PreTrainedTokenizer" }

-- model_type of config.json
local by_model_type = { bert = "BertTokenizer", distilbert = "DistilBertTokenizer", electra = "ElectraTokenizer",
  gpt2 = "GPT2Tokenizer", gpt_neo = "GPT2Tokenizer", gptj = "GPT2Tokenizer", opt = "GPT2Tokenizer", codegen = "CodeGenTokenizer",
  gpt_neox = "GPTNeoXTokenizer", roberta = "RobertaTokenizer", longformer = "LongformerTokenizer", bart = "BartTokenizer",
  qwen2 = "Qwen2Tokenizer", llama = "LlamaTokenizer",
  t5 = "T5Tokenizer", mt5 = "T5Tokenizer", xlm_roberta = "XLMRobertaTokenizer", ["xlm-roberta"] = "XLMRobertaTokenizer",
  camembert = "CamembertTokenizer", mbart = "MBartTokenizer", albert = "AlbertTokenizer", rembert = "RemBertTokenizer",
  xlnet = "XLNetTokenizer", pegasus = "PegasusTokenizer", ["deberta-v2"] = "DebertaV2Tokenizer", big_bird = "BigBirdTokenizer",
  mpnet = "MPNetTokenizer" }

--- "BertTokenizerFast" and "BertTokenizer" are one class.
function classes.canonical(name)
  local short = name:gsub("Fast$", "")
  return aliases[short] or short
end

--- The class of this name, or nil.
function classes.find(name) return known[classes.canonical(name)] end

--- The class a checkpoint's files ask for: name and class. A generic one when tokenizer.json says all there is.
function classes.of_checkpoint(settings, model_type)
  local name = settings.tokenizer_class or by_model_type[model_type or ""] or "PreTrainedTokenizer"
  return classes.canonical(name), known[classes.canonical(name)] or known.PreTrainedTokenizer
end

--- Names of all classes, for the module table.
function classes.names()
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  return names
end

--- JSON of the pipeline that `class` makes of a vocabulary; `id_of` gives the id of a special token.
function classes.document(class, settings, tokens, id_of) return json.encode(class.document(settings, tokens, id_of)) end

--- JSON of the post-processor that `class` makes once the special tokens have ids; nil: what it has stays.
function classes.post_processor(class, settings, tokens, id_of)
  return class.post_processor and json.encode(class.post_processor(settings, tokens, id_of))
end

--- JSON of the post-processor that add_bos_token and add_eos_token ask for.
function classes.bos_eos_template(settings, tokens, id_of) return json.encode(bos_eos_template(settings, tokens, id_of)) end

--- Error for a class whose engine is not there.
function classes.unsupported(name)
  errors.raise("tokenizer class %s cannot be built from these files; a tokenizer.json, a WordPiece vocab.txt, or vocab.json with merges.txt can be read", name)
end

return classes
