--- Parts of a tokenizer under their names in Hugging Face's tokenizers: models, normalizers, pre_tokenizers, decoders,
-- processors. Each makes the table that stands in tokenizer.json:
--
--   local normalizer = components.normalizers.Sequence { components.normalizers.NFKC(), components.normalizers.Replace(" ", "▁") }
--   print(normalizer:normalize_str("ﬁne day"))
local core = require "hflua.core.tokenizer"
local errors = require "hflua.errors"
local json = require "hflua.core.json"
local options = require "hflua.options"
local ordered = require "hflua.ordered"

local components = {}

--- A regular expression where a pattern is expected.
function components.Regex(pattern) return { Regex = pattern } end

-- ---- values as tokenizer.json has them

local behaviors = { removed = "Removed", isolated = "Isolated", merged_with_previous = "MergedWithPrevious",
  merged_with_next = "MergedWithNext", contiguous = "Contiguous" }

local function behavior(value)
  return behaviors[value] or errors.raise("behavior: expected removed, isolated, merged_with_previous, merged_with_next or contiguous, found '%s'",
    tostring(value))
end

local function pattern(value)
  if type(value) == "string" then return { String = value } end
  if type(value) == "table" and (type(value.Regex) == "string" or type(value.String) == "string") then return value end
  errors.raise("pattern: expected a string or Regex(...), found %s", type(value))
end

-- { "[CLS]", 1 }
local function token_pair(value)
  if type(value) == "table" and type(value[1]) == "string" and math.type(value[2]) == "integer" then return value end
  errors.raise("expected a token and its id as { '[CLS]', 1 }")
end

local function charsmap(value)
  if type(value) == "string" then return value end
  errors.raise("precompiled_charsmap: expected a string (base64), found %s", type(value))
end

-- ---- kinds: the fields in the order of their positions, each { name, default, in the file, conversion }

local function field(name, default, stored, convert) return { name = name, default = default, stored = stored or name, convert = convert } end

local required = setmetatable({}, { __tostring = function() return "required" end })
local metaspace = { field("replacement", "▁"), field("prepend_scheme", "always"), field("split", true) }
local replace = { field("pattern", required, nil, pattern), field("content", required) }

local kinds = {
  normalizers = {
    BertNormalizer = { field("clean_text", true), field("handle_chinese_chars", true), field("strip_accents", json.null), field("lowercase", true) },
    Lowercase = {}, NFC = {}, NFD = {}, NFKC = {}, NFKD = {}, Nmt = {}, StripAccents = {}, ByteLevel = {},
    Strip = { field("left", true, "strip_left"), field("right", true, "strip_right") },
    Prepend = { field("prepend", "▁") }, Replace = replace,
    Precompiled = { field("precompiled_charsmap", required, nil, charsmap) },
  },
  pre_tokenizers = {
    BertPreTokenizer = {}, Whitespace = {}, WhitespaceSplit = {}, UnicodeScripts = {},
    ByteLevel = { field("add_prefix_space", true), field("trim_offsets", true), field("use_regex", true) },
    CharDelimiterSplit = { field("delimiter", required) }, Digits = { field("individual_digits", false) },
    FixedLength = { field("length", 5) }, Metaspace = metaspace, Punctuation = { field("behavior", "isolated", nil, behavior) },
    Split = { field("pattern", required, nil, pattern), field("behavior", required, nil, behavior), field("invert", false) },
  },
  decoders = {
    BPEDecoder = { field("suffix", "</w>") }, ByteFallback = {}, Fuse = {}, Metaspace = metaspace, Replace = replace,
    ByteLevel = { field("add_prefix_space", true), field("trim_offsets", true), field("use_regex", true) },
    CTC = { field("pad_token", "<pad>"), field("word_delimiter_token", "|"), field("cleanup", true) },
    Strip = { field("content", " "), field("left", 0, "start"), field("right", 0, "stop") },
    WordPiece = { field("prefix", "##"), field("cleanup", true) },
  },
  processors = {
    BertProcessing = { field("sep", required, nil, token_pair), field("cls", required, nil, token_pair) },
    RobertaProcessing = { field("sep", required, nil, token_pair), field("cls", required, nil, token_pair), field("trim_offsets", true),
      field("add_prefix_space", true) },
    ByteLevel = { field("add_prefix_space", true), field("trim_offsets", true), field("use_regex", true) },
  },
  models = {
    BPE = { field("vocab", {}), field("merges", json.array {}), field("dropout", json.null), field("unk_token", json.null),
      field("continuing_subword_prefix", json.null), field("end_of_word_suffix", json.null), field("fuse_unk", false),
      field("byte_fallback", false), field("ignore_merges", false) },
    Unigram = { field("vocab", json.array {}), field("unk_id", json.null), field("byte_fallback", false) },
    WordLevel = { field("vocab", {}), field("unk_token", "<unk>") },
    WordPiece = { field("vocab", {}), field("unk_token", "[UNK]"), field("max_input_chars_per_word", 100), field("continuing_subword_prefix", "##") },
  },
}

-- What a Sequence calls its parts in tokenizer.json.
local parts_of = { normalizers = "normalizers", pre_tokenizers = "pretokenizers", decoders = "decoders", processors = "processors" }

-- ---- trying a component by itself

-- An engine with this component alone.
local function engine_with(name, component)
  local document = { model = { type = "WordLevel", vocab = { ["<unk>"] = 0 }, unk_token = "<unk>" }, [name] = component }
  return core.from_json(json.encode(document), component.type)
end

local methods = { normalizers = {}, pre_tokenizers = {}, decoders = {}, processors = {}, models = {} }

