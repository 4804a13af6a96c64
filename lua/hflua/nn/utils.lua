--- Helpers over the parameters of a model.
local check = require "hflua.nn.check"
local tensor = require "hflua.tensor"

local utils = {}

--- Scales the gradients so that their norm, taken together, is at most max_norm, by min(1, max_norm / (norm + 1e-6)).
-- parameters: a sequence of tensors. Returns the norm before scaling, a tensor of one element on their device. Nothing waits for the
-- device until that is read.
function utils.clip_grad_norm_(parameters, max_norm)
  check.list("clip_grad_norm_", "parameters", parameters)
  check.number("clip_grad_norm_", "max_norm", max_norm, 0, math.huge)
  local norms = tensor.core.gradient_check():run(parameters, { max_norm = max_norm })
  tensor.core.scale_gradients(parameters, norms)
  return norms:norm()
end

return utils
