--- RoBERTa (Liu et al. 2019): BERT's layers, positions counted from the padding id, heads of its own.
local tensor = require "hflua.tensor"
local nn = require "hflua.nn"
local bert = require "hflua.models.bert"
local config = require "hflua.models.config"
local errors = require "hflua.errors"
local heads = require "hflua.models.heads"
local PreTrainedModel = require "hflua.models.pretrained"

local roberta = {}

roberta.RobertaConfig = config.define("RobertaConfig", "roberta", {
  fields = bert.config_fields { vocab_size = 50265, pad_token_id = 1, type_vocab_size = 2, layer_norm_eps = 1e-12, max_position_embeddings = 512 },
  check = function(c, where)
    bert.check_config(c, where)
    if not c:padding_id() or c:padding_id() >= c.max_position_embeddings then
      errors.raise("%s: pad_token_id: expected an id below max_position_embeddings %d, which positions are counted from, found %s", where, c.max_position_embeddings, tostring(c.pad_token_id))
    end
  end,
})

local Embeddings = bert.Embeddings:extend("RobertaEmbeddings")

function Embeddings:init(c)
  self.word_embeddings = nn.Embedding(c.vocab_size, c.hidden_size, { padding_idx = c:padding_id() })
  self.token_type_embeddings = nn.Embedding(c.type_vocab_size, c.hidden_size)
  self.LayerNorm = nn.LayerNorm(c.hidden_size, { eps = c.layer_norm_eps })
  self.dropout = nn.Dropout(c.hidden_dropout_prob)
  self.position_embeddings = nn.Embedding(c.max_position_embeddings, c.hidden_size, { padding_idx = c:padding_id() })
end

--- Position of a token: padding id + its number among the tokens that are no padding; padding stays at the padding id. (B, T)
local function positions(model, inputs)
  local padding = model.config.pad_token_id
  local real = inputs.input_ids:ne(padding):to("int64")
  return real:cumsum { dim = 1 } * real + padding
end

roberta.RobertaModel = bert.base_model("RobertaModel", roberta.RobertaConfig, Embeddings, positions)
roberta.RobertaModel.checkpoint_prefix = "roberta"

local no_pooler = { add_pooling_layer = false }

local ClassificationHead = nn.Module:extend("RobertaClassificationHead")

function ClassificationHead:init(c)
  self.dense = nn.Linear(c.hidden_size, c.hidden_size)
  self.dropout = bert.classifier_dropout(c)
  self.out_proj = nn.Linear(c.hidden_size, c.num_labels)
end

--- first tokens (B, C) -> (B, num_labels)
function ClassificationHead:forward(x) return self.out_proj(self.dropout(self.dense(self.dropout(x), "tanh"))) end

roberta.RobertaForSequenceClassification = bert.headed("RobertaForSequenceClassification", "roberta", roberta.RobertaModel, { "classifier." },
  function(self, c)
    self.roberta = roberta.RobertaModel(c, no_pooler)
    self.classifier = ClassificationHead(c)
  end, heads.sequence("roberta", function(self, first) return self.classifier(first) end))

roberta.RobertaForTokenClassification = bert.token_classification("RobertaForTokenClassification", "roberta", roberta.RobertaModel)
roberta.RobertaForQuestionAnswering = bert.question_answering("RobertaForQuestionAnswering", "roberta", roberta.RobertaModel)

local LMHead = nn.Module:extend("RobertaLMHead")

function LMHead:init(c)
  self.dense = nn.Linear(c.hidden_size, c.hidden_size)
  self.layer_norm = nn.LayerNorm(c.hidden_size, { eps = c.layer_norm_eps })
  self.bias = nn.init.new { c.vocab_size }
  self.decoder = heads.TiedDecoder(c.hidden_size, c)
end

function LMHead:first_values() nn.init.zeros_(self.bias) end

roberta.RobertaForMaskedLM = bert.headed("RobertaForMaskedLM", "roberta", roberta.RobertaModel, { "lm_head." },
  function(self, c)
    self.roberta = roberta.RobertaModel(c, no_pooler)
    self.lm_head = LMHead(c)
  end,
  heads.masked("roberta", function(self, x) return self.lm_head.layer_norm(self.lm_head.dense(x, "gelu")) end,
    function(self) return self.roberta.embeddings.word_embeddings.weight, self.lm_head.bias end))

--- The decoder is tied: its weight is the word embeddings, its bias an older name of lm_head.bias.
function roberta.RobertaForMaskedLM:adapt_state(state)
  state["lm_head.bias"] = state["lm_head.bias"] or state["lm_head.decoder.bias"]
  state["lm_head.decoder.bias"], state["lm_head.decoder.weight"] = nil, nil
  return state
end

roberta.RobertaForMaskedLM.vocabulary_biases = { "lm_head.bias" }

for _, name in ipairs { "RobertaModel", "RobertaForSequenceClassification", "RobertaForTokenClassification", "RobertaForQuestionAnswering", "RobertaForMaskedLM" } do
  PreTrainedModel.publish(roberta[name])
end

return roberta
