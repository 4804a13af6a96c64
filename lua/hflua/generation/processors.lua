--- Logits processors: what changes the scores of the next token before it is chosen.
--
-- A processor is a function (input_ids, scores) -> scores: input_ids (rows, length) int64, scores (rows, vocabulary) float32, both
-- on the host. Those made here change the scores in place. The makers have transformers' names:
--
--     local keep_five = processors.TopKLogitsWarper(5)
--     scores = keep_five(input_ids, scores)
local tensor = require "hflua.tensor"
local core = require "hflua.core.generation"
local errors = require "hflua.errors"

local processors = {}

local function keep_of(options) return options and options.min_tokens_to_keep or 1 end

-- A maker of a rule of the engine with one number.
local function ruled(rule)
  return function(value, options)
    return function(_, scores) return rule(scores, value, keep_of(options)) end
  end
end

processors.TopKLogitsWarper = ruled(core.top_k)
processors.TopPLogitsWarper = ruled(core.top_p)
processors.TopHLogitsWarper = ruled(core.top_h)
processors.MinPLogitsWarper = ruled(core.min_p)
processors.TypicalLogitsWarper = ruled(core.typical_p)
processors.EpsilonLogitsWarper = ruled(core.epsilon_cutoff)
processors.EtaLogitsWarper = ruled(core.eta_cutoff)

--- Scores become log-probabilities again.
function processors.LogitNormalization()
  return function(_, scores) return core.log_softmax(scores) end
end

function processors.TemperatureLogitsWarper(temperature)
  return function(_, scores) return scores / temperature end
end

--- starts: how many columns of each row are padding at the left, which do not count.
function processors.RepetitionPenaltyLogitsProcessor(penalty, starts)
  return function(ids, scores) return core.repetition(scores, penalty, ids, starts) end
end

function processors.NoRepeatNGramLogitsProcessor(size)
  return function(ids, scores) return core.no_repeat_ngram(scores, size, ids) end
end

--- Above 1: tokens of `prompt` (rows, length) come more easily, below 1 less.
function processors.EncoderRepetitionPenaltyLogitsProcessor(penalty, prompt)
  return function(_, scores) return core.repetition(scores, 1 / penalty, prompt) end
end

--- No `size` tokens in a row that stand in `prompt` (rows, length).
function processors.EncoderNoRepeatNGramLogitsProcessor(size, prompt)
  return function(ids, scores) return core.no_repeat_ngram(scores, size, ids, prompt) end
end

local function check_tokens(where, tokens, vocabulary)
  for _, token in ipairs(tokens) do
    if token >= vocabulary then errors.raise("generate: %s: expected token ids below %d, found %d", where, vocabulary, token) end
  end
end

-- { {ids}, bias } pairs
local function biased(pairs_of, where)
  local sequences, values = {}, {}
  for i, pair in ipairs(pairs_of) do sequences[i], values[i] = pair[1], pair[2] end
  return function(ids, scores)
    for _, sequence in ipairs(sequences) do check_tokens(where, sequence, scores.shape[2]) end
    return core.bias(scores, ids, sequences, values)
  end
end

--- bias: list of { {token id, ...}, number }: added to the score of the last token where the others precede it.
function processors.SequenceBiasLogitsProcessor(bias)
  for i, pair in ipairs(bias) do
    if type(pair) ~= "table" or type(pair[1]) ~= "table" or #pair[1] == 0 or type(pair[2]) ~= "number" then
      errors.raise("generate: sequence_bias: expected { {token id, ...}, number } at %d", i)
    end
  end
  return biased(bias, "sequence_bias")
end

--- Sequences that may not come. An end token alone is left out of them.
function processors.NoBadWordsLogitsProcessor(words, eos)
  local banned, ends = {}, {}
  for _, token in ipairs(eos or {}) do ends[token] = true end
  for _, word in ipairs(words) do
    if #word > 0 and not (#word == 1 and ends[word[1]]) then banned[#banned + 1] = { word, -math.huge } end
  end
  return biased(banned, "bad_words_ids")
end

local function list(tokens) return type(tokens) == "table" and tokens or { tokens } end

