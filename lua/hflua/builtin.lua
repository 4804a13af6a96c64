--- Where the data that comes with hflua lies: HFLUA_BUILTIN, beside the recipe that runs, or beside the program.
local errors = require "hflua.errors"
local folders = require "hflua.builtin_folders"
local hub = require "hflua.hub"

--- builtin "bert" -> the folder of that part of the built-in data.
return function(name)
  local tried = folders(arg and arg[0])
  for _, folder in ipairs(tried) do
    local is_open, found = pcall(hub.is_folder, folder .. "/" .. name) -- one that --sandbox keeps closed is passed over
    if is_open and found then return folder .. "/" .. name end
  end
  errors.raise("builtin data '%s': not found in %s; set HFLUA_BUILTIN to the folder recipes/builtin", name, table.concat(tried, ", "))
end
