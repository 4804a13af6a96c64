-- slow: processes that are killed or interrupted while they train. What was reported as saved is there afterwards.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local tiny = dofile(t.dir .. "/lib/tiny.lua")
local hf = require "hflua"
local files = require "hflua.core.files"
local checkpoint = require "hflua.trainer.checkpoint"

-- A program that trains 30 steps with a checkpoint each, and writes each step that was saved into a file.
local program = [[
local tiny = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tiny.lua")
local hf = require "hflua"
local folder, resume, signal = arg[1], arg[2] == "resume", arg[3]
local trainer = tiny.trainer({ output_dir = folder, save_strategy = "steps", save_steps = 1, save_total_limit = 2, max_steps = 30 },
  { model = tiny.model(1, 0.2), eval_dataset = tiny.rows(4) })
local told = assert(io.open(folder .. ".told", "a"))
trainer:add_callback { on_save = function(_, args, state)
  told:write(state.global_step, "\n")
  told:flush()
end, on_step_end = function(_, args, state)
  if signal and state.global_step == 7 then
    io.popen(("kill -%s %d"):format(signal, require("hflua.core.files").process_id())):close()
  end
end }
if signal then trainer.args.save_steps = 500 end
trainer:train { resume_from_checkpoint = resume or nil }
hf.safetensors.save_file(trainer.model:state_dict(), folder .. ".final")
]]

local function start(folder, ...)
  files.write(folder .. ".lua", program)
  return ("%s %s.lua %s %s"):format(os.getenv "HFLUA_BIN", folder, folder, table.concat({ ... }, " "))
end

local function final_weights(folder)
  local state, all = hf.safetensors.load_file(folder .. ".final"), {}
  for _, name in ipairs { "embedding", "norm.weight", "norm.bias", "weight", "bias" } do
    for _, value in ipairs(state[name]:reshape { -1 }:tolist()) do all[#all + 1] = value end
  end
  return all
end

local function clear(folder)
  for _, suffix in ipairs { "", ".lua", ".told", ".final" } do
    if files.type(folder .. suffix) then files.remove(folder .. suffix) end
  end
end

-- The last step that a process reported as saved.
local function last_told(folder)
  local last = 0
  if files.type(folder .. ".told") then
    for line in io.lines(folder .. ".told") do last = math.tointeger(tonumber(line)) or last end
  end
  return last
end

local reference_folder = tiny.folder()
assert(os.execute(start(reference_folder) .. " 2>/dev/null"))
local expected = final_weights(reference_folder)
clear(reference_folder)

t.test("kill -9 at any moment loses nothing that was reported as saved", function()
  local folder, kills, resume = tiny.folder(), 0, nil
  for i = 1, 40 do
    local command = ("%s 2>/dev/null & pid=$!; sleep 0.%03d; kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null"):format(
      start(folder, resume), 30 + (i * 37) % 90)
    os.execute(command)
    if files.type(folder .. ".final") then break end
    kills = kills + 1
    local newest = checkpoint.newest(folder, function(path, reason) error(path .. ": " .. reason) end)
    local step = newest and checkpoint.step_of(newest) or 0
    assert(step >= last_told(folder), ("told %d, found %d"):format(last_told(folder), step))
    resume = newest and "resume"
  end
  if not files.type(folder .. ".final") then assert(os.execute(start(folder, resume) .. " 2>/dev/null")) end
  assert(kills > 0)
  t.same(final_weights(folder), expected)
  for _, name in ipairs(files.list(folder)) do assert(not name:find("^%.tmp") and not name:find("^%.trash"), name) end
  clear(folder)
end)

for signal, status in pairs { INT = 130, TERM = 143 } do
  t.test("SIG" .. signal .. " ends the step, saves, and exits with " .. status, function()
    local folder = tiny.folder()
    local _, kind, code = os.execute(start(folder, "new", signal) .. " 2>" .. folder .. ".told")
    t.same({ kind, code }, { "exit", status })
    local text = files.read(folder .. ".told")
    assert(text:find("training stopped by SIG" .. signal .. " after step 7: saved in " .. folder .. "/checkpoint-7", 1, true), text)
    assert(checkpoint.verify(folder .. "/checkpoint-7"))
    assert(os.execute(start(folder, "resume") .. " 2>/dev/null"))
    t.same(final_weights(folder), expected)
    clear(folder)
  end)
end

t.finish()
