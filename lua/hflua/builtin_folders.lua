--- builtin_folders(recipe) -> folders that may hold the built-in data, nearest first: HFLUA_BUILTIN, beside the recipe, beside the program.
-- Without the path of a recipe: those alone that the user or the installation names.
local system = require "hflua.core.system"

local function parent(path) return path:match "^(.*)/[^/]*$" or "." end

return function(recipe)
  local list, program = { os.getenv "HFLUA_BUILTIN" or nil }, parent(system.executable())
  if recipe then
    list[#list + 1] = parent(recipe) .. "/builtin"
    list[#list + 1] = parent(parent(recipe)) .. "/recipes/builtin"
  end
  list[#list + 1] = program .. "/../recipes/builtin"
  list[#list + 1] = program .. "/../share/hflua/builtin"
  return list
end
