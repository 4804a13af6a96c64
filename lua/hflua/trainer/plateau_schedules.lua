--- Schedules that follow a metric: ReduceLROnPlateau lowers the rate when it stops improving, GreedyLR also raises it
-- while it improves. `step(metric)` is called after each evaluation.
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"

local Plateau = class("PlateauSchedule")

-- A limit given once, or as a list with one entry per parameter group.
local function per_group(optimizer, value, name, where)
  local list = {}
  for i = 1, #optimizer.param_groups do list[i] = type(value) == "table" and value[i] or value end
  if type(value) == "table" and #value ~= #optimizer.param_groups then
    errors.raise("%s: %s: expected %d numbers, found %d", where, name, #optimizer.param_groups, #value)
  end
  return list
end

local function check(o, where)
  if o.mode ~= "min" and o.mode ~= "max" then errors.raise("%s: mode '%s': expected min or max", where, o.mode) end
  if o.threshold_mode ~= "rel" and o.threshold_mode ~= "abs" then
    errors.raise("%s: threshold_mode '%s': expected rel or abs", where, o.threshold_mode)
  end
  if o.factor >= 1 then errors.raise("%s: factor: expected a number below 1, found %s", where, o.factor) end
end

function Plateau:setup(optimizer, defaults, given, where)
  local o = options.merge(defaults, given, where)
  check(o, where)
  for name, value in pairs(o) do self[name] = value end
  self.optimizer, self.last_epoch, self.num_bad_epochs, self.cooldown_counter = optimizer, 0, 0, 0
  self.best = o.mode == "min" and math.huge or -math.huge
  self.min_lrs = per_group(optimizer, o.min_lr, "min_lr", where)
end

--- Is `value` better than `best` by more than the threshold?
function Plateau:is_better(value, best)
  local sign = self.mode == "min" and 1 or -1
  local limit = self.threshold_mode == "rel" and best * (1 - sign * self.threshold) or best - sign * self.threshold
  if self.mode == "min" then return value < limit end
  return value > limit
end

-- rate of group i := change(rate), when that moves it by more than eps
function Plateau:move_rates(change)
  for i, group in ipairs(self.optimizer.param_groups) do
    local rate = change(group.lr, i)
    if math.abs(rate - group.lr) > self.eps then group.lr = rate end
  end
end

function Plateau:reduce()
  self:move_rates(function(rate, i) return math.max(rate * self.factor, self.min_lrs[i]) end)
end

function Plateau:get_last_lr()
  local rates = {}
  for i, group in ipairs(self.optimizer.param_groups) do rates[i] = group.lr end
  return rates
end

-- What a checkpoint keeps, apart from the rates.
local counters = { "best", "last_epoch", "num_bad_epochs", "num_good_epochs", "cooldown_counter", "warmup_counter",
  "reset_left", "window" }

function Plateau:state_dict()
  local state = { _last_lr = self:get_last_lr() }
  for _, name in ipairs(counters) do state[name] = self[name] end
  if state.best == math.huge or state.best == -math.huge then state.best = nil end
  return state
end

function Plateau:load_state_dict(state)
  for _, name in ipairs(counters) do
    if state[name] ~= nil then self[name] = state[name] end
  end
  for i, group in ipairs(self.optimizer.param_groups) do group.lr = state._last_lr[i] end
end

local ReduceLROnPlateau = class("ReduceLROnPlateau", Plateau)

--- ReduceLROnPlateau(optimizer, { mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps }).
function ReduceLROnPlateau:init(optimizer, given)
  self:setup(optimizer, { mode = "min", factor = 0.1, patience = 10, threshold = 1e-4, threshold_mode = "rel",
    cooldown = 0, min_lr = options.none, eps = 1e-8 }, given, "ReduceLROnPlateau")
  if not self.min_lr then self.min_lrs = per_group(optimizer, 0.0) end
end

function ReduceLROnPlateau:step(metric)
  self.last_epoch = self.last_epoch + 1
  if self:is_better(metric, self.best) then
    self.best, self.num_bad_epochs = metric, 0
  else
    self.num_bad_epochs = self.num_bad_epochs + 1
  end
  if self.cooldown_counter > 0 then
    self.cooldown_counter = self.cooldown_counter - 1
    self.num_bad_epochs = 0
  end
  if self.num_bad_epochs <= self.patience then return end
  self:reduce()
  self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
end

local GreedyLR = class("GreedyLR", Plateau)

--- GreedyLR(optimizer, { mode, factor, patience, threshold, cooldown, warmup, min_lr, max_lr, smooth, window_size, reset_start }).
function GreedyLR:init(optimizer, given)
  self:setup(optimizer, { mode = "min", factor = 0.95, patience = 10, threshold = 1e-6, threshold_mode = "abs", cooldown = 0,
    warmup = 0, min_lr = options.none, max_lr = options.none, eps = 1e-8, verbose = false, smooth = false,
    window_size = 50, reset_start = 500 }, given, "GreedyLR")
  self.num_good_epochs, self.warmup_counter, self.reset_left, self.window = 0, 0, self.reset_start, {}
  if not self.min_lr then self.min_lrs = per_group(optimizer, 1e-3) end
  self.max_lrs = per_group(optimizer, self.max_lr or 1.0, "max_lr", "GreedyLR")
  self.initial_lrs = self:get_last_lr()
end

-- Mean of the last window_size metrics.
function GreedyLR:smoothed(metric)
  if not self.smooth then return metric end
  self.window[#self.window + 1] = metric
  if #self.window > self.window_size then table.remove(self.window, 1) end
  local sum = 0
  for _, value in ipairs(self.window) do sum = sum + value end
  return sum / #self.window
end

function GreedyLR:count(metric)
  if self:is_better(metric, self.best) then
    self.best, self.num_bad_epochs, self.num_good_epochs = metric, 0, self.num_good_epochs + 1
  else
    self.num_bad_epochs, self.num_good_epochs = self.num_bad_epochs + 1, 0
  end
end

function GreedyLR:raise_rates()
  self:move_rates(function(rate, i) return math.min(rate / self.factor, self.max_lrs[i]) end)
  self.reset_left, self.warmup_counter, self.num_good_epochs = self.reset_start, self.warmup, 0
end

-- After reset_start reductions that found every rate at its minimum, everything starts again.
function GreedyLR:lower_rates()
  self:reduce()
  self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
  for i, group in ipairs(self.optimizer.param_groups) do
    if group.lr > self.min_lrs[i] then return end
  end
  self.reset_left = self.reset_left - 1
  if self.reset_left <= 0 then self:reset() end
end

function GreedyLR:reset()
  for i, group in ipairs(self.optimizer.param_groups) do group.lr = self.initial_lrs[i] end
  self.best = self.mode == "min" and math.huge or -math.huge
  self.num_bad_epochs, self.num_good_epochs, self.warmup_counter, self.window = 0, 0, 0, {}
  self.reset_left = self.reset_start
end

function GreedyLR:step(metric)
  metric = self:smoothed(metric)
  self.last_epoch = self.last_epoch + 1
  if self.cooldown_counter > 0 or self.warmup_counter > 0 then
    local waiting = self.cooldown_counter > 0 and "cooldown_counter" or "warmup_counter"
    self[waiting], self.num_bad_epochs, self.num_good_epochs = self[waiting] - 1, 0, 0
    return
  end
  self:count(metric)
  if self.num_good_epochs > self.patience then
    self:raise_rates()
  elseif self.num_bad_epochs > self.patience then
    self:lower_rates()
  end
end

return { Plateau = Plateau, ReduceLROnPlateau = ReduceLROnPlateau, GreedyLR = GreedyLR }
