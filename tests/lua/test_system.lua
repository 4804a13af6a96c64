--- hflua.core.system: clock, process, terminal, folders.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local system = require "hflua.core.system"

t.test("the clock moves on and sleep waits", function()
  local start = system.clock()
  system.sleep(0.02)
  local waited = system.clock() - start
  assert(waited >= 0.02 and waited < 5, waited)
  t.raises(function() system.sleep(-1) end, "sleep: expected 0 to 1e9 seconds, found -1")
end)

t.test("memory", function()
  local now, peak = system.memory(), system.peak_memory()
  assert(now > 2 ^ 20 and peak >= now / 2, now .. " " .. peak)
end)

t.test("executable and hostname", function()
  assert(t.exists(system.executable()))
  assert(#system.hostname() > 0)
end)

t.test("a pipe or file is no terminal", function()
  local pipe = io.popen(("%s -e 'local s = require \"hflua.core.system\" print(s.isatty(1))'"):format(system.executable()))
  t.same(pipe:read("l"), "false")
  pipe:close()
end)

t.test("makedirs makes parents and is content with what is there", function()
  local folder = os.tmpname()
  os.remove(folder)
  system.makedirs(folder .. "/a/b")
  system.makedirs(folder .. "/a/b/")
  local path = folder .. "/a/b/file"
  io.open(path, "w"):close()
  t.raises(function() system.makedirs(path .. "/c") end, "cannot be made")
  for _, name in ipairs { "/a/b/file", "/a/b", "/a", "" } do assert(os.remove(folder .. name)) end
end)

t.finish()
