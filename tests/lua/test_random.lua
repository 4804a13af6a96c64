--- The generators of PyTorch, NumPy and Python: every case of golden/rng, for each of its seeds.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local random, json = require "hflua.core.random", hf.json

local function flatten(value, out)
  out = out or {}
  if type(value) ~= "table" then out[#out + 1] = value return out end
  for _, v in ipairs(value) do flatten(v, out) end
  return out
end

local function near(actual, expected, tolerance, what)
  actual, expected = flatten(actual), flatten(expected)
  t.same(#actual, #expected)
  for i = 1, #expected do t.near(actual[i], expected[i], tolerance, 0, what .. "[" .. i .. "]") end
end

local function cut(list, first, last) return table.move(list, first, last, 1, {}) end

-- First values, last values and the hash of all, as the goldens keep long results.
local function check_values(actual, expected, tolerance, what)
  near(cut(actual, 1, math.min(20, #actual)), expected.first20, tolerance, what)
  near(cut(actual, #actual - 2, #actual), expected.last3, tolerance, what)
end

local function check_torch(seed, e)
  local function generator() return random.generator(seed) end
  local g = generator()
  for i, raw in ipairs(e.raw_uint32_first8_via_random_) do t.same(g:randint(0, 2 ^ 27 | 0, 1)[1], raw % (2 ^ 27 | 0), "raw " .. i) end
  g = generator()
  for i, order in ipairs(e.randperm_10_three_in_a_row) do t.same(g:randperm(10), order, "randperm " .. i) end
  for _, n in ipairs { 1, 10, 1000, 30000 } do
    local expected = e["randperm_" .. n]
    if expected then t.same(cut(generator():randperm(n), 1, math.min(50, n)), expected.first50, "randperm_" .. n) end
  end
  for _, n in ipairs { 5, 15, 16, 17, 40, 1000 } do
    if e["rand_" .. n] then
      check_values(generator():rand(n), e["rand_" .. n], 0, "rand_" .. n)
      check_values(generator():randn(n), e["randn_" .. n], 0, "randn_" .. n)
    end
  end
  g = generator()
  near({ g:randn(5), g:randn(3), g:rand(2) }, e.randn_5_then_randn_3_then_rand_2, 0, "randn, randn, rand")
  near(generator():randn(64, 0, 0.02), e["normal_0_0.02_shape_2_32"], 0, "normal (2, 32)")
  near(generator():randn(15, 0, 0.02), e["normal_0_0.02_shape_3_5"], 0, "normal (3, 5)")
  near(generator():rand(18, -0.3, 0.7), e["uniform_-0.3_0.7_shape_2_9"], 0, "uniform")
  g = generator()
  for _, text in ipairs(e.random_int64_scalar_as_text) do t.same(tostring(g:random_int64()), text) end
  t.same(generator():randint(0, 100, 12), e.randint_0_100_12)
  t.same(generator():randint(0, 30522, 6), e.randint_30522_6)
  for name, high in pairs { ["2^28-1"] = (1 << 28) - 1, ["2^28"] = 1 << 28, ["2^31"] = 1 << 31 } do
    t.same(generator():randint(0, high, 6), e["randint_" .. name .. "_6"], name)
  end
  for i, kept in ipairs(generator():bernoulli(0.9, 30)) do t.same(kept and 1.0 or 0.0, e["bernoulli_scalar_p0.9_30"][i]) end
  for i, kept in ipairs(generator():bernoulli(0.9, 40)) do t.near(kept and 1 / 0.9 or 0.0, e["dropout_p0.1_of_ones_40"][i], 1e-7) end
end

local function check_numpy(seed, e)
  for n, order in pairs(e.numpy_default_rng_permutation) do
    n = math.tointeger(tonumber(n))
    t.same(cut(random.default_rng(seed):permutation(n), 1, math.min(50, n)), order, "permutation " .. n)
  end
  near(random.default_rng(seed):random(6), e.numpy_default_rng_random_6, 0, "random")
  t.same(random.default_rng(seed):integers(0, 1000, 10), e.numpy_default_rng_integers_0_1000_10)
  near(random.default_rng(seed):standard_normal(6), e.numpy_default_rng_standard_normal_6, 1e-13, "standard_normal")
  if not e.numpy_RandomState_rand_4 then return end
  t.same(random.RandomState(seed):permutation(20), e.numpy_RandomState_permutation_20)
  near(random.RandomState(seed):rand(4), e.numpy_RandomState_rand_4, 0, "rand")
  for _, n in ipairs { 20, 100, 1000 } do
    local split, order = e["sklearn_train_test_split_0.1_" .. n], random.RandomState(seed):permutation(n)
    if split then
      t.same(cut(order, 1, n // 10), split.test)
      t.same(cut(order, n // 10 + 1, math.min(n, n // 10 + 40)), split.train_first40)
    end
  end
end

local function check_python(seed, e)
  near(random.python_random(seed):random(5), e.python_random_5, 0, "random")
  local items = {}
  for i = 1, 20 do items[i] = i - 1 end
  random.python_random(seed):shuffle(items)
  t.same(items, e.python_shuffle_20)
  t.same(random.python_random(seed):sample(100, 10), e.python_sample_100_of_10)
  t.same(random.python_random(seed):randint(0, 99), e.python_randint_0_99[1])
end

local function check_trainer_order(seed, e)
  for n, expected in pairs(e.trainer_order or {}) do
    for epoch, order in ipairs(expected.epochs) do
      t.same(random.generator(seed + epoch - 1):randperm(math.tointeger(tonumber(n))), order, "epoch " .. epoch)
    end
  end
end

local function check_file(path)
  for seed, e in pairs(json.load_file(path)) do
    seed = math.tointeger(tonumber(seed))
    if seed then
      t.test("torch, seed " .. seed, function() check_torch(seed, e) end)
      t.test("numpy, seed " .. seed, function() check_numpy(seed, e) end)
      t.test("Python, seed " .. seed, function() check_python(seed, e) end)
      t.test("row orders of the Trainer, seed " .. seed, function() check_trainer_order(seed, e) end)
    end
  end
end

check_file(t.dir .. "/golden/rng/expected.json")
local shared = t.shared and t.shared .. "/golden/rng/expected.json"
if shared and t.exists(shared) then check_file(shared)
else t.skip("all seeds of golden/rng", "no folder ../shared") end

t.test("a state saved as JSON goes on where it was", function()
  random.set_seed(7)
  random.generator(1)
  local g = random.generator(3)
  g:randn(3) -- leaves a kept normal value
  local text, state = json.encode(g:get_state()), json.encode(random.get_state())
  local expected, global = g:randn(5), { random.random_int64(), random.numpy_seed() }
  local again = random.generator(99):set_state(json.decode(text))
  t.same(again:randn(5), expected)
  t.same(again:initial_seed(), 3)
  random.set_state(json.decode(state))
  t.same({ random.random_int64(), random.numpy_seed() }, global)
  local rng = random.default_rng(5)
  rng:integers(0, 10)
  local saved = json.decode(json.encode(rng:get_state()))
  local next_draws = rng:integers(0, 1000, 5)
  t.same(random.default_rng(0):set_state(saved):integers(0, 1000, 5), next_draws)
end)

t.test("the seed datasets take from numpy's global state", function()
  random.set_seed(42)
  t.same({ random.numpy_seed(), random.numpy_seed(), random.numpy_seed() }, { 42, 4170412009, 3342822751 })
end)

t.test("errors", function()
  t.raises(function() random.set_seed(-1) end, "set_seed: expected a whole number from 0 to 4294967295, found -1")
  t.raises(function() random.default_rng(-1) end, "default_rng: expected a seed from 0 on, found -1")
  t.raises(function() random.generator(1):randint(3, 3, 1) end, "randint: expected low < high, found 3 and 3")
  t.raises(function() random.generator(1):randperm(-1) end, "expected a count from 0 to")
  t.raises(function() random.set_state { torch = {} } end, "random state: position: expected a whole number from 0 to 624, found nil")
  local state = random.get_state()
  state.numpy.words[7] = -1
  t.raises(function() random.set_state(state) end, "random state: words[7]: expected a whole number below 2^32")
  t.raises(function() random.python_random(1):sample(3, 4) end, "sample: expected at most 3, found 4")
end)

t.finish()
