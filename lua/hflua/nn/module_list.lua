--- A sequence of modules: list[1] is the first; checkpoints call it 0.
local errors = require "hflua.errors"
local check = require "hflua.nn.check"
local Module = require "hflua.nn.module"

local ModuleList = Module:extend("ModuleList")
ModuleList.is_list = true

--- ModuleList{ module, ... }
function ModuleList:init(modules)
  rawset(self, "count", 0)
  for _, module in ipairs(check.list(self.__name, "modules", modules or {})) do self:append(module) end
end

--- Adds a module at the end; returns the list.
function ModuleList:append(module)
  if type(module) ~= "table" or not module.is_module then errors.raise("%s: module %d: expected a module, found %s", self.__name, self.count + 1, type(module)) end
  rawset(self, "count", self.count + 1)
  self[self.count] = module
  return self
end

function ModuleList:member_name(key) return tostring(key - 1) end

ModuleList.__len = function(self) return self.count end

return ModuleList
