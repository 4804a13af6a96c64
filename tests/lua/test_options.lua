local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local options = require "hflua.options"
local errors = require "hflua.errors"

t.test("nearest finds a name one slip away, and nothing for a stranger", function()
  local names = { "learning_rate", "batch_size", "seed" }
  t.same(options.nearest("learning_rat", names), "learning_rate")
  t.same(options.nearest("bathc_size", { batch_size = 1, seed = 2 }), "batch_size")
  t.same(options.nearest("colour", names), nil)
end)

t.test("check names the unknown option, the nearest one, and the line of the caller", function()
  t.same(options.check("f", nil, { "a" }), {})
  t.same(options.check("f", { a = 1 }, { "a" }), { a = 1 })
  local line = debug.getinfo(1, "l").currentline + 1
  local function call() options.check("DataLoader", { batchsize = 2 }, { "batch_size" }) end
  t.raises(call, "test_options.lua:" .. line, "DataLoader: unknown option 'batchsize' (did you mean 'batch_size'?)")
  t.raises(function() options.check("f", { 1 }, { "a" }) end, "f: options are named, found key 1")
  t.raises(function() options.check("f", "text", { "a" }) end, "expected a table, found string")
end)

t.test("merge keeps defaults, converts numbers, refuses changed types", function()
  local defaults = { rate = 5e-5, steps = 500, name = "x", flag = true, other = options.none }
  t.same(options.merge(defaults, nil, "f"), { rate = 5e-5, steps = 500, name = "x", flag = true })
  local merged = options.merge(defaults, { rate = 1, steps = 10.0, flag = false, other = {} }, "f")
  t.same(merged, { rate = 1.0, steps = 10, name = "x", flag = false, other = {} })
  t.same(math.type(merged.rate), "float")
  t.same(math.type(merged.steps), "integer")
  t.raises(function() options.merge(defaults, { steps = 1.5 }, "f") end, "option 'steps': expected a whole number, found 1.5")
  t.raises(function() options.merge(defaults, { steps = "10" }, "f") end, "expected a whole number, found string")
  t.raises(function() options.merge(defaults, { flag = "yes" }, "f") end, "option 'flag': expected true or false, found string")
  t.raises(function() options.merge(defaults, { stesp = 1 }, "f") end, "did you mean 'steps'?")
end)

t.test("raise takes a plain text as it is", function()
  t.raises(function() errors.raise("100% wrong") end, "test_options.lua:", "100% wrong")
end)

t.finish()
