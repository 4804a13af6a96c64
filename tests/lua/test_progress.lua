local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local program = dofile(os.getenv("HFLUA_TESTS") .. "/lib/program.lua")
local progress = require "hflua.progress"

t.test("the line is tqdm's", function()
  local state = { n = 1377, total = 1377, unit = "it", elapsed = 130, rate = 10.592 }
  t.same(progress.format(state), "100%|██████████| 1377/1377 [02:10<00:00, 10.59it/s]")
  state = { desc = "Map", n = 1000, total = 3668, unit = " examples", elapsed = 0.5, rate = 2000.0 }
  t.same(progress.format(state), "Map:  27%|██▋       | 1000/3668 [00:00<00:01, 2000.00 examples/s]")
  state = { n = 1, total = 3, unit = "it", elapsed = 7400, rate = 0.25 }
  t.same(progress.format(state), " 33%|███▎      | 1/3 [2:03:20<00:08,  4.00s/it]")
  state = { n = 0, total = 8, unit = "it", elapsed = 0 }
  t.same(progress.format(state), "  0%|          | 0/8 [00:00<?, ?it/s]")
  state = { n = 12, unit = "it", elapsed = 6, rate = 2.0 }
  t.same(progress.format(state), "12it [00:06,  2.00it/s]")
  t.same(utf8.len(progress.format({ n = 3, total = 9, unit = "it", elapsed = 1, rate = 3.0 }, 79)), 79)
end)

t.test("passes elements on and counts them", function()
  local seen, bar = {}, progress.tqdm({ "a", "b", "c" })
  for value in bar do seen[#seen + 1] = value end
  t.same(seen, { "a", "b", "c" })
  t.same(bar.n, 3)
  local sum = 0
  for i in progress.tqdm(4) do sum = sum + i end
  t.same(sum, 10)
  local loader = setmetatable({}, { __len = function() return 2 end, __call = function(_, _, control)
    local nextvalue = (control or 0) + 10
    if nextvalue <= 20 then return nextvalue end
  end })
  seen = {}
  for batch in progress.tqdm(loader) do seen[#seen + 1] = batch end
  t.same(seen, { 10, 20 })
end)

t.test("draws nothing when stderr is no terminal", function()
  local script = [[for i in require("hflua.progress").tqdm(3) do end print "done"]]
  t.same(program.hflua { "-e", script }, { status = 0, out = "done\n", err = "" })
end)

local on_terminal = program.has_terminals() and t.test or function(name) t.skip(name, "no pseudo-terminals here") end
on_terminal("on a terminal: bars nest, lines go above, an error starts on a line of its own", function()
  local script = [[
local progress = require "hflua.progress"
local outer = progress.tqdm(2, { desc = "outer" })
local inner = progress.tqdm(2, { desc = "inner" })
inner:update(2)
outer:write("a line above")
outer:update(1)
error("broken")]]
  local steps = [[
expect outer:   0%|
expect \n\rinner:   0%|
expect a line above\r\n
expect outer:
expect \nhflua: (command line):7: broken
eof
]]
  local result = program.terminal(steps, { "-e", script })
  t.same(result.status, 1, result.err)
end)

t.test("unknown options are errors", function()
  t.raises(function() progress.bar { totl = 3 } end, "did you mean 'total'?")
  t.raises(function() progress.tqdm(3, { description = 3 }) end, "unknown option 'description'")
end)

t.test("large counts in three digits", function()
  local state = { desc = "model.safetensors", unit = "B", unit_scale = true, total = 440449768, n = 85210000, elapsed = 1, rate = 85210000.0 }
  t.same(progress.format(state), "model.safetensors:  19%|█▉        | 85.2M/440M [00:01<00:04, 85.2MB/s]")
  for n, text in pairs { [0] = "0.00", [999] = "999", [1290] = "1.29k", [999499] = "999k", [999500] = "1.00M", [5 * 10 ^ 12] = "5.0T" } do
    t.same(progress.format({ unit = "B", unit_scale = true, n = n, elapsed = 0 }):match "^(.-)B ", text)
  end
end)

t.finish()
