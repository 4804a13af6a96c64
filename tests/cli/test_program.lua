--- The command line: options as lua has them, arg, exit statuses, uncaught errors, signals.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local program = dofile(os.getenv("HFLUA_TESTS") .. "/lib/program.lua")
local hflua = program.hflua

local function succeeds(arguments, out, input)
  local result = hflua(arguments, input)
  t.same(result, { status = 0, out = out, err = "" }, table.concat(arguments, " "))
end

-- Runs `text` as a script file with arguments.
local function run(text, ...)
  local path = program.file(text)
  local result = hflua { path, ... }
  result.path = path
  return result
end

t.test("-e, -l, -W run in the order given", function()
  succeeds({ "-e", "x = 1", "-ex = x + 1", "-e", "print(x)" }, "2\n")
  succeeds({ "-l", "hflua.show", "-l", "m=math", "-e", "print(type(_G['hflua.show']), m.type(1))" }, "table\tinteger\n")
  local result = hflua { "-e", "warn('quiet')", "-W", "-e", "warn('loud')" }
  t.same(result, { status = 0, out = "", err = "Lua warning: loud\n" })
end)

t.test("a script gets its arguments, arg has negative indices", function()
  local path = program.file "#!/usr/bin/env hflua\nprint(arg[0] == ..., select(2, ...), arg[1], arg[-1], #arg)"
  local result = hflua { "-e", "y = 1", path, "a", "--b=c" }
  t.same(result.out, "false\t--b=c\ta\ty = 1\t2\n")
  succeeds({ "-", "q" }, "-\tq\n", "print(arg[0], ...)")
  succeeds({}, "piped\n", "print 'piped'")
end)

t.test("-i goes on at the prompt after the script", function()
  local result = hflua({ "-i", program.file "x = 40" }, "x + 2\n")
  assert(result.status == 0 and result.out:find("> 42\n> ", 1, true), result.out)
end)

t.test("-- ends the options, -E ignores the environment", function()
  t.raises(function() error(hflua({ "--", "-no-such-file" }).err) end, "cannot open -no-such-file")
  local bin = program.quote(program.path)
  local shown = program.shell("LUA_PATH=/x/?.lua " .. bin .. " -e 'print(package.path)'")
  t.same(shown.out, "/x/?.lua\n")
  local hidden = program.shell("LUA_PATH=/x/?.lua " .. bin .. " -E -e 'print(package.path)'")
  assert(not hidden.out:find("/x/", 1, true))
end)

t.test("--version names hflua, Lua and the processor; --help shows the options", function()
  local result = hflua { "--version" }
  assert(result.status == 0 and result.out:match("^hflua %d+%.%d+%.%d+  Lua 5%.4%.%d+\n%S"), result.out)
  result = hflua { "--help" }
  assert(result.status == 0 and result.out:find("usage: hflua", 1, true), result.out)
end)

t.test("a wrong command line is status 2 and says why", function()
  for _, case in ipairs { { "--no-such", "is not an option" }, { "-e", "needs an argument" }, { "--device", "needs a name" },
    { "--device=tpu", "device 'tpu': expected 'cpu', 'cuda' or 'cuda:N'" } } do
    local result = hflua { case[1] }
    t.same(result.status, 2)
    assert(result.err:find(case[2], 1, true), result.err)
  end
end)

t.test("--device is kept for tensors and the trainer", function()
  succeeds({ "--device", "cpu", "-e", "print(os.getenv 'HFLUA_DEVICE')" }, "cpu\n")
  succeeds({ "--device=cpu", "-e", "print(os.getenv 'HFLUA_DEVICE')" }, "cpu\n")
end)

t.test("an uncaught error is status 1, with a traceback of the recipe's functions alone", function()
  local result = run "local function load() error('no such model') end\nlocal function main() load() end\nmain()"
  t.same(result.status, 1)
  local path = result.path
  t.same(result.err, ("hflua: %s:1: no such model\nstack traceback:\n\t%s:1: in upvalue 'load'\n\t%s:2: in local 'main'\n\t%s:3: in main chunk\n")
    :format(path, path, path, path))
  result = run "require('hflua.options').check('f', { a = 1 }, { 'b' })"
  t.same(result.err, ("hflua: %s:1: f: unknown option 'a' (did you mean 'b'?)\n"):format(result.path))
  t.same(run("error(setmetatable({}, { __tostring = function() return 'as text' end }))").err, "hflua: as text\n")
  t.same(run("error {}").err, "hflua: (error object is a table value)\n")
  result = run "x ="
  t.same(result.err, ("hflua: %s:1: unexpected symbol near <eof>\n"):format(result.path))
end)

t.test("HFLUA_DEBUG shows hflua's own frames", function()
  local path = program.file "require('hflua.options').check('f', { a = 1 }, { 'b' })"
  local result = program.shell("HFLUA_DEBUG=1 " .. program.quote(program.path) .. " " .. path)
  assert(result.err:find("[hflua]/hflua.options", 1, true), result.err)
end)

t.test("os.exit gives its status", function()
  t.same(run("os.exit(7)").status, 7)
  t.same(run("os.exit(true, true)").status, 0)
end)

t.test("bytecode is refused wherever it may come from", function()
  local path = program.file(string.dump(function() return 1 end))
  assert(not load(string.dump(function() end)))
  assert(not load(string.dump(function() end), "x", "b"))
  assert(not loadfile(path, "b"))
  t.raises(function() dofile(path) end, "attempt to load a binary chunk")
  package.path = path .. ";" .. package.path
  t.raises(function() require "any.name" end, "attempt to load a binary chunk")
  t.raises(function() error(hflua({ path }).err) end, "attempt to load a binary chunk")
end)

t.test("SIGINT and SIGTERM raise at the running line: status 130 and 143", function()
  for signal, status in pairs { INT = 130, TERM = 143 } do
    local result = run(("killer = io.popen 'sleep 0.05; kill -%s $PPID'\nwhile true do end"):format(signal))
    t.same(result.status, status)
    t.same(result.err, ("hflua: %s:2: interrupted!\n"):format(result.path))
  end
end)

t.test("a deferred signal is only noted, a second one ends the program", function()
  local script = [[
local interrupt = require "hflua.core.interrupt"
local function wait_for(signal)
  killer = io.popen("sleep 0.05; kill -" .. signal .. " $PPID")
  repeat until interrupt.pending()
  print(interrupt.pending())
  io.stdout:flush()
end
interrupt.defer(true)
wait_for("INT")
interrupt.clear()
print(interrupt.pending(), interrupt.defer(false))
interrupt.defer(true)
wait_for("TERM")
killer = io.popen "sleep 0.05; kill -TERM $PPID"
while true do end]]
  local result = run(script)
  t.same(result.out, "SIGINT\nnil\ttrue\nSIGTERM\n")
  t.same(result.status, 143)
end)

program.clean()
t.finish()
