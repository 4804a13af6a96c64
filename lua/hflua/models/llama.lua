--- Llama (Touvron et al. 2023): RMS norms before each part, rotary positions, key heads shared by several query heads, SwiGLU. Qwen2 and
-- Mistral are the same layers under other names (qwen2.lua, mistral.lua).
local tensor = require "hflua.tensor"
local nn = require "hflua.nn"
local activation = require "hflua.models.activation"
local config = require "hflua.models.config"
local decoder = require "hflua.models.decoder"
local errors = require "hflua.errors"
local heads = require "hflua.models.heads"
local layouts = require "hflua.models.layout"
local rope = require "hflua.models.rope"
local PreTrainedModel = require "hflua.models.pretrained"

local llama = {}

-- ---- configuration

local function head_size(c) return math.type(c.head_dim) == "integer" and c.head_dim or c.hidden_size // c.num_attention_heads end
local function key_heads(c) return math.type(c.num_key_value_heads) == "integer" and c.num_key_value_heads or c.num_attention_heads end

--- The fields of this family with Llama's defaults; `changes` gives others.
function llama.config_fields(changes)
  local fields = {
    { "vocab_size", "size", 32000 }, { "hidden_size", "size", 4096 }, { "intermediate_size", "size", 11008 }, { "num_hidden_layers", "count", 32 },
    { "num_attention_heads", "size", 32 }, { "num_key_value_heads", "optional size" }, { "head_dim", "optional size" },
    { "hidden_act", "string", "silu" }, { "max_position_embeddings", "size", 2048 }, { "rms_norm_eps", "positive", 1e-6 },
    { "attention_bias", "boolean", false }, { "mlp_bias", "boolean", false }, { "attention_dropout", "probability", 0.0 },
    { "tie_word_embeddings", "boolean", false }, { "bos_token_id", "optional id", 1 }, { "eos_token_id", nil, 2 }, { "use_cache", "boolean", true },
    { "rope_parameters", nil }, { "rope_scaling", nil }, { "rope_theta", nil }, { "classifier_dropout", "optional probability" },
  }
  for _, field in ipairs(fields) do
    if changes and changes[field[1]] ~= nil then field[3] = changes[field[1]] or nil end
  end
  return fields
end

--- Sizes that must go together.
function llama.check_config(c, where)
  local kv = key_heads(c)
  if c.head_dim == nil and c.hidden_size % c.num_attention_heads ~= 0 then
    errors.raise("%s: hidden_size: expected a multiple of num_attention_heads %d, found %d", where, c.num_attention_heads, c.hidden_size)
  end
  if c.num_attention_heads % kv ~= 0 then
    errors.raise("%s: num_key_value_heads: expected a divisor of num_attention_heads %d, found %d", where, c.num_attention_heads, kv)
  end
  activation.fused(c.hidden_act, where)
  rope.parameters(c, head_size(c), where)
end

llama.LlamaConfig = config.define("LlamaConfig", "llama", { fields = llama.config_fields(), check = llama.check_config })

-- ---- layers; the printed names of their classes begin with the family's

local RMSNorm = nn.Module:extend("LlamaRMSNorm")

function RMSNorm:init(width, eps)
  self.eps = eps
  self.weight = nn.init.new { width }
  self:first_values()
end

function RMSNorm:first_values() nn.init.constant_(self.weight, 1) end

function RMSNorm:forward(x) return tensor.rms_norm(x, self.weight, { eps = self.eps }) end

function RMSNorm:extra_repr() return ("(%d,), eps=%s"):format(self.weight.shape[1], nn.functional.python_number(self.eps)) end

local Rotary = nn.Module:extend("LlamaRotaryEmbedding")

local Attention = nn.Module:extend("LlamaAttention")

--- biases: of the products for q, k and v, and of the output.
function Attention:init(c, layer, biases)
  local C, D = c.hidden_size, head_size(c)
  self.config, self.layer, self.heads, self.key_heads = c, layer, c.num_attention_heads, key_heads(c)
  self.q_proj = nn.Linear(C, self.heads * D, { bias = biases.qkv })
  self.k_proj = nn.Linear(C, self.key_heads * D, { bias = biases.qkv })
  self.v_proj = nn.Linear(C, self.key_heads * D, { bias = biases.qkv })
  self.o_proj = nn.Linear(self.heads * D, C, { bias = biases.output })
end

--- x (N, C) -> (N, C)
function Attention:forward(x, layout)
  local q, k = layouts.heads(self.q_proj(x), self.heads), layouts.heads(self.k_proj(x), self.key_heads)
  local v = layouts.heads(self.v_proj(x), self.key_heads)
  q, k = tensor.rotary(q, layout.cosine, layout.sine), tensor.rotary(k, layout.cosine, layout.sine)
  local dropout = self.training and self.config.attention_dropout or 0
  local out = decoder.attention(q, k, v, layout, { layer = self.layer, dropout = dropout })
  return self.o_proj(out:reshape(layout.N, out.shape[2] * out.shape[3]))
end

local MLP = nn.Module:extend("LlamaMLP")

function MLP:init(c)
  local bias = { bias = c.mlp_bias == true }
  self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias)
  self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias)
  self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias)
  self.act_fn = activation.module(c.hidden_act)
end

