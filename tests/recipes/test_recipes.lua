--- slow: the recipes run end to end on what comes with hflua.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local system, files = require "hflua.core.system", require "hflua.core.files"

local root = t.dir .. "/.."
local program = os.getenv "HFLUA_BIN" or system.executable()

-- Runs a recipe in a folder of its own; returns what it printed, and whether it ended well.
local function run(recipe, options)
  local folder = os.tmpname()
  os.remove(folder)
  system.makedirs(folder)
  local command = ("cd '%s' && '%s' '%s/recipes/%s' %s 2>&1; echo status=$?; cd / && rm -rf '%s'"):format(folder, program,
    root:sub(1, 1) == "/" and root or os.getenv "PWD" .. "/" .. root, recipe, options, folder)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  pipe:close()
  return text, text:find("status=0", 1, true) ~= nil
end

t.test("mrpc.lua --builtin learns: far above the commoner answer on rows it never saw", function()
  local text, ok = run("mrpc.lua", "--builtin")
  assert(ok, text)
  local accuracy, baseline = text:match "accuracy ([%d.]+), F1 [%d.]+ %(always the commoner answer: ([%d.]+)%)"
  assert(tonumber(accuracy) >= 0.88, text)
  assert(tonumber(baseline) <= 0.65, text)
end)

t.test("mrpc.lua takes every option of TrainingArguments, and says what is wrong with one that is none", function()
  local text, ok = run("mrpc.lua", "--builtin --max_steps=3 --learning_rate=1e-4 --eval_strategy=no --per_device_train_batch_size=4")
  assert(ok, text)
  text, ok = run("mrpc.lua", "--builtin --learing_rate=1e-4")
  assert(not ok and text:find("learning_rate", 1, true), text)
end)

t.test("mrpc.lua without a model in the cache says what works offline", function()
  local text, ok = run("mrpc.lua", "--model=no-such-model --data_dir='" .. hf.builtin "paraphrases" .. "'")
  assert(not ok and text:find("no-such-model", 1, true) and text:find("folder", 1, true), text)
end)

t.test("pretrain.lua makes a model that mrpc.lua can use", function()
  local model = os.tmpname()
  os.remove(model)
  local text, ok = run("pretrain.lua", ("--passages=300 --num_train_epochs=1 --hidden_size=32 --intermediate_size=64 --output='%s'"):format(model))
  assert(ok, text)
  text, ok = run("mrpc.lua", ("--model='%s' --data_dir='%s' --max_steps=5 --eval_strategy=no"):format(model, hf.builtin "paraphrases"))
  files.remove(model)
  assert(ok, text)
end)
t.finish()
