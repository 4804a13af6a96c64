--- The session of interactive mode: evaluates lines, echoes values, keeps locals, completes names.
-- The loop and the terminal are runtime/repl.c.
local complete = require "hflua.complete"
local show = require "hflua.show"
local system = require "hflua.core.system"

local repl = {}
repl.__index = repl

local preloaded = { "hf", "tensor", "tokenizer", "datasets", "models", "trainer", "pipeline" }

-- Gives the global table the hflua names, each loaded when it is first used.
local function preload_names(env)
  local lazy = {}
  for _, name in ipairs(preloaded) do lazy[name] = true end
  setmetatable(env, {
    __names = preloaded,
    __index = function(_, name)
      if not lazy[name] then return nil end
      local hf = require "hflua"
      local value = name == "hf" and hf or hf[name]
      rawset(env, name, value)
      return value
    end,
  })
end

--- A session; `traceback` is the message handler for errors of evaluated code.
function repl.new(traceback)
  preload_names(_G)
  return setmetatable({ prompt = "> ", traceback = traceback }, repl)
end

--- Forgets the lines of an unfinished statement.
function repl:reset()
  self.pending, self.prompt = nil, "> "
end

-- Copies the locals of the chunk at `level` to the global table, so that the next line still sees them.
local function keep_locals(level)
  local i = 1
  local name, value = debug.getlocal(level, i)
  while name do
    if name:match("^[%a_]") then rawset(_G, name, value) end
    i = i + 1
    name, value = debug.getlocal(level, i)
  end
end

local function without_first(_, ...) return ... end

-- Compiles an expression, or statements whose locals are kept; nil and a message when it is neither, and
-- true as third value when more lines may complete it.
local function compile(text)
  local expression = load("return nil, " .. text, "=stdin") -- the nil: no tail call, so errors know the line
  if expression then return function() return without_first(expression()) end end
  local chunk, message = load(text, "=stdin")
  if not chunk then return nil, message, message:sub(-5) == "<eof>" end
  return load(text .. "\n;(...)()", "=stdin") or chunk -- statements that end in `return` take no more
end

local function print_error(message)
  local progress = package.loaded["hflua.progress"]
  if progress then progress.abandon() end
  io.stderr:write(tostring(message), "\n")
end

-- Shows what an evaluation returned; the first value stays in `_`.
local function echo(values)
  if values.n == 0 then return end
  if values[1] ~= nil then rawset(_G, "_", values[1]) end
  local texts = {}
  for i = 1, values.n do texts[i] = show.value(values[i]) end
  print(table.concat(texts, "\t"))
end

function repl:evaluate(chunk)
  local keep = function() keep_locals(3) end
  local values = table.pack(xpcall(chunk, self.traceback, keep))
  if not values[1] then return print_error(values[2]) end
  local results = table.pack(table.unpack(values, 2, values.n))
  local ok, message = xpcall(echo, self.traceback, results)
  if not ok then print_error(message) end
end

--- Takes one line: evaluates when a statement is complete, else waits for more.
function repl:feed(line)
  local text = self.pending and self.pending .. "\n" .. line or line:gsub("^%s*=", "")
  self:reset()
  if not text:find("%S") then return end
  local chunk, message, incomplete = compile(text)
  if chunk then return self:evaluate(chunk) end
  if not incomplete then return print_error(message) end
  self.pending, self.prompt = text, ">> "
end

--- What Tab does: text to insert, or else a list to show.
function repl:complete(before) return complete.tab(before, _G, system.terminal_size() or 80) end

return repl
