-- Metrics against scikit-learn and scipy, and the forms in which they are called.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local golden = dofile(t.dir .. "/lib/golden.lua")
local hf = require "hflua"
local evaluate = hf.evaluate

local reference = golden.json "metrics/expected.json"

-- Compares numbers within 1e-9, relative where that is smaller; lists entry by entry.
local function close(actual, expected, path)
  if type(expected) == "table" then
    assert(type(actual) == "table" and #actual == #expected, path .. ": a list of the same length")
    for i, value in ipairs(expected) do close(actual[i], value, path .. "[" .. i .. "]") end
    return
  end
  t.near(actual, expected, math.min(1e-9, math.abs(expected) * 1e-9 + 1e-300), 0, path)
end

for _, case in ipairs(reference.cases) do
  t.test(case.name, function()
    local name = pairs(case.result)(case.result)
    local metric = evaluate.load(name)
    local given = { predictions = case.predictions, references = case.references }
    for k, v in pairs(case.kwargs) do given[k] = v end
    local result = metric:compute(given)
    for key, expected in pairs(case.result) do close(result[key], expected, case.name .. "." .. key) end
  end)
end

t.test("perplexity is the exponential of the mean loss", function()
  local result = evaluate.load("perplexity"):compute { losses = reference.perplexity.losses }
  close(result.perplexity, reference.perplexity.perplexity, "perplexity")
  close(result.mean_loss, reference.perplexity.mean_loss, "mean_loss")
end)

t.test("glue configurations", function()
  local given = { predictions = { 1, 0, 1, 1 }, references = { 1, 0, 0, 1 } }
  t.same(tostring(evaluate.load("glue", "mrpc"):compute(given)), "{'accuracy': 0.75, 'f1': 0.8}")
  t.same(tostring(evaluate.load("glue", "sst2"):compute(given)), "{'accuracy': 0.75}")
  close(evaluate.load("glue", "cola"):compute(given).matthews_correlation, 0.5773502691896258, "cola")
  local stsb = evaluate.load("glue", "stsb"):compute { predictions = { 1.0, 2.0, 3.5 }, references = { 1.0, 2.5, 3.0 } }
  assert(stsb.pearson > 0.9)
  t.near(stsb.spearmanr, 1.0, 1e-12)
  t.raises(function() evaluate.load("glue") end, "a configuration is needed")
  t.raises(function() evaluate.load("glue", "mrcp") end, "unknown configuration 'mrcp'", "mrpc")
end)

t.test("batches add up and compute forgets them", function()
  local metric = hf.load_metric("accuracy")
  metric:add_batch { predictions = { 1, 0 }, references = { 1, 1 } }
  metric:add { prediction = 2, reference = 2 }
  t.near(metric:compute().accuracy, 2 / 3, 1e-15)
  t.raises(function() metric:compute() end, "accuracy: no predictions were added")
end)

t.test("several metrics in one", function()
  local both = evaluate.combine { "accuracy", evaluate.load("f1") }
  both:add_batch { predictions = { 1, 0, 1, 1 }, references = { 1, 0, 0, 1 } }
  t.same(tostring(both:compute()), "{'accuracy': 0.75, 'f1': 0.8}")
end)

t.test("F1 of nothing is 0, and mistakes are named", function()
  t.near(evaluate.load("f1"):compute { predictions = { 0, 0 }, references = { 0, 0 } }.f1, 0.0)
  local function compute(name, given) return function() evaluate.load(name):compute(given) end end
  t.raises(compute("f1", { predictions = { 0, 1, 2 }, references = { 0, 1, 2 } }), "3 classes but average is 'binary'")
  t.raises(compute("f1", { predictions = { 0, 1 }, references = { 0, 1 }, average = "mean" }), "average 'mean'")
  t.raises(compute("f1", { predictions = { 0, 1 }, references = { 0, 1 }, averge = "micro" }), "unknown option 'averge'", "average")
  t.raises(compute("accuracy", { predictions = { 1, 0 }, references = { 1 } }), "2 predictions but 1 references")
  t.raises(compute("accuracy", { predictions = { { 1, 0 } }, references = { 1 } }), "one value per example", "argmax")
  t.raises(compute("accuracy", { predictions = 3, references = { 1 } }), "expected a list or a tensor")
  t.raises(compute("roc_auc", { predictions = { 0.1, 0.2 }, references = { 1, 1 } }), "only one class")
  t.same(tostring(hf.evaluate.load("roc_auc"):compute({ prediction_scores = { 0.5, 0.2, 0.3 }, references = { 1, 0, 1 } })), "{'roc_auc': 1.0}")
  t.raises(compute("roc_auc", { predictions = { 1 }, prediction_scores = { 1 }, references = { 1 } }), "two names of one thing")
  t.raises(compute("roc_auc", { predictions = { { 1, 0, 0 } }, references = { 1 } }), "multi_class")
  t.raises(function() evaluate.load("acuracy") end, "unknown metric 'acuracy'", "accuracy")
end)

t.finish()
