--- model:generate(input_ids | { input_ids =, attention_mask =, ... }, options): tokens behind a prompt.
--
--     local ids = tok("Once upon a time", { return_tensors = "pt" })
--     local out = model:generate(ids, { max_new_tokens = 40, do_sample = true, top_p = 0.9 })
--     print(tok:decode(out[1], { skip_special_tokens = true }))
--
-- Options are those of GenerationConfig (config.lua) and the ones below. What the call gives holds before what generation_config (an
-- option) says, then model.generation_config, then the defaults. hf.null switches a setting of the checkpoint off.
local tensor = require "hflua.tensor"
local errors = require "hflua.errors"
local core = require "hflua.core.generation"
local json = require "hflua.core.json"
local notes = require "hflua.trainer.notes"
local options_of = require "hflua.options"
local Config = require "hflua.generation.config"
local Decoder = require "hflua.generation.decoder"
local prompts = require "hflua.generation.inputs"
local processors = require "hflua.generation.processors"
local stopping = require "hflua.generation.stopping"

local generation = {}

-- Options of a call that are no fields of GenerationConfig.
local call_options = { "generation_config", "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "streamer", "tokenizer", "synced_gpus" }
local input_names = { "input_ids", "inputs", "attention_mask", "past_key_values" }

local is_call_option, is_input = {}, {}
for _, name in ipairs(call_options) do is_call_option[name] = true end
for _, name in ipairs(input_names) do is_input[name] = true end

local function unset(value) return value == nil or value == json.null end

-- ---- arguments

-- A table of named inputs, or ids (a tensor, lists)?
local function is_named(inputs) return type(inputs) == "table" and (getmetatable(inputs) ~= nil or type(next(inputs)) == "string") end

local function known_names()
  local names = Config.names()
  table.move(call_options, 1, #call_options, #names + 1, names)
  return table.move(input_names, 1, #input_names, #names + 1, names)
end

-- Puts one named argument where it belongs.
local function sort_argument(given, name, value)
  if type(name) ~= "string" then errors.raise("generate: options are named, found key %s", tostring(name)) end
  if is_input[name] then given.inputs[name == "inputs" and "input_ids" or name] = not unset(value) and value or nil
  elseif is_call_option[name] then given.call[name] = not unset(value) and value or nil
  elseif name == "position_ids" or name == "token_type_ids" or name == "inputs_embeds" then
    errors.raise("generate: %s: it is made from attention_mask here; leave it away", name)
  elseif Config.is_field(name) then given.fields[name] = value
  else errors.raise("generate: %s", options_of.unknown("option", name, known_names())) end
end

-- inputs and options -> { inputs, fields of GenerationConfig, options of the call }
local function sort_arguments(inputs, options)
  local given = { inputs = {}, fields = {}, call = {} }
  if tensor.is_tensor(inputs) or (inputs ~= nil and not is_named(inputs)) then given.inputs.input_ids = inputs
  elseif inputs ~= nil then
    for name, value in pairs(inputs) do
      if name ~= "token_type_ids" then sort_argument(given, name, value) end -- a tokenizer may give them; decoders have none
    end
  end
  if options ~= nil and type(options) ~= "table" then errors.raise("generate: options: expected a table, found %s", type(options)) end
  for name, value in pairs(options or {}) do sort_argument(given, name, value) end
  return given
end

-- ---- the configuration

-- One field through all layers; a second result tells whether some layer above the defaults gave it.
local function lookup(layers, name)
  for _, layer in ipairs(layers) do
    local value = rawget(layer, name)
    if value == json.null then return nil, false end
    if value ~= nil then return value, true end
  end
  return Config.defaults[name], false
end

-- The names of fields that the call itself gave.
local function names_of(given)
  local names = {}
  for _, fields in ipairs { given.fields, given.call.generation_config or {} } do
    for name in pairs(fields) do names[name] = true end
  end
  return names
end

-- Everything in one plain table: defaults filled in, checked; has_max_length, has_min_length tell whether someone set them.
local function settle(model, given)
  local passed = given.call.generation_config
  if passed ~= nil and (type(passed) ~= "table" or getmetatable(passed) == nil or not passed.validate) then
    errors.raise("generate: generation_config: expected a GenerationConfig, found %s", type(passed))
  end
  Config.from_dict({}):update(given.fields, "generate") -- the checks
  local layers = { given.fields, passed or {}, generation.config_of(model) }
  local merged, c = Config.from_dict({}), {}
  for _, name in ipairs(Config.names()) do
    local value, is_given = lookup(layers, name)
    c[name] = value
    if is_given then rawset(merged, name, value) end
    if name == "max_length" then c.has_max_length = is_given elseif name == "min_length" then c.has_min_length = is_given end
  end
  for name, value in pairs(given.fields) do rawset(merged, name, value) end
  Config.note_ineffective(merged:validate(names_of(given)))
  return c
end

--- The generation configuration of a model: its own, else what its folder or its config.json says.
function generation.config_of(model)
  local config = rawget(model, "generation_config")
  if not config then
    config = Config.from_model_config(model.config)
    rawset(model, "generation_config", config)
  end
  return config
end

-- End tokens as a list, or nil; the padding token, the first end token where none is set.
local function special_tokens(c, rows)
  local eos = c.eos_token_id
  if type(eos) == "number" then eos = { eos } end
  if eos and #eos == 0 then eos = nil end
  local pad = c.pad_token_id
  if not pad and eos then
    pad = eos[1]
    if rows > 1 then notes.once("generate: pad_token_id is not set; finished rows are filled with eos_token_id %d", pad) end
  end
  return eos, pad
end

-- max_length and min_length in columns, the prompt included.
local function settle_lengths(c, prompt, model)
  if c.max_new_tokens then
    if c.has_max_length then notes.once("generate: max_new_tokens=%d and max_length=%d are both set; max_new_tokens holds", c.max_new_tokens, c.max_length) end
    c.max_length = prompt + c.max_new_tokens
  elseif not c.has_max_length then
    c.max_length = math.min(prompt + c.max_length, math.max(prompt + 1, model.config.max_position_embeddings or math.huge))
  end
  if c.min_new_tokens then
    if c.has_min_length then notes.once("generate: min_new_tokens=%d and min_length=%d are both set; min_new_tokens holds", c.min_new_tokens, c.min_length) end
    c.min_length = prompt + c.min_new_tokens
  end
  if prompt >= c.max_length then
    errors.raise("generate: the prompt has %d tokens, and max_length is %d: nothing may follow; raise max_length or set max_new_tokens", prompt, c.max_length)
  end
  if c.min_length > c.max_length then
    notes.warn("generate: at least %d tokens are asked for, but at most %d may come", c.min_length, c.max_length)
  end
end

local function check_ids(ids, model)
  local largest, vocabulary = ids:max():item(), model.config.vocab_size
  if vocabulary and (largest >= vocabulary or ids:min():item() < 0) then
    errors.raise("generate: input_ids: expected ids in 0 .. %d, found %d; does the tokenizer belong to this model?", vocabulary - 1, largest >= vocabulary and largest or ids:min():item())
  end
end

-- A prompt longer than the model has seen.
local function check_context(ids, mask, model)
  local limit = model.config.max_position_embeddings
  local longest = mask and mask:sum { dim = 1 }:max():item() or ids.shape[2]
  if limit and longest > limit then
    errors.raise("generate: the prompt has %d tokens, but the model has %d positions; shorten it (truncation=true, max_length=%d)", longest, limit, limit - 1)
  end
end

-- ---- running

-- Room for all tokens: (rows * copies, max_length), padding behind the prompt.
local function room(ids, copies, max_length, fill)
  local rows, prompt = ids.shape[1] * copies, ids.shape[2]
  local all = tensor.full({ rows, max_length }, fill or 0, { dtype = "int64", device = "cpu" })
  all:narrow(1, 0, prompt):copy_(ids:repeat_interleave(copies, 0))
  return all
end

local function check_streamer(c, streamer)
  if streamer == nil then return end
  if c.num_beams > 1 then errors.raise("generate: streamer: beam search changes its mind about tokens; num_beams must be 1") end
  if type(streamer) ~= "table" or not streamer.put or not streamer["end"] then
    errors.raise("generate: streamer: expected a TextStreamer (put and end), found %s", type(streamer))
  end
end

local function new_job(model, c, given, ids, mask, eos, pad)
  local call, prompt = given.call, ids.shape[2]
  local copies = math.max(c.num_beams, c.num_return_sequences)
  local state = { prompt = prompt, ids = ids:repeat_interleave(copies, 0), eos = eos, mask = mask and mask:repeat_interleave(copies, 0), logits_processor = call.logits_processor,
    prefix_allowed_tokens_fn = call.prefix_allowed_tokens_fn }
  local recorded, all, rules = c.return_dict_in_generate, processors.of_config(c, state)
  -- beam search fills with padding, unless its id is 0: then, as in transformers, with the first end token
  local fill = c.num_beams > 1 and (eos and (pad ~= 0 and pad or eos[1]) or -1) or pad
  return {
    ids = room(ids, copies, c.max_length, fill), length = prompt, max_length = c.max_length,
    decoder = Decoder.new(model, { mask = mask, copies = copies, use_cache = c.use_cache, cache = given.inputs.past_key_values }),
    processors = all, rules = rules, reads_each_step = call.stopping_criteria ~= nil or c.stop_strings ~= nil,
    criteria = stopping.of_config(c, eos, call.stopping_criteria, call.tokenizer),
    do_sample = c.do_sample, pad = pad, eos = eos, streamer = call.streamer, keep_logits = recorded and c.output_logits,
    scores = recorded and c.output_scores and {} or nil, logits = recorded and c.output_logits and {} or nil,
    beams = c.num_beams, candidates = math.max(2, 1 + (eos and #eos or 0)) * c.num_beams, num_return_sequences = c.num_return_sequences,
    length_penalty = c.length_penalty, early_stopping = c.early_stopping,
  }
end

-- Can tokens be chosen where the model is? A cache, rules that the device has, and no scores for the host.
local function stays_on_device(job)
  return job.decoder.cache and job.rules and not job.scores and not job.logits and core.can_choose(job.decoder.model:parameters()[1])
end

local function run(job, c)
  if c.num_beams == 1 then
    local search = stays_on_device(job) and "on_device" or "sample"
    return { sequences = require("hflua.generation." .. search).run(job) }
  end
  local found = require("hflua.generation.beam_search")(job)
  if not c.output_scores then found.sequences_scores = nil end
  return found
end

--- Tokens behind each prompt: ids (B * num_return_sequences, length) with the prompts in front; with return_dict_in_generate a table of
-- sequences, and scores, logits (one tensor (rows, V) for each new token), sequences_scores, beam_indices, past_key_values.
function generation.generate(model, inputs, options)
  if not model:can_generate() then
    errors.raise("generate: %s has no output for the next token; use a causal model (GPT2LMHeadModel, LlamaForCausalLM, AutoModelForCausalLM)", model.__name)
  end
  local given = sort_arguments(inputs, options)
  local c = settle(model, given)
  check_streamer(c, given.call.streamer)
  local eos, pad = special_tokens(c, 1)
  local ids, mask = prompts.prepare(given.inputs, pad, eos, c.bos_token_id)
  special_tokens(c, ids.shape[1]) -- the note, once the number of rows is known
  check_ids(ids, model)
  check_context(ids, mask, model)
  settle_lengths(c, ids.shape[2], model)
  local job = new_job(model, c, given, ids, mask, eos, pad)
  if job.streamer then job.streamer:put(job.ids:narrow(1, 0, job.length)) end
  if model.training then notes.once("generate: the model is in training mode, so dropout is on; model:eval() switches it off") end
  local found = run(job, c)
  if not c.return_dict_in_generate then return found.sequences end
  found.scores, found.logits, found.past_key_values = job.scores, job.logits, job.decoder.cache
  return found
end

--- An iterator over the text that comes, piece by piece: `for piece in model:stream(ids, { tokenizer = tok, max_new_tokens = 50 }) do`.
-- skip_prompt (default true) and skip_special_tokens (default true) are options too.
function generation.stream(model, inputs, options)
  local o, streamer_options = {}, { skip_prompt = true, skip_special_tokens = true }
  for name, value in pairs(options or {}) do
    if streamer_options[name] ~= nil then streamer_options[name] = value else o[name] = value end
  end
  if not o.tokenizer then errors.raise("stream: tokenizer: expected a tokenizer, found nothing; pass tokenizer=tok") end
  o.streamer = require("hflua.generation.streamers").TextIteratorStreamer(o.tokenizer, streamer_options)
  return coroutine.wrap(function() generation.generate(model, inputs, o) end)
end

return generation
