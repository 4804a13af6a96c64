--- question-answering: the span of a context that answers a question. A context too long for the model is read in parts that
-- overlap by doc_stride tokens.
local Pipeline = require "hflua.pipelines.base"
local lower = require("hflua.core.text").lower
local null = require("hflua.core.json").null
local ordered = require "hflua.ordered"
local slice = require("hflua.core.text").slice

local QuestionAnswering = Pipeline:extend("QuestionAnsweringPipeline")

QuestionAnswering.parameters = { top_k = "count", topk = "count", doc_stride = "number", max_answer_len = "count", max_seq_len = "count",
  max_question_len = "count", handle_impossible_answer = "boolean", align_to_words = "boolean", padding = "any" }

-- The longest row of tokens: max_seq_len, else what tokenizer and model can take, at most 384.
local function row_length(self, o)
  return o.max_seq_len or math.floor(math.min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings or 384, 384))
end

-- Places that may be in an answer: the context's tokens and [CLS] (which stands for "no answer").
local function allowed_places(self, ids, sequence_ids, context_index)
  local allowed = {}
  for i, sequence in ipairs(sequence_ids) do
    allowed[i] = sequence == context_index or (ids[i] == self.tokenizer.cls_token_id and self.tokenizer.cls_token_id ~= nil)
  end
  return allowed
end

