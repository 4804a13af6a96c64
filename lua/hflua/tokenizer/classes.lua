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

-- Class names of tokenizer_config.json, without "Fast".
local known = {
  BertTokenizer = bert, ElectraTokenizer = bert, DistilBertTokenizer = distilbert,
  PreTrainedTokenizer = { tokens = {}, columns = with_types },
}

local aliases = { TokenizersBackend = "PreTrainedTokenizer", AutoTokenizer = "PreTrainedTokenizer" }

-- model_type of config.json
local by_model_type = { bert = "BertTokenizer", distilbert = "DistilBertTokenizer", electra = "ElectraTokenizer" }

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

--- Error for a class whose engine is not there.
function classes.unsupported(name)
  errors.raise("tokenizer class %s cannot be built from these files; a folder with tokenizer.json, or a WordPiece vocab.txt, can be read", name)
end

return classes
