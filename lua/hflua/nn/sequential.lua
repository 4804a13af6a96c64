--- Modules run one after another.
local ModuleList = require "hflua.nn.module_list"

local Sequential = ModuleList:extend("Sequential")

--- Sequential{ module, ... }
function Sequential:init(modules) ModuleList.init(self, modules) end

function Sequential:forward(x)
  for i = 1, self.count do x = self[i](x) end
  return x
end

return Sequential
