--- GradScaler: losses are multiplied before backward so that small gradients survive float16, and gradients divided by the same
-- number before the optimizer. A step whose gradients overflowed is left out and the scale halved; after many good steps it doubles.
--
--     local scaler = hf.GradScaler()
--     scaler:scale(loss):backward()
--     scaler:unscale_(optimizer)                       -- only where gradients are looked at: clipping
--     scaler:step(optimizer)
--     scaler:update()
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"

local GradScaler = class("GradScaler")

local defaults = { init_scale = 65536.0, growth_factor = 2.0, backoff_factor = 0.5, growth_interval = 2000, enabled = true }

local function check(o)
  if not (o.init_scale > 0) then errors.raise("GradScaler: init_scale: expected a number above 0, found %s", o.init_scale) end
  if not (o.growth_factor > 1) then errors.raise("GradScaler: growth_factor: expected a number above 1, found %s", o.growth_factor) end
  if not (o.backoff_factor > 0 and o.backoff_factor < 1) then
    errors.raise("GradScaler: backoff_factor: expected a number between 0 and 1, found %s", o.backoff_factor)
  end
  if not (math.tointeger(o.growth_interval) and o.growth_interval > 0) then
    errors.raise("GradScaler: growth_interval: expected a whole number above 0, found %s", o.growth_interval)
  end
end

--- GradScaler([device,] { init_scale = 65536, growth_factor = 2, backoff_factor = 0.5, growth_interval = 2000, enabled = true }).
function GradScaler:init(device, given)
  if type(device) == "table" then device, given = nil, device end
  local o = options.merge(defaults, given, "GradScaler")
  check(o)
  self.growth_factor, self.backoff_factor, self.growth_interval = o.growth_factor, o.backoff_factor, o.growth_interval
  self.enabled, self.current, self.growth_tracker, self.seen = o.enabled, o.init_scale + 0.0, 0, {}
end

function GradScaler:is_enabled() return self.enabled end
function GradScaler:get_scale() return self.enabled and self.current or 1.0 end

--- The loss (or a list of losses), multiplied.
function GradScaler:scale(loss)
  if not self.enabled then return loss end
  if type(loss) ~= "table" then return loss * self.current end
  local scaled = {}
  for i, value in ipairs(loss) do scaled[i] = value * self.current end
  return scaled
end

local function parameters_of(optimizer)
  local list = {}
  for _, group in ipairs(optimizer.param_groups) do
    for _, parameter in ipairs(group.params) do
      if parameter.grad then list[#list + 1] = parameter end
    end
  end
  return list
end

local function is_finite(x) return x == x and x ~= math.huge end

--- Divides the gradients of an optimizer's parameters by the scale, once between two updates.
function GradScaler:unscale_(optimizer)
  if not self.enabled then return end
  if self.seen[optimizer] then errors.raise("GradScaler: unscale_ was called for this optimizer already since the last update()") end
  local core, parameters = require("hflua.core.tensor"), parameters_of(optimizer)
  if #parameters == 0 then errors.raise("GradScaler: the optimizer's parameters have no gradients") end
  core.scale_gradients(parameters, 1 / self.current)
  self.seen[optimizer] = { overflow = not is_finite(core.gradient_sum_squares(parameters)) }
end

--- Steps the optimizer unless a gradient is not finite; gradients are unscaled first where they are not yet. Returns what the optimizer's
-- step returns, and true when the step was left out.
function GradScaler:step(optimizer, ...)
  if not self.enabled then return optimizer:step(...) end
  if not self.seen[optimizer] then self:unscale_(optimizer) end
  local state = self.seen[optimizer]
  if state.stepped then errors.raise("GradScaler: step was called for this optimizer already since the last update()") end
  state.stepped = true
  if state.overflow then return nil, true end
  return optimizer:step(...), false
end

--- Takes note of one step, good or overflowed: the scale grows or falls. For loops that look at gradients themselves.
function GradScaler:note(overflow)
  if overflow then
    self.current, self.growth_tracker = self.current * self.backoff_factor, 0
    return
  end
  self.growth_tracker = self.growth_tracker + 1
  if self.growth_tracker < self.growth_interval then return end
  local grown = self.current * self.growth_factor
  if is_finite(grown) and grown < 2.0 ^ 128 then self.current = grown end
  self.growth_tracker = 0
end

--- Sets the scale for the next step, by what the last ones found or to a number given.
function GradScaler:update(new_scale)
  if not self.enabled then return end
  if new_scale then
    self.current = new_scale + 0.0
  else
    if next(self.seen) == nil then errors.raise("GradScaler: update needs a step or an unscale_ before it") end
    local overflow = false
    for _, state in pairs(self.seen) do overflow = overflow or state.overflow end
    self:note(overflow)
  end
  self.seen = {}
end

--- PyTorch's fields.
function GradScaler:state_dict()
  if not self.enabled then return {} end
  return { scale = self.current, growth_factor = self.growth_factor, backoff_factor = self.backoff_factor,
    growth_interval = self.growth_interval, _growth_tracker = self.growth_tracker }
end

function GradScaler:load_state_dict(state)
  if not self.enabled then return end
  for _, name in ipairs { "scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker" } do
    if type(state[name]) ~= "number" then errors.raise("GradScaler: state: %s: expected a number, found %s", name, tostring(state[name])) end
  end
  self.current, self.growth_tracker = state.scale + 0.0, math.tointeger(state._growth_tracker)
  self.growth_factor, self.backoff_factor, self.growth_interval = state.growth_factor, state.backoff_factor, math.tointeger(state.growth_interval)
end

return GradScaler
