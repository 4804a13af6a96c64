--- Normalisation over the last dim. weight, bias (width).
local options_of = require "hflua.options"
local check = require "hflua.nn.check"
local functional = require "hflua.nn.functional"
local init = require "hflua.nn.parameter"
local Module = require "hflua.nn.module"

local LayerNorm = Module:extend("LayerNorm")

--- LayerNorm(width[, {eps=1e-5}])
function LayerNorm:init(width, options)
  options_of.check("LayerNorm", options, { "eps" })
  self.width = check.size("LayerNorm", "width", width)
  self.eps = check.number("LayerNorm", "eps", options and options.eps or 1e-5, 0, 1)
  self.weight = init.new { width }
  self.bias = init.new { width }
  init.constant_(self.weight, 1)
  init.zeros_(self.bias)
end

--- norm(residual + dropout(x)); residual and dropout may be absent.
function LayerNorm:forward(x, residual, dropout)
  return functional.layer_norm(x, self.weight, self.bias, { eps = self.eps, residual = residual, dropout = self.training and dropout or 0 })
end

function LayerNorm:extra_repr() return ("(%d,), eps=%s, elementwise_affine=True, bias=True"):format(self.width, functional.python_number(self.eps)) end

return LayerNorm
