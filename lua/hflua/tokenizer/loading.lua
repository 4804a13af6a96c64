--- from_pretrained: a folder's files to a tokenizer. tokenizer.json wins over vocab.txt; tokenizer_config.json,
-- special_tokens_map.json and added_tokens.json say what the special tokens are.
local Tokenizer = require "hflua.tokenizer.pretrained"
local backend = require "hflua.tokenizer.backend"
local chat = require "hflua.tokenizer.chat"
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
local from_object

-- Options of from_pretrained that say where, not what.
local place_options = { subfolder = true, use_fast = true, trust_remote_code = true }
for _, name in ipairs(hub.place_options) do place_options[name] = true end

-- Settings of a tokenizer: the type of each.
local setting_types = { do_lower_case = "boolean", strip_accents = "boolean", tokenize_chinese_chars = "boolean",
  model_max_length = "number", padding_side = "string", truncation_side = "string", split_special_tokens = "boolean",
  clean_up_tokenization_spaces = "boolean", model_input_names = "table", add_prefix_space = "boolean",
  additional_special_tokens = "table", extra_special_tokens = "table", extra_ids = "number", pad_token_type_id = "number", name_or_path = "string",
  tokenizer_class = "string", add_bos_token = "boolean", add_eos_token = "boolean", trim_offsets = "boolean", errors = "string",
  chat_template = false } -- checked by chat.lua

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

-- Sets options of the components of one type, in sequences too; returns whether one differs from before.
local function set_component_options(component, type_name, options_of)
  local changed = false
  for _, list in ipairs { component.pretokenizers or {}, component.processors or {} } do
    for _, part in ipairs(list) do changed = set_component_options(part, type_name, options_of) or changed end
  end
  if component.type ~= type_name then return changed end
  for option, value in pairs(options_of) do
    changed = changed or component[option] ~= value
    component[option] = value
  end
  return changed
end

local function set_part_options(engine, part, type_name, options_of)
  local component = json.decode(engine:part(part))
  if type(component) ~= "table" or not set_component_options(component, type_name, options_of) then return end
  engine:set_part(part, json.encode(component))
end

-- add_prefix_space and trim_offsets that contradict tokenizer.json change it.
local function apply_byte_level_options(engine, settings)
  local prefix, trim = settings.add_prefix_space, settings.trim_offsets
  if type(prefix) == "boolean" then set_part_options(engine, "pre_tokenizer", "ByteLevel", { add_prefix_space = prefix }) end
  local roberta = {}
  if type(prefix) == "boolean" then roberta.add_prefix_space = prefix end
  if type(trim) == "boolean" then roberta.trim_offsets = trim end
  if next(roberta) then set_part_options(engine, "post_processor", "RobertaProcessing", roberta) end
end

local function from_document(path, settings)
  local document = read(path) or errors.raise("%s: cannot be read", path)
  local engine = core.from_json(document, path)
  apply_bert_options(engine, document, settings)
  apply_byte_level_options(engine, settings)
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

-- vocab.json and merges.txt.
local function from_vocabulary_and_merges(class, vocabulary, merges, settings)
  local ids = read(vocabulary) or errors.raise("%s: cannot be read", vocabulary)
  local pairs_of = read(merges) or errors.raise("%s: cannot be read", merges)
  return core.from_json(classes.document(class, settings), vocabulary, ids, pairs_of, merges)
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

-- <extra_id_0> and so on of T5, nil for other classes.
local function sentinels(count)
  if not count or count == json.null then return nil end
  local list = {}
  for i = 1, count do list[i] = ("<extra_id_%d>"):format(i - 1) end
  return list
end

