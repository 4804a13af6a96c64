--- Mixed precision: autocast and the scaler of losses.
local core = require "hflua.core.tensor"
local errors = require "hflua.errors"
local options = require "hflua.options"

local amp = {}

local defaults = { cpu = "bfloat16", cuda = "float16" }

local function read(device, given)
  if type(device) ~= "string" then errors.raise("autocast: device: expected \"cpu\" or \"cuda\", found %s", type(device)) end
  local o = options.check("autocast", given or {}, { "dtype", "enabled", "cache_enabled" })
  local dtype = o.dtype or defaults[device:match("^%a+")] or "bfloat16"
  if dtype ~= "bfloat16" and dtype ~= "float16" then
    errors.raise("autocast: dtype: expected bfloat16 or float16, found %s", tostring(dtype))
  end
  return o.enabled == false and "float32" or dtype
end

local Restore = {}
Restore.__close = function(state) core.set_autocast(state.device, state.dtype) end

--- autocast("cpu" or "cuda", { dtype = "bfloat16", enabled = true }, fn, ...): calls fn(...) with products (matmul, linear, attention) in a
-- 16-bit dtype and returns what fn returns; losses, norms and reductions stay in float32. Ends with fn, also after an error.
function amp.autocast(device, given, fn, ...)
  if type(given) == "function" then return amp.autocast(device, nil, given, fn, ...) end
  local dtype = read(device, given)
  local meta = getmetatable(fn)
  if type(fn) ~= "function" and not (meta and meta.__call) then errors.raise("autocast: expected a function to call, found %s", type(fn)) end
  local _ <close> = setmetatable({ device = device, dtype = core.set_autocast(device, dtype) }, Restore)
  return fn(...)
end

return amp
