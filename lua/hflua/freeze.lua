--- Makes the tables of hflua's modules and classes read-only for a recipe, in place: they stay the same objects.
--
-- Lua asks a metatable about a write only when the key is not there. So the fields of a frozen table move into a store behind it, which
-- __index finds and __newindex guards: a function, class or module cannot be replaced, settings can be changed and names added.
-- Metamethods stay where they are, since Lua looks for them in the table itself.
local freeze = {}

local error, next, rawget, rawset, setmetatable, tostring, type = error, next, rawget, rawset, setmetatable, tostring, type
local raw_metatable = debug.getmetatable

local stores = setmetatable({}, { __mode = "k" }) -- frozen table -> its fields

--- The fields of a frozen table; nil for any other.
function freeze.fields(t) return stores[t] end

local function is_metafield(key) return type(key) == "string" and key:sub(1, 2) == "__" end

-- What lies behind the fields of the table: what its old __index gave.
local function behind(t, index)
  if type(index) == "function" then return function(_, key) return index(t, key) end end
  return index
end

-- What stays as it is; numbers, texts and plain tables are settings.
local function is_code(value) return type(value) == "function" or type(value) == "userdata" or stores[value] ~= nil end

local function refuse(name, key)
  error(("%s.%s belongs to hflua and cannot be changed in the sandbox"):format(name, tostring(key)), 3)
end

local function make_metatable(t, store, old, name)
  local meta = {}
  for key, value in next, old or {} do meta[key] = value end
  setmetatable(store, { __index = behind(t, meta.__index) })
  meta.__index, meta.__metatable = store, "locked"
  meta.__len = meta.__len or function() return #store end
  function meta.__newindex(_, key, value)
    if is_code(rawget(store, key)) then refuse(name, key) end
    rawset(store, key, value)
  end
  meta.__pairs = meta.__pairs or function()
    local all = {}
    for key, value in next, t do all[key] = value end
    for key, value in next, store do all[key] = value end
    return next, all, nil
  end
  return meta
end

-- Modules, classes and objects; a list of names or a table of settings is left alone.
local function holds_code(t)
  if raw_metatable(t) then return true end
  for _, value in next, t do if type(value) == "function" then return true end end
  return false
end

--- Freezes `t` and the tables in its fields; `name` is what errors call it.
function freeze.all(t, name)
  if stores[t] then return end
  local store = {}
  stores[t] = store
  for key, value in next, t do
    if not is_metafield(key) then store[key] = value end
  end
  for key, value in next, store do
    rawset(t, key, nil)
    if type(value) == "table" and holds_code(value) then freeze.all(value, name .. "." .. tostring(key)) end
  end
  local meta = make_metatable(t, store, raw_metatable(t), name)
  debug.setmetatable(t, meta)
end

--- rawget and rawset that see through the store: for hflua's own code.
function freeze.rawget(t, key)
  local value = rawget(t, key)
  if value == nil and stores[t] then return rawget(stores[t], key) end
  return value
end

function freeze.rawset(t, key, value)
  local store = stores[t]
  if not store then return rawset(t, key, value) end
  if is_code(rawget(store, key)) then refuse("this module", key) end
  rawset(store, key, value)
  return t
end

return freeze