-- Special tokens that the engine does not know yet are added to it.
local function add_special_tokens(tokenizer, class, tokens, settings)
  local named = ordered.new()
  for _, name in ipairs(special_tokens.names) do named[name] = tokens[name] end
  for name, token in ordered.pairs(tokens) do named[name] = token end
  local records, known = {}, tokenizer.added_tokens_encoder
  for name, token in pairs(named) do
    tokenizer._special:set(name, token)
    if not known[special_tokens.text(token, name)] then records[#records + 1] = special_tokens.record(token, name, true) end
  end
  if #records > 0 then tokenizer._engine:add_tokens(records) end
  local extra = settings.extra_special_tokens or settings.additional_special_tokens or sentinels(settings.extra_ids or class.extra_ids)
  if type(extra) == "table" and #extra > 0 then tokenizer:add_special_tokens { extra_special_tokens = extra } end
end

local function apply_settings(tokenizer, class, settings)
  tokenizer.model_input_names = class.columns
  tokenizer.padding_side = class.padding_side or tokenizer.padding_side
  tokenizer.model_max_length = class.model_max_length or tokenizer.model_max_length
  for _, name in ipairs { "model_max_length", "padding_side", "truncation_side", "split_special_tokens", "clean_up_tokenization_spaces",
    "model_input_names", "pad_token_type_id", "name_or_path" } do
    local value = settings[name]
    if value ~= nil and value ~= json.null then tokenizer[name] = value end
  end
  call_options.check { padding_side = tokenizer.padding_side, truncation_side = tokenizer.truncation_side }
end

-- What depends on the ids of special tokens. made: the engine comes from vocabulary files.
local function set_post_processor(tokenizer, class, settings, tokens, made)
  local function id_of(token, name)
    return tokenizer._engine:id(token) or errors.raise("the %s '%s' is not in the vocabulary", name, tostring(token))
  end
  local explicit = type(settings.add_bos_token) == "boolean" or type(settings.add_eos_token) == "boolean"
  local document
  if explicit then document = classes.bos_eos_template(settings, tokens, id_of)
  elseif made then document = classes.post_processor(class, settings, tokens, id_of) end
  if document then tokenizer._engine:set_part("post_processor", document) end
end

local function finish(engine, name, class, settings, tokens, folder, made)
  local tokenizer = Tokenizer.new(engine, name, settings)
  add_special_tokens(tokenizer, class, tokens, settings)
  add_listed_tokens(tokenizer, folder, settings)
  apply_settings(tokenizer, class, settings)
  set_post_processor(tokenizer, class, settings, texts_of(tokens), made)
  tokenizer.chat_template = chat.load(folder, settings)
  return tokenizer
end

local function missing_files(folder, class)
  local others = class.files and " or " .. table.concat(class.files, " and ") or class.vocabulary and " or " .. class.vocabulary or ""
  errors.raise("%s: no tokenizer files: expected tokenizer.json%s", folder, others)
end

-- An engine from the vocabulary files of a class, nil when they are not all there.
local function from_files(class, folder, settings, tokens)
  local vocabulary = class.vocabulary and folder .. "/" .. class.vocabulary
  if vocabulary and hub.is_file(vocabulary) then return from_vocabulary(class, vocabulary, settings, tokens) end
  if not class.files then return nil end
  local first, second = folder .. "/" .. class.files[1], folder .. "/" .. class.files[2]
  if hub.is_file(first) and hub.is_file(second) then return from_vocabulary_and_merges(class, first, second, settings) end
end

-- Files that say what stands beside the vocabulary.
local settings_files = { "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "config.json" }
local vocabulary_files = { "vocab.txt", "vocab.json", "merges.txt" }

-- The folder of a tokenizer's files; those on the Hub are fetched into it.
local function fetch_files(source, subfolder)
  local prefix = subfolder and subfolder .. "/" or ""
  local function fetch(list)
    for _, file in ipairs(list) do source:file(prefix .. file) end
  end
  fetch(settings_files)
  if not source:file(prefix .. "tokenizer.json") then fetch(vocabulary_files) end
  return source.folder .. (subfolder and "/" .. subfolder or "")
end

local function load_folder(name, folder, given, wanted)
  local settings = read_settings(folder, given)
  local config = read_json(folder .. "/config.json") or {}
  local class_name, class = classes.of_checkpoint(settings, config.model_type)
  if wanted then class_name, class = wanted, classes.find(wanted) end
  local tokens, engine = default_tokens(class, settings), nil
  if hub.is_file(folder .. "/tokenizer.json") then engine = from_document(folder .. "/tokenizer.json", settings)
  elseif hub.is_file(folder .. "/vocab.txt") and not class.vocabulary then
    class_name, class = "BertTokenizer", classes.find("BertTokenizer")
    tokens = default_tokens(class, settings)
  elseif not class.document and hub.is_file(folder .. "/merges.txt") and hub.is_file(folder .. "/vocab.json") then
    class_name, class = "GPT2Tokenizer", classes.find("GPT2Tokenizer")
    tokens = default_tokens(class, settings)
  end
  local made = not engine
  engine = engine or from_files(class, folder, settings, tokens) or missing_files(folder, class)
  settings.name_or_path = name
  return finish(engine, class_name, class, settings, tokens, folder, made)
end

--- A tokenizer from a folder or a name on the Hub. wanted: the class asked for, nil: what the files say.
function loading.from_pretrained(name, given, wanted)
  given = options.check("from_pretrained", given, known_options())
  local source = hub.open(name, hub.place(given, "model"))
  return source:reading(function() return load_folder(name, fetch_files(source, given.subfolder), given, wanted) end)
end

-- Class { tokenizer_object = a Tokenizer, ... } or { tokenizer_file = a path, ... }, with the options of from_pretrained.
function from_object(given, class_name)
  local known, settings, class = known_options(), {}, classes.find(class_name)
  known.tokenizer_object, known.tokenizer_file = true, true
  options.check(class_name, given, known)
  local object, path, rest = given.tokenizer_object, given.tokenizer_file, {}
  for name, value in pairs(given) do
    if name ~= "tokenizer_object" and name ~= "tokenizer_file" then rest[name] = value end
  end
  if path then return loading.from_file(path, rest, class_name) end
  if not backend.is(object) then errors.raise("%s: tokenizer_object: expected a Tokenizer, found %s", class_name, type(object)) end
  merge(settings, rest, class_name)
  return finish(object:_new_engine(), class_name, class, settings, default_tokens(class, settings), nil)
end

--- A tokenizer from the path of a tokenizer.json, a vocab.txt, or a vocab.json and a merges.txt: Class(path[, merges], options).
function loading.from_file(path, given, class_name, merges)
  if type(path) == "table" then return from_object(path, class_name) end
  given = options.check(class_name, given, known_options())
  if type(path) ~= "string" then errors.raise("%s: expected the path of a vocabulary file, found %s", class_name, type(path)) end
  if not hub.is_file(path) then errors.raise("%s: %s: no such file", class_name, path) end
  local class, settings = classes.find(class_name), {}
  merge(settings, given, class_name)
  local tokens = default_tokens(class, settings)
  local engine
  if merges and class.files then
    if not hub.is_file(merges) then errors.raise("%s: %s: no such file", class_name, merges) end
    engine = from_vocabulary_and_merges(class, path, merges, settings)
  elseif path:find("%.json$") then engine = from_document(path, settings)
  elseif class.vocabulary then engine = from_vocabulary(class, path, settings, tokens)
  else classes.unsupported(class_name) end
  return finish(engine, class_name, class, settings, tokens, nil, merges ~= nil)
end

return loading
