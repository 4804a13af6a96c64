--- hf.cuda: GPUs. Names are those of torch.cuda. Without a device everything here answers as on a machine that has none;
-- `hf.cuda.reason()` says what is missing.
local core = require "hflua.core.cuda"
local errors = require "hflua.errors"

local cuda = {}

--- Is there a GPU that this build can use?
function cuda.is_available() return core.device_count() > 0 end
--- How many GPUs there are.
cuda.device_count = core.device_count
--- Why there is none; nil when there is one.
cuda.reason = core.reason

-- "cuda:1", 1 or nil as a number.
local function index_of(device)
  if device == nil then return 0 end
  if math.type(device) == "integer" then return device end
  local index = tostring(device):match("^cuda:?(%d*)$")
  if not index then errors.raise("cuda: device: expected a number or 'cuda:N', found %s", tostring(device)) end
  return tonumber(index) or 0
end

--- The GPU's name.
function cuda.get_device_name(device) return core.device_name(index_of(device)) end
--- The number of the GPU in use; a process uses one.
function cuda.current_device() return 0 end

-- Statistics; zeros before a device is used.
local function memory()
  if core.is_open() then return core.memory() end
  return { allocated = 0, peak_allocated = 0, reserved = 0, peak_reserved = 0, in_graphs = 0, driver_allocations = 0, out_of_memory = 0,
    free_on_device = 0, total_on_device = 0 }
end

--- Waits until the GPU has done everything asked of it.
function cuda.synchronize() if core.is_open() then core.synchronize() end end
--- Bytes of tensors and scratch in use, and the most ever.
function cuda.memory_allocated() return memory().allocated end
function cuda.max_memory_allocated() return memory().peak_allocated end
--- Bytes had from the driver: in use, or kept for the next tensors.
function cuda.memory_reserved() return memory().reserved end
function cuda.max_memory_reserved() return memory().peak_reserved end
--- Peaks count from here.
function cuda.reset_peak_memory_stats() if core.is_open() then core.reset_peak() end end
--- Gives memory that is kept for later back to the driver.
function cuda.empty_cache() if core.is_open() then core.empty_cache() end end
--- All numbers as a table.
cuda.memory_stats = memory
--- Free and total bytes of the device.
function cuda.mem_get_info()
  local m = memory()
  return m.free_on_device, m.total_on_device
end

local rows = { { "allocated", "in use" }, { "peak_allocated", "most in use" }, { "reserved", "had from the driver" },
  { "peak_reserved", "most had from the driver" }, { "in_graphs", "kept for graphs" }, { "free_on_device", "free on the device" }, { "total_on_device", "on the device" } }

--- The statistics as a table to print.
function cuda.memory_summary()
  local m, lines = memory(), {}
  for _, row in ipairs(rows) do lines[#lines + 1] = ("%-26s %12.1f MiB"):format(row[2], m[row[1]] / 2 ^ 20) end
  lines[#lines + 1] = ("%-26s %12d"):format("requests to the driver", m.driver_allocations)
  lines[#lines + 1] = ("%-26s %12d"):format("requests that failed", m.out_of_memory)
  return table.concat(lines, "\n")
end

--- The same as hf.tensor.graph: a function whose work is recorded and then launched as a whole.
function cuda.graph(fn, options) return require("hflua.tensor.graph")(fn, options) end

--- Where models go by default: what --device or HFLUA_DEVICE names, else a GPU when there is one, else the processor.
function cuda.default_device()
  local tensor, asked = require "hflua.core.tensor", os.getenv "HFLUA_DEVICE"
  if asked and asked ~= "" then return tensor.device(asked) end
  return tensor.device(cuda.is_available() and "cuda" or "cpu")
end

return cuda
