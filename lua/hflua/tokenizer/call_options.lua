--- Options of a tokenizer call, checked and turned into what the engine takes.
local BatchEncoding = require "hflua.tokenizer.batch_encoding"
local errors = require "hflua.errors"
local notes = require "hflua.trainer.notes"
local null = require("hflua.core.json").null
local options = require "hflua.options"

local call_options = {}

local LARGE = 1e20 -- a model_max_length above this means there is none

-- name -> type; "any" where several are fine
local types = {
  add_special_tokens = "boolean", padding = "any", truncation = "any", max_length = "integer", stride = "integer",
  is_split_into_words = "boolean", pad_to_multiple_of = "integer", padding_side = "side", truncation_side = "side",
  return_tensors = "any", return_token_type_ids = "boolean", return_attention_mask = "boolean",
  return_overflowing_tokens = "boolean", return_special_tokens_mask = "boolean", return_offsets_mapping = "boolean",
  return_length = "boolean", split_special_tokens = "boolean", verbose = "boolean", text_target = "any", text_pair = "any",
}

local function check_type(name, value)
  local kind = types[name]
  if kind == "integer" then
    if math.type(value) ~= "integer" or value < 0 then
      errors.raise("tokenizer: option '%s': expected a whole number from 0 on, found %s", name, tostring(value))
    end
  elseif kind == "side" then
    if value ~= "left" and value ~= "right" then
      errors.raise("tokenizer: option '%s': expected 'left' or 'right', found '%s'", name, tostring(value))
    end
  elseif kind ~= "any" and type(value) ~= kind then
    errors.raise("tokenizer: option '%s': expected true or false, found %s", name, type(value))
  end
end

--- A copy of `given` with names and types checked; hf.null counts as absent.
function call_options.check(given, extra)
  local checked = {}
  for name, value in pairs(given) do
    if not types[name] and not (extra and extra[name]) then options.check("tokenizer", given, types) end
    if value ~= null then
      if types[name] then check_type(name, value) end
      checked[name] = value
    end
  end
  return checked
end

local paddings = { longest = "longest", max_length = "max_length", do_not_pad = "do_not_pad" }
local truncations = { longest_first = 1, only_first = 2, only_second = 3, do_not_truncate = 0 }

local function padding_strategy(padding)
  if padding == nil or padding == false then return "do_not_pad" end
  if padding == true then return "longest" end
  return paddings[padding] or errors.raise("%s is not a valid PaddingStrategy, please select one of "
    .. "['longest', 'max_length', 'do_not_pad']", tostring(padding))
end

local function truncation_strategy(truncation)
  if truncation == nil or truncation == false then return 0 end
  if truncation == true then return 1 end
  return truncations[truncation] or errors.raise("%s is not a valid TruncationStrategy, please select one of "
    .. "['only_first', 'only_second', 'longest_first', 'do_not_truncate']", tostring(truncation))
end

--- Refuses to pad without a padding token, in HF's words.
function call_options.check_pad_token(tokenizer)
  if tokenizer.pad_token_id then return end
  errors.raise("Asking to pad but the tokenizer does not have a padding token. Please select a token to use as `pad_token` "
    .. "`(tokenizer.pad_token = tokenizer.eos_token e.g.)` or add a new pad token via "
    .. "`tokenizer:add_special_tokens{pad_token = '[PAD]'}`.")
end

local function note_ignored_length(o, truncation)
  if o.padding == true and o.max_length and truncation == 0 then
    notes.once("`max_length` is ignored when `padding`=`true` and there is no truncation strategy. "
      .. "To pad to max length, use `padding='max_length'`.")
  end
end

