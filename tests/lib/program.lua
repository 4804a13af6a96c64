--- Runs the hflua under test, or any command, as a shell would.
local program = {}

program.path = assert(os.getenv("HFLUA_BIN"), "HFLUA_BIN: path of the hflua to test")

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end
program.quote = quote

--- Writes `text` to a new temporary file and returns its path; `program.clean` removes all of them.
local files = {}
function program.file(text)
  local path = os.tmpname()
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
  files[#files + 1] = path
  return path
end

function program.clean()
  for _, path in ipairs(files) do os.remove(path) end
  files = {}
end

--- Runs a shell command: { status =, out =, err = }; `input` is its standard input.
function program.shell(command, input)
  local out, err = program.file(""), program.file("")
  local stdin = program.file(input or "")
  local _, kind, code = os.execute(("( %s ) <%s >%s 2>%s"):format(command, stdin, out, err))
  local function read(path)
    local f <close> = assert(io.open(path, "rb"))
    return f:read("a")
  end
  local result = { status = kind == "signal" and 128 + code or code, out = read(out), err = read(err) }
  program.clean()
  return result
end

--- Runs hflua with a list of arguments.
function program.hflua(arguments, input)
  local words = { quote(program.path) }
  for i, argument in ipairs(arguments) do words[i + 1] = quote(argument) end
  return program.shell(table.concat(words, " "), input)
end

--- Runs hflua on a terminal through the steps of tests/cli/pty.c; `environment` is put in front ("A=b C=d").
function program.terminal(steps, arguments, environment)
  local words = { "env", environment or "", quote(assert(os.getenv("HFLUA_PTY"))), quote(program.file(steps)), quote(program.path) }
  for _, argument in ipairs(arguments or {}) do words[#words + 1] = quote(argument) end
  return program.shell(table.concat(words, " "))
end

--- False where the system gives no pseudo-terminals (a bare chroot).
function program.has_terminals()
  return program.shell(quote(assert(os.getenv("HFLUA_PTY"))) .. " /dev/null /bin/true").status ~= 77
end

return program
