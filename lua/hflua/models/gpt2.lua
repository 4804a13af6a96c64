--- GPT-2 (Radford et al. 2019): learned positions, pre-norm layers, one product for q, k and v. DistilGPT-2 is one with fewer layers.
-- Fields are named as in the checkpoints.
local tensor = require "hflua.tensor"
local nn = require "hflua.nn"
local activation = require "hflua.models.activation"
local config = require "hflua.models.config"
local decoder = require "hflua.models.decoder"
local errors = require "hflua.errors"
local heads = require "hflua.models.heads"
local layouts = require "hflua.models.layout"
local PreTrainedModel = require "hflua.models.pretrained"

local gpt2 = {}

gpt2.GPT2Config = config.define("GPT2Config", "gpt2", {
  fields = {
    { "vocab_size", "size", 50257 }, { "n_positions", "size", 1024 }, { "n_embd", "size", 768 }, { "n_layer", "count", 12 },
    { "n_head", "size", 12 }, { "n_inner", "optional size" }, { "activation_function", "string", "gelu_new" },
    { "resid_pdrop", "probability", 0.1 }, { "embd_pdrop", "probability", 0.1 }, { "attn_pdrop", "probability", 0.1 },
    { "layer_norm_epsilon", "positive", 1e-5 }, { "scale_attn_weights", "boolean", true },
    { "scale_attn_by_inverse_layer_idx", "boolean", false }, { "reorder_and_upcast_attn", "boolean", false },
    { "bos_token_id", "optional id", 50256 }, { "eos_token_id", nil, 50256 }, { "use_cache", "boolean", true },
    { "classifier_dropout", "optional probability" },
  },
  aliases = { hidden_size = "n_embd", max_position_embeddings = "n_positions", num_attention_heads = "n_head", num_hidden_layers = "n_layer" },
  check = function(c, where)
    if c.n_embd % c.n_head ~= 0 then errors.raise("%s: n_embd: expected a multiple of n_head %d, found %d", where, c.n_head, c.n_embd) end
    if c.add_cross_attention == true then errors.raise("%s: add_cross_attention: expected false, found true", where) end
    activation.fused(c.activation_function, where)
  end,
})

local Attention = nn.Module:extend("GPT2Attention")

function Attention:init(c, layer)
  self.config, self.layer = c, layer
  self.c_attn = nn.Conv1D(3 * c.n_embd, c.n_embd)
  self.c_proj = nn.Conv1D(c.n_embd, c.n_embd)
  self.attn_dropout = nn.Dropout(c.attn_pdrop)
  self.resid_dropout = nn.Dropout(c.resid_pdrop)
end

-- The layers that add to the residual stream start smaller, by 1 / sqrt(their number).
local function shrink_projection(self, std) nn.init.normal_(self.c_proj.weight, 0, std / math.sqrt(2 * self.config.n_layer)) end

Attention.first_values = shrink_projection

