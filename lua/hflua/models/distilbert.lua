--- DistilBERT (Sanh et al. 2019): BERT's layer with other names, no token types, no pooler.
local tensor = require "hflua.tensor"
local nn = require "hflua.nn"
local activation = require "hflua.models.activation"
local config = require "hflua.models.config"
local encoder = require "hflua.models.encoder"
local layouts = require "hflua.models.layout"
local errors = require "hflua.errors"
local heads = require "hflua.models.heads"
local PreTrainedModel = require "hflua.models.pretrained"

local distilbert = {}

distilbert.DistilBertConfig = config.define("DistilBertConfig", "distilbert", {
  fields = {
    { "vocab_size", "size", 30522 }, { "max_position_embeddings", "size", 512 }, { "n_layers", "count", 6 }, { "n_heads", "size", 12 },
    { "dim", "size", 768 }, { "hidden_dim", "size", 3072 }, { "dropout", "probability", 0.1 }, { "attention_dropout", "probability", 0.1 },
    { "activation", "string", "gelu" }, { "qa_dropout", "probability", 0.1 }, { "seq_classif_dropout", "probability", 0.2 },
    { "pad_token_id", "optional id", 0 }, { "sinusoidal_pos_embds", "boolean", false },
  },
  aliases = { hidden_size = "dim", num_attention_heads = "n_heads", num_hidden_layers = "n_layers" },
  check = function(c, where)
    if c.dim % c.n_heads ~= 0 then errors.raise("%s: dim: expected a multiple of n_heads %d, found %d", where, c.n_heads, c.dim) end
    activation.fused(c.activation, where)
  end,
})

local EPS = 1e-12

local Embeddings = nn.Module:extend("Embeddings")

function Embeddings:init(c)
  self.config = c
  self.word_embeddings = nn.Embedding(c.vocab_size, c.dim, { padding_idx = c:padding_id() })
  self.position_embeddings = nn.Embedding(c.max_position_embeddings, c.dim)
  self.LayerNorm = nn.LayerNorm(c.dim, { eps = EPS })
  self.dropout = nn.Dropout(c.dropout)
end