-- Sets what of `tokens` lies inside the vocabulary.
local function ban(scores, tokens)
  local inside = {}
  for _, token in ipairs(tokens) do
    if token >= 0 and token < scores.shape[2] then inside[#inside + 1] = token end
  end
  return core.set(scores, inside, -math.huge)
end

--- No end before the row is `length` tokens long.
function processors.MinLengthLogitsProcessor(length, eos)
  return function(ids, scores) return ids.shape[2] < length and ban(scores, list(eos)) or scores end
end

--- No end before `count` tokens behind a prompt of `prompt` tokens.
function processors.MinNewTokensLengthLogitsProcessor(prompt, count, eos)
  return processors.MinLengthLogitsProcessor(prompt + count, eos)
end

local function only(scores, tokens, where)
  check_tokens(where, tokens, scores.shape[2])
  return core.set(scores, tokens, 0, -math.huge)
end

--- The second token of a row must be `bos`.
function processors.ForcedBOSTokenLogitsProcessor(bos)
  return function(ids, scores) return ids.shape[2] == 1 and only(scores, { bos }, "forced_bos_token_id") or scores end
end

--- The last token of a row that gets as long as it may must be one of `eos`.
function processors.ForcedEOSTokenLogitsProcessor(max_length, eos)
  return function(ids, scores) return ids.shape[2] == max_length - 1 and only(scores, list(eos), "forced_eos_token_id") or scores end
end

--- nan becomes 0, inf the largest and smallest number there is.
function processors.InfNanRemoveLogitsProcessor()
  local most = 3.4028234663852886e38
  return function(_, scores) return scores:masked_fill(scores:ne(scores), 0):clamp { min = -most, max = most } end
end

--- From `start` tokens behind the prompt on the end tokens' scores grow by factor ^ (tokens since) - 1 times their size.
function processors.ExponentialDecayLengthPenalty(start_and_factor, eos, prompt)
  local start, factor, ends = start_and_factor[1] + prompt, start_and_factor[2], {}
  for _, token in ipairs(list(eos)) do ends[token] = true end
  return function(ids, scores)
    local length = ids.shape[2]
    if length <= start then return scores end
    for token in pairs(ends) do
      local column = scores:narrow(1, token, 1)
      local growth = column:abs() * (factor ^ (length - start) - 1)
      column:add_(growth:masked_fill(column:abs():eq(math.huge), 0))
    end
    return scores
  end
end

function processors.SuppressTokensLogitsProcessor(tokens)
  return function(_, scores) return ban(scores, tokens) end
end

--- `tokens` may not come at place `index` of a row.
function processors.SuppressTokensAtBeginLogitsProcessor(tokens, index)
  return function(ids, scores) return ids.shape[2] == index and ban(scores, tokens) or scores end
end

--- fn(batch, ids of the row) -> the tokens that may follow; batch counts from 0.
function processors.PrefixConstrainedLogitsProcessor(fn, beams)
  local function allowed(scores, ids, row)
    local tokens = fn((row - 1) // beams, ids[row])
    if type(tokens) ~= "table" or #tokens == 0 then
      errors.raise("generate: prefix_allowed_tokens_fn: expected a list of token ids for row %d, found %s", row, type(tokens) == "table" and "an empty one" or type(tokens))
    end
    return core.set(scores:narrow(0, row - 1, 1):clone(), tokens, 0, -math.huge)
  end
  return function(ids, scores)
    local masks = {}
    for row = 1, scores.shape[1] do masks[row] = allowed(scores, ids, row) end
    local mask = tensor.cat(masks, { dim = 0 })
    local sum, B, V = scores + mask, scores.shape[1] // beams, scores.shape[2]
    local none = sum:reshape(B, beams * V):max { dim = 1 }:eq(-math.huge):reshape(B, 1, 1)
    return tensor.where(none:expand(B, beams, V):reshape(B * beams, V), mask, sum)
  end
end

-- How many columns at the left of each row are masked; nil when none is.
local function left_padding(mask)
  if not mask then return nil end
  local starts, some = {}, false
  for row, values in ipairs(mask:tolist()) do
    local first = 0
    while first < #values and values[first + 1] == 0 do first = first + 1 end
    starts[row] = first < #values and first or 0
    some = some or starts[row] > 0
  end
  return some and starts or nil
end

local function add_constraints(add, c, state)
  local eos = state.eos
  if c.sequence_bias then add(processors.SequenceBiasLogitsProcessor(c.sequence_bias)) end
  if (c.encoder_repetition_penalty or 1) ~= 1 then add(processors.EncoderRepetitionPenaltyLogitsProcessor(c.encoder_repetition_penalty, state.ids)) end
  if c.repetition_penalty ~= 1 then
    local starts = left_padding(state.mask)
    add(processors.RepetitionPenaltyLogitsProcessor(c.repetition_penalty, starts), { repetition_penalty = c.repetition_penalty, starts = starts })
  end
  if c.no_repeat_ngram_size > 0 then add(processors.NoRepeatNGramLogitsProcessor(c.no_repeat_ngram_size)) end
  if (c.encoder_no_repeat_ngram_size or 0) > 0 then add(processors.EncoderNoRepeatNGramLogitsProcessor(c.encoder_no_repeat_ngram_size, state.ids)) end
  if c.bad_words_ids then add(processors.NoBadWordsLogitsProcessor(c.bad_words_ids, eos)) end
  if eos and c.min_length > 0 then add(processors.MinLengthLogitsProcessor(c.min_length, eos)) end
  if eos and (c.min_new_tokens or 0) > 0 then add(processors.MinNewTokensLengthLogitsProcessor(state.prompt, c.min_new_tokens, eos)) end
  if state.prefix_allowed_tokens_fn then add(processors.PrefixConstrainedLogitsProcessor(state.prefix_allowed_tokens_fn, c.num_beams)) end
  if c.forced_bos_token_id then add(processors.ForcedBOSTokenLogitsProcessor(c.forced_bos_token_id)) end
  if c.forced_eos_token_id then add(processors.ForcedEOSTokenLogitsProcessor(c.max_length, c.forced_eos_token_id)) end
  if c.remove_invalid_values then add(processors.InfNanRemoveLogitsProcessor()) end
  if c.exponential_decay_length_penalty then
    if not eos then errors.raise("generate: exponential_decay_length_penalty: it raises the score of end tokens; set eos_token_id") end
    add(processors.ExponentialDecayLengthPenalty(c.exponential_decay_length_penalty, eos, state.prompt))
  end
  if c.suppress_tokens then add(processors.SuppressTokensLogitsProcessor(c.suppress_tokens)) end
  if c.begin_suppress_tokens then
    local behind_bos = state.prompt <= 1 and c.forced_bos_token_id
    add(processors.SuppressTokensAtBeginLogitsProcessor(c.begin_suppress_tokens, behind_bos and state.prompt + 1 or state.prompt))
  end
end

-- In beam search one token more than there are end tokens is kept, so that some beam goes on.
local function add_warpers(add, c, eos)
  local keep = { min_tokens_to_keep = c.num_beams > 1 and (eos and #eos + 1 or 2) or 1 }
  if c.temperature ~= 1 then add(processors.TemperatureLogitsWarper(c.temperature), { temperature = c.temperature }) end
  if c.top_h then add(processors.TopHLogitsWarper(c.top_h)) end
  if c.top_k ~= 0 then add(processors.TopKLogitsWarper(c.top_k, keep), { top_k = c.top_k }) end
  if c.top_p < 1 then add(processors.TopPLogitsWarper(c.top_p, keep), { top_p = c.top_p }) end
  if c.min_p then add(processors.MinPLogitsWarper(c.min_p, keep), { min_p = c.min_p }) end
  if c.typical_p < 1 then add(processors.TypicalLogitsWarper(c.typical_p, keep)) end
  if c.epsilon_cutoff > 0 and c.epsilon_cutoff < 1 then add(processors.EpsilonLogitsWarper(c.epsilon_cutoff, keep)) end
  if c.eta_cutoff > 0 and c.eta_cutoff < 1 then add(processors.EtaLogitsWarper(c.eta_cutoff, keep)) end
end

--- The processors of a configuration in transformers' order. state: prompt (its length in columns), ids (rows,
-- prompt), eos (list or nil), mask (rows,
-- prompt; or nil), logits_processor (a function or a list of them), prefix_allowed_tokens_fn. A second result holds the same as rules
-- of a device (core.choose), nil where one of them is known on the host alone.
function processors.of_config(c, state)
  local all, rules = {}, {}
  local function add(processor, rule)
    all[#all + 1] = processor
    if not rule then rules = nil end
    for name, value in pairs(rules and rule or {}) do rules[name] = value end
  end
  add_constraints(add, c, state)
  for _, processor in ipairs(type(state.logits_processor) == "table" and state.logits_processor or { state.logits_processor }) do add(processor) end
  if c.do_sample then add_warpers(add, c, state.eos) end
  if c.renormalize_logits then add(processors.LogitNormalization()) end
  return all, rules
end

--- Applies them one after the other.
function processors.apply(all, ids, scores)
  for _, processor in ipairs(all) do scores = processor(ids, scores) end
  return scores
end

return processors
