--- The environment of a recipe under --sandbox: called once, by the program, before the recipe runs (docs/internals/sandbox.md).
--
-- Two worlds share one Lua state. hflua's own sources keep the global table, from which everything is taken that reaches outside: what
-- is left opens files through the engine's one gate. The recipe gets a table made from nothing below; the libraries in it are copies,
-- and hflua's modules and classes are frozen, so that neither world can change what the other calls.
local core = require "hflua.core.sandbox"
local freeze = require "hflua.freeze"

local raw_metatable, raw_setmetatable, raw_get, raw_set, raw_load = debug.getmetatable, setmetatable, rawget, rawset, load
local pack, unpack = table.pack, table.unpack

-- Metatables that are the recipe's own.
local own = raw_setmetatable({}, { __mode = "k" })
local is_running = false

local function refuse_finalizer(meta)
  if type(meta) == "table" and raw_get(meta, "__gc") ~= nil then
    error("setmetatable: __gc is not allowed in the sandbox: a finalizer runs in the middle of any other call", 3)
  end
end

-- ---- hflua's own world

local function hflua_setmetatable(t, meta)
  refuse_finalizer(meta)
  if is_running and raw_get(t, "__index") == t then own[t] = true end -- a class that the recipe derives
  return raw_setmetatable(t, meta)
end

-- What hflua's sources call; set before they are loaded.
local function replace_globals()
  getmetatable, setmetatable, rawget, rawset = raw_metatable, hflua_setmetatable, freeze.rawget, freeze.rawset
  io.open, os.getenv = core.open, core.getenv
end

local function load_everything()
  local hf = require "hflua"
  for _, name in ipairs(raw_metatable(hf).__names()) do local _ = hf[name] end
  require("hflua.datasets").disable_caching() -- the cache folder lies outside
  local tensor = require "hflua.core.tensor"
  tensor.class, tensor.methods = nil, nil
  return hf
end

local function keep(library, names)
  for name in pairs(library) do
    if not names[name] then library[name] = nil end
  end
end

local function strip_libraries()
  keep(io, { open = true, read = true, write = true, stdin = true, stdout = true, stderr = true, type = true })
  keep(os, { time = true, clock = true, date = true, difftime = true, getenv = true, exit = true })
  keep(debug, { getinfo = true, getupvalue = true, getmetatable = true, traceback = true })
  package.searchers = { package.searchers[1], package.searchers[2] } -- preloaded and embedded modules
  package.path, package.cpath, package.loadlib = "", "", nil
  string.dump, dofile, loadfile = nil, nil, nil
end

-- ---- the recipe's world

local function copy(library, names)
  local out = {}
  for name, value in pairs(library) do
    if not names or names[name] then out[name] = value end
  end
  return out
end

local function set(words)
  local out = {}
  for word in words:gmatch("%S+") do out[word] = true end
  return out
end

local function recipe_getmetatable(value)
  local meta = raw_metatable(value)
  if meta == nil then return nil end
  local field = raw_get(meta, "__metatable")
  if field ~= nil then return field end
  return own[meta] and meta or "locked"
end

local function recipe_setmetatable(t, meta)
  local old = type(t) == "table" and raw_metatable(t)
  if old and not own[old] then error("setmetatable: cannot change a protected metatable: hflua's objects keep theirs", 2) end
  refuse_finalizer(meta)
  raw_setmetatable(t, meta)
  if meta then own[meta] = true end
  return t
end

local function recipe_rawset(t, key, value)
  if freeze.fields(t) then error("rawset: a module of hflua cannot be changed in the sandbox", 2) end
  return raw_set(t, key, value)
end

local function recipe_lines(path, ...)
  if path == nil then return io.stdin:lines(...) end
  local file, reason = core.open(path)
  if not file then error(reason, 2) end
  local read = file:lines(...)
  return function()
    local values = pack(read())
    if values[1] == nil then file:close() end
    return unpack(values, 1, values.n)
  end, nil, nil, file
end

