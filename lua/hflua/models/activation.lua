--- Activations by the names of configurations: the fused form that products take, and the module that PyTorch prints.
local errors = require "hflua.errors"
local nn = require "hflua.nn"

local activation = {}

-- name -> { fused form, class in transformers }
local known = {
  gelu = { "gelu", "GELUActivation" }, gelu_python = { "gelu", "GELUActivation" }, gelu_new = { "gelu_tanh", "NewGELUActivation" },
  gelu_pytorch_tanh = { "gelu_tanh", "GELUTanh" }, relu = { "relu", "ReLU" }, silu = { "silu", "SiLUActivation" },
  swish = { "silu", "SiLUActivation" }, tanh = { "tanh", "Tanh" },
}

local function entry(name, where)
  return known[name] or errors.raise("%s: unknown activation %q (known: gelu, gelu_new, relu, silu, tanh)", where, tostring(name))
end

--- What `tensor.linear` takes as `activation`.
function activation.fused(name, where) return entry(name, where)[1] end

local classes = {}

--- A module that stands for the activation; `fused` is its form in products.
function activation.module(name, where)
  local fused, class = table.unpack(entry(name, where))
  if not classes[class] then
    classes[class] = nn.Module:extend(class)
    classes[class].forward = function(self, x) return x[self.fused](x) end
  end
  local module = classes[class]()
  rawset(module, "fused", fused)
  return module
end

return activation