--- x (N, C) -> (N, C)
function Attention:forward(x, layout)
  local c = self.config
  local scale = (c.scale_attn_weights and (c.n_embd // c.n_head) ^ -0.5 or 1) / (c.scale_attn_by_inverse_layer_idx and self.layer or 1)
  local o = { layer = self.layer, scale = scale, dropout = self.training and self.attn_dropout.p or 0 }
  return self.resid_dropout(self.c_proj(decoder.joined_attention(self.c_attn(x), c.n_head, layout, o)))
end

local MLP = nn.Module:extend("GPT2MLP")

function MLP:init(inner, c)
  self.config = c
  self.c_fc = nn.Conv1D(inner, c.n_embd)
  self.c_proj = nn.Conv1D(c.n_embd, inner)
  self.act = activation.module(c.activation_function)
  self.dropout = nn.Dropout(c.resid_pdrop)
end

MLP.first_values = shrink_projection

function MLP:forward(x)
  local inner <close> = self.c_fc(x, self.act.fused) -- its memory is free again behind c_proj
  return self.dropout(self.c_proj(inner))
end

local Block = nn.Module:extend("GPT2Block")

function Block:init(c, layer)
  self.ln_1 = nn.LayerNorm(c.n_embd, { eps = c.layer_norm_epsilon })
  self.attn = Attention(c, layer)
  self.ln_2 = nn.LayerNorm(c.n_embd, { eps = c.layer_norm_epsilon })
  self.mlp = MLP(math.type(c.n_inner) == "integer" and c.n_inner or 4 * c.n_embd, c)
end

--- x (N, C) -> (N, C)
function Block:forward(x, layout)
  x = x + self.attn(self.ln_1(x), layout)
  return x + self.mlp(self.ln_2(x))
end

-- ---- models

local base_arguments = { "input_ids", "past_key_values", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds", "use_cache",
  "output_hidden_states", "return_dict" }

local GPT2Model = PreTrainedModel:extend("GPT2Model")
GPT2Model.config_class, GPT2Model.forward_arguments, GPT2Model.checkpoint_prefix = gpt2.GPT2Config, base_arguments, "transformer"
GPT2Model.ignored_names = { "attn%.bias$", "attn%.masked_bias$" }
GPT2Model.input_embeddings = "wte"
gpt2.GPT2Model = GPT2Model

function GPT2Model:init(c)
  self.config = c
  self.wte = nn.Embedding(c.vocab_size, c.n_embd)
  self.wpe = nn.Embedding(c.n_positions, c.n_embd)
  self.drop = nn.Dropout(c.embd_pdrop)
  local blocks = {}
  for i = 1, c.n_layer do blocks[i] = Block(c, i) end
  self.h = nn.ModuleList(blocks)
  self.ln_f = nn.LayerNorm(c.n_embd, { eps = c.layer_norm_epsilon })
  self:post_init()
end

-- Words, positions and, where they are given, token types (their vectors are those of words): (N, C)
local function embed(self, inputs, layout)
  local positions = layouts.positions(layout, inputs.position_ids)
  local tables, ids = {}, {}
  local function add(weight, of) tables[#tables + 1], ids[#ids + 1] = weight, of end
  if inputs.input_ids then add(self.wte.weight, layouts.pack(layout, inputs.input_ids)) end
  add(self.wpe.weight, positions)
  if inputs.token_type_ids then add(self.wte.weight, layouts.pack(layout, inputs.token_type_ids)) end
  local x = tensor.embedding_sum(tables, ids)
  return inputs.inputs_embeds and x + layouts.pack(layout, inputs.inputs_embeds) or x
end

--- inputs -> x (N, C), its layout, hidden states; see decoder.lua
function GPT2Model:encode(inputs, labels, want)
  local layout = decoder.layout(self, inputs, labels, want, self.config.n_positions)
  local x, hidden = decoder.run(self.h, self.ln_f, self.drop(embed(self, inputs, layout)), layout, want.hidden_states)
  return x, layout, hidden
end

GPT2Model.forward = decoder.base()

local function headed(name, head_prefixes, arguments, build, forward)
  gpt2[name] = decoder.headed(name, GPT2Model, "transformer", { head_prefixes = head_prefixes, arguments = arguments, build = build, forward = forward })
  return gpt2[name]
end

local LMHeadModel = headed("GPT2LMHeadModel", { "lm_head." }, { "labels", "logits_to_keep", "num_items_in_batch" }, function(self, c)
  self.lm_head = nn.Linear(c.n_embd, c.vocab_size, { bias = false })
end, decoder.causal("transformer"))
LMHeadModel.tied_weights, LMHeadModel.output_embeddings = { { "lm_head", "transformer.wte" } }, "lm_head"

headed("GPT2ForSequenceClassification", { "score." }, { "labels" }, function(self, c)
  self.score = nn.Linear(c.n_embd, c.num_labels, { bias = false })
end, decoder.sequence("transformer"))

headed("GPT2ForTokenClassification", { "classifier." }, { "labels" }, function(self, c)
  self.dropout = nn.Dropout(type(c.classifier_dropout) == "number" and c.classifier_dropout or 0.1)
  self.classifier = nn.Linear(c.n_embd, c.num_labels)
end, heads.token("transformer"))

for _, class in pairs(gpt2) do
  if class.is_module then PreTrainedModel.publish(class) end
end

return gpt2
