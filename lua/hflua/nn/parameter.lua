--- Parameters and their first values. Inside `skip(fn)` parameters are made without values (a checkpoint brings them), so
-- that loading a model neither draws random numbers nor touches memory.
local errors = require "hflua.errors"
local tensor = require "hflua.tensor"

local init = {}
local skipping = false

--- Marks a tensor as trained: requires_grad.
function init.Parameter(t)
  if not tensor.is_tensor(t) then errors.raise("Parameter: expected a tensor, found %s", type(t)) end
  t.requires_grad = true
  return t
end

--- A parameter of this shape; values are undefined until one of the functions below, or a checkpoint, sets them.
function init.new(shape)
  if skipping then return init.Parameter(tensor.zeros({ 1 }):expand(table.unpack(shape)):detach()) end
  return init.Parameter(tensor.empty(shape))
end

--- Runs fn() with first values left out: parameters have a shape but share one zero each.
function init.skip(fn)
  local before = skipping
  skipping = true
  local results = table.pack(pcall(fn))
  skipping = before
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- True inside `skip`.
function init.is_skipped() return skipping end

local function filler(name)
  return function(t, ...)
    if skipping then return t end
    local arguments = table.pack(...)
    tensor.no_grad(function() t[name](t, table.unpack(arguments, 1, arguments.n)) end)
    return t
  end
end

--- Draws from N(mean, std) as torch.nn.init.normal_ does.
init.normal_ = filler("normal_")
--- Draws from U(low, high) as torch.nn.init.uniform_ does.
init.uniform_ = filler("uniform_")
init.zeros_ = filler("zero_")
--- Fills with one value.
init.constant_ = filler("fill_")

--- PyTorch's default for Linear: kaiming_uniform with a = sqrt(5) for the weight, U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for the bias.
function init.linear_(weight, bias)
  local fan_in = weight.shape[2]
  local bound = fan_in > 0 and math.sqrt(3) * (math.sqrt(2 / (1 + 5)) / math.sqrt(fan_in)) or 0
  init.uniform_(weight, -bound, bound)
  if bias then init.uniform_(bias, fan_in > 0 and -1 / math.sqrt(fan_in) or 0, fan_in > 0 and 1 / math.sqrt(fan_in) or 0) end
end

return init
