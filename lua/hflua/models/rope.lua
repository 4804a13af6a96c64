--- Rotary positions (Su et al. 2021): the angle of each pair of numbers of a head at each position, for every kind of scaling that
-- Llama's configurations know: default, linear, dynamic, yarn, llama3, longrope.
local tensor = require "hflua.tensor"
local errors = require "hflua.errors"
local options_of = require "hflua.options"

local rope = {}

local function table_or_nil(value) return type(value) == "table" and value or nil end
local function number_or_nil(value) return type(value) == "number" and value or nil end

-- ---- the kinds: each gives the frequencies (D/2 numbers) and the factor of cosines and sines. p: the settled parameters,
-- length: positions in use (for those that depend on it)

local function powers(base, D)
  local list = {}
  for i = 0, D // 2 - 1 do list[i + 1] = base ^ (2 * i / D) end
  return list
end

local function inverse(list, factor)
  local frequencies = {}
  for i, power in ipairs(list) do frequencies[i] = 1 / (power * (factor or 1)) end
  return frequencies
end

local kinds = {}

function kinds.default(p) return inverse(powers(p.rope_theta, p.D)), 1 end

function kinds.linear(p) return inverse(powers(p.rope_theta, p.D), p.factor), 1 end

-- The base grows with the length beyond the one that the model was trained with.
function kinds.dynamic(p, length)
  local ratio = math.max(length, p.longest) / p.longest
  local base = p.rope_theta * (p.factor * ratio - (p.factor - 1)) ^ (p.D / (p.D - 2))
  return inverse(powers(base, p.D)), 1
end

local function magnitude(factor, scale) return factor <= 1 and 1 or 0.1 * (scale or 1) * math.log(factor) + 1 end

local function yarn_magnitude(p, factor)
  if p.attention_factor then return p.attention_factor end
  local above, below = number_or_nil(p.mscale) or 0, number_or_nil(p.mscale_all_dim) or 0
  if above ~= 0 and below ~= 0 then return magnitude(factor, above) / magnitude(factor, below) end
  return magnitude(factor)
end

-- Peng et al. 2023: fast pairs keep their frequency, slow ones are divided by the factor, those between go from one to the other.
function kinds.yarn(p)
  local factor, D = p.factor or p.longest / p.original, p.D
  local function pair_of(rotations) return D * math.log(p.original / (rotations * 2 * math.pi)) / (2 * math.log(p.rope_theta)) end
  local low, high = pair_of(number_or_nil(p.beta_fast) or 32), pair_of(number_or_nil(p.beta_slow) or 1)
  if p.truncate ~= false then low, high = math.floor(low), math.ceil(high) end
  low, high = math.max(low, 0), math.min(high, D - 1)
  if low == high then high = high + 0.001 end
  local frequencies = {}
  for i, power in ipairs(powers(p.rope_theta, D)) do
    local slow = math.min(math.max((i - 1 - low) / (high - low), 0), 1)
    frequencies[i] = slow / (factor * power) + (1 - slow) / power
  end
  return frequencies, yarn_magnitude(p, factor)
end

-- Llama 3.1: by wave length, with a smooth passage.
function kinds.llama3(p)
  local frequencies = inverse(powers(p.rope_theta, p.D))
  local longest, shortest = p.original / p.low_freq_factor, p.original / p.high_freq_factor
  for i, frequency in ipairs(frequencies) do
    local wave = 2 * math.pi / frequency
    local smooth = (p.original / wave - p.low_freq_factor) / (p.high_freq_factor - p.low_freq_factor)
    if wave > longest then frequencies[i] = frequency / p.factor
    elseif wave >= shortest then frequencies[i] = (1 - smooth) * frequency / p.factor + smooth * frequency end
  end
  return frequencies, 1
end

