--- Generation: its configuration, logits processors, stopping criteria and streamers under one name, `hf.generation`.
local generation = { GenerationConfig = require "hflua.generation.config" }

for _, module in ipairs { "processors", "stopping", "streamers" } do
  for name, value in pairs(require("hflua.generation." .. module)) do
    if name:find "^%u" then generation[name] = value end
  end
end

--- The processors of a configuration in their order; apply(all, input_ids, scores).
generation.processors = require "hflua.generation.processors"

return generation
