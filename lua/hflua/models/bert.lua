--- BERT (Devlin et al. 2018): embeddings, a stack of post-norm encoder layers, a pooler, task heads. Fields are named as in the
-- checkpoints. RoBERTa builds on the same layers (roberta.lua).
local tensor = require "hflua.tensor"
local nn = require "hflua.nn"
local activation = require "hflua.models.activation"
local config = require "hflua.models.config"
local encoder = require "hflua.models.encoder"
local layouts = require "hflua.models.layout"
local errors = require "hflua.errors"
local heads = require "hflua.models.heads"
local PreTrainedModel = require "hflua.models.pretrained"

local bert = {}

-- ---- configuration

--- The fields BERT and RoBERTa share, with BERT's defaults; `changes` gives others.
function bert.config_fields(changes)
  local defaults = { vocab_size = 30522, pad_token_id = 0, type_vocab_size = 2, layer_norm_eps = 1e-12, max_position_embeddings = 512 }
  for name, value in pairs(changes or {}) do defaults[name] = value end
  return {
    { "vocab_size", "size", defaults.vocab_size }, { "hidden_size", "size", 768 }, { "num_hidden_layers", "count", 12 },
    { "num_attention_heads", "size", 12 }, { "intermediate_size", "size", 3072 }, { "hidden_act", "string", "gelu" },
    { "hidden_dropout_prob", "probability", 0.1 }, { "attention_probs_dropout_prob", "probability", 0.1 },
    { "max_position_embeddings", "size", defaults.max_position_embeddings }, { "type_vocab_size", "size", defaults.type_vocab_size },
    { "layer_norm_eps", "positive", defaults.layer_norm_eps }, { "pad_token_id", "optional id", defaults.pad_token_id },
    { "classifier_dropout", "optional probability" },
  }
end

--- Sizes that must go together.
function bert.check_config(c, where)
  if c.hidden_size % c.num_attention_heads ~= 0 then
    errors.raise("%s: hidden_size: expected a multiple of num_attention_heads %d, found %d", where, c.num_attention_heads, c.hidden_size)
  end
  activation.fused(c.hidden_act, where)
  for _, field in ipairs { "is_decoder", "add_cross_attention" } do
    if c[field] == true then errors.raise("%s: %s: expected false (an encoder), found true", where, field) end
  end
  local kind = c.position_embedding_type
  if type(kind) == "string" and kind ~= "absolute" then errors.raise("%s: position_embedding_type: expected absolute, found %s", where, kind) end
end

bert.BertConfig = config.define("BertConfig", "bert", { fields = bert.config_fields(), check = bert.check_config })

-- ---- layers

local Embeddings = nn.Module:extend("BertEmbeddings")

function Embeddings:init(c)
  self.word_embeddings = nn.Embedding(c.vocab_size, c.hidden_size, { padding_idx = c:padding_id() })
  self.position_embeddings = nn.Embedding(c.max_position_embeddings, c.hidden_size)
  self.token_type_embeddings = nn.Embedding(c.type_vocab_size, c.hidden_size)
  self.LayerNorm = nn.LayerNorm(c.hidden_size, { eps = c.layer_norm_eps })
  self.dropout = nn.Dropout(c.hidden_dropout_prob)
end

--- ids, positions, types (N) -> (N, C)
function Embeddings:forward(ids, positions, types)
  local x = tensor.embedding_sum({ self.word_embeddings.weight, self.position_embeddings.weight, self.token_type_embeddings.weight },
    { ids, positions, types }, { padding_idx = self.word_embeddings.padding_idx or -1 })
  return self.dropout(self.LayerNorm(x))
end

local SelfAttention = nn.Module:extend("BertSelfAttention")

function SelfAttention:init(c)
  bert.BertForMaskedLM.vocabulary_biases = { "cls.predictions.bias" }
bert.BertForPreTraining.vocabulary_biases = { "cls.predictions.bias" }

for _, name in ipairs { "query", "key", "value" } do self[name] = nn.Linear(c.hidden_size, c.hidden_size) end
  self.dropout = nn.Dropout(c.attention_probs_dropout_prob)
end

-- dense, LayerNorm and dropout behind attention ("BertSelfOutput") and feed-forward ("BertOutput")
local function output_class(name)
  local class = nn.Module:extend(name)
  function class:init(inputs, c)
    self.dense = nn.Linear(inputs, c.hidden_size)
    self.LayerNorm = nn.LayerNorm(c.hidden_size, { eps = c.layer_norm_eps })
    self.dropout = nn.Dropout(c.hidden_dropout_prob)
  end
  return class
end

local SelfOutput, Output = output_class "BertSelfOutput", output_class "BertOutput"

