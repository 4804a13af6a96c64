--- Adafactor in its two forms: transformers' (Adafactor) and PyTorch's (TorchAdafactor). Matrices keep one running mean per
-- row and per column instead of one per element.
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"
local Optimizer = require "hflua.trainer.optimizer"
local schedules = require "hflua.trainer.schedules"

local adafactor = {}

-- Root of the mean of the squares.
local function rms(t) return math.sqrt((t * t):sum():item() / t:numel()) end

local function set(target, value) target:copy_(value) end

-- average += (value - average) * share
local function blend(average, value, share) set(average, average * (1 - share) + value * share) end

local function mean(t, dim, keepdim) return t:mean { dim = dim, keepdim = keepdim or false } end

--- Adafactor(parameters, { lr, eps = {1e-30, 1e-3}, clip_threshold, decay_rate, beta1, weight_decay, scale_parameter,
-- relative_step, warmup_init }).
adafactor.Adafactor = Optimizer.define("Adafactor", { lr = options.none, eps = { 1e-30, 1e-3 }, clip_threshold = 1.0,
  decay_rate = -0.8, beta1 = options.none, weight_decay = 0.0, scale_parameter = true, relative_step = true,
  warmup_init = false }, {})

local Adafactor = adafactor.Adafactor

function Adafactor:init(params, given)
  local o = options.merge(self.option_defaults, given, "Adafactor")
  if o.lr and o.relative_step then errors.raise("Adafactor: lr and relative_step = true exclude each other") end
  if o.warmup_init and not o.relative_step then errors.raise("Adafactor: warmup_init = true needs relative_step = true") end
  Optimizer.init(self, params, given)
end

function Adafactor:new_state(parameter, group)
  local state = { step = 0, RMS = 0.0 }
  if group.beta1 then state.exp_avg = self.zeros_like(parameter) end
  if #parameter.shape >= 2 then
    local squares = parameter * 0
    state.exp_avg_sq_row, state.exp_avg_sq_col = mean(squares, -1):keep(), mean(squares, -2):keep()
  else
    state.exp_avg_sq = self.zeros_like(parameter)
  end
  return state
end

--- The rate of a parameter with this state.
function Adafactor.rate(group, state)
  local rate = group.lr
  if group.relative_step then
    local limit = group.warmup_init and 1e-6 * state.step or 1e-2
    rate = math.min(limit, 1 / math.sqrt(state.step))
  end
  return group.scale_parameter and rate * math.max(group.eps[2], state.RMS) or rate
end

-- 1 / sqrt of the running mean of the squares, from rows and columns where they are kept.
local function inverse_root(state, squares, share)
  if not state.exp_avg_sq_row then
    blend(state.exp_avg_sq, squares, share)
    return state.exp_avg_sq:rsqrt()
  end
  local row, column = state.exp_avg_sq_row, state.exp_avg_sq_col
  blend(row, mean(squares, -1), share)
  blend(column, mean(squares, -2), share)
  return (row / mean(row, -1, true)):rsqrt():unsqueeze(-1) * column:unsqueeze(-2):rsqrt()
end

function Adafactor:update(parameter, gradient, state, group)
  state.RMS = rms(parameter)
  local rate = Adafactor.rate(group, state)
  local share = state.step ^ group.decay_rate
  local update = inverse_root(state, gradient * gradient + group.eps[1], share) * gradient
  update = update * (rate / math.max(1, rms(update) / group.clip_threshold))
  if group.beta1 then
    blend(state.exp_avg, update, 1 - group.beta1)
    update = state.exp_avg
  end
  set(parameter, parameter * (1 - group.weight_decay * rate) - update)
end

--- TorchAdafactor(parameters, { lr = 1e-2, beta2_decay, eps = {nil, 1e-3}, d, weight_decay, maximize }).
adafactor.TorchAdafactor = Optimizer.define("TorchAdafactor", { lr = 1e-2, beta2_decay = -0.8, eps = options.none, d = 1.0,
  weight_decay = 0.0, maximize = false }, {})

local TorchAdafactor = adafactor.TorchAdafactor

function TorchAdafactor:new_state(parameter)
  if #parameter.shape < 2 then return { step = 0, variance = self.zeros_like(parameter) } end
  local squares = parameter * 0
  return { step = 0, row_var = mean(squares, -1, true):keep(), col_var = mean(squares, -2, true):keep() }
end

-- The estimate of the squares: outer product of row and column means, or the kept means themselves.
local function variance(state, gradient, share, smallest)
  local squares = gradient * gradient
  if state.variance then
    blend(state.variance, squares, share)
    return state.variance
  end
  blend(state.row_var, mean(squares, -1, true), share)
  blend(state.col_var, mean(squares, -2, true), share)
  return state.row_var:matmul(state.col_var) / mean(state.row_var, -2, true):clamp { min = smallest }
end

function TorchAdafactor:update(parameter, gradient, state, group)
  local eps = group.eps or {}
  local eps1, eps2 = tonumber(eps[1]) or 1.1920928955078125e-07, eps[2] or 1e-3
  local rate = math.max(eps2, rms(parameter)) * math.min(group.lr, 1 / math.sqrt(state.step))
  if group.weight_decay ~= 0 then set(parameter, parameter * (1 - group.lr * group.weight_decay)) end
  local estimate = variance(state, gradient, state.step ^ group.beta2_decay, eps1)
  local update = estimate:clamp { min = eps1 * eps1 }:rsqrt() * gradient
  set(parameter, parameter - update * (rate / math.max(1, rms(update) / group.d)))
end

--- AdafactorSchedule(optimizer, { initial_lr = 0.0 }): shows the rates Adafactor chooses by itself.
adafactor.AdafactorSchedule = class("AdafactorSchedule", schedules.LambdaLR)

function adafactor.AdafactorSchedule:init(optimizer, given)
  local o = options.merge({ initial_lr = 0.0 }, given, "AdafactorSchedule")
  self.optimizer, self.last_epoch, self.base_lrs, self.initial_lr = optimizer, 0, {}, o.initial_lr
end

function adafactor.AdafactorSchedule:step() self.last_epoch = self.last_epoch + 1 end

function adafactor.AdafactorSchedule:get_last_lr()
  local rates = {}
  for i, group in ipairs(self.optimizer.param_groups) do
    local state = self.optimizer.state[group.params[1]]
    rates[i] = state and state.step > 0 and Adafactor.rate(group, state) or self.initial_lr
  end
  return rates
end

return adafactor
