--- The small helpers of hf: range, launch, makedirs, parse_args, plot.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local program = dofile(os.getenv("HFLUA_TESTS") .. "/lib/program.lua")
local hf = require "hflua"

t.test("range counts from 1, or from a to b inclusive", function()
  t.same(hf.range(3), { 1, 2, 3 })
  t.same(hf.range(4, 6), { 4, 5, 6 })
  t.same(hf.range(0), {})
  t.same(hf.range(5, 4), {})
  t.raises(function() hf.range(1.5) end, "test_helpers.lua", "range: last: expected a whole number, found 1.5")
end)

t.test("launch runs the function with its arguments", function()
  t.same({ hf.launch(function(a, b) return b, a end, { num_processes = 1, args = { 1, 2 } }) }, { 2, 1 })
  t.raises(function() hf.launch(print, { num_processes = 0 }) end, "num_processes: expected a whole number above 0, found 0")
  t.raises(function() hf.launch(print, { processes = 2 }) end, "unknown option 'processes'")
end)

t.test("makedirs makes parents and is content with what is there", function()
  local root = program.file("")
  os.remove(root)
  hf.makedirs(root .. "/a/b")
  hf.makedirs(root .. "/a/b")
  assert(t.exists(root .. "/a/b"))
  t.raises(function() hf.makedirs("/proc/none/x") end, "test_helpers.lua", "/proc/none")
  for _, tail in ipairs { "/a/b", "/a", "" } do assert(os.remove(root .. tail)) end
end)

t.test("set_seed makes the same draws come again, and wants a whole number", function()
  local random = require "hflua.core.random"
  local function draw()
    hf.set_seed(42)
    local dropped = hf.tensor.ones(64):dropout(0.5):tolist()
    return { random.random_int64(), dropped }
  end
  t.same(draw(), draw())
  t.raises(function() hf.set_seed(-1) end, "set_seed: expected a whole number")
  t.raises(function() hf.set_seed("42") end, "set_seed: expected a whole number")
end)

local settings = { model = "bert", batch_size = 8, rate = 5e-5, lower_case = true, names = { "a", "b" },
  training = { seed = 42 }, limit = require("hflua.options").none }

local function parse(...)
  return hf.parse_args(settings, nil, { ... })
end

t.test("parse_args takes every spelling and keeps the types of the defaults", function()
  t.same(parse(), { model = "bert", batch_size = 8, rate = 5e-5, lower_case = true, names = { "a", "b" }, training = { seed = 42 } })
  local c = parse("--model=x=y", "--batch-size", "16", "--rate", "1", "--no-lower_case", "--names=c,d,e", "--training.seed=7", "--limit=3")
  t.same(c, { model = "x=y", batch_size = 16, rate = 1.0, lower_case = false, names = { "c", "d", "e" }, training = { seed = 7 }, limit = 3 })
  t.same(math.type(c.rate), "float")
  t.same(parse("--lower_case", "false").lower_case, false)
  t.same(settings.batch_size, 8, "the defaults stay as they are")
end)

t.test("parse_args takes the options of TrainingArguments, old spellings too", function()
  local training = hf.TrainingArguments("out", { seed = 1 })
  local config, changed = hf.parse_args({ a = 1 }, training,
    { "--learning_rate=2e-5", "--bf16", "--evaluation_strategy=epoch", "--output_dir", "7", "--max_steps=3", "--a=2" })
  t.same(config, { a = 2 })
  t.same({ changed.seed, changed.learning_rate, changed.bf16, changed.eval_strategy, changed.output_dir, changed.max_steps },
    { 1, 2e-5, true, "epoch", "7", 3 })
  t.same(training.max_steps, -1, "the object given")
  t.raises(function() hf.parse_args({ a = 1 }, nil, { "--learning_rate=1" }) end, "unknown option 'learning_rate'")
  t.raises(function() hf.parse_args({ a = 1 }, training, { "--learning_rat=1" }) end, "did you mean 'learning_rate'?")
  t.raises(function() hf.parse_args({ a = 1 }, training, { "--lr_scheduler_type=linar" }) end, "test_helpers.lua", "did you mean 'linear'?")
end)

t.test("parse_args explains what is wrong", function()
  t.raises(function() parse("--modle=x") end, "test_helpers.lua", "--modle: unknown option 'modle' (did you mean 'model'?)", "--help")
  t.raises(function() parse("--batch_size=many") end, "--batch_size: expected a whole number, found 'many'")
  t.raises(function() parse("--batch_size=1.5") end, "--batch_size: expected a whole number, found '1.5'")
  t.raises(function() parse("--lower_case=yes") end, "--lower_case: expected true or false, found 'yes'")
  t.raises(function() parse("--model") end, "--model: needs a value: a string")
  t.raises(function() parse("data.csv") end, "unexpected argument 'data.csv'")
end)

t.test("parse_args --help prints the recipe's head and the comments of its settings", function()
  local recipe = program.file [[
-- Trains a thing.
-- Run it with hflua.
local hf = require "hflua"
local config = hf.parse_args({
  model = "bert", -- a folder or a name
  epochs = 3,
})
print "not reached"
]]
  local result = program.hflua { recipe, "--help" }
  t.same(result.status, 0)
  assert(result.out:match("^Trains a thing%.\nRun it with hflua%.\n\nsettings:\n  %-%-model=bert +a folder or a name\n  %-%-epochs=3\n$"), result.out)
end)

local function read(path)
  local f <close> = assert(io.open(path))
  return f:read("a")
end

t.test("plot writes an SVG file with title, labels and one path a line", function()
  local path = program.file("")
  t.same(hf.plot({ 3, 2, 0 / 0, 1 }, { title = "Loss <1>", xlabel = "Step", ylabel = "Loss", file = path }), path)
  local picture = read(path)
  assert(picture:find(">Loss &lt;1&gt;</text>", 1, true) and picture:find(">Step</text>", 1, true))
  assert(picture:find('d="M70.0 45.0L280.0 215.0M700.0 385.0"', 1, true), picture)
  hf.plot({ train = { 1, 2 }, validation = { 2, 3 } }, { file = path })
  picture = read(path)
  assert(picture:find(">train</text>", 1, true) and picture:find(">validation</text>", 1, true))
  t.raises(function() hf.plot({ 0 / 0 }, { file = path }) end, "plot: no finite value to plot")
  t.raises(function() hf.plot({ 1, "2" }, { file = path }) end, "plot: value 2: expected a number, found string")
  t.raises(function() hf.plot({ 1 }, { file = "/no/such/folder/x.svg" }) end, "plot: /no/such/folder/x.svg")
  program.clean()
end)

t.test("plot draws lines as text", function()
  local text = require("hflua.plot").as_text({ 1, 2, 3, 4 }, { title = "Up", xlabel = "x" }, 4, 2)
  t.same(text, "Up\n         4 |⠀⠀⡤⠏\n         1 |⣀⡖⠃⠀\n           +----\n            1  4  x")
end)

t.finish()
