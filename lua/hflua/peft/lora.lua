--- The LoRA layer (Hu et al. 2021): y = base(x) + scale * B A x beside a linear layer whose own weights stay as they are.
local errors = require "hflua.errors"
local nn = require "hflua.nn"
local tensor = require "hflua.tensor"
local match = require "hflua.peft.match"

local Adapters = nn.Module:extend("ModuleDict") -- one entry for each adapter, by its name

local LoraLayer = nn.Module:extend("lora.Linear")
LoraLayer.is_lora = true

--- Around a Linear or Conv1D, which becomes the field base_layer.
function LoraLayer:init(base)
  self.base_layer = base
  self.lora_dropout = Adapters()
  self.lora_A = Adapters()
  self.lora_B = Adapters()
  self.scaling = {} -- adapter -> scale; `active` and `merged` are names of adapters, or false
end

-- inputs and outputs of the layer
local function sizes(base)
  local weight = base.weight
  if base.__name == "Conv1D" then return weight.shape[1], weight.shape[2] end
  return weight.shape[2], weight.shape[1]
end

-- First values as peft draws them: both matrices as any linear layer, then A anew and B zero.
local function start(a, b, how, rank)
  if how == false then return end
  if how == "gaussian" then nn.init.normal_(a.weight, 0, 1 / rank) else nn.init.linear_(a.weight) end
  nn.init.zeros_(b.weight)
end

--- Adds an adapter; `name` is the module's in the model (for rank_pattern and alpha_pattern).
function LoraLayer:add(adapter, config, name)
  local inputs, outputs = sizes(self.base_layer)
  local rank = match.by_pattern(config.rank_pattern, name, config.r)
  local alpha = match.by_pattern(config.alpha_pattern, name, config.lora_alpha)
  local a, b = nn.Linear(inputs, rank, { bias = false }), nn.Linear(rank, outputs, { bias = false })
  start(a, b, config.init_lora_weights, rank)
  self.lora_dropout[adapter] = nn.Dropout(config.lora_dropout)
  self.lora_A[adapter], self.lora_B[adapter] = a, b
  self.scaling[adapter] = alpha / (config.use_rslora and math.sqrt(rank) or rank)
end

-- The small product is scaled, (N, r), rather than the large one, (N, out).
local function added(self, x)
  local name = self.active
  local small = self.lora_A[name](self.lora_dropout[name](x))
  local scale = self.scaling[name]
  return self.lora_B[name](scale == 1 and small or small * scale)
end

local activations = { gelu = function(x) return tensor.gelu(x) end, gelu_tanh = function(x) return tensor.gelu(x, { approximate = "tanh" }) end,
  relu = function(x) return tensor.relu(x) end, silu = function(x) return tensor.silu(x) end, tanh = function(x) return tensor.tanh(x) end }

--- x (..., in) -> (..., out), as the layer it stands for
function LoraLayer:forward(x, activation)
  if not self.active or self.merged then return self.base_layer(x, activation) end
  local y = self.base_layer(x) + added(self, x)
  return activation and activations[activation](y) or y
end

-- scale B A in the layout of the base weight
local function delta(self, adapter)
  local product = tensor.matmul(self.lora_B[adapter].weight, self.lora_A[adapter].weight) * self.scaling[adapter]
  return self.base_layer.__name == "Conv1D" and product:transpose(0, 1) or product
end

local function shift(self, adapter, sign)
  tensor.no_grad(function()
    local weight = self.base_layer.weight
    weight:copy_(weight + (delta(self, adapter) * sign):to(weight.dtype))
  end)
end

--- Adds the adapter to the base weight; it is taken out again by `unmerge`.
function LoraLayer:merge()
  if self.merged or not self.active then return end
  shift(self, self.active, 1)
  self.merged = self.active
end

function LoraLayer:unmerge()
  if not self.merged then return end
  shift(self, self.merged, -1)
  self.merged = nil
end

--- Error unless the module can carry an adapter: models read the weights of their output layer and embeddings directly.
function LoraLayer.check(model, name, module)
  local output = model.get_output_embeddings and model:get_output_embeddings()
  if module == output then
    errors.raise("LoraConfig: target_modules: %s is the output layer of %s, whose loss is made in chunks from its weight; train it whole with modules_to_save={\"%s\"}",
      name, model.__name, name)
  end
  if module.__name ~= "Linear" and module.__name ~= "Conv1D" then
    errors.raise("LoraConfig: target_modules: %s: expected a Linear or Conv1D layer, found %s", name, module.__name)
  end
end

return LoraLayer