local Attention = nn.Module:extend("BertAttention")

function Attention:init(c)
  self.self = SelfAttention(c)
  self.output = SelfOutput(c.hidden_size, c)
end

local Intermediate = nn.Module:extend("BertIntermediate")

function Intermediate:init(c) self.dense = nn.Linear(c.hidden_size, c.intermediate_size) end

local Layer = nn.Module:extend("BertLayer")

function Layer:init(c)
  self.config = c
  self.attention = Attention(c)
  self.intermediate = Intermediate(c)
  self.output = Output(c.intermediate_size, c)
end

--- x (N, C) -> (N, C), or (B, C) when layout.first_only is set
function Layer:forward(x, layout)
  local c, attention, output = self.config, self.attention, self.output
  x = encoder.self_attention({ query = attention.self.query, key = attention.self.key, value = attention.self.value,
    output = attention.output.dense, norm = attention.output.LayerNorm }, x, layout, { heads = c.num_attention_heads,
    attention_dropout = attention.self.dropout.p, hidden_dropout = attention.output.dropout.p, training = self.training })
  return encoder.feed_forward({ up = self.intermediate.dense, down = output.dense, norm = output.LayerNorm }, x,
    activation.fused(c.hidden_act), output.dropout.p)
end

local Encoder = nn.Module:extend("BertEncoder")

function Encoder:init(c)
  local layers = {}
  for i = 1, c.num_hidden_layers do layers[i] = Layer(c) end
  self.layer = nn.ModuleList(layers)
end

local Pooler = nn.Module:extend("BertPooler")

function Pooler:init(c) self.dense = nn.Linear(c.hidden_size, c.hidden_size) end

--- first tokens (B, C) -> tanh(dense(x))
function Pooler:forward(x) return self.dense(x, "tanh") end

-- ---- models

local forward_arguments = { "input_ids", "attention_mask", "token_type_ids", "position_ids", "labels", "output_hidden_states" }

--- A family of models over the same layers: names begin with `family` ("Bert"), the headless model is the field `prefix`.
-- embeddings: the class of the embeddings; positions(model, inputs, layout): position ids (B, T), or nil for column numbers.
function bert.base_model(name, config_class, embeddings, positions)
  local Model = PreTrainedModel:extend(name)
  Model.config_class, Model.forward_arguments = config_class, forward_arguments

  function Model:init(c, options)
    self.config = c
    self.embeddings = embeddings(c)
    self.encoder = Encoder(c)
    if not (options and options.add_pooling_layer == false) then self.pooler = Pooler(c) end
    self:post_init()
  end

  --- inputs -> x (N, C) and its layout; want: first_only, whole, hidden_states
  function Model:encode(inputs, labels, want)
    local hidden = want.hidden_states and {} or nil
    local layout = encoder.layout(self, inputs, labels, { whole = want.whole or hidden ~= nil, first = want.first_only or self.pooler ~= nil })
    local where = layouts.positions(layout, inputs.position_ids or (positions and positions(self, inputs, layout)))
    local types = inputs.token_type_ids and layouts.pack(layout, inputs.token_type_ids) or tensor.zeros({ layout.N }, { dtype = "int64", device = where.device })
    local x = self.embeddings(layouts.pack(layout, inputs.input_ids), where, types)
    local first_only = want.first_only and not hidden and encoder.can_skip() and #self.encoder.layer > 0
    return encoder.run(self.encoder.layer, x, layout, first_only, hidden), layout, hidden
  end

  Model.forward = heads.base()
  Model.head_prefixes = { "pooler." }
  return Model
end

--- A class with a task head over a base model in field `prefix`.
function bert.headed(name, prefix, base, head_prefixes, build, forward)
  local Model = PreTrainedModel:extend(name)
  Model.config_class, Model.base_model_prefix = base.config_class, prefix
  Model.head_prefixes, Model.forward_arguments = head_prefixes, forward_arguments
  function Model:init(c)
    self.config = c
    build(self, c)
    self:post_init()
  end
  Model.forward = forward
  return Model
end

local span_arguments = { "input_ids", "attention_mask", "token_type_ids", "position_ids", "start_positions", "end_positions", "output_hidden_states" }

local function classifier_dropout(c) return nn.Dropout(type(c.classifier_dropout) == "number" and c.classifier_dropout or c.hidden_dropout_prob) end
bert.classifier_dropout = classifier_dropout

local no_pooler = { add_pooling_layer = false }

bert.Embeddings = Embeddings
bert.BertModel = bert.base_model("BertModel", bert.BertConfig, Embeddings)
bert.BertModel.checkpoint_prefix = "bert"

