--- Progress bars of map and filter, in Hugging Face's form, on a terminal only.
local bars = require "hflua.progress"

local progress = {}

--- A bar over `total` examples: bar:update(n), closed at the end of its scope.
function progress.new(total, desc)
  return bars.bar { total = total, desc = desc, unit = " examples" }
end

return progress