function QuestionAnswering:preprocess(example, o)
  local length = row_length(self, o)
  local stride = o.doc_stride or math.min(length // 2, 128)
  if stride > length then self:fail("option 'doc_stride': expected at most max_seq_len %d, found %d", length, stride) end
  local question_first = self.tokenizer.padding_side == "right"
  local first, second = example.question, example.context
  if not question_first then first, second = second, first end
  local encoding = self.tokenizer({ first }, { second }, { truncation = question_first and "only_second" or "only_first", max_length = length,
    stride = stride, return_overflowing_tokens = true, return_offsets_mapping = true })
  local rows, context_index = {}, question_first and 1 or 0
  for i = 1, #encoding.input_ids do
    local row = self:row_of(encoding, i)
    row.encoding, row.index, row.context_index = encoding, i, context_index
    row.allowed = allowed_places(self, row.input_ids, encoding:sequence_ids(i), context_index)
    rows[i] = row
  end
  return rows
end

-- Start and end logits of the row: (T, 2).
function QuestionAnswering:pick(outputs, i, row)
  if not outputs.start_logits then self:fail("%s gives no start_logits; expected a model for question answering", self.model.__name) end
  local both = require("hflua.tensor").stack({ outputs.start_logits[i], outputs.end_logits[i] }, { dim = -1 })
  return self:own_part(both:unsqueeze(0), 1, #row.input_ids)
end

-- Softmax of a column of logits over the allowed places; others get about 0, as with a logit of -10000.
local function probabilities(logits, column, allowed)
  local values, highest, sum = {}, -math.huge, 0
  for i, pair in ipairs(logits) do
    values[i] = allowed[i] and pair[column] or -10000.0
    highest = math.max(highest, values[i])
  end
  for i, x in ipairs(values) do
    values[i] = math.exp(x - highest)
    sum = sum + values[i]
  end
  for i, x in ipairs(values) do values[i] = x / sum end
  return values
end

-- The best spans { first, last, score } of at most `longest` tokens, places counted from 0.
local function best_spans(starts, ends, allowed, longest, count)
  local spans = {}
  for i = 1, #starts do
    for j = i, allowed[i] and math.min(i + longest - 1, #ends) or 0 do
      local score = starts[i] * ends[j]
      if allowed[j] and score > 0 then spans[#spans + 1] = { first = i - 1, last = j - 1, score = score } end
    end
  end
  return Pipeline.best(spans, count)
end

-- First character of the span in the context and the one behind its last; whole words where asked for.
local function characters_of(row, span, align_to_words)
  local encoding, offsets = row.encoding, row.encoding.offset_mapping[row.index]
  if align_to_words then
    local first_word, last_word = encoding:token_to_word(row.index, span.first), encoding:token_to_word(row.index, span.last)
    local first = first_word and encoding:word_to_chars(row.index, first_word, row.context_index)
    local last = last_word and select(2, encoding:word_to_chars(row.index, last_word, row.context_index))
    if first and last then return first, last end
  end
  return offsets[span.first + 1][1], offsets[span.last + 1][2]
end

-- Adds the answers of one row; an answer that is there already gets the score too.
local function add_answers(answers, row, spans, context, align_to_words)
  for _, span in ipairs(spans) do
    local first, last = characters_of(row, span, align_to_words)
    local text, known = slice(context, first, last), nil
    for _, answer in ipairs(answers) do
      if not known and lower(answer.answer) == lower(text) then known = answer end
    end
    if known then known.score = known.score + span.score
    else answers[#answers + 1] = ordered.new("score", span.score, "start", first, "end", last, "answer", text) end
  end
end

function QuestionAnswering:postprocess(rows, o, example)
  local count, align, answers, no_answer = o.top_k or o.topk or 1, o.align_to_words ~= false, {}, 1000000
  for _, row in ipairs(rows) do
    local logits = row.output:tolist()
    local starts, ends = probabilities(logits, 1, row.allowed), probabilities(logits, 2, row.allowed)
    no_answer = math.min(no_answer, starts[1] * ends[1])
    starts[1], ends[1] = 0, 0
    local spans = best_spans(starts, ends, row.allowed, o.max_answer_len or 15, align and 2 * count + 10 or count)
    add_answers(answers, row, spans, example.context, align)
  end
  if o.handle_impossible_answer then answers[#answers + 1] = ordered.new("score", no_answer, "start", 0, "end", 0, "answer", "") end
  answers = self.best(answers, count)
  return #answers == 1 and answers[1] or answers
end

-- ---- the ways to ask

local function check_example(self, example)
  if type(example) ~= "table" then self:fail("expected {question = \"...\", context = \"...\"}, found %s", type(example)) end
  for _, name in ipairs { "question", "context" } do
    local value = example[name]
    if type(value) ~= "string" or value == "" then
      self:fail("%s: expected a text, found %s", name, value == "" and "an empty one" or value == null and "null" or type(value))
    end
  end
  return { question = example.question, context = example.context }
end

-- { question =, context = } where either may be a list: the examples.
local function pair_up(self, questions, contexts)
  if type(questions) ~= "table" then return { { question = questions, context = contexts } } end
  if type(contexts) == "table" and #contexts ~= #questions then
    self:fail("expected as many contexts as questions, found %d and %d", #contexts, #questions)
  end
  local examples = {}
  for i, question in ipairs(questions) do examples[i] = { question = question, context = type(contexts) == "table" and contexts[i] or contexts } end
  return examples
end

-- Examples and options of a call: qa{question=, context=, top_k=}, qa(question, context, options), qa(examples, options).
local function read_call(self, inputs, second, third)
  if type(inputs) == "string" then return { { question = inputs, context = second } }, third end
  if type(inputs) ~= "table" then self:fail("expected {question = \"...\", context = \"...\"}, found %s", type(inputs)) end
  if inputs.question == nil and inputs.context == nil then return inputs, second end
  local given = {}
  for name, value in pairs(inputs) do if name ~= "question" and name ~= "context" then given[name] = value end end
  for name, value in pairs(second or {}) do given[name] = value end
  return pair_up(self, inputs.question, inputs.context), given
end

--- One example gives {score, start, end, answer}, or a list of these with top_k; several give a list.
function QuestionAnswering:__call(inputs, second, third)
  local examples, given = read_call(self, inputs, second, third)
  local o, checked = self:merge_options(given), {}
  for i = 1, #examples do checked[i] = check_example(self, examples[i]) end
  local results = self:run(checked, o)
  return #results == 1 and results[1] or results
end

return QuestionAnswering
