--- Metrics of predicted classes: accuracy, precision, recall, F1, Matthews correlation, confusion matrix, kappa.
-- Every function takes (predictions, references, options), two lists of equal length, and returns an ordered table.
local errors = require "hflua.errors"
local ordered = require "hflua.ordered"

local classification = {}

local function weight_of(o, i) return o.sample_weight and o.sample_weight[i] or 1 end

local function check_weights(where, references, o)
  if o.sample_weight and #o.sample_weight ~= #references then
    errors.raise("%s: sample_weight: expected %d numbers, found %d", where, #references, #o.sample_weight)
  end
end

-- All classes that occur, sorted.
local function classes_of(predictions, references)
  local seen, list = {}, {}
  for _, source in ipairs { references, predictions } do
    for _, class in ipairs(source) do
      if not seen[class] then
        seen[class] = true
        list[#list + 1] = class
      end
    end
  end
  table.sort(list)
  return list
end

-- Weighted counts per class: of hits, of predictions, of references.
local function count_classes(predictions, references, o)
  local hits, predicted, actual = {}, {}, {}
  for i, reference in ipairs(references) do
    local prediction, weight = predictions[i], weight_of(o, i)
    predicted[prediction] = (predicted[prediction] or 0) + weight
    actual[reference] = (actual[reference] or 0) + weight
    if prediction == reference then hits[reference] = (hits[reference] or 0) + weight end
  end
  return hits, predicted, actual
end

local function ratio(a, b, otherwise)
  if b == 0 then return otherwise end
  return a / b
end

-- Hits over predictions, over references, and their harmonic mean 2 hits / (predictions + references).
local scores = {
  precision = function(hits, predicted, actual, zero) return ratio(hits, predicted, zero) end,
  recall = function(hits, predicted, actual, zero) return ratio(hits, actual, zero) end,
  f1 = function(hits, predicted, actual, zero) return ratio(2 * hits, predicted + actual, zero) end,
}

local function is_binary(classes, pos_label)
  if #classes > 2 then return false end
  for _, class in ipairs(classes) do
    if class == pos_label then return true end
  end
  return #classes <= 1
end

-- Scores of each class in `labels`.
local function score_each(score, labels, counts, zero)
  local hits, predicted, actual = counts[1], counts[2], counts[3]
  local list = {}
  for i, class in ipairs(labels) do
    list[i] = score(hits[class] or 0, predicted[class] or 0, actual[class] or 0, zero) + 0.0
  end
  return list
end

local function sum_over(labels, counts)
  local sum = 0
  for _, class in ipairs(labels) do sum = sum + (counts[class] or 0) end
  return sum
end

local averages = {}

function averages.micro(score, labels, counts, zero)
  return score(sum_over(labels, counts[1]), sum_over(labels, counts[2]), sum_over(labels, counts[3]), zero)
end

function averages.macro(score, labels, counts, zero)
  local sum = 0
  for _, value in ipairs(score_each(score, labels, counts, zero)) do sum = sum + value end
  return sum / #labels
end

function averages.weighted(score, labels, counts, zero)
  local sum, total = 0, sum_over(labels, counts[3])
  for i, value in ipairs(score_each(score, labels, counts, zero)) do
    sum = sum + value * (counts[3][labels[i]] or 0)
  end
  return ratio(sum, total, zero)
end

local function check_average(where, average, classes, pos_label)
  if averages[average] or average == "none" then return end
  if average ~= "binary" then
    errors.raise("%s: average '%s': expected binary, micro, macro, weighted or none", where, tostring(average))
  end
  if not is_binary(classes, pos_label) then
    errors.raise("%s: the labels have %d classes but average is 'binary' (pos_label %s): choose average = \"micro\", \"macro\", \"weighted\" or \"none\"",
      where, #classes, tostring(pos_label))
  end
end

local function average_name(average)
  if average == nil then return "binary" end
  return tostring(average) == "null" and "none" or average
end

local function zero_division(o)
  if o.zero_division == nil or o.zero_division == "warn" then return 0.0 end
  return o.zero_division + 0.0
end

local function scored(name)
  return function(predictions, references, o)
    check_weights(name, references, o)
    local classes, zero = classes_of(predictions, references), zero_division(o)
    local average, pos_label = average_name(o.average), o.pos_label == nil and 1 or o.pos_label
    check_average(name, average, classes, pos_label)
    local counts = { count_classes(predictions, references, o) }
    local labels, value = o.labels or classes, nil
    if average == "binary" then
      value = score_each(scores[name], { pos_label }, counts, zero)[1]
    elseif average == "none" then
      value = score_each(scores[name], labels, counts, zero)
    else
      value = averages[average](scores[name], labels, counts, zero)
    end
    return ordered.new(name, value)
  end
end

classification.f1 = scored "f1"
classification.precision = scored "precision"
classification.recall = scored "recall"

function classification.accuracy(predictions, references, o)
  check_weights("accuracy", references, o)
  local right, total = 0, 0
  for i, reference in ipairs(references) do
    local weight = weight_of(o, i)
    total = total + weight
    if predictions[i] == reference then right = right + weight end
  end
  return ordered.new("accuracy", (o.normalize == false and right or right / total) + 0.0)
end

-- Square table of weighted counts, rows references and columns predictions, over `labels`.
local function confusion(predictions, references, o)
  local labels, position, matrix = o.labels or classes_of(predictions, references), {}, {}
  for i, class in ipairs(labels) do
    position[class], matrix[i] = i, {}
    for j = 1, #labels do matrix[i][j] = 0 end
  end
  for i, reference in ipairs(references) do
    local row, column = position[reference], position[predictions[i]]
    if row and column then matrix[row][column] = matrix[row][column] + weight_of(o, i) end
  end
  return matrix
end

-- Sums over rows and columns of a square table: trace, total, row sums, column sums.
local function margins(matrix)
  local trace, total, rows, columns = 0, 0, {}, {}
  for i, row in ipairs(matrix) do
    trace = trace + row[i]
    for j, count in ipairs(row) do
      total = total + count
      rows[i] = (rows[i] or 0) + count
      columns[j] = (columns[j] or 0) + count
    end
  end
  return trace, total, rows, columns
end

local normalizers = {
  ["true"] = function(row, column, total) return row end,
  pred = function(row, column, total) return column end,
  all = function(row, column, total) return total end,
}

function classification.confusion_matrix(predictions, references, o)
  local matrix = confusion(predictions, references, o)
  local normalizer = o.normalize and normalizers[o.normalize]
  if o.normalize and not normalizer then
    errors.raise("confusion_matrix: normalize '%s': expected true, pred or all (as text)", tostring(o.normalize))
  end
  if normalizer then
    local _, total, rows, columns = margins(matrix)
    for i, row in ipairs(matrix) do
      for j, count in ipairs(row) do row[j] = ratio(count, normalizer(rows[i], columns[j], total), 0.0) end
    end
  end
  return ordered.new("confusion_matrix", matrix)
end

local function dot(a, b)
  local sum = 0
  for i, value in ipairs(a) do sum = sum + value * b[i] end
  return sum
end

function classification.matthews_correlation(predictions, references, o)
  local trace, total, rows, columns = margins(confusion(predictions, references, o))
  local spread = (total * total - dot(rows, rows)) * (total * total - dot(columns, columns))
  if spread == 0 then return ordered.new("matthews_correlation", 0.0) end
  return ordered.new("matthews_correlation", (trace * total - dot(rows, columns)) / math.sqrt(spread))
end

-- Mean recall over the classes that occur among the references; `adjusted` puts chance at 0.
function classification.balanced_accuracy(predictions, references, o)
  local hits, _, actual = count_classes(predictions, references, o)
  local sum, classes = 0, 0
  for class, count in pairs(actual) do
    sum, classes = sum + (hits[class] or 0) / count, classes + 1
  end
  local score = sum / classes
  if o.adjusted then score = (score - 1 / classes) / (1 - 1 / classes) end
  return ordered.new("balanced_accuracy", score)
end

-- How far two classes are apart: 0 or 1, their distance, or its square.
local distances = {
  none = function(i, j) return i == j and 0 or 1 end,
  linear = function(i, j) return math.abs(i - j) end,
  quadratic = function(i, j) return (i - j) ^ 2 end,
}

function classification.cohen_kappa(predictions, references, o)
  local distance = distances[o.weights or "none"]
  if not distance then errors.raise("cohen_kappa: weights '%s': expected linear or quadratic", tostring(o.weights)) end
  local matrix = confusion(predictions, references, o)
  local _, total, rows, columns = margins(matrix)
  local seen, expected = 0, 0
  for i, row in ipairs(matrix) do
    for j, count in ipairs(row) do
      seen = seen + distance(i, j) * count
      expected = expected + distance(i, j) * rows[i] * columns[j] / total
    end
  end
  return ordered.new("cohen_kappa", expected == 0 and 0 / 0 or 1 - seen / expected)
end

function classification.exact_match(predictions, references, o)
  local function clean(text)
    text = tostring(text)
    if o.ignore_case then text = text:lower() end
    if o.ignore_punctuation then text = text:gsub("%p", "") end
    if o.ignore_numbers then text = text:gsub("%d", "") end
    return text
  end
  local right = 0
  for i, reference in ipairs(references) do
    if clean(predictions[i]) == clean(reference) then right = right + 1 end
  end
  return ordered.new("exact_match", right / #references)
end

return classification
