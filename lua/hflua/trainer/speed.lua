--- Running times in HF's form: {split}_runtime and so on.
local speed = {}

local function rounded(x, digits)
  local scale = 10 ^ digits
  return math.floor(x * scale + 0.5) / scale
end

--- Seconds since some moment.
function speed.now() return require("hflua.core.system").clock() end

--- Adds PREFIX_runtime, PREFIX_samples_per_second and PREFIX_steps_per_second to an ordered table.
function speed.add(metrics, prefix, start, samples, steps)
  local runtime = speed.now() - start
  metrics[prefix .. "_runtime"] = rounded(runtime, 4)
  if runtime <= 0 then return end
  metrics[prefix .. "_samples_per_second"] = rounded(samples / runtime, 3)
  metrics[prefix .. "_steps_per_second"] = rounded(steps / runtime, 3)
end

return speed
