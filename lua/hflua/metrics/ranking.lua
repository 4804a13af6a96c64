--- Metrics of scores and probabilities: ROC AUC (two and more classes), average precision, log loss.
local errors = require "hflua.errors"
local ordered = require "hflua.ordered"

local ranking = {}

-- Walks the thresholds from high to low: calls f(true positives, false positives) once per distinct score.
local function sweep(scores, positive, weights, f)
  local order = {}
  for i = 1, #scores do order[i] = i end
  table.sort(order, function(a, b)
    if scores[a] ~= scores[b] then return scores[a] > scores[b] end
    return a < b
  end)
  local hits, misses = 0, 0
  for k, i in ipairs(order) do
    local weight = weights and weights[i] or 1
    if positive[i] then hits = hits + weight else misses = misses + weight end
    if k == #order or scores[order[k + 1]] ~= scores[i] then f(hits, misses) end
  end
  return hits, misses
end

-- Area under the curve of true over false positives.
local function auc(scores, positive, weights)
  local area, last_hits, last_misses = 0, 0, 0
  local hits, misses = sweep(scores, positive, weights, function(hits, misses)
    area = area + (misses - last_misses) * (hits + last_hits) / 2
    last_hits, last_misses = hits, misses
  end)
  if hits == 0 or misses == 0 then errors.raise("roc_auc: only one class among the references: the area is not defined") end
  return area / (hits * misses)
end

local function flags(references, class)
  local out = {}
  for i, reference in ipairs(references) do out[i] = reference == class end
  return out
end

local function column(rows, j)
  local out = {}
  for i, row in ipairs(rows) do out[i] = row[j] end
  return out
end

-- Average of per-class values: plain, or weighted with the given counts.
local function average(values, counts, kind)
  local sum, total = 0, 0
  for i, value in ipairs(values) do
    local weight = kind == "weighted" and counts[i] or 1
    sum, total = sum + weight * value, total + weight
  end
  return sum / total
end

-- One class against all others. Classes are 0 .. columns - 1.
local function one_versus_rest(rows, references, kind)
  local values, counts = {}, {}
  for j = 1, #rows[1] do
    local positive = flags(references, j - 1)
    values[j], counts[j] = auc(column(rows, j), positive), 0
    for _, is in ipairs(positive) do counts[j] = counts[j] + (is and 1 or 0) end
  end
  return average(values, counts, kind)
end

-- The area for class a among the rows of the classes a and b.
local function pair_auc(rows, references, a, b)
  local scores, positive = {}, {}
  for i, reference in ipairs(references) do
    if reference == a or reference == b then
      scores[#scores + 1] = rows[i][a + 1]
      positive[#scores] = reference == a
    end
  end
  return auc(scores, positive), #scores
end

-- Every pair of classes, each seen from both sides.
local function one_versus_one(rows, references, kind)
  local values, counts = {}, {}
  for a = 0, #rows[1] - 1 do
    for b = a + 1, #rows[1] - 1 do
      local first, count = pair_auc(rows, references, a, b)
      values[#values + 1] = (first + pair_auc(rows, references, b, a)) / 2
      counts[#values] = count
    end
  end
  return average(values, counts, kind)
end

local multi_class = { ovr = one_versus_rest, ovo = one_versus_one }

function ranking.roc_auc(predictions, references, o)
  if type(predictions[1]) ~= "table" then
    return ordered.new("roc_auc", auc(predictions, flags(references, o.pos_label or 1), o.sample_weight))
  end
  local way, kind = multi_class[o.multi_class], o.average or "macro"
  if not way then errors.raise('roc_auc: more than two classes need multi_class = "ovr" or "ovo"') end
  if kind ~= "macro" and kind ~= "weighted" then
    errors.raise("roc_auc: average '%s': expected macro or weighted", tostring(kind))
  end
  return ordered.new("roc_auc", way(predictions, references, kind))
end

-- Precision at each threshold, weighted with the recall it adds.
function ranking.average_precision(predictions, references, o)
  local sum, last = 0, 0
  local hits = sweep(predictions, flags(references, o.pos_label or 1), o.sample_weight, function(hits, misses)
    sum = sum + (hits - last) * hits / (hits + misses)
    last = hits
  end)
  return ordered.new("average_precision", hits == 0 and 0.0 or sum / hits)
end

-- Mean of -log of the probability of the right class; probabilities are kept away from 0 as scikit-learn does.
function ranking.log_loss(predictions, references, o)
  local smallest, sum, total = 2.220446049250313e-16, 0, 0
  for i, reference in ipairs(references) do
    local row = predictions[i]
    if type(row) ~= "table" then row = { 1 - row, row } end
    local p = row[reference + 1]
    if not p then errors.raise("log_loss: reference %s lies outside the %d classes", tostring(reference), #row) end
    local weight = o.sample_weight and o.sample_weight[i] or 1
    sum = sum - weight * math.log(math.max(smallest, math.min(1 - smallest, p)))
    total = total + weight
  end
  return ordered.new("log_loss", o.normalize == false and sum or sum / total)
end

return ranking
