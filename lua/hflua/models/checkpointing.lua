--- Gradient checkpointing: a layer's activations are not kept but made again in the backward. Memory falls to one activation a
-- layer, and a step takes about a third longer; results are the same to the bit.
local autograd = require "hflua.tensor.autograd"
local core = require "hflua.core.tensor"
local functional = require "hflua.nn.functional"

local checkpointing = {}

local function random() return require "hflua.core.random" end

-- run(x), which gives the same keep-masks each time it is called, where they are drawn from the global generator.
local function repeatable(run)
  if functional.dropout_rng ~= "torch" then return run end
  local first
  return function(x)
    if not first then
      first = random().get_state()
      return run(x)
    end
    local now = random().get_state()
    random().set_state(first)
    local y = run(x)
    random().set_state(now)
    return y
  end
end

-- The layer as a function of x alone: fields of the layout that change from layer to layer are those of the first time.
local function as_function(layer, layout)
  local first_only = layout.first_only
  return repeatable(function(x)
    local now = layout.first_only
    layout.first_only = first_only
    local y = layer(x, layout)
    layout.first_only = now
    return y
  end)
end

--- layers[i](x, layout), recomputed in the backward where the list is checkpointed and a gradient is recorded. With a cache nothing is.
function checkpointing.run(layers, i, x, layout)
  local wanted = rawget(layers, "gradient_checkpointing") and layers.training and not layout.cache and core.is_grad_enabled()
  if not wanted then return layers[i](x, layout) end
  return autograd.checkpoint(as_function(layers[i], layout), x)
end

--- Switches it on or off in every list of layers of a model; whether there is one.
function checkpointing.set(model, on)
  local found = false
  for _, module in model:named_modules() do
    if module.is_list then
      rawset(module, "gradient_checkpointing", on)
      found = true
    end
  end
  return found
end

return checkpointing
