--- from_pretrained: a folder's files to a tokenizer. tokenizer.json wins over vocab.txt; tokenizer_config.json,
-- special_tokens_map.json and added_tokens.json say what the special tokens are.
local Tokenizer = require "hflua.tokenizer.pretrained"
local call_options = require "hflua.tokenizer.call_options"
local classes = require "hflua.tokenizer.classes"
local core = require "hflua.core.tokenizer"
local errors = require "hflua.errors"
local hub = require "hflua.hub"
local json = require "hflua.core.json"
local options = require "hflua.options"
local ordered = require "hflua.ordered"
local special_tokens = require "hflua.tokenizer.special_tokens"

local loading = {}

-- Options of from_pretrained that say where, not what.
local place_options = { revision = true, cache_dir = true, subfolder = true, use_fast = true, local_files_only = true,
  force_download = true, token = true, trust_remote_code = true }

-- Settings of a tokenizer: the type of each.
local setting_types = { do_lower_case = "boolean", strip_accents = "boolean", tokenize_chinese_chars = "boolean",
  model_max_length = "number", padding_side = "string", truncation_side = "string", split_special_tokens = "boolean",
  clean_up_tokenization_spaces = "boolean", model_input_names = "table", add_prefix_space = "boolean",
  additional_special_tokens = "table", extra_special_tokens = "table", pad_token_type_id = "number", name_or_path = "string",
  tokenizer_class = "string" }

local function known_options()
  local known = {}
  for name in pairs(place_options) do known[name] = true end
  for name in pairs(setting_types) do known[name] = true end
  for _, name in ipairs(special_tokens.names) do known[name] = true end
  return known
end

local function check_setting(where, name, value)
  local expected = setting_types[name]
  if expected and value ~= nil and value ~= json.null and type(value) ~= expected then
    errors.raise("%s: %s: expected a %s, found a %s", where, name, expected, type(value))
  end
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

local function read_json(path)
  if not hub.is_file(path) then return nil end
  local value = json.load_file(path)
  if type(value) ~= "table" then errors.raise("%s: expected a JSON object", path) end
  return value
end

-- ---- settings

-- Copies what `given` names over `settings`; hf.null is none.
local function merge(settings, given, where)
  for name, value in pairs(given) do
    if not place_options[name] then
      check_setting(where, name, value)
      settings[name] = value
    end
  end
end

--- Everything the files of a folder say beside the vocabulary, and the options over it.
local function read_settings(folder, given)
  local settings = {}
  merge(settings, read_json(folder .. "/tokenizer_config.json") or {}, folder .. "/tokenizer_config.json")
  if settings.added_tokens_decoder == nil then
    merge(settings, read_json(folder .. "/special_tokens_map.json") or {}, folder .. "/special_tokens_map.json")
  end
  merge(settings, given, "from_pretrained")
  return settings
end

local function default_tokens(class, settings)
  local tokens = {}
  for name, text in pairs(class.tokens) do tokens[name] = text end
  for name, token in pairs(settings) do
    if special_tokens.is_name(name) then
      tokens[name] = token ~= json.null and (type(token) == "string" or type(token) == "table") and token or nil
    end
  end
  return tokens
end

-- ---- engines

-- Options of BERT that contradict the normalizer of tokenizer.json change it.
local function apply_bert_options(engine, document, settings)
  local normalizer = document:find('"BertNormalizer"', 1, true)
  if not normalizer then return end
  local names = { do_lower_case = "lowercase", strip_accents = "strip_accents", tokenize_chinese_chars = "handle_chinese_chars" }
  for setting, option in pairs(names) do
    if settings[setting] ~= nil then
      local value = settings[setting]
      if value == json.null then value = nil end
      engine:set_normalizer_option("BertNormalizer", option, value)
    end
  end
end

local function from_document(path, settings)
  local document = read(path) or errors.raise("%s: cannot be read", path)
  local engine = core.from_json(document, path)
  apply_bert_options(engine, document, settings)
  return engine
end

-- Ids of lines of a vocabulary text.
local function line_finder(text, path)
  return function(token, name)
    local id = 0
    for line in text:gmatch("([^\n]*)\n?") do
      if line:gsub("%s+$", "") == token then return id end
      id = id + 1
    end
    errors.raise("%s: the %s '%s' is not in the vocabulary", path, name, tostring(token))
  end
end

local function texts_of(tokens)
  local texts = {}
  for name, token in pairs(tokens) do texts[name] = special_tokens.text(token, name) end
  return texts
end

local function from_vocabulary(class, path, settings, tokens)
  local text = read(path) or errors.raise("%s: cannot be read", path)
  return core.from_json(classes.document(class, settings, texts_of(tokens), line_finder(text, path)), path, text)
end

-- ---- the tokenizer

