--- Row orders as Hugging Face draws them: numpy's default_rng, seeded by the caller or by numpy's global state.
local errors = require "hflua.errors"

local random_orders = {}

local function core() return require "hflua.core.random" end

--- The generator that HF's methods use: opts.generator, or default_rng of the seed. Without a seed it is seeded from the
-- global state, which moves on by one draw.
function random_orders.generator(opts, where)
  if opts.generator then return opts.generator end
  local seed = opts.seed
  if seed == nil then seed = core().numpy_seed() end
  if math.type(seed) ~= "integer" or seed < 0 then errors.raise("%s: seed: expected a whole number from 0 on, found %s", where, tostring(seed)) end
  return core().default_rng(seed)
end

--- A permutation of 1..n.
function random_orders.permutation(opts, n, where)
  local order = random_orders.generator(opts, where):permutation(n)
  for i = 1, n do order[i] = order[i] + 1 end
  return order
end

--- A function that draws 1..#probabilities by them, as default_rng(seed).choice(n, size = 1000, p = ...) in blocks does.
function random_orders.chooser(seed, probabilities)
  local rng, bounds, sum = core().default_rng(seed or core().numpy_seed()), {}, 0.0
  for i, p in ipairs(probabilities) do
    sum = sum + p
    bounds[i] = sum
  end
  return function()
    local x = rng:random()
    for i = 1, #bounds do
      if x < bounds[i] / sum then return i end
    end
    return #bounds
  end
end

return random_orders
