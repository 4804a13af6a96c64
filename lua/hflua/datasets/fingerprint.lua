--- Fingerprints: what a dataset is, as 16 hexadecimal digits. Each transform makes a new one from the old one, its
-- name and its arguments; functions count by their bytecode and everything they hold on to.
local bytecode = require "hflua.datasets.bytecode"
local core = require "hflua.core.datasets"

local fingerprint = {}

local dump, getupvalue = string.dump, debug.getupvalue

local standard_globals = {}
for name in ([[_G _VERSION assert collectgarbage coroutine debug dofile error getmetatable io ipairs load loadfile
  math next os package pairs pcall print rawequal rawget rawlen rawset require select setmetatable string table
  tonumber tostring type utf8 warn xpcall hf]]):gmatch("%S+") do standard_globals[name] = true end

local standard_modules = { "_G", "coroutine", "debug", "io", "math", "os", "package", "string", "table", "utf8" }

-- Values of the standard library and of hflua itself -> their names: the same in every run.
local function known_values()
  local known = {}
  for name, module in pairs(package.loaded) do
    if name:match("^hflua$") or name:match("^hflua%.") then known[module] = name end
  end
  for _, name in ipairs(standard_modules) do
    local module = package.loaded[name]
    known[module] = name
    for key, value in pairs(module) do
      if type(value) == "function" then known[value] = name .. "." .. key end
    end
  end
  return known
end

local function refuse(reason) error({ unhashable = reason }, 0) end

local add

local function refuse_user_globals(state, environment, strings)
  for name, value in pairs(environment) do
    if strings[name] and not standard_globals[name] and not state.known[value] then
      refuse(("it uses the global '%s' (a local is hashed)"):format(name))
    end
  end
end

local function add_function(state, fn)
  local ok, dumped = pcall(dump, fn, true)
  if not ok then refuse("it holds a C function") end
  local code, strings = bytecode.read(dumped)
  if not code then refuse("its bytecode is of another version of Lua") end
  add(state, code)
  for i = 1, math.huge do
    local name, value = getupvalue(fn, i)
    if not name then break end
    if name == "_ENV" then refuse_user_globals(state, value, strings) else add(state, value) end
  end
end

local function compare_keys(a, b)
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
  return type(a) < type(b)
end

local function add_plain_table(state, value)
  local length, names = #value, {}
  for i = 1, length do add(state, value[i]) end
  for key in next, value do
    if not (math.type(key) == "integer" and key >= 1 and key <= length) then names[#names + 1] = key end
  end
  table.sort(names, compare_keys)
  for _, key in ipairs(names) do
    add(state, key)
    add(state, rawget(value, key))
  end
  add(state, getmetatable(value))
end

local function add_object(state, value)
  local meta = getmetatable(value)
  local own = type(meta) == "table" and rawget(meta, "__fingerprint")
  if own then return add(state, own(value)) end
  if type(value) ~= "table" then
    if tostring(value) == "null" then return add(state, "hf.null") end
    refuse(("it holds a %s"):format(type(meta) == "table" and meta.__name or type(value)))
  end
  add_plain_table(state, value)
end

-- Appends a text for the value that differs between values that differ.
function add(state, value)
  local kind, parts = math.type(value) or type(value), state.parts
  if kind == "string" then
    parts[#parts + 1] = ("s%d:%s"):format(#value, value)
  elseif kind == "float" then
    parts[#parts + 1] = ("f%a"):format(value)
  elseif kind == "integer" or kind == "boolean" or kind == "nil" then
    parts[#parts + 1] = kind:sub(1, 1) .. tostring(value)
  elseif state.known[value] then
    parts[#parts + 1] = "k" .. state.known[value]
  elseif state.seen[value] then
    parts[#parts + 1] = "r" .. state.seen[value]
  else
    state.count = state.count + 1
    state.seen[value] = state.count
    parts[#parts + 1] = kind .. "{"
    if kind == "function" then add_function(state, value) else add_object(state, value) end
    parts[#parts + 1] = "}"
  end
end

--- The fingerprint of the values, or nil and why there is none.
function fingerprint.of(...)
  local state = { parts = {}, seen = {}, count = 0, known = known_values() }
  local ok, failure = pcall(function(...)
    for i = 1, select("#", ...) do add(state, (select(i, ...))) end
  end, ...)
  if ok then return core.hash(table.concat(state.parts, ",")) end
  if type(failure) == "table" and failure.unhashable then return nil, failure.unhashable end
  error(failure, 0)
end

local made = 0

--- A fingerprint like no other, for results that cannot be repeated.
function fingerprint.unique()
  made = made + 1
  return core.hash("unique", tostring(os.time()), tostring(os.clock()), tostring({}), tostring(made))
end

--- The fingerprint after the transform `name` with these arguments.
function fingerprint.update(old, name, ...)
  return fingerprint.of(old, name, ...) or fingerprint.unique()
end

return fingerprint
