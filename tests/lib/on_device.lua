--- Runs a test file on another device: `hflua -l on_device FILE` with HFLUA_TEST_DEVICE. Models are loaded there, the Trainer
-- trains there; and unless HFLUA_TEST_TENSORS=cpu, tensors are made there when no device is given, and tensors of files moved
-- there. The test file itself does not know.
local device = os.getenv "HFLUA_TEST_DEVICE"
if not device then return end
local hf = require "hflua"

local safetensors = require "hflua.core.safetensors"
local load_file = safetensors.load_file
if os.getenv "HFLUA_TEST_TENSORS" ~= "cpu" then
  hf.tensor.set_default_device(device)
  function safetensors.load_file(...)
    local tensors = load_file(...)
    for name, value in pairs(tensors) do tensors[name] = value:to(device) end
    return tensors
  end
end

-- before the classes of models take these functions over
local pretrained = require "hflua.models.pretrained"
for _, name in ipairs { "from_pretrained", "from_config" } do
  local load = pretrained[name]
  pretrained[name] = function(...)
    local results = table.pack(load(...))
    results[1]:to(device)
    return table.unpack(results, 1, results.n)
  end
end

-- what asks for the processor gets the device too
local Trainer = hf.trainer.Trainer
local init = Trainer.init
function Trainer:init(model, args, given)
  local o = type(model) == "table" and model.args and model or type(args) == "table" and args.args and args or given or {}
  if o.args then rawset(o.args, "use_cpu", false) end
  return init(self, model, args, given)
end

local autocast = hf.autocast
function hf.autocast(_, ...) return autocast(device, ...) end

print("# on " .. hf.tensor.device(device))
