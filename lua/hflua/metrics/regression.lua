--- Metrics of predicted numbers: correlations with p-values, errors, r squared. Arguments as in metrics.classification.
local errors = require "hflua.errors"
local ordered = require "hflua.ordered"
local special = require "hflua.metrics.special_functions"

local regression = {}

local function mean(list)
  local sum = 0
  for _, value in ipairs(list) do sum = sum + value end
  return sum / #list
end

-- Centred values and the square root of their sum of squares.
local function centred(list)
  local average, out, squares = mean(list), {}, 0
  for i, value in ipairs(list) do
    out[i] = value - average
    squares = squares + out[i] * out[i]
  end
  return out, math.sqrt(squares)
end

-- Pearson's r, kept inside -1..1; not a number when one side is constant.
local function correlation(a, b)
  local x, x_length = centred(a)
  local y, y_length = centred(b)
  local sum = 0
  for i, value in ipairs(x) do sum = sum + (value / x_length) * (y[i] / y_length) end
  return math.max(-1.0, math.min(1.0, sum))
end

-- Ranks from 1; equal values share the mean of their ranks.
local function ranks(list)
  local order, out = {}, {}
  for i = 1, #list do order[i] = i end
  table.sort(order, function(a, b) return list[a] < list[b] end)
  local first = 1
  while first <= #order do
    local last = first
    while last < #order and list[order[last + 1]] == list[order[first]] do last = last + 1 end
    for k = first, last do out[order[k]] = (first + last) / 2 end
    first = last + 1
  end
  return out
end

local function check_pairs(where, references)
  if #references < 2 then errors.raise("%s: expected at least 2 pairs, found %d", where, #references) end
end

local function correlated(name, transform)
  return function(predictions, references, o)
    check_pairs(name, references)
    local r = correlation(transform(predictions), transform(references))
    local result = ordered.new(name, r)
    if o.return_pvalue ~= false then result["p-value"] = special.correlation_p_value(r, #references) end
    return result
  end
end

regression.pearsonr = correlated("pearsonr", function(list) return list end)
regression.spearmanr = correlated("spearmanr", ranks)

-- Weighted mean of f(prediction, reference).
local function mean_error(name, f, finish)
  return function(predictions, references, o)
    local sum, total = 0, 0
    for i, reference in ipairs(references) do
      local weight = o.sample_weight and o.sample_weight[i] or 1
      sum, total = sum + weight * f(predictions[i], reference), total + weight
    end
    return ordered.new(name, finish and finish(sum / total, o) or sum / total)
  end
end

regression.mse = mean_error("mse", function(p, r) return (p - r) ^ 2 end,
  function(value, o) return o.squared == false and math.sqrt(value) or value end)
regression.mae = mean_error("mae", function(p, r) return math.abs(p - r) end)

-- Share of the variance of the references that is explained.
local function r_squared(name)
  return function(predictions, references, o)
    check_pairs(name, references)
    local _, length = centred(references)
    local rest = 0
    for i, reference in ipairs(references) do rest = rest + (reference - predictions[i]) ^ 2 end
    return ordered.new(name, length == 0 and (rest == 0 and 1.0 or 0.0) or 1 - rest / (length * length))
  end
end

regression.r2 = r_squared "r2"
regression.r_squared = r_squared "r_squared"

--- exp of the mean loss: perplexity{ losses = {...} }, or of predictions given as losses.
function regression.perplexity(losses)
  return ordered.new("perplexity", math.exp(mean(losses)), "mean_loss", mean(losses))
end

return regression
