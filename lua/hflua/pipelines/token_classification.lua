--- token-classification (ner): a label for each token, or entities put together from them.
local Pipeline = require "hflua.pipelines.base"
local entities = require "hflua.pipelines.entities"
local errors = require "hflua.errors"
local notes = require "hflua.trainer.notes"
local null = require("hflua.core.json").null
local text_of = require "hflua.core.text"

local TokenClassification = Pipeline:extend("TokenClassificationPipeline")

TokenClassification.parameters = { aggregation_strategy = "string", ignore_labels = "table", stride = "number",
  is_split_into_words = "boolean", delimiter = "string", grouped_entities = "boolean", ignore_subwords = "boolean" }

local strategies = { none = true, simple = true, first = true, average = true, max = true }

-- The strategy of a call; the older options grouped_entities and ignore_subwords spell "simple" and "first".
local function strategy_of(self, o)
  local strategy = o.aggregation_strategy and o.aggregation_strategy:lower()
  if not strategy then strategy = o.grouped_entities and (o.ignore_subwords and "first" or "simple") or "none" end
  if not strategies[strategy] then
    self:fail("option 'aggregation_strategy': expected 'none', 'simple', 'first', 'average' or 'max', found '%s'", strategy)
  end
  if o.stride and strategy == "none" then self:fail("option 'stride' puts parts of a long text together: it needs an aggregation_strategy other than 'none'") end
  return strategy
end

local LARGE = 1e20 -- a model_max_length above this means there is none

local function tokenizer_arguments(self, o)
  local limit = self.tokenizer.model_max_length
  if o.stride and o.stride >= limit then self:fail("option 'stride': expected less than the tokenizer's model_max_length %d, found %d", limit, o.stride) end
  return { truncation = limit > 0 and limit <= LARGE, return_special_tokens_mask = true, return_offsets_mapping = true,
    is_split_into_words = o.is_split_into_words, stride = o.stride, return_overflowing_tokens = o.stride ~= nil or nil }
end

-- Where each word begins in the words joined by the delimiter, counted in characters.
local function word_starts(words, delimiter)
  local starts, at = {}, 0
  for i, word in ipairs(words) do
    starts[i] = at
    at = at + text_of.length(word) + text_of.length(delimiter)
  end
  return starts
end

-- Offsets inside words become offsets in the joined text.
local function shift_offsets(offsets, word_ids, starts)
  local shifted = {}
  for i, span in ipairs(offsets) do
    local by = word_ids[i] ~= null and starts[word_ids[i] + 1] or 0
    shifted[i] = { span[1] + by, span[2] + by }
  end
  return shifted
end

function TokenClassification:preprocess(item, o)
  local delimiter, sentence, starts = o.delimiter or " ", item, nil
  if o.is_split_into_words then
    if type(item) ~= "table" then self:fail("is_split_into_words: expected a list of words, found %s", type(item)) end
    sentence, starts = table.concat(item, delimiter), word_starts(item, delimiter)
  else
    self:check_text(item)
  end
  local encoding = self.tokenizer(o.stride and { item } or item, tokenizer_arguments(self, o))
  local rows = {}
  for i = 1, o.stride and #encoding.input_ids or 1 do
    local index = o.stride and i or nil
    local row = self:row_of(encoding, index)
    row.sentence = sentence
    row.offsets = index and encoding.offset_mapping[index] or encoding.offset_mapping
    row.special = index and encoding.special_tokens_mask[index] or encoding.special_tokens_mask
    if starts then row.offsets = shift_offsets(row.offsets, encoding:word_ids(i), starts) end
    rows[i] = row
  end
  return rows
end

function TokenClassification:pick(outputs, i, row)
  return self:own_part(Pipeline.pick(self, outputs, i):unsqueeze(0), 1, #row.input_ids)
end

-- Does the vocabulary mark pieces that continue a word, as WordPiece's "##" does?
local function marks_subwords(self)
  if self.subword_marks == nil then
    self.subword_marks = self.tokenizer:to_json():find '"continuing_subword_prefix"%s*:%s*"[^"]' ~= nil
  end
  return self.subword_marks
end

-- Is the token at [first, last) of the sentence, shown as `word`, a later piece of a word?
local function continues_word(self, word, sentence, first, last, strategy)
  if marks_subwords(self) then return text_of.length(word) ~= last - first end
  if strategy ~= "none" and strategy ~= "simple" then
    notes.once("token-classification: this tokenizer does not mark pieces of words; a token without a space before it counts as one")
  end
  return first > 0 and not text_of.slice(sentence, first - 1, first + 1):find(" ", 1, true)
end

-- The tokens of a row that are no special ones: { word, scores, start, end, index, is_subword }.
local function tokens_of(self, row, strategy)
  local scores, tokens = row.output:softmax { dim = -1 }:tolist(), {}
  local words = self.tokenizer:convert_ids_to_tokens(row.input_ids)
  for i, id in ipairs(row.input_ids) do
    if row.special[i] == 0 then
      local first, last = row.offsets[i][1], row.offsets[i][2]
      local token = { word = words[i], scores = scores[i], start = first, ["end"] = last, index = i - 1 }
      token.is_subword = continues_word(self, words[i], row.sentence, first, last, strategy)
      if id == self.tokenizer.unk_token_id then
        token.word, token.is_subword = text_of.slice(row.sentence, first, last), false
      end
      tokens[#tokens + 1] = token
    end
  end
  return tokens
end

function TokenClassification:postprocess(rows, o)
  local strategy, ignored, all = strategy_of(self, o), {}, {}
  for _, label in ipairs(o.ignore_labels or { "O" }) do ignored[label] = true end
  for _, row in ipairs(rows) do
    local found = entities.of_tokens(tokens_of(self, row, strategy), strategy, self)
    for _, entity in ipairs(found) do
      if not ignored[entity.entity or entity.entity_group] then all[#all + 1] = entity end
    end
  end
  return #rows > 1 and entities.without_overlaps(all) or all
end

--- ner(text) gives a list of entities, ner(texts) a list of such lists; with is_split_into_words a text is a list of words.
function TokenClassification:__call(inputs, given)
  local o = self:merge_options(given)
  strategy_of(self, o)
  if inputs == nil then errors.raise("pipeline('%s'): expected a text or a list of texts, found nothing", self.task) end
  if o.is_split_into_words and type(inputs) == "table" and type(inputs[1]) ~= "table" then return self:run({ inputs }, o) end
  if self:is_list(inputs) then return self:run(inputs, o) end
  return self:run({ inputs }, o)[1]
end

return TokenClassification
