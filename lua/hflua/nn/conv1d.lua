--- GPT-2's linear layer: y = x W + b, with the weight stored (in, out) as its checkpoints have it; bias (out).
local tensor = require "hflua.tensor"
local check = require "hflua.nn.check"
local init = require "hflua.nn.parameter"
local Module = require "hflua.nn.module"

local Conv1D = Module:extend("Conv1D")

--- Conv1D(outputs, inputs): the order of the arguments is that of transformers.
function Conv1D:init(outputs, inputs)
  self.nf, self.nx = check.size("Conv1D", "outputs", outputs), check.size("Conv1D", "inputs", inputs)
  self.weight = init.new { inputs, outputs }
  self.bias = init.new { outputs }
  self:first_values(0.02)
end

function Conv1D:first_values(std)
  init.normal_(self.weight, 0, std)
  init.zeros_(self.bias)
end

--- x (..., in) -> (..., out); `activation` as Linear takes it.
function Conv1D:forward(x, activation)
  return tensor.linear(x, self.weight, self.bias, { activation = activation, in_out = true })
end

function Conv1D:extra_repr() return ("nf=%d, nx=%d"):format(self.nf, self.nx) end

return Conv1D
