--- GenerationConfig: how `generate` chooses tokens. From generation_config.json of a checkpoint, overridden by the call.
--
--     model.generation_config.max_new_tokens = 50
--     local config = hf.GenerationConfig{ do_sample = true, top_p = 0.9 }
--     model:generate(ids, { generation_config = config })
local errors = require "hflua.errors"
local hub = require "hflua.hub"
local json = require "hflua.core.json"
local notes = require "hflua.trainer.notes"
local options_of = require "hflua.options"

local Config = { __name = "GenerationConfig" }

--- What holds where neither the call nor the checkpoint says otherwise.
Config.defaults = {
  max_length = 20, min_length = 0, do_sample = false, use_cache = true, early_stopping = false, num_beams = 1, temperature = 1.0,
  top_k = 50, top_p = 1.0, typical_p = 1.0, repetition_penalty = 1.0, length_penalty = 1.0, no_repeat_ngram_size = 0,
  num_return_sequences = 1, output_scores = false, output_logits = false, return_dict_in_generate = false,
  remove_invalid_values = false, renormalize_logits = false, epsilon_cutoff = 0.0, eta_cutoff = 0.0,
}

local function whole(least) return function(v) return math.type(v) == "integer" and v >= least end end
local function count(v) return math.type(v) == "integer" and v >= 1 and v <= 0x7fffffff end
local function number(v) return type(v) == "number" and v == v end
local function within(low, high) return function(v) return number(v) and v >= low and v <= high end end
local function positive(v) return number(v) and v > 0 and v < math.huge end
local function boolean(v) return type(v) == "boolean" end
local function list_of(check)
  return function(v)
    if type(v) ~= "table" then return false end
    for _, item in ipairs(v) do
      if not check(item) then return false end
    end
    return true
  end
