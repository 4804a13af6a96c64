--- Where the data that comes with hflua lies: HFLUA_BUILTIN, beside the recipe that runs, or beside the program.
local errors = require "hflua.errors"
local hub = require "hflua.hub"
local system = require "hflua.core.system"

local function parent(path) return path:match "^(.*)/[^/]*$" or "." end

-- Folders that may hold the built-in data, nearest first.
local function candidates()
  local list = { os.getenv "HFLUA_BUILTIN" or nil }
  if arg and arg[0] then
    list[#list + 1] = parent(arg[0]) .. "/builtin"
    list[#list + 1] = parent(parent(arg[0])) .. "/recipes/builtin"
  end
  local program = parent(system.executable())
  list[#list + 1] = program .. "/../recipes/builtin"
  list[#list + 1] = program .. "/../share/hflua/builtin"
  return list
end

--- builtin "bert" -> the folder of that part of the built-in data.
return function(name)
  local tried = candidates()
  for _, folder in ipairs(tried) do
    if hub.is_folder(folder .. "/" .. name) then return folder .. "/" .. name end
  end
  errors.raise("builtin data '%s': not found in %s; set HFLUA_BUILTIN to the folder recipes/builtin", name, table.concat(tried, ", "))
end
