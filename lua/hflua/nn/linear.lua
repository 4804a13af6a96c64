--- y = x W^T + b. weight (out, in), bias (out).
local tensor = require "hflua.tensor"
local options_of = require "hflua.options"
local check = require "hflua.nn.check"
local init = require "hflua.nn.parameter"
local Module = require "hflua.nn.module"

local Linear = Module:extend("Linear")

--- Linear(inputs, outputs[, {bias=true}])
function Linear:init(inputs, outputs, options)
  options_of.check("Linear", options, { "bias" })
  self.in_features, self.out_features = check.size("Linear", "inputs", inputs), check.size("Linear", "outputs", outputs)
  self.weight = init.new { outputs, inputs }
  if not (options and options.bias == false) then self.bias = init.new { outputs } end
  init.linear_(self.weight, self.bias)
end

--- x (..., in) -> (..., out); `activation` ("gelu", "gelu_tanh", "relu", "silu", "tanh") is fused into the product.
function Linear:forward(x, activation)
  return tensor.linear(x, self.weight, self.bias, { activation = activation })
end

function Linear:extra_repr()
  return ("in_features=%d, out_features=%d, bias=%s"):format(self.in_features, self.out_features, self.bias and "True" or "False")
end

return Linear
