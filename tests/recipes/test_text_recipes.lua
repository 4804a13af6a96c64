--- slow: the recipes of decoders run end to end on what comes with hflua, and on real files where they are at hand.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local system, files = require "hflua.core.system", require "hflua.core.files"

local root = t.dir .. "/.."
if root:sub(1, 1) ~= "/" then root = os.getenv "PWD" .. "/" .. root end
local program = os.getenv "HFLUA_BIN" or system.executable()
local builtin = root .. "/recipes/builtin"

local function new_folder()
  local folder = os.tmpname()
  os.remove(folder)
  system.makedirs(folder)
  return folder
end

-- Runs a recipe in a folder; returns what it printed, and whether it ended well.
local function run(folder, recipe, options)
  local pipe = assert(io.popen(("cd '%s' && '%s' '%s/recipes/%s' %s 2>&1; echo status=$?"):format(folder, program, root, recipe, options)))
  local text = pipe:read "a"
  pipe:close()
  return text, text:find("status=0", 1, true) ~= nil
end

local function number(text, pattern) return assert(tonumber(text:match(pattern)), pattern .. " not found in:\n" .. text) end

t.test("sonnets.lua --builtin: prose becomes verse; it is saved, resumed and sampled", function()
  local folder = new_folder()
  local text, ok = run(folder, "sonnets.lua", "--builtin --num_train_epochs=3 --save_steps=40 --eval_steps=40")
  assert(ok, text)
  assert(text:find("Train set size: 144, Validation set size: 16", 1, true), text)
  t.near(number(text, "before training: ([%d.]+)"), 12.040, 0.05)
  assert(number(text, "evaluation loss: ([%d.]+)") < 2.0, text)
  t.near(number(text, "'loss': '([%d.]+)'"), 9.304, 0.05, nil, "mean of the first ten steps")
  local sample = assert(text:match "summer's day%?\n(.-)status=", text)
  local _, lines = sample:gsub("\n", "")
  assert(lines >= 5 and sample:lower() == sample, sample)
  for step, there in pairs { [40] = false, [80] = true, [108] = true } do
    t.same(t.exists(("%s/results/checkpoint-%d/trainer_state.json"):format(folder, step)), there)
  end
  for _, name in ipairs { "config.json", "model.safetensors", "tokenizer.json" } do assert(t.exists(folder .. "/fine-tuned-sonnets/" .. name), name) end
  local again
  again, ok = run(folder, "sonnets.lua", "--builtin --num_train_epochs=3 --save_steps=40 --eval_steps=40 --resume_from_checkpoint=results/checkpoint-80")
  assert(ok, again)
  t.same(again:match "evaluation loss: ([%d.]+)", text:match "evaluation loss: ([%d.]+)")
  files.remove(folder)
end)

t.test("cnn_dailymail.lua --builtin: summaries are learned, and end", function()
  local folder = new_folder()
  local text, ok = run(folder, "cnn_dailymail.lua", "--builtin --max_steps=75 --eval_strategy=no")
  assert(ok, text)
  assert(number(text, "perplexity before training: ([%d.]+)") > 6, text)
  assert(number(text, "perplexity: ([%d.]+)") < 2.2, text)
  local written = text:match "written: ([^\n]+)\n"
  assert(written and #written > 20 and written:find "[.]$", text)
  files.remove(folder)
end)

t.test("cnn_dailymail.lua --task=classification: reviews are told apart", function()
  local folder = new_folder()
  local text, ok = run(folder, "cnn_dailymail.lua", "--builtin --task=classification --max_steps=100 --eval_strategy=no")
  assert(ok, text)
  assert(number(text, "accuracy ([%d.]+)") >= 0.95, text)
  text, ok = run(folder, "cnn_dailymail.lua", "--builtin --task=classify")
  assert(not ok and text:find("expected lm or classification", 1, true), text)
  files.remove(folder)
end)

t.test("pretrain_gpt2.lua makes a model that sonnets.lua can use", function()
  local folder = new_folder()
  local text, ok = run(folder, "pretrain_gpt2.lua", "--passages=600 --num_train_epochs=1 --n_embd=32 --n_layer=2 --output=small")
  assert(ok, text)
  text, ok = run(folder, "sonnets.lua", ("--model=small --data_files='%s/verse/verse.txt' --max_steps=2 --eval_strategy=no --sample_length=40"):format(builtin))
  assert(ok, text)
  files.remove(folder)
end)

local data = t.shared and t.shared .. "/data"
if data and t.exists(data .. "/sonnets/sonnets.txt") then
  t.test("real sonnets, news and reviews run through the recipes", function()
    local folder, small = new_folder(), ("--model='%s/gpt2' --max_steps=2 --eval_strategy=no"):format(builtin)
    local text, ok = run(folder, "sonnets.lua", ("%s --data_files='%s/sonnets/sonnets.txt' --sample_length=40"):format(small, data))
    assert(ok and text:find("Train set size: 138, Validation set size: 16", 1, true), text)
    text, ok = run(folder, "cnn_dailymail.lua", ("%s --rows=16 --data_dir='%s/cnn_dailymail'"):format(small, data))
    assert(ok and text:find("written:", 1, true), text)
    text, ok = run(folder, "cnn_dailymail.lua", ("%s --rows=16 --task=classification --data_dir='%s/imdb'"):format(small, data))
    assert(ok and text:find("accuracy", 1, true), text)
    files.remove(folder)
  end)
else
  t.skip("real sonnets, news and reviews run through the recipes", "needs ../shared/data")
end

t.test("sonnets.lua says what it needs", function()
  local folder = new_folder()
  local text, ok = run(folder, "sonnets.lua", ("--model='%s/gpt2'"):format(builtin))
  assert(not ok and text:find("data_files", 1, true), text)
  text, ok = run(folder, "sonnets.lua", ("--model=no-such-model --data_files='%s/verse/verse.txt'"):format(builtin))
  assert(not ok and text:find("no-such-model", 1, true) and text:find("folder", 1, true), text)
  files.remove(folder)
end)
t.finish()
