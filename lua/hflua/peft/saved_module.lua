--- A module that is trained whole beside an adapter (modules_to_save): the original is kept, a copy is trained in its place.
-- Fields that are not its own are those of the module in use, since models read weights of their layers directly.
local nn = require "hflua.nn"
local tensor = require "hflua.tensor"

local Copies = nn.Module:extend("ModuleDict") -- one entry for each adapter, by its name

local SavedModule = nn.Module:extend("ModulesToSaveWrapper")
SavedModule.is_saved_whole = true

local function is_module(value) return type(value) == "table" and getmetatable(value) ~= nil and value.is_module == true end

-- A deep copy: parameters and buffers with numbers of their own.
local function copy_of(module)
  local copy = setmetatable({}, getmetatable(module))
  for key, value in pairs(module) do
    if key == "_order" then value = table.move(value, 1, #value, 1, {})
    elseif tensor.is_tensor(value) then
      local trained = value.requires_grad
      value = value:detach():clone()
      value.requires_grad = trained
    elseif is_module(value) and key ~= "config" then value = copy_of(value) end
    rawset(copy, key, value)
  end
  return copy
end

function SavedModule:init(module)
  self.original_module = module
  self.modules_to_save = Copies()
  rawset(self, "active", false)
end

--- Adds the copy that belongs to an adapter.
function SavedModule:add(adapter) self.modules_to_save[adapter] = copy_of(rawget(self, "original_module")) end

--- The module in use: the copy of the active adapter, or the original.
function SavedModule:used()
  local active = rawget(self, "active")
  return active and rawget(self, "modules_to_save")[active] or rawget(self, "original_module")
end

function SavedModule:forward(...) return self:used()(...) end

function SavedModule:__index(key)
  local own = SavedModule[key]
  if own ~= nil then return own end
  if rawget(self, "original_module") == nil then return nil end
  return SavedModule.used(self)[key]
end

return SavedModule
