--- Losses composed of the operations in C. `reduction` is "mean" (the default), "sum" or "none".
local define = require "hflua.tensor.define"
local core = require "hflua.core.tensor"
local errors = require "hflua.errors"

local f = core.functions

local function reduce(name, loss, reduction)
  reduction = reduction or "mean"
  if reduction == "mean" then return loss:mean() end
  if reduction == "sum" then return loss:sum() end
  if reduction == "none" then return loss end
  errors.raise("%s: reduction: '%s' is none of mean, sum, none", name, tostring(reduction))
end

-- Shapes must be equal: broadcasting (N, 1) against (N) would make a loss of N x N differences.
local function check_shapes(name, input, target)
  if not (define.is_tensor(input) and define.is_tensor(target)) or input.shape ~= target.shape then
    errors.raise("%s: expected input and target of one shape, found %s and %s", name, define.describe(input), define.describe(target))
  end
end

-- 16-bit values as float32: losses are computed in that.
local function wide(x)
  if define.is_tensor(x) and (x.dtype == "bfloat16" or x.dtype == "float16") then return x:float() end
  return x
end

local function pairwise(name, extra, compute)
  define { name = name, arguments = { "input", "target", "reduction", extra }, required = 2, run = function(input, target, reduction, value)
    check_shapes(name, input, target)
    return reduce(name, compute(wide(input), wide(target), value), reduction)
  end }
end

pairwise("mse_loss", nil, function(input, target) return (input - target):square() end)
pairwise("l1_loss", nil, function(input, target) return (input - target):abs() end)

-- d^2 / (2 beta) where d < beta, else d - beta / 2
pairwise("smooth_l1_loss", "beta", function(input, target, beta)
  beta = beta or 1.0
  local d = (input - target):abs()
  if beta == 0 then return d end
  return f.where(f.lt(d, beta), d:square() * (0.5 / beta), d - 0.5 * beta)
end)

-- d^2 / 2 where d <= delta, else delta (d - delta / 2)
pairwise("huber_loss", "delta", function(input, target, delta)
  delta = delta or 1.0
  local d = (input - target):abs()
  return f.where(f.le(d, delta), d:square() * 0.5, (d - 0.5 * delta) * delta)
end)

--- (1 - t) x - (1 + (pos_weight - 1) t) log sigmoid(x)
define { name = "bce_with_logits", arguments = { "input", "target", "pos_weight", "weight", "reduction" }, required = 2,
  run = function(input, target, pos_weight, weight, reduction)
    check_shapes("bce_with_logits", input, target)
    input, target = wide(input), wide(target)
    local log_sigmoid = input:logsigmoid()
    if pos_weight then log_sigmoid = ((pos_weight - 1) * target + 1) * log_sigmoid end
    local loss = (1 - target) * input - log_sigmoid
    if weight then loss = loss * weight end
    return reduce("bce_with_logits", loss, reduction)
  end }

--- -t log x - (1 - t) log(1 - x) of probabilities; logarithms are cut at -100.
define { name = "binary_cross_entropy", arguments = { "input", "target", "weight", "reduction" }, required = 2,
  run = function(input, target, weight, reduction)
    check_shapes("binary_cross_entropy", input, target)
    input, target = wide(input), wide(target)
    local loss = -(target * input:log():clamp(-100.0) + (1 - target) * (1 - input):log():clamp(-100.0))
    if weight then loss = loss * weight end
    return reduce("binary_cross_entropy", loss, reduction)
  end }

--- -w[target] input[target] of log-probabilities (N, K, ...); the mean divides by the weights that count.
define { name = "nll_loss", arguments = { "input", "target", "weight", "reduction", "ignore_index" }, required = 2,
  run = function(input, target, weight, reduction, ignore_index)
    local class_dim = input.ndim == 1 and 0 or 1
    input = wide(input)
    local ignored = f.eq(target, ignore_index or -100)
    local safe = target:masked_fill(ignored, 0)
    local picked = input:gather(safe:unsqueeze(class_dim), { dim = class_dim }):squeeze(class_dim)
    local counts = f.logical_not(ignored):float()
    if weight then counts = counts * weight:index_select(safe:flatten(), { dim = 0 }):reshape(target.shape) end
    local loss = -(picked * counts)
    if (reduction or "mean") == "mean" then return loss:sum() / counts:sum() end
    return reduce("nll_loss", loss, reduction)
  end }

--- t (log t - input) of log-probabilities; "batchmean" divides the sum by the first dim.
define { name = "kl_div", arguments = { "input", "target", "reduction", "log_target" }, required = 2,
  run = function(input, target, reduction, log_target)
    check_shapes("kl_div", input, target)
    input, target = wide(input), wide(target)
    local loss
    if log_target then
      loss = target:exp() * (target - input)
    else
      local positive = f.gt(target, 0)
      loss = target * (f.where(positive, target, 1.0):log() - input)
    end
    if reduction == "batchmean" then return loss:sum() / input:size(0) end
    return reduce("kl_div", loss, reduction)
  end }

define.alias("binary_cross_entropy_with_logits", "bce_with_logits")
