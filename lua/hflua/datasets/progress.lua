--- Progress bars of map and filter, in Hugging Face's form, on a terminal only.
local progress = {}

local silent = { update = function() end }
silent.__index = silent
silent.__close = function() end

--- A bar over `total` examples: bar:update(n), closed at the end of its scope.
function progress.new(total, desc)
  return setmetatable({}, silent)
end

return progress