--- Padding, truncation and length as HF decides them: name of the padding, number of the truncation, length or nil.
function call_options.strategies(tokenizer, o)
  local given = o.truncation
  if o.max_length and (o.padding == nil or o.padding == false) and given == nil then given = "longest_first" end
  local padding, truncation, length = padding_strategy(o.padding), truncation_strategy(given), o.max_length
  note_ignored_length(o, truncation)
  if not length then
    local known = tokenizer.model_max_length <= LARGE
    if padding == "max_length" and not known then padding = "do_not_pad" end
    if truncation ~= 0 and not known then
      notes.once("Asking to truncate to max_length but no maximum length is provided and the model has no predefined maximum "
        .. "length. Default to no truncation.")
      truncation = 0
    end
    if padding == "max_length" or truncation ~= 0 then length = math.tointeger(tokenizer.model_max_length) end
  end
  if padding ~= "do_not_pad" then call_options.check_pad_token(tokenizer) end
  local multiple = o.pad_to_multiple_of
  if truncation ~= 0 and padding ~= "do_not_pad" and multiple and multiple > 0 and length and length % multiple ~= 0 then
    errors.raise("Truncation and padding are both activated but truncation length (%d) is not a multiple of pad_to_multiple_of (%d).",
      length, multiple)
  end
  return padding, truncation, length
end

-- Columns of the result, in HF's order.
local function columns_of(tokenizer, o)
  local wants, columns = {}, { "input_ids" }
  for _, name in ipairs(tokenizer.model_input_names) do wants[name] = true end
  local function add(name, wanted, default)
    if wanted == nil then wanted = default end
    if wanted then columns[#columns + 1] = name end
  end
  add("token_type_ids", o.return_token_type_ids, wants.token_type_ids)
  add("attention_mask", o.return_attention_mask, wants.attention_mask)
  add("special_tokens_mask", o.return_special_tokens_mask)
  add("offset_mapping", o.return_offsets_mapping)
  add("length", o.return_length)
  add("overflow_to_sample_mapping", o.return_overflowing_tokens)
  return columns
end

-- Longest text for which a stride that is not smaller than the room is not an error: the engine checks the rest.
local function check_stride(o, truncation, length, special)
  local stride = o.stride or 0
  if truncation ~= 0 and stride > 0 and length and stride >= length - special then
    errors.raise("tokenizer stride set to %d, which is greater than or equal to its effective max length of %d (= %d original max "
      .. "length - %d added special tokens)", stride, length - special, length, special)
  end
end

local bits = { add_special = 1, split_special = 2, detailed = 4, truncate_left = 8, overflow = 16, pad_left = 32, split_words = 64 }

local function flags(tokenizer, o)
  local sum = 0
  local function set(bit, wanted) if wanted then sum = sum | bit end end
  local split_special = o.split_special_tokens
  if split_special == nil then split_special = tokenizer.split_special_tokens end
  set(bits.add_special, o.add_special_tokens ~= false)
  set(bits.split_special, split_special)
  set(bits.detailed, o.return_offsets_mapping)
  set(bits.truncate_left, (o.truncation_side or tokenizer.truncation_side) == "left")
  set(bits.overflow, o.return_overflowing_tokens)
  set(bits.pad_left, (o.padding_side or tokenizer.padding_side) == "left")
  set(bits.split_words, o.is_split_into_words)
  return sum
end

--- What the engine takes for checked options `o`.
function call_options.prepare(tokenizer, o, pair)
  local padding, truncation, length = call_options.strategies(tokenizer, o)
  local special = o.add_special_tokens ~= false and tokenizer:num_special_tokens_to_add(pair) or 0
  check_stride(o, truncation, length, special)
  if o.return_tensors then BatchEncoding.check_tensor_type(o.return_tensors) end
  local padded, columns, has = padding ~= "do_not_pad", columns_of(tokenizer, o), {}
  for _, name in ipairs(columns) do has[name] = true end
  return {
    flags = flags(tokenizer, o), columns = columns, has = has, tensors = o.return_tensors ~= nil, truncation = truncation,
    max_length = truncation ~= 0 and length or 0, stride = o.stride or 0,
    padding = padded and (padding == "longest" and 1 or 2) or 0, pad_length = padding == "max_length" and length or 0,
    pad_multiple = padded and o.pad_to_multiple_of or 0, pad_id = padded and tokenizer.pad_token_id or 0,
    pad_type_id = tokenizer.pad_token_type_id, overflow = o.return_overflowing_tokens,
    -- rows longer than the model allows are worth a warning when nobody named a length
    warns_above = not length and o.verbose ~= false and tokenizer.model_max_length <= LARGE and tokenizer.model_max_length or nil,
  }
end

call_options.bits = bits

return call_options