function MLP:forward(x) return self.down_proj(self.gate_proj(x, self.act_fn.fused) * self.up_proj(x)) end

local Layer = nn.Module:extend("LlamaDecoderLayer")

function Layer:init(c, layer, parts)
  self.self_attn = parts.Attention(c, layer, parts.biases(c))
  self.mlp = parts.MLP(c)
  self.input_layernorm = parts.RMSNorm(c.hidden_size, c.rms_norm_eps)
  self.post_attention_layernorm = parts.RMSNorm(c.hidden_size, c.rms_norm_eps)
end

--- x (N, C) -> (N, C)
function Layer:forward(x, layout)
  x = x + self.self_attn(self.input_layernorm(x), layout)
  return x + self.mlp(self.post_attention_layernorm(x))
end

-- ---- models

local base_arguments = { "input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "use_cache", "output_hidden_states", "return_dict" }

-- Error where a row is longer than the window that attention may look back: within it, a window changes nothing.
local function check_window(model, layout, window)
  if window and layout.past + layout.T > window then
    errors.raise("%s: a row of %d tokens is longer than sliding_window %d, which is not computed; shorten the rows with truncation=true",
      model.__name, layout.past + layout.T, window)
  end
end

local function base_model(family, config_class, parts, window)
  local Model = PreTrainedModel:extend(family .. "Model")
  Model.config_class, Model.forward_arguments, Model.checkpoint_prefix = config_class, base_arguments, "model"
  Model.input_embeddings = "embed_tokens"

  function Model:init(c)
    self.config = c
    self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size, { padding_idx = c:padding_id() })
    local layers = {}
    for i = 1, c.num_hidden_layers do layers[i] = parts.Layer(c, i, parts) end
    self.layers = nn.ModuleList(layers)
    self.norm = parts.RMSNorm(c.hidden_size, c.rms_norm_eps)
    self.rotary_emb = parts.Rotary()
    self:post_init()
  end

  --- inputs -> x (N, C), its layout, hidden states; see decoder.lua
  function Model:encode(inputs, labels, want)
    local c = self.config
    local layout = decoder.layout(self, inputs, labels, want)
    check_window(self, layout, window and window(c))
    layout.cosine, layout.sine = rope.angles(rope.parameters(c, head_size(c), self.__name), layouts.positions(layout, inputs.position_ids))
    local x = inputs.inputs_embeds and layouts.pack(layout, inputs.inputs_embeds) or self.embed_tokens(layouts.pack(layout, inputs.input_ids))
    local hidden
    x, hidden = decoder.run(self.layers, self.norm, x, layout, want.hidden_states)
    return x, layout, hidden
  end

  Model.forward = decoder.base()
  return Model
end

local function part_classes(family, biases)
  local parts = { biases = biases }
  for name, class in pairs { RMSNorm = RMSNorm, Rotary = Rotary, Attention = Attention, MLP = MLP, Layer = Layer } do
    parts[name] = family == "Llama" and class or class:extend((class.__name:gsub("^Llama", family)))
  end
  return parts
end

local function token_head(self, c)
  self.dropout = nn.Dropout(type(c.classifier_dropout) == "number" and c.classifier_dropout or 0.1)
  self.score = nn.Linear(c.hidden_size, c.num_labels)
end

local function span_head(self, c) self.qa_outputs = heads.span_outputs(c.hidden_size, c) end

--- All classes of a family over these layers: { LlamaModel =, LlamaForCausalLM = ... }.
-- o: config_class, biases(c) -> { qkv =, output = }, window(c) -> the longest row, or nil; span_prefix: the field of the headless
-- model for question answering.
function llama.family(family, o)
  local classes = {}
  local Base = base_model(family, o.config_class, part_classes(family, o.biases), o.window)
  classes[family .. "Model"] = Base
  local function headed(suffix, prefix, head_prefixes, arguments, build, forward)
    local class = decoder.headed(family .. suffix, Base, prefix, { head_prefixes = head_prefixes, arguments = arguments, build = build, forward = forward })
    classes[class.__name] = class
    return class
  end
  local CausalLM = headed("ForCausalLM", "model", { "lm_head." }, { "labels", "logits_to_keep", "num_items_in_batch" }, function(self, c)
    self.lm_head = nn.Linear(c.hidden_size, c.vocab_size, { bias = false })
  end, decoder.causal("model"))
  CausalLM.tied_weights, CausalLM.output_embeddings = { { "lm_head", "model.embed_tokens" } }, "lm_head"
  headed("ForSequenceClassification", "model", { "score." }, { "labels" }, function(self, c)
    self.score = nn.Linear(c.hidden_size, c.num_labels, { bias = false })
  end, decoder.sequence("model"))
  headed("ForTokenClassification", "model", { "score." }, { "labels" }, token_head, heads.token("model", "score"))
  headed("ForQuestionAnswering", o.span_prefix or "transformer", { "qa_outputs." }, { "start_positions", "end_positions" }, span_head,
    heads.span(o.span_prefix or "transformer"))
  for _, class in pairs(classes) do PreTrainedModel.publish(class) end
  return classes
end

for name, class in pairs(llama.family("Llama", { config_class = llama.LlamaConfig,
  biases = function(c) return { qkv = c.attention_bias, output = c.attention_bias } end })) do
  llama[name] = class
end

return llama