bert.BertForSequenceClassification = bert.headed("BertForSequenceClassification", "bert", bert.BertModel, { "classifier.", "bert.pooler." },
  function(self, c)
    self.bert = bert.BertModel(c)
    self.dropout = classifier_dropout(c)
    self.classifier = nn.Linear(c.hidden_size, c.num_labels)
  end,
  heads.sequence("bert", function(self, first) return self.classifier(self.dropout(self.bert.pooler(first))) end))

--- A class with one result for each token.
function bert.token_classification(name, prefix, base)
  return bert.headed(name, prefix, base, { "classifier." },
    function(self, c)
      self[prefix] = base(c, no_pooler)
      self.dropout = classifier_dropout(c)
      self.classifier = nn.Linear(c.hidden_size, c.num_labels)
    end, heads.token(prefix))
end

--- A class that finds the start and end of an answer.
function bert.question_answering(name, prefix, base)
  local Model = bert.headed(name, prefix, base, { "qa_outputs." },
    function(self, c)
      self[prefix] = base(c, no_pooler)
      self.qa_outputs = heads.span_outputs(c.hidden_size, c)
    end, heads.span(prefix))
  Model.forward_arguments = span_arguments
  return Model
end

bert.BertForTokenClassification = bert.token_classification("BertForTokenClassification", "bert", bert.BertModel)
bert.BertForQuestionAnswering = bert.question_answering("BertForQuestionAnswering", "bert", bert.BertModel)

-- cls.predictions: transform, then the word embeddings once more with a bias of their own
local Transform = nn.Module:extend("BertPredictionHeadTransform")

function Transform:init(c)
  self.dense = nn.Linear(c.hidden_size, c.hidden_size)
  self.LayerNorm = nn.LayerNorm(c.hidden_size, { eps = c.layer_norm_eps })
  self.activation = activation.fused(c.hidden_act)
end

function Transform:forward(x) return self.LayerNorm(self.dense(x, self.activation)) end

local Predictions = nn.Module:extend("BertLMPredictionHead")

function Predictions:init(c)
  self.transform = Transform(c)
  self.bias = nn.init.new { c.vocab_size }
  self.decoder = heads.TiedDecoder(c.hidden_size, c)
end

function Predictions:first_values() nn.init.zeros_(self.bias) end

local MLMHead = nn.Module:extend("BertOnlyMLMHead")

function MLMHead:init(c) self.predictions = Predictions(c) end

bert.BertForMaskedLM = bert.headed("BertForMaskedLM", "bert", bert.BertModel, { "cls." },
  function(self, c)
    self.bert = bert.BertModel(c, no_pooler)
    self.cls = MLMHead(c)
  end,
  heads.masked("bert", function(self, x) return self.cls.predictions.transform(x) end,
    function(self) return self.bert.embeddings.word_embeddings.weight, self.cls.predictions.bias end))

-- cls of pretraining: masked words, and whether the second sentence belongs to the first
local PreTrainingHeads = nn.Module:extend("BertPreTrainingHeads")

function PreTrainingHeads:init(c)
  self.predictions = Predictions(c)
  self.seq_relationship = nn.Linear(c.hidden_size, 2)
end

bert.BertForPreTraining = bert.headed("BertForPreTraining", "bert", bert.BertModel, { "cls.", "bert.pooler." },
  function(self, c)
    self.bert = bert.BertModel(c)
    self.cls = PreTrainingHeads(c)
  end,
  heads.pretraining("bert", function(self, x) return self.cls.predictions.transform(x) end,
    function(self) return self.bert.embeddings.word_embeddings.weight, self.cls.predictions.bias end,
    function(self, pooled) return self.cls.seq_relationship(pooled) end))
bert.BertForPreTraining.forward_arguments = { "input_ids", "attention_mask", "token_type_ids", "position_ids", "labels", "next_sentence_label", "output_hidden_states" }

--- The decoder is tied: its weight is the word embeddings, its bias an older name of cls.predictions.bias.
function bert.BertForMaskedLM:adapt_state(state)
  state["cls.predictions.bias"] = state["cls.predictions.bias"] or state["cls.predictions.decoder.bias"]
  state["cls.predictions.decoder.bias"], state["cls.predictions.decoder.weight"] = nil, nil
  return state
end
bert.BertForPreTraining.adapt_state = bert.BertForMaskedLM.adapt_state

for _, name in ipairs { "BertModel", "BertForPreTraining", "BertForSequenceClassification", "BertForTokenClassification", "BertForQuestionAnswering", "BertForMaskedLM" } do
  PreTrainedModel.publish(bert[name])
end

return bert