-- Added tokens of a slow tokenizer's files: added_tokens_decoder of the config, else added_tokens.json.
local function add_listed_tokens(tokenizer, folder, settings)
  local list, special = {}, {}
  for _, text in ipairs(tokenizer.all_special_tokens) do special[text] = true end
  for id, token in pairs(settings.added_tokens_decoder or {}) do
    list[#list + 1] = { id = math.tointeger(tonumber(id)) or errors.raise("%s: added_tokens_decoder: '%s' is not an id", folder, tostring(id)), token = token }
  end
  if not settings.added_tokens_decoder and folder then
    for text, id in pairs(read_json(folder .. "/added_tokens.json") or {}) do
      list[#list + 1] = { id = id, token = { content = text, special = special[text] or false } }
    end
  end
  table.sort(list, function(a, b) return a.id < b.id end)
  for _, entry in ipairs(list) do
    tokenizer:add_tokens { entry.token }
    local id = tokenizer:convert_tokens_to_ids(special_tokens.text(entry.token, "added token"))
    if id ~= entry.id then
      errors.raise("%s: added token '%s': expected id %d, but the vocabulary gives it %s", folder or "tokenizer",
        special_tokens.text(entry.token, "added token"), entry.id, tostring(id))
    end
  end
end

-- Special tokens that the engine does not know yet are added to it.
local function add_special_tokens(tokenizer, tokens, settings)
  local named = ordered.new()
  for _, name in ipairs(special_tokens.names) do named[name] = tokens[name] end
  for name, token in ordered.pairs(tokens) do named[name] = token end
  local records, known = {}, tokenizer.added_tokens_encoder
  for name, token in pairs(named) do
    tokenizer._special:set(name, token)
    if not known[special_tokens.text(token, name)] then records[#records + 1] = special_tokens.record(token, name, true) end
  end
  if #records > 0 then tokenizer._engine:add_tokens(records) end
  local extra = settings.extra_special_tokens or settings.additional_special_tokens
  if type(extra) == "table" and #extra > 0 then tokenizer:add_special_tokens { extra_special_tokens = extra } end
end

local function apply_settings(tokenizer, class, settings)
  tokenizer.model_input_names = class.columns
  for _, name in ipairs { "model_max_length", "padding_side", "truncation_side", "split_special_tokens", "clean_up_tokenization_spaces",
    "model_input_names", "pad_token_type_id", "name_or_path" } do
    local value = settings[name]
    if value ~= nil and value ~= json.null then tokenizer[name] = value end
  end
  call_options.check { padding_side = tokenizer.padding_side, truncation_side = tokenizer.truncation_side }
end

local function finish(engine, name, class, settings, tokens, folder)
  local tokenizer = Tokenizer.new(engine, name, settings)
  add_special_tokens(tokenizer, tokens, settings)
  add_listed_tokens(tokenizer, folder, settings)
  apply_settings(tokenizer, class, settings)
  return tokenizer
end

local function missing_files(folder, class)
  if hub.is_file(folder .. "/vocab.json") and hub.is_file(folder .. "/merges.txt") then
    errors.raise("%s: vocab.json and merges.txt: byte-level BPE is not supported; WordPiece (tokenizer.json or vocab.txt) is", folder)
  end
  errors.raise("%s: no tokenizer files: expected tokenizer.json%s", folder, class.vocabulary and " or " .. class.vocabulary or "")
end

--- A tokenizer from a folder or a name in the local cache. wanted: the class asked for, nil: what the files say.
function loading.from_pretrained(name, given, wanted)
  given = options.check("from_pretrained", given, known_options())
  local folder = hub.resolve(name, { kind = "model", revision = given.revision, cache_dir = given.cache_dir })
  if given.subfolder then folder = folder .. "/" .. given.subfolder end
  local settings = read_settings(folder, given)
  local config = read_json(folder .. "/config.json") or {}
  local class_name, class = classes.of_checkpoint(settings, config.model_type)
  if wanted then class_name, class = wanted, classes.find(wanted) end
  local tokens, engine = default_tokens(class, settings), nil
  if hub.is_file(folder .. "/tokenizer.json") then engine = from_document(folder .. "/tokenizer.json", settings)
  elseif hub.is_file(folder .. "/vocab.txt") and not class.vocabulary then
    class_name, class = "BertTokenizer", classes.find("BertTokenizer")
    tokens = default_tokens(class, settings)
  end
  if not engine then
    local path = class.vocabulary and folder .. "/" .. class.vocabulary
    if not path or not hub.is_file(path) then missing_files(folder, class) end
    engine = from_vocabulary(class, path, settings, tokens)
  end
  settings.name_or_path = name
  return finish(engine, class_name, class, settings, tokens, folder)
end

--- A tokenizer from the path of a vocab.txt or tokenizer.json: Class(path, options).
function loading.from_file(path, given, class_name)
  given = options.check(class_name, given, known_options())
  if type(path) ~= "string" then errors.raise("%s: expected the path of a vocabulary file, found %s", class_name, type(path)) end
  if not hub.is_file(path) then errors.raise("%s: %s: no such file", class_name, path) end
  local class, settings = classes.find(class_name), {}
  merge(settings, given, class_name)
  local tokens = default_tokens(class, settings)
  local engine
  if path:find("%.json$") then engine = from_document(path, settings)
  elseif class.document then engine = from_vocabulary(class, path, settings, tokens)
  else classes.unsupported(class_name) end
  return finish(engine, class_name, class, settings, tokens, nil)
end

return loading