--- The text as the normalizer leaves it.
function methods.normalizers:normalize_str(text) return engine_with("normalizer", self):normalize(text) end

--- A list of { piece, { first character, character behind the last } }, from 0.
function methods.pre_tokenizers:pre_tokenize_str(text)
  local pieces = {}
  for i, piece in ipairs(engine_with("pre_tokenizer", self):pre_tokenize(text)) do pieces[i] = { piece[1], { piece[2], piece[3] } } end
  return pieces
end

--- The text of a list of tokens.
function methods.decoders:decode(tokens) return engine_with("decoder", self):join(tokens) end

-- ---- constructors

local function is_named(given) return type(given) == "table" and #given == 0 and next(given) ~= nil and not given.Regex and not given.String end

-- Arguments by position, then a table of named ones.
local function read_arguments(name, fields, ...)
  local given, named = table.pack(...), {}
  local last = given[given.n]
  if given.n > 0 and is_named(last) then
    local known = {}
    for _, f in ipairs(fields) do known[f.name] = true end
    for key, value in pairs(options.check(name, last, known)) do named[key] = value end
    given.n = given.n - 1
  end
  if given.n > #fields then errors.raise("%s: expected at most %d arguments, found %d", name, #fields, given.n) end
  for i = 1, given.n do named[fields[i].name] = given[i] end
  return named
end

local function construct(family, name, fields, ...)
  local named, component = read_arguments(name, fields, ...), ordered.with_methods(name, methods[family])
  component.type = name
  for _, f in ipairs(fields) do
    local value = named[f.name]
    if value == nil then value = f.default end
    if value == required then errors.raise("%s: %s is required", name, f.name) end
    if f.convert then value = f.convert(value) end
    component[f.stored] = value
  end
  return component
end

local function sequence(family, list)
  if type(list) ~= "table" or (#list == 0 and next(list) ~= nil) then errors.raise("Sequence: expected a list of %s", family) end
  local component, parts = ordered.with_methods("Sequence", methods[family]), json.array {}
  for i, part in ipairs(list) do parts[i] = part end
  component.type = "Sequence"
  component[parts_of[family]] = parts
  return component
end

-- ---- TemplateProcessing

-- "$A:0", "$1", "[SEP]:1" as a piece of a template.
local function template_piece(text)
  local id, type_id = text:match "^(.+):(%d+)$"
  id, type_id = id or text, math.tointeger(tonumber(type_id or 0))
  if id:sub(1, 1) ~= "$" then return { SpecialToken = { id = id, type_id = type_id } } end
  if id:match "^%$%d+$" then return { Sequence = { id = "A", type_id = math.tointeger(tonumber(id:sub(2))) } } end
  local sequence_id = id == "$" and "A" or id:sub(2):upper()
  if sequence_id ~= "A" and sequence_id ~= "B" then errors.raise("TemplateProcessing: '%s' is not a piece: expected $A, $B, $0 or a special token", text) end
  return { Sequence = { id = sequence_id, type_id = type_id } }
end

local function template(given)
  local pieces, list = json.array {}, given
  if type(given) == "string" then
    list = {}
    for piece in given:gmatch "%S+" do list[#list + 1] = piece end
  end
  for i, piece in ipairs(list) do pieces[i] = template_piece(piece) end
  return pieces
end

-- { { "[CLS]", 1 }, ... } or { { id = , ids = , tokens = }, ... }
local function template_tokens(list)
  local tokens = ordered.new()
  for _, entry in ipairs(list or {}) do
    local name, ids, texts = entry.id, entry.ids, entry.tokens
    if entry[1] then
      token_pair(entry)
      name, ids, texts = entry[1], { entry[2] }, { entry[1] }
    end
    tokens[name] = { id = name, ids = ids, tokens = texts }
  end
  return tokens
end

local function template_processing(given)
  options.check("TemplateProcessing", given, { "single", "pair", "special_tokens" })
  local component = ordered.with_methods("TemplateProcessing", methods.processors)
  component.type = "TemplateProcessing"
  component.single = template(given.single or "$0")
  component.pair = template(given.pair or "$A:0 $B:1")
  component.special_tokens = template_tokens(given.special_tokens)
  return component
end

-- ---- the families

local function byte_level_alphabet()
  local characters, kept, others = {}, {}, 0
  for byte = 0, 255 do kept[byte] = (byte >= 33 and byte <= 126) or (byte >= 161 and byte <= 172) or byte >= 174 end
  for byte = 0, 255 do
    characters[byte + 1] = utf8.char(kept[byte] and byte or 256 + others)
    if not kept[byte] then others = others + 1 end
  end
  return characters
end

--- The 256 characters that stand for bytes.
components.byte_level_alphabet = byte_level_alphabet

local function callable(make, extra)
  return setmetatable(extra or {}, { __call = function(_, ...) return make(...) end })
end

for family, known in pairs(kinds) do
  local list, names = {}, {}
  for name, fields in pairs(known) do
    list[name] = callable(function(...) return construct(family, name, fields, ...) end,
      name == "ByteLevel" and { alphabet = byte_level_alphabet } or nil)
    names[#names + 1] = name
  end
  if parts_of[family] then list.Sequence = callable(function(parts) return sequence(family, parts) end) end
  if family == "processors" then list.TemplateProcessing = callable(template_processing) end
  table.sort(names)
  components[family] = setmetatable(list, { __index = function(_, name)
    errors.raise("hf.tokenizer.%s has no %s; there are %s", family, tostring(name), table.concat(names, ", "))
  end })
end

return components