-- Results of pcall and its kin, with the limit named where Lua only knows that there is no memory.
local function name_limit(limit)
  local text = "not enough memory: the limit is " .. limit
  return function(ok, message, ...)
    if not ok and message == "not enough memory" then message = text end
    return ok, message, ...
  end
end

local function limit_memory(env, limit)
  local named = name_limit(limit)
  local resume = env.coroutine.resume
  function env.pcall(...) return named(pcall(...)) end
  function env.xpcall(...) return named(xpcall(...)) end
  function env.coroutine.resume(...) return named(resume(...)) end
end

local function make_load(env)
  return function(chunk, name, _, ...)
    local environment = env
    if select("#", ...) > 0 then environment = ... end
    if type(name) == "string" and name:find("^.%[hflua%]") then name = "=?" end -- hflua's own frames are left out of messages
    return raw_load(chunk, name, "t", environment)
  end
end

-- The Lua file that a module name means, by the templates of package.path, and its text.
local function find_file(name, path)
  local tried = {}
  for template in path:gmatch("[^;]+") do
    local file_name = template:gsub("%?", (name:gsub("%.", "/"):gsub("%%", "%%%%")))
    local file, reason = core.open(file_name)
    local text = file and file:read("a")
    if file then file:close() end
    if text then return file_name, text end
    tried[#tried + 1] = "\n\t" .. (reason or file_name .. ": not a file")
  end
  error(("module '%s' not found:%s"):format(name, table.concat(tried)), 3)
end

local function make_require(env)
  local loaded = {}
  return function(name)
    if type(name) ~= "string" then error("require: expected a name, found " .. type(name), 2) end
    if loaded[name] ~= nil then return loaded[name] end
    local module = package.loaded[name]
    if module ~= nil and freeze.fields(module) then return module end
    if name:find("^hflua%.") then error(("module '%s': not allowed in the sandbox; everything public is in hf"):format(name), 2) end
    local file_name, text = find_file(name, env.package.path)
    local chunk, message = raw_load(text, "@" .. file_name, "t", env)
    if not chunk then error(message, 0) end
    local value = chunk(name, file_name)
    if value == nil then value = true end
    loaded[name] = value
    return value, file_name
  end
end

local base = set [[_VERSION assert collectgarbage error ipairs next pairs pcall print rawequal rawget rawlen select tonumber tostring
  type warn xpcall]]

local function make_environment(limit)
  local env = copy(_G, base)
  env._G, env.arg = env, copy(arg)
  env.getmetatable, env.setmetatable, env.rawset, env.rawget = recipe_getmetatable, recipe_setmetatable, recipe_rawset, raw_get
  for _, name in ipairs { "coroutine", "table", "math", "utf8", "string" } do env[name] = copy(_G[name]) end
  env.os = copy(os, set "time clock date difftime")
  env.io = { open = core.open, lines = recipe_lines, read = io.read, write = io.write }
  env.package = { path = "./?.lua;./?/init.lua" }
  env.load, env.require = make_load(env), make_require(env)
  if limit then limit_memory(env, limit) end
  return env
end

local function allow_folders(network)
  local cache = require("hflua.hub").cache_folder()
  if network ~= "none" then pcall(require("hflua.core.system").makedirs, cache) end -- a wall stands on what is there
  core.allow(".", "rw")
  core.allow(cache, "rd")
  for _, folder in ipairs(require "hflua.builtin_folders"()) do core.allow(folder, "r") end
  core.allow("/proc/meminfo", "r")
end

--- Enters the sandbox for good. network: "none" or "endpoint"; with_token: the Hub token may be sent; limit: how errors call the
-- limit of memory, or nil. Returns the recipe's environment and which walls of the kernel are up.
return function(network, with_token, limit)
  replace_globals()
  local hf = load_everything()
  freeze.all(hf, "hf")
  allow_folders(network)
  debug.setmetatable("", { __index = copy(string, nil) })
  strip_libraries()
  raw_metatable("").__index.dump = nil
  local walls = core.enter(network, with_token)
  is_running = true
  return make_environment(limit), walls
end
