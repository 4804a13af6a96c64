--- Task heads of the encoders: each function makes the `forward` of one kind of model from the pieces that differ.
--
-- A base model offers `encode(inputs, labels, want)` -> x (N, C), layout, hidden_states; want = { first_only =, hidden_states = }.
local tensor = require "hflua.tensor"
local errors = require "hflua.errors"
local nn = require "hflua.nn"
local encoder = require "hflua.models.encoder"
local layouts = require "hflua.models.layout"
local Outputs = require "hflua.models.outputs"

local heads = {}

--- The output layer over the vocabulary, whose weight is the word embeddings. It has no weight of its own, but draws (and drops)
-- the values that Python's layer draws before it is tied, so that one seed gives the same weights and the same numbers after.
-- TiedDecoder(width, config[, {bias=true}]): where the bias is kept here rather than in the head.
heads.TiedDecoder = nn.Module:extend("Linear")

function heads.TiedDecoder:init(width, c, options)
  if c.tie_word_embeddings == false then
    errors.raise("%s: tie_word_embeddings: expected true, found false: the output layer is the word embeddings here", getmetatable(c).class.__name)
  end
  self.width, self.vocabulary = width, c.vocab_size
  if options and options.bias then self.bias = nn.init.new { c.vocab_size } end
  nn.init.linear_(nn.init.new { c.vocab_size, width }, nn.init.new { c.vocab_size })
end

function heads.TiedDecoder:first_values(std, loading)
  if not loading then nn.init.normal_(nn.init.new { self.vocabulary, self.width }, 0, std) end
  if self.bias then nn.init.zeros_(self.bias) end
end

function heads.TiedDecoder:extra_repr() return ("in_features=%d, out_features=%d, bias=True"):format(self.width, self.vocabulary) end

--- The layer that scores each token as start and as end of an answer: num_labels is 2.
function heads.span_outputs(width, c)
  if c.num_labels ~= 2 then
    errors.raise("%s: num_labels: expected 2 for question answering (start, end), found %s", getmetatable(c).class.__name, tostring(c.num_labels))
  end
  return nn.Linear(width, 2)
end

local function wants_hidden(model, inputs) return inputs.output_hidden_states or model.config.output_hidden_states or false end

--- One result for a sequence. score(model, first) maps the first tokens (B, C) to logits (B, num_labels).
function heads.sequence(base, score)
  return function(self, inputs)
    local x, layout, hidden = self[base]:encode(inputs, nil, { first_only = true, hidden_states = wants_hidden(self, inputs) })
    local logits = score(self, layouts.first_rows(layout, x))
    local loss = inputs.labels and encoder.sequence_loss(self.config, logits, inputs.labels) or nil
    return Outputs.new({ "loss", "logits", "hidden_states" }, { loss = loss, logits = logits, hidden_states = hidden })
  end
end

--- One result for each token: logits (B, T, num_labels), labels (B, T), -100 ignored. output: the field of the last layer.
function heads.token(base, output)
  output = output or "classifier"
  return function(self, inputs)
    local labels = inputs.labels
    local x, layout, hidden = self[base]:encode(inputs, labels, { hidden_states = wants_hidden(self, inputs) })
    local scores = self[output](self.dropout(x))
    local loss = labels and tensor.cross_entropy(scores, layouts.pack(layout, labels)) or nil
    return Outputs.new({ "loss", "logits", "hidden_states" }, { loss = loss, hidden_states = hidden },
      { logits = function() return layouts.unpack(layout, scores) end })
  end
end

--- Start and end of an answer: start_logits, end_logits (B, T).
function heads.span(base)
  return function(self, inputs)
    local whole = inputs.start_positions ~= nil or not self.config.pack
    local x, layout, hidden = self[base]:encode(inputs, nil, { whole = whole, hidden_states = wants_hidden(self, inputs) })
    if self.dropout then x = self.dropout(x) end
    local logits = layouts.unpack(layout, self.qa_outputs(x))
    local starts, ends = logits:select(2, 0), logits:select(2, 1)
    local loss = inputs.start_positions and inputs.end_positions and encoder.span_loss(starts, ends, inputs.start_positions, inputs.end_positions) or nil
    return Outputs.new({ "loss", "start_logits", "end_logits", "hidden_states" }, { loss = loss, start_logits = starts, end_logits = ends, hidden_states = hidden })
  end
end

-- Loss over the rows x (N, C) whose label counts, made in chunks; nil without labels.
local function masked_loss(self, x, layout, labels, transform, output)
  if not labels then return nil end
  local weight, bias = output(self)
  local y = layouts.pack_labels(layout, labels)
  local counted = y:to("cpu"):ne(-100):nonzero():reshape(-1)
  local function select(values) return values:index_select(0, counted:to(values.device)) end
  return tensor.linear_cross_entropy(transform(self, select(x)), weight, layouts.on_both(select, y), { bias = bias })
end

-- Logits over the vocabulary (B, T, V), made when they are asked for.
local function masked_logits(self, x, layout, transform, output)
  return function()
    local weight, bias = output(self)
    return layouts.unpack(layout, tensor.linear(transform(self, x), weight, bias))
  end
end

--- Masked words. transform(model, x) is the part before the vocabulary; output(model) gives weight (V, C) and bias (V).
function heads.masked(base, transform, output)
  return function(self, inputs)
    local x, layout, hidden = self[base]:encode(inputs, inputs.labels, { hidden_states = wants_hidden(self, inputs) })
    return Outputs.new({ "loss", "logits", "hidden_states" },
      { loss = masked_loss(self, x, layout, inputs.labels, transform, output), hidden_states = hidden },
      { logits = masked_logits(self, x, layout, transform, output) })
  end
end

--- BERT's pretraining: masked words and next_sentence_label (B), 0 where the second sentence belongs to the first. The loss is the
-- sum of both, when both labels are there. relate(model, pooled) maps (B, C) to (B, 2).
function heads.pretraining(base, transform, output, relate)
  return function(self, inputs)
    local x, layout, hidden = self[base]:encode(inputs, inputs.labels, { hidden_states = wants_hidden(self, inputs) })
    local related = relate(self, self[base].pooler(layouts.first_rows(layout, x)))
    local loss = masked_loss(self, x, layout, inputs.labels, transform, output)
    if loss and inputs.next_sentence_label then loss = loss + tensor.cross_entropy(related, inputs.next_sentence_label:reshape(-1))
    else loss = nil end
    return Outputs.new({ "loss", "prediction_logits", "seq_relationship_logits", "hidden_states" },
      { loss = loss, seq_relationship_logits = related, hidden_states = hidden },
      { prediction_logits = masked_logits(self, x, layout, transform, output) })
  end
end

--- The headless model: last_hidden_state (B, T, C), pooler_output (B, C) where there is a pooler.
function heads.base()
  return function(self, inputs)
    local x, layout, hidden = self:encode(inputs, nil, { hidden_states = wants_hidden(self, inputs) })
    local pooled = self.pooler and self.pooler(layouts.first_rows(layout, x)) or nil
    return Outputs.new({ "last_hidden_state", "pooler_output", "hidden_states" }, { pooler_output = pooled, hidden_states = hidden },
      { last_hidden_state = function() return layouts.unpack(layout, x) end })
  end
end

return heads