end
local id = whole(0)
local function id_or_ids(v) return math.type(v) == "integer" or (list_of(math.type)(v) and #v > 0) end
local function text(v) return type(v) == "string" and v ~= "" end

local A_COUNT, AN_ID, IDS = "a whole number in 1 .. 2147483647", "a token id", "a list of token ids"
local FRACTION, SWITCH, POSITIVE = "a number in 0 .. 1", "true or false", "a number above 0"

-- name -> { check, what is expected }
local fields = {
  max_length = { count, A_COUNT }, max_new_tokens = { count, A_COUNT }, min_length = { whole(0), "a whole number of at least 0" },
  min_new_tokens = { whole(0), "a whole number of at least 0" }, max_time = { positive, POSITIVE },
  early_stopping = { function(v) return boolean(v) or v == "never" end, "true, false or \"never\"" },
  stop_strings = { function(v) return text(v) or (list_of(text)(v) and #v > 0) end, "a text, or a list of texts" },
  do_sample = { boolean, SWITCH }, num_beams = { count, A_COUNT }, use_cache = { boolean, SWITCH },
  temperature = { positive, POSITIVE .. " (do_sample=false is greedy)" }, top_k = { whole(0), "a whole number of at least 0 (0: off)" },
  top_p = { within(0, 1), FRACTION }, min_p = { within(0, 1), FRACTION },
  top_h = { function(v) return positive(v) and v <= 1 end, "a number above 0, at most 1" },
  typical_p = { function(v) return positive(v) and v <= 1 end, "a number above 0, at most 1" },
  epsilon_cutoff = { within(0, 1), FRACTION }, eta_cutoff = { within(0, 1), FRACTION },
  repetition_penalty = { positive, POSITIVE }, encoder_repetition_penalty = { positive, POSITIVE }, length_penalty = { number, "a number" },
  no_repeat_ngram_size = { whole(0), "a whole number of at least 0" }, encoder_no_repeat_ngram_size = { whole(0), "a whole number of at least 0" },
  bad_words_ids = { function(v) return list_of(list_of(id))(v) and #v > 0 end, "a list of lists of token ids" },
  renormalize_logits = { boolean, SWITCH }, remove_invalid_values = { boolean, SWITCH },
  forced_bos_token_id = { id, AN_ID }, forced_eos_token_id = { function(v) return id(v) or list_of(id)(v) end, "a token id, or a list of them" },
  exponential_decay_length_penalty = { function(v) return type(v) == "table" and #v == 2 and math.type(v[1]) == "integer" and positive(v[2]) end, "{start, factor}" },
  suppress_tokens = { list_of(id), IDS }, begin_suppress_tokens = { list_of(id), IDS },
  sequence_bias = { function(v) return type(v) == "table" and #v > 0 end, "a list of { {token id, ...}, bias }" },
  num_return_sequences = { count, A_COUNT }, output_scores = { boolean, SWITCH }, output_logits = { boolean, SWITCH },
  output_attentions = { boolean, SWITCH }, output_hidden_states = { boolean, SWITCH }, return_dict_in_generate = { boolean, SWITCH },
  pad_token_id = { function(v) return math.type(v) == "integer" end, AN_ID }, bos_token_id = { id, AN_ID },
  eos_token_id = { id_or_ids, "a token id, or a list of them" }, decoder_start_token_id = { id_or_ids, AN_ID },
  cache_implementation = { text, "a text" }, max_cache_len = { count, A_COUNT },
}

-- Strategies that transformers 5 no longer has; value that is harmless.
local removed = {
  penalty_alpha = { 0, "contrastive search" }, num_beam_groups = { 1, "group beam search" }, diversity_penalty = { 0, "group beam search" },
  constraints = { nil, "constrained beam search" }, force_words_ids = { nil, "constrained beam search" }, dola_layers = { nil, "DoLa" },
  assistant_model = { nil, "assisted generation" }, prompt_lookup_num_tokens = { nil, "assisted generation" },
  assistant_early_exit = { nil, "assisted generation" }, use_mtp = { false, "assisted generation" }, low_memory = { false, "low_memory" },
}

-- Fields that may stand in a file without a meaning here.
local carried = { "transformers_version", "_from_model_config", "_commit_hash", "cache_config", "compile_config", "token_healing", "guidance_scale",
  "watermarking_config", "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold", "max_matching_ngram_size",
  "assistant_lookbehind", "target_lookbehind", "is_assistant", "disable_compile", "prefill_chunk_size", "name_or_path" }
local unknown_here = {}
for _, name in ipairs(carried) do unknown_here[name] = true end

--- Names of all fields, for messages and completion.
function Config.names()
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  return names
end

function Config.is_field(name) return fields[name] ~= nil or removed[name] ~= nil end

-- Checks one given value.
local function check_field(where, name, value)
  local gone = removed[name]
  if gone then
    if value == gone[1] then return end
    errors.raise("%s: %s: %s was removed in transformers 5 and is not offered here; use beam search (num_beams) or sampling (do_sample)", where, name, gone[2])
  end
  local rule = fields[name]
  if rule and not rule[1](value) then
    errors.raise("%s: %s: expected %s, found %s", where, name, rule[2], type(value) == "table" and json.encode(value) or tostring(value))
  end
end

local methods = {}

--- Sets fields; hf.null takes a field away, so that its default holds again (for eos_token_id: no end token).
function methods:update(values, where)
  for name, value in pairs(values or {}) do
    if value ~= json.null then check_field(where or Config.__name, name, value) end
    rawset(self, name, value)
  end
  return self
end

--- The fields that are set, as generation_config.json holds them.
function methods:to_dict()
  local out = {}
  for name, value in pairs(self) do
    if name ~= "name_or_path" and value ~= json.null then out[name] = value end
  end
  return out
end

local SAMPLING = { { "temperature", 1.0 }, { "top_p", 1.0 }, { "min_p" }, { "top_h" }, { "typical_p", 1.0 }, { "top_k", 50 }, { "epsilon_cutoff", 0.0 }, { "eta_cutoff", 0.0 } }
local BEAMS = { { "early_stopping", false }, { "length_penalty", 1.0 } }
local RECORDED = { "output_scores", "output_logits", "output_attentions", "output_hidden_states" }

local function given(self, name)
  local value = rawget(self, name)
  if value == json.null then return nil end
  return value
end

-- Names of `list` that are set to something other than their default.
local function ineffective(self, list, issues)
  for _, entry in ipairs(list) do
    local value = given(self, entry[1])
    if value ~= nil and value ~= entry[2] then issues[#issues + 1] = entry[1] end
  end
end

--- Errors for combinations that cannot work; returns the names of fields that have no effect.
-- `only`: a set of names the caller gave; others are not reported.
function methods:validate(only)
  local where, issues = Config.__name, {}
  local beams, sample, count = given(self, "num_beams") or 1, given(self, "do_sample"), given(self, "num_return_sequences") or 1
  if not sample then ineffective(self, SAMPLING, issues) end
  if beams == 1 then ineffective(self, BEAMS, issues) end
  if not given(self, "return_dict_in_generate") then
    for _, name in ipairs(RECORDED) do
      if given(self, name) then issues[#issues + 1] = name end
    end
  end
  if count > 1 and beams == 1 and not sample then
    errors.raise("%s: num_return_sequences: greedy search gives 1 sequence, found %d; set do_sample=true or num_beams", where, count)
  elseif beams > 1 and count > beams then
    errors.raise("%s: num_return_sequences: expected at most num_beams %d, found %d", where, beams, count)
  end
  self:check_forced()
  local named = {}
  for _, name in ipairs(issues) do
    if not only or only[name] then named[#named + 1] = name end
  end
  return named
end

--- Error where every token that is forced is also suppressed: nothing could be chosen.
function methods:check_forced()
  local suppressed = {}
  for _, token in ipairs(given(self, "suppress_tokens") or {}) do suppressed[token] = true end
  for _, name in ipairs { "forced_bos_token_id", "forced_eos_token_id" } do
    local forced, left = given(self, name), false
    if forced then
      for _, token in ipairs(type(forced) == "table" and forced or { forced }) do left = left or not suppressed[token] end
      if not left then errors.raise("%s: %s: every forced token is also in suppress_tokens, so nothing could be chosen", Config.__name, name) end
    end
  end
end

--- Writes generation_config.json into the folder.
function methods:save_pretrained(folder)
  require("hflua.core.system").makedirs(folder)
  json.save_file(self:to_dict(), folder .. "/generation_config.json", { indent = 2, sort_keys = true })
end

--- A copy.
methods.clone = require "hflua.copy"

local meta = { __name = Config.__name, __index = methods }

function meta.__newindex(self, name, value)
  if value ~= nil and value ~= json.null then
    if not fields[name] and not removed[name] and not unknown_here[name] then
      errors.raise("%s: %s", Config.__name, options_of.unknown("option", name, Config.names()))
    end
    check_field(Config.__name, name, value)
  end
  rawset(self, name, value)
end

function meta.__tostring(self) return Config.__name .. " " .. json.encode(self:to_dict(), { indent = 2, sort_keys = true }) end

local function new() return setmetatable({}, meta) end

--- From a table as generation_config.json holds it: fields that are not known are kept.
function Config.from_dict(values, where)
  if type(values) ~= "table" then errors.raise("%s: expected an object, found %s", where or Config.__name, type(values)) end
  local known = {}
  for name, value in pairs(values) do
    if value ~= json.null then known[name] = value end
  end
  return new():update(known, where)
end

--- From a folder or a name; options override its fields.
function Config.from_pretrained(source, options)
  local path = hub.open(source, { kind = "model" }):need("generation_config.json")
  return Config.from_dict(json.load_file(path), path):update(options)
end

local TOKENS = { "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id" }

--- What a model's configuration says: its special tokens.
function Config.from_model_config(config)
  local values = { _from_model_config = true }
  for _, name in ipairs(TOKENS) do
    local value = config[name]
    if value ~= nil and value ~= json.null then values[name] = value end
  end
  return new():update(values)
end

--- The configuration of a model's folder, else what config.json says.
function Config.of_folder(folder, config)
  local path = folder .. "/generation_config.json"
  if hub.is_file(path) then return Config.from_dict(json.load_file(path), path) end
  return Config.from_model_config(config)
end

--- Notes fields without effect, once for each set of them.
function Config.note_ineffective(names)
  if #names == 0 then return end
  notes.once("generate: these options have no effect here: %s; sampling options need do_sample=true, beam options num_beams above 1, output_* return_dict_in_generate=true",
    table.concat(names, ", "))
end

return setmetatable(Config, {
  __call = function(_, values)
    local config = new()
    for name, value in pairs(values or {}) do config[name] = value end
    Config.note_ineffective(config:validate())
    return config
  end,
  __tostring = function() return "class GenerationConfig" end,
})