--- Fixed waves in place of learned positions, where the configuration asks for them: sin and cos of position / 10000^(2i / C).
function Embeddings:first_values()
  local c = self.config
  if not c.sinusoidal_pos_embds then return end
  local rows = {}
  for position = 0, c.max_position_embeddings - 1 do
    local row = {}
    for j = 0, c.dim - 1 do
      local angle = position / 10000 ^ (2 * (j // 2) / c.dim)
      row[j + 1] = j % 2 == 0 and math.sin(angle) or math.cos(angle)
    end
    rows[position + 1] = row
  end
  tensor.no_grad(function() self.position_embeddings.weight:copy_(tensor.tensor(rows)) end)
end

--- ids, positions (N) -> (N, C)
function Embeddings:forward(ids, positions)
  local x = tensor.embedding_sum({ self.word_embeddings.weight, self.position_embeddings.weight }, { ids, positions },
    { padding_idx = self.word_embeddings.padding_idx or -1 })
  return self.dropout(self.LayerNorm(x))
end

local Attention = nn.Module:extend("DistilBertSelfAttention")

function Attention:init(c)
  for _, name in ipairs { "q_lin", "k_lin", "v_lin", "out_lin" } do self[name] = nn.Linear(c.dim, c.dim) end
  self.dropout = nn.Dropout(c.attention_dropout)
end

local FFN = nn.Module:extend("FFN")

function FFN:init(c)
  self.dropout = nn.Dropout(c.dropout)
  self.lin1 = nn.Linear(c.dim, c.hidden_dim)
  self.lin2 = nn.Linear(c.hidden_dim, c.dim)
end

local Layer = nn.Module:extend("TransformerBlock")

function Layer:init(c)
  self.config = c
  self.attention = Attention(c)
  self.sa_layer_norm = nn.LayerNorm(c.dim, { eps = EPS })
  self.ffn = FFN(c)
  self.output_layer_norm = nn.LayerNorm(c.dim, { eps = EPS })
end

--- x (N, C) -> (N, C), or (B, C) when layout.first_only is set. No dropout behind the attention.
function Layer:forward(x, layout)
  local c, a = self.config, self.attention
  x = encoder.self_attention({ query = a.q_lin, key = a.k_lin, value = a.v_lin, output = a.out_lin, norm = self.sa_layer_norm }, x, layout,
    { heads = c.n_heads, attention_dropout = a.dropout.p, hidden_dropout = 0, training = self.training })
  return encoder.feed_forward({ up = self.ffn.lin1, down = self.ffn.lin2, norm = self.output_layer_norm }, x, activation.fused(c.activation), self.ffn.dropout.p)
end

local Transformer = nn.Module:extend("Transformer")

function Transformer:init(c)
  local layers = {}
  for i = 1, c.n_layers do layers[i] = Layer(c) end
  self.layer = nn.ModuleList(layers)
end

local forward_arguments = { "input_ids", "attention_mask", "position_ids", "labels", "output_hidden_states" }

local DistilBertModel = PreTrainedModel:extend("DistilBertModel")
DistilBertModel.config_class, DistilBertModel.forward_arguments = distilbert.DistilBertConfig, forward_arguments
DistilBertModel.checkpoint_prefix = "distilbert"
distilbert.DistilBertModel = DistilBertModel

function DistilBertModel:init(c)
  self.config = c
  self.embeddings = Embeddings(c)
  self.transformer = Transformer(c)
  self:post_init()
end

--- inputs -> x (N, C) and its layout; want: first_only, whole, hidden_states
function DistilBertModel:encode(inputs, labels, want)
  local hidden = want.hidden_states and {} or nil
  local layout = encoder.layout(self, inputs, labels, { whole = want.whole or hidden ~= nil, first = want.first_only })
  local x = self.embeddings(layouts.pack(layout, inputs.input_ids), layouts.positions(layout, inputs.position_ids))
  local first_only = want.first_only and not hidden and encoder.can_skip() and #self.transformer.layer > 0
  return encoder.run(self.transformer.layer, x, layout, first_only, hidden), layout, hidden
end

DistilBertModel.forward = heads.base()

local function headed(name, head_prefixes, build, forward)
  local Model = PreTrainedModel:extend(name)
  Model.config_class, Model.base_model_prefix = distilbert.DistilBertConfig, "distilbert"
  Model.head_prefixes, Model.forward_arguments, Model.forward = head_prefixes, forward_arguments, forward
  function Model:init(c)
    self.config = c
    self.distilbert = DistilBertModel(c)
    build(self, c)
    self:post_init()
  end
  distilbert[name] = Model
  return Model
end

headed("DistilBertForSequenceClassification", { "pre_classifier.", "classifier." }, function(self, c)
  self.pre_classifier = nn.Linear(c.dim, c.dim)
  self.classifier = nn.Linear(c.dim, c.num_labels)
  self.dropout = nn.Dropout(c.seq_classif_dropout)
end, heads.sequence("distilbert", function(self, first) return self.classifier(self.dropout(self.pre_classifier(first, "relu"))) end))

headed("DistilBertForTokenClassification", { "classifier." }, function(self, c)
  self.dropout = nn.Dropout(c.dropout)
  self.classifier = nn.Linear(c.dim, c.num_labels)
end, heads.token("distilbert"))

headed("DistilBertForQuestionAnswering", { "qa_outputs." }, function(self, c)
  self.qa_outputs = heads.span_outputs(c.dim, c)
  self.dropout = nn.Dropout(c.qa_dropout)
end, heads.span("distilbert"))
distilbert.DistilBertForQuestionAnswering.forward_arguments = { "input_ids", "attention_mask", "position_ids", "start_positions", "end_positions", "output_hidden_states" }

local MaskedLM = headed("DistilBertForMaskedLM", { "vocab_" }, function(self, c)
  self.vocab_transform = nn.Linear(c.dim, c.dim)
  self.vocab_layer_norm = nn.LayerNorm(c.dim, { eps = EPS })
  self.vocab_projector = heads.TiedDecoder(c.dim, c, { bias = true })
end, heads.masked("distilbert", function(self, x) return self.vocab_layer_norm(self.vocab_transform(x, activation.fused(self.config.activation))) end,
  function(self) return self.distilbert.embeddings.word_embeddings.weight, self.vocab_projector.bias end))

--- The projector's weight is the word embeddings.
function MaskedLM:adapt_state(state)
  state["vocab_projector.weight"] = nil
  return state
end

MaskedLM.vocabulary_biases = { "vocab_projector.bias" }

for name, class in pairs(distilbert) do
  if name:find "^DistilBert" and class.is_module then PreTrainedModel.publish(class) end
end

return distilbert
