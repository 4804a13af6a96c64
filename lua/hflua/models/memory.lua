--- Does a configuration's model fit into memory? A config.json may ask for any size, so this is asked before anything is built.
local errors = require "hflua.errors"
local init = require "hflua.nn.parameter"

local memory = {}

local BYTES = 4 -- of a float32

-- Numbers in the parameters of a model with so many layers. Floats, which do not wrap: shapes alone may exceed 2^63.
local function count(class, config, layers)
  local sized = config:clone()
  sized.num_hidden_layers = layers
  local total = 0.0
  for _, p in init.skip(function() return class(sized) end):named_parameters() do
    local numbers = 1.0
    for _, length in ipairs(p.shape) do numbers = numbers * length end
    total = total + numbers
  end
  return total
end

--- The number of parameters, a float: found without building the layers, which are all alike.
function memory.parameters(class, config)
  local none, one = count(class, config, 0), count(class, config, 1)
  return none + config.num_hidden_layers * (one - none)
end

--- Bytes of memory that are free or can be freed; nil where the system does not say.
function memory.free()
  local file <close> = io.open("/proc/meminfo", "r")
  local kib = file and file:read("a"):match "MemAvailable:%s*(%d+) kB"
  return kib and tonumber(kib) * 1024
end

--- Error when the parameters alone need more memory than is free; `where` begins the message.
function memory.check(class, config, where)
  local numbers, free = memory.parameters(class, config), memory.free()
  if free and numbers * BYTES > free then
    errors.raise("%s: %s: %.0f parameters need %.0f bytes, but only %.0f bytes of memory are free; are the sizes right?", where, class.__name, numbers, numbers * BYTES, free)
  end
end

return memory
