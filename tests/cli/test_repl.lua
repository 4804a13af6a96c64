--- Interactive mode on a real terminal.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local program = dofile(os.getenv("HFLUA_TESTS") .. "/lib/program.lua")

if not program.has_terminals() then
  t.skip("interactive mode", "no pseudo-terminals here")
  t.finish()
end

local function talk(steps, environment)
  local result = program.terminal(steps, {}, environment or "HFLUA_HISTORY=")
  if result.status ~= 0 then error(("exit status %s\n%s"):format(result.status, result.err), 2) end
end

t.test("echoes values without return, keeps the last in _", function()
  talk [[
expect > 
type 1 + 1\r
expect \n2
expect > 
type _ * 10, nil\r
expect 20\tnil
type "a\\nb"\r
expect \n"a\\nb"
type {1, 2, {name = "x"}}\r
expect { 1, 2, { name = "x" } }
expect > 
type \x04
eof
]]
end)

t.test("a statement over several lines, its locals kept", function()
  talk [[
expect > 
type for i = 1, 2 do\r
expect >> 
type print("line " .. i)\r
expect >> 
type end\r
expect line 1
expect line 2
expect > 
type local answer = 6 * 7\r
expect > 
type answer\r
expect \n42
expect > 
type \x04
eof
]]
end)

t.test("Tab completes globals, fields and methods, or lists them", function()
  talk [[
expect > 
type strin\t.upp\t("x")\r
expect "X"
expect > 
type word = "abc"\r
expect > 
type word:upp\t()\r
expect "ABC"
expect > 
type tbl = {inner = {alpha = 1, alphabet = 2, beta = 3}}\r
expect > 
type tbl.inner.al\t\t
expect alpha     alphabet
type bet\t\r
expect \n2
expect > 
type \x04
eof
]]
end)

t.test("an error shows its message and leaves the state usable", function()
  talk [[
expect > 
type x = 5 error("broken")\r
expect stdin:1: broken
expect > 
type x\r
expect \n5
type )\r
expect unexpected symbol near ')'
expect > 
type \x04
eof
]]
end)

t.test("Ctrl-C interrupts a loop and drops a half-typed line", function()
  talk [[
expect > 
type x = 0 print("start") while true do x = x + 1 end\r
expect \nstart
send \x03
expect interrupted!
expect > 
type x > 0\r
expect true
expect > 
type error("half typed
expect half typed
type \x03
expect > 
type for i = 1, 3 do\r
expect >> 
type \x03
expect > 
type "alive"\r
expect \n"alive"
expect > 
type \x04
eof
]]
end)

t.test("history comes back with the arrow keys, in the next session too", function()
  local file = os.tmpname()
  os.remove(file)
  talk([[
expect > 
type "first" .. "line"\r
expect "firstline"
expect > 
type \e[A\r
expect "firstline"
expect > 
type \x04
eof
]], "HFLUA_HISTORY=" .. file)
  talk([[
expect > 
type \e[A\r
expect "firstline"
expect > 
type \x04
eof
]], "HFLUA_HISTORY=" .. file)
  assert(os.remove(file))
end)

t.test("hflua's names are there without require", function()
  talk [[
expect > 
type hf.version\r
expect "0.
expect > 
type \x04
eof
]]
end)

t.finish()