-- Ding et al. 2024: a factor for each pair, one list for short rows and one for long ones.
function kinds.longrope(p, length)
  local factors, factor = length > p.original and p.long_factor or p.short_factor, p.factor or p.longest / p.original
  local frequencies = powers(p.rope_theta, p.D)
  for i, power in ipairs(frequencies) do frequencies[i] = 1 / (factors[i] * power) end
  return frequencies, p.attention_factor or (factor <= 1 and 1 or math.sqrt(1 + math.log(factor) / math.log(p.original)))
end

local needs_length = { dynamic = true, longrope = true }

-- ---- the parameters

local numbers_needed = { linear = { "factor" }, dynamic = { "factor" }, llama3 = { "factor", "low_freq_factor", "high_freq_factor" } }

local function check_kind(p, where)
  if not kinds[p.rope_type] then
    local names = {}
    for name in pairs(kinds) do names[#names + 1] = name end
    table.sort(names)
    errors.raise("%s: rope_parameters: %s; known: %s", where, options_of.unknown("rope_type", tostring(p.rope_type), names), table.concat(names, ", "))
  end
  for _, name in ipairs(numbers_needed[p.rope_type] or {}) do
    if not number_or_nil(p[name]) then errors.raise("%s: rope_parameters: %s: expected a number for %s, found %s", where, name, p.rope_type, tostring(p[name])) end
  end
end

local function check_lists(p, where)
  for _, name in ipairs { "short_factor", "long_factor" } do
    local list = table_or_nil(p[name]) or {}
    for i = 1, math.max(#list, p.D // 2) do
      if not number_or_nil(list[i]) or i > p.D // 2 then errors.raise("%s: rope_parameters: %s: expected %d numbers, found %d", where, name, p.D // 2, #list) end
    end
  end
end

--- The parameters of a configuration, from rope_parameters or, as older files have them, rope_scaling and rope_theta.
-- D: the size of a head. `where` begins the messages.
function rope.parameters(c, D, where)
  local p = {}
  for name, value in pairs(table_or_nil(c.rope_parameters) or table_or_nil(c.rope_scaling) or {}) do p[name] = value end
  p.rope_type = type(p.rope_type or p.type) == "string" and (p.rope_type or p.type) or "default"
  p.rope_theta = number_or_nil(p.rope_theta) or number_or_nil(c.rope_theta) or 10000.0
  p.factor, p.attention_factor = number_or_nil(p.factor), number_or_nil(p.attention_factor)
  p.D, p.longest = D, c.max_position_embeddings
  p.original = number_or_nil(c.original_max_position_embeddings) or number_or_nil(p.original_max_position_embeddings) or c.max_position_embeddings
  local part = number_or_nil(p.partial_rotary_factor) or number_or_nil(c.partial_rotary_factor) or 1
  if part ~= 1 then errors.raise("%s: partial_rotary_factor: expected 1, found %s", where, tostring(part)) end
  if D % 2 ~= 0 then errors.raise("%s: head_dim: expected an even number, found %d", where, D) end
  check_kind(p, where)
  if p.rope_type == "longrope" then check_lists(p, where) end
  return p
end

local on_device = {} -- device -> the last list of frequencies that was asked for, and its tensor (1, D/2)

local function same_numbers(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then return false end
  end
  return true
end

-- A list as a tensor of the device; a step with the same frequencies as the one before copies nothing.
local function frequencies_on(device, list)
  local kept = on_device[device]
  if not kept or not same_numbers(kept.list, list) then
    kept = { list = list, row = tensor.tensor(list, { device = device }):reshape(1, -1):keep() }
    on_device[device] = kept
  end
  return kept.row
end

--- cosine and sine (N, D/2) of positions (N).
function rope.angles(p, positions)
  local length = needs_length[p.rope_type] and positions:to("cpu"):max():item() + 1 or 0
  local frequencies, factor = kinds[p.rope_type](p, length)
  return tensor.no_grad(function()
    local angle = positions:to("float32"):reshape(-1, 1) * frequencies_on(positions.device, frequencies)
    local cosine, sine = angle:cos(), angle:sin()
    if factor == 1 then return cosine, sine end
    return cosine * factor, sine * factor
  end)
end

return rope
