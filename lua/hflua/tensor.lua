--- Tensors: `local tensor = require "hflua.tensor"`, or `hf.tensor`. The operations are in docs/api/tensor.md.
local core = require "hflua.core.tensor"
local define = require "hflua.tensor.define"

require "hflua.tensor.arithmetic"
require "hflua.tensor.shapes"
require "hflua.tensor.losses"
require "hflua.tensor.attention"
require "hflua.tensor.einsum"
require "hflua.tensor.printing"

local tensor = core.functions

tensor.core = core
tensor.tensor = core.tensor
tensor.is_tensor = define.is_tensor

--- The name of a device as tensors show it ("cpu", "cuda:0"); an error when there is none.
tensor.device = core.device
--- set_default_device(name): where tensors are made when no device is given; get_default_device() tells it.
tensor.set_default_device, tensor.get_default_device = core.set_default_device, core.get_default_device
--- GPUs: the same as hf.cuda.
tensor.cuda = require "hflua.cuda"

--- Seeds PyTorch's global generator and dropout.
tensor.manual_seed = core.manual_seed
--- A generator of one's own, for the option `generator` of the random functions.
function tensor.Generator(seed) return require("hflua.core.random").generator(seed) end

for name, fn in pairs(require "hflua.tensor.autograd") do tensor[name] = fn end
--- Work of the GPU that is recorded once and launched many times; also hf.graph and hf.cuda.graph.
tensor.graph = require "hflua.tensor.graph"

--- Names behind a tensor, for completion.
function core.class.__names()
  local names = { "shape", "dtype", "device", "ndim", "grad", "requires_grad", "is_leaf", "grad_fn", "data", "T" }
  for name in pairs(core.methods) do names[#names + 1] = name end
  return names
end

return tensor
