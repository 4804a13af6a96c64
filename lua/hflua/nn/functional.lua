--- What layers share: dropout in its two kinds, and layer norm around it.
--
-- `functional.dropout_rng` is "counter" (a function of seed, step and position) or "torch" (keep-masks drawn from the global
-- generator in PyTorch's order, so that a run with dropout can be compared with a Python one).
local tensor = require "hflua.tensor"

local functional = { dropout_rng = "counter" }

--- A number as Python prints it: 1e-12, 0.1, 1e-05.
function functional.python_number(x)
  for digits = 1, 17 do
    local text = ("%." .. digits .. "g"):format(x)
    if tonumber(text) == x then return text end
  end
end

-- The keep-mask of torch.nn.functional.dropout on the CPU, scaled by 1 / (1 - p).
local function torch_mask(x, p)
  return tensor.no_grad(function() return tensor.empty(x.shape):bernoulli_(1 - p):div_(1 - p) end)
end

--- x with entries zeroed with probability p and the rest divided by 1 - p.
function functional.dropout(x, p)
  if p == 0 then return x end
  if functional.dropout_rng == "torch" then return x * torch_mask(x, p) end
  return tensor.dropout(x, { p = p, training = true })
end

--- norm(residual + dropout(x)) * weight + bias over the last dim, in one pass.
-- options: eps, residual (tensor or nil), dropout (probability, default 0)
function functional.layer_norm(x, weight, bias, options)
  local p, residual = options.dropout or 0, options.residual
  if p > 0 and functional.dropout_rng == "torch" then x, p = functional.dropout(x, p), 0 end
  return tensor.layer_norm(x, weight, bias, { eps = options.eps, residual = residual, dropout = p })
end

return functional
