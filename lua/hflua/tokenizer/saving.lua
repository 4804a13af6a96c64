--- Saving a tokenizer: tokenizer.json and tokenizer_config.json, as transformers writes them.
local chat = require "hflua.tokenizer.chat"
local json = require "hflua.core.json"
local special_tokens = require "hflua.tokenizer.special_tokens"
local system = require "hflua.core.system"

local saving = {}

-- Settings of the file that was read that must not be written as they were.
local dropped = { added_tokens_decoder = true, additional_special_tokens = true, extra_special_tokens = true, name_or_path = true,
  special_tokens_map_file = true, tokenizer_file = true, chat_template = true, add_bos_token = true, add_eos_token = true }

local function config_of(tokenizer)
  local config = {}
  for name, value in pairs(tokenizer._settings) do
    if not dropped[name] and not special_tokens.is_name(name) then config[name] = value end
  end
  for name, text in pairs(tokenizer.special_tokens_map) do config[name] = text end
  if #tokenizer._special.extra > 0 then config.extra_special_tokens = tokenizer._special.extra end
  for _, name in ipairs { "padding_side", "truncation_side", "clean_up_tokenization_spaces" } do
    if config[name] ~= nil or tokenizer[name] ~= saving.defaults[name] then config[name] = tokenizer[name] end
  end
  config.backend = "tokenizers"
  config.model_max_length = math.tointeger(tokenizer.model_max_length) or tokenizer.model_max_length
  config.tokenizer_class = tokenizer.tokenizer_class
  return config
end

saving.defaults = { padding_side = "right", truncation_side = "right", clean_up_tokenization_spaces = false }

--- Writes both files, and the chat template where there is one, into `folder`, which is made when it is not there; returns the paths.
function saving.save(tokenizer, folder)
  system.makedirs(folder)
  local config, document = folder .. "/tokenizer_config.json", folder .. "/tokenizer.json"
  json.save_file(config_of(tokenizer), config, { indent = 2, sort_keys = true, ensure_ascii = false })
  tokenizer._engine:save(document)
  return table.move(chat.save(tokenizer, folder), 1, 9, 3, { config, document })
end

--- Writes the vocabulary files of the model; `prefix` goes before their names with a hyphen. Returns their paths.
function saving.save_vocabulary(tokenizer, folder, prefix)
  local engine, start = tokenizer._engine, folder .. "/" .. (prefix and prefix .. "-" or "")
  system.makedirs(folder)
  if engine:model_type() ~= "BPE" then return engine:save_vocabulary(start .. "vocab.txt") or { start .. "vocab.txt" } end
  engine:save_vocabulary(start .. "vocab.json")
  engine:save_merges(start .. "merges.txt")
  return { start .. "vocab.json", start .. "merges.txt" }
end

return saving
