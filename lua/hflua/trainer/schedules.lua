--- Learning-rate schedules: LambdaLR and the schedules of HF's get_scheduler. A multiplier is a function of the step,
-- counted from 0; the rate of optimizer step t is initial rate * multiplier(t).
--
--     local scheduler = hf.get_scheduler("linear", { optimizer = o, num_warmup_steps = 10, num_training_steps = 100 })
--     optimizer:step(); scheduler:step()
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"
local plateau = require "hflua.trainer.plateau_schedules"

local schedules = { ReduceLROnPlateau = plateau.ReduceLROnPlateau, GreedyLR = plateau.GreedyLR }

local LambdaLR = class("LambdaLR")
schedules.LambdaLR = LambdaLR

--- LambdaLR(optimizer, { lr_lambda = f or { f, ... one per group }, last_epoch = -1 }); `f` alone will do.
function LambdaLR:init(optimizer, given)
  if type(given) == "function" then given = { lr_lambda = given } end
  local o = options.merge({ lr_lambda = options.none, last_epoch = -1 }, given, "LambdaLR")
  self.optimizer, self.last_epoch, self.base_lrs, self.lr_lambdas = optimizer, o.last_epoch, {}, {}
  for i, group in ipairs(optimizer.param_groups) do
    self.lr_lambdas[i] = type(o.lr_lambda) == "table" and o.lr_lambda[i] or o.lr_lambda
    errors.assert(type(self.lr_lambdas[i]) == "function", "LambdaLR: lr_lambda: expected a function for parameter group %d", i)
    group.initial_lr = group.initial_lr or group.lr
    self.base_lrs[i] = group.initial_lr
  end
  self:step()
end

--- Moves on to the next step and sets the rate of every parameter group.
function LambdaLR:step()
  self.last_epoch = self.last_epoch + 1
  for i, group in ipairs(self.optimizer.param_groups) do
    group.lr = self.base_lrs[i] * self.lr_lambdas[i](self.last_epoch)
  end
end

--- The rates in use, one per parameter group.
function LambdaLR:get_last_lr()
  local rates = {}
  for i, group in ipairs(self.optimizer.param_groups) do rates[i] = group.lr end
  return rates
end

--- What a checkpoint keeps: names as in PyTorch.
function LambdaLR:state_dict()
  return { base_lrs = table.move(self.base_lrs, 1, #self.base_lrs, 1, {}), last_epoch = self.last_epoch,
    _step_count = self.last_epoch + 1, _last_lr = self:get_last_lr() }
end

function LambdaLR:load_state_dict(state)
  self.last_epoch = state.last_epoch
  for i, group in ipairs(self.optimizer.param_groups) do
    self.base_lrs[i] = errors.assert(state.base_lrs[i], "LambdaLR: state: no base_lrs for parameter group %d", i)
    group.initial_lr = self.base_lrs[i]
    group.lr = state._last_lr and state._last_lr[i] or self.base_lrs[i] * self.lr_lambdas[i](self.last_epoch)
  end
end

-- The linear rise that most schedules begin with; nil when it is over.
local function warmup(step, p)
  if step < p.num_warmup_steps then return step / math.max(1, p.num_warmup_steps) end
end

-- Share of the steps after warmup that are done.
local function progress(step, p)
  return (step - p.num_warmup_steps) / math.max(1, p.num_training_steps - p.num_warmup_steps)
end

local function half_cosine(turns) return 0.5 * (1 + math.cos(math.pi * turns)) end

local function cosine_min(step, p)
  local factor = half_cosine(p.num_cycles * 2 * progress(step, p))
  return math.max(0.0, factor * (1 - p.min_lr_rate) + p.min_lr_rate)
end

local wsd_warmup = {
  linear = function(x) return x end,
  cosine = function(x) return 0.5 * (1 - math.cos(math.pi * x)) end,
  ["1-sqrt"] = function(x) return 1 - math.sqrt(1 - x) end,
}
local wsd_decay = {
  linear = function(x) return 1 - x end,
  cosine = function(x, p) return half_cosine(p.num_cycles * 2 * x) end,
  ["1-sqrt"] = function(x) return 1 - math.sqrt(x) end,
}

-- name -> { multiplier(step, p), options with defaults, prepare(p, optimizer) }
local forms = {}

forms.constant = { function() return 1.0 end, {} }

forms.constant_with_warmup = { function(step, p) return warmup(step, p) or 1.0 end, {} }

forms.linear = { function(step, p)
  return warmup(step, p)
    or math.max(0.0, (p.num_training_steps - step) / math.max(1, p.num_training_steps - p.num_warmup_steps))
end, {} }

forms.cosine = { function(step, p)
  return warmup(step, p) or math.max(0.0, half_cosine(p.num_cycles * 2 * progress(step, p)))
end, { num_cycles = 0.5 } }

forms.cosine_with_restarts = { function(step, p)
  local rising = warmup(step, p)
  if rising then return rising end
  local done = progress(step, p)
  if done >= 1 then return 0.0 end
  return math.max(0.0, half_cosine((p.num_cycles * done) % 1.0))
end, { num_cycles = 1.0 } }

forms.polynomial = { function(step, p)
  local rising = warmup(step, p)
  if rising then return rising end
  if step > p.num_training_steps then return p.lr_end / p.lr end
  local left = 1 - (step - p.num_warmup_steps) / math.max(1, p.num_training_steps - p.num_warmup_steps)
  return ((p.lr - p.lr_end) * left ^ p.power + p.lr_end) / p.lr
end, { lr_end = 1e-7, power = 1.0 }, function(p)
  errors.assert(p.lr > p.lr_end, "polynomial: lr_end (%s) must be smaller than the learning rate (%s)", p.lr_end, p.lr)
end }

forms.inverse_sqrt = { function(step, p)
  return warmup(step, p) or 1 / math.sqrt((step + p.timescale - p.num_warmup_steps) / p.timescale)
end, { timescale = options.none }, function(p)
  p.timescale = p.timescale or (p.num_warmup_steps > 0 and p.num_warmup_steps or 10000)
end }

-- min_lr becomes a share of the initial rate; one of the two must be given.
local function set_min_lr_rate(p)
  if p.min_lr and p.min_lr_rate then errors.raise("%s: give one of min_lr and min_lr_rate", p.where) end
  if p.min_lr then p.min_lr_rate = p.min_lr / p.lr end
  if not p.min_lr_rate then errors.raise("%s: needs min_lr or min_lr_rate (lr_scheduler_kwargs)", p.where) end
end

forms.cosine_with_min_lr = { function(step, p) return warmup(step, p) or cosine_min(step, p) end,
  { num_cycles = 0.5, min_lr = options.none, min_lr_rate = options.none }, set_min_lr_rate }

-- Unlike the others it counts steps from 1, so that the first rate is not 0.
forms.cosine_warmup_with_min_lr = { function(step, p)
  if step >= p.num_warmup_steps then return cosine_min(step + 1, p) end
  if not p.warmup_lr_rate then return (step + 1) / math.max(1, p.num_warmup_steps) end
  return p.warmup_lr_rate + (1 - p.warmup_lr_rate) * step / math.max(1, p.num_warmup_steps - 1)
end, { num_cycles = 0.5, min_lr = options.none, min_lr_rate = options.none, warmup_lr_rate = options.none }, set_min_lr_rate }

forms.warmup_stable_decay = { function(step, p)
  local function above_minimum(factor) return math.max(0.0, factor * (1 - p.min_lr_ratio) + p.min_lr_ratio) end
  local rising = warmup(step, p)
  if rising then return above_minimum(wsd_warmup[p.warmup_type](rising)) end
  step = step - p.num_warmup_steps - p.num_stable_steps
  if step < 0 then return 1.0 end
  if step >= p.num_decay_steps then return p.min_lr_ratio end
  return above_minimum(wsd_decay[p.decay_type](step / math.max(1, p.num_decay_steps), p))
end, { num_decay_steps = options.none, num_stable_steps = options.none, warmup_type = "linear", decay_type = "cosine",
  min_lr_ratio = 0.0, num_cycles = 0.5 }, function(p)
  errors.assert(p.num_decay_steps, "warmup_stable_decay: needs num_decay_steps (lr_scheduler_kwargs)")
  errors.assert(wsd_warmup[p.warmup_type], "warmup_stable_decay: warmup_type '%s': expected linear, cosine or 1-sqrt", p.warmup_type)
  errors.assert(wsd_decay[p.decay_type], "warmup_stable_decay: decay_type '%s': expected linear, cosine or 1-sqrt", p.decay_type)
  if not p.num_stable_steps then
    errors.assert(p.num_training_steps, "warmup_stable_decay: needs num_training_steps or num_stable_steps")
    p.num_stable_steps = p.num_training_steps - p.num_warmup_steps - p.num_decay_steps
  end
end }

-- Schedules that do not need the number of training steps.
local endless = { constant = true, constant_with_warmup = true, inverse_sqrt = true, warmup_stable_decay = true }

local function check_optimizer(where, optimizer)
  if type(optimizer) ~= "table" or not optimizer.param_groups then
    errors.raise("%s: optimizer: expected an optimizer, found %s", where, type(optimizer))
  end
end

-- The options of a form with its defaults; counts of steps are taken for every form.
local function read_parameters(name, optimizer, given)
  local form = forms[name]
  local defaults = { num_warmup_steps = options.none, num_training_steps = options.none, last_epoch = -1 }
  for key, value in pairs(form[2]) do defaults[key] = value end
  local p = options.merge(defaults, given, name)
  if name ~= "constant" then
    errors.assert(p.num_warmup_steps, "%s: needs num_warmup_steps", name)
    errors.assert(endless[name] or p.num_training_steps, "%s: needs num_training_steps", name)
  end
  p.lr, p.where = optimizer.defaults and optimizer.defaults.lr or optimizer.param_groups[1].lr, name
  if form[3] then form[3](p) end
  return p
end

local function make(name, optimizer, given)
  check_optimizer(name, optimizer)
  local p, multiplier = read_parameters(name, optimizer, given), forms[name][1]
  return LambdaLR(optimizer, { lr_lambda = function(step) return multiplier(step, p) end, last_epoch = p.last_epoch })
end

local plateau_forms = { reduce_lr_on_plateau = plateau.ReduceLROnPlateau, greedy = plateau.GreedyLR }

local function flat_copy(...)
  local copy = {}
  for _, source in ipairs { ... } do
    for key, value in pairs(source) do copy[key] = value end
  end
  return copy
end

local function known_names()
  local names = {}
  for name in pairs(forms) do names[#names + 1] = name end
  for name in pairs(plateau_forms) do names[#names + 1] = name end
  return names
end

--- get_scheduler(name[, optimizer], { optimizer=, num_warmup_steps=, num_training_steps=, scheduler_specific_kwargs= }).
function schedules.get_scheduler(name, optimizer, given)
  if given == nil and type(optimizer) == "table" and not optimizer.param_groups then optimizer, given = nil, optimizer end
  local o = options.check("get_scheduler", given,
    { "optimizer", "num_warmup_steps", "num_training_steps", "scheduler_specific_kwargs" })
  optimizer = optimizer or o.optimizer
  check_optimizer("get_scheduler", optimizer)
  if plateau_forms[name] then return plateau_forms[name](optimizer, o.scheduler_specific_kwargs) end
  if not forms[name] then errors.raise("get_scheduler: %s", options.unknown("schedule", tostring(name), known_names())) end
  return make(name, optimizer, flat_copy(o.scheduler_specific_kwargs or {},
    { num_warmup_steps = o.num_warmup_steps, num_training_steps = o.num_training_steps }))
end

-- HF's named constructors take the optimizer, then positional step counts or one table.
local function constructor(name, ...)
  local positions = { ... }
  return function(optimizer, ...)
    local given = {}
    if select("#", ...) == 0 and not optimizer.param_groups then
      given, optimizer = flat_copy(optimizer), optimizer.optimizer
      given.optimizer = nil
    end
    for i, value in ipairs { ... } do
      if type(value) == "table" then given = flat_copy(given, value) else given[positions[i]] = value end
    end
    return make(name, optimizer, given)
  end
end

schedules.get_constant_schedule = constructor("constant")
schedules.get_constant_schedule_with_warmup = constructor("constant_with_warmup", "num_warmup_steps")
schedules.get_linear_schedule_with_warmup = constructor("linear", "num_warmup_steps", "num_training_steps")
schedules.get_cosine_schedule_with_warmup = constructor("cosine", "num_warmup_steps", "num_training_steps", "num_cycles")
schedules.get_cosine_with_hard_restarts_schedule_with_warmup =
  constructor("cosine_with_restarts", "num_warmup_steps", "num_training_steps", "num_cycles")
schedules.get_polynomial_decay_schedule_with_warmup =
  constructor("polynomial", "num_warmup_steps", "num_training_steps", "lr_end", "power")
schedules.get_inverse_sqrt_schedule = constructor("inverse_sqrt", "num_warmup_steps", "timescale")
schedules.get_cosine_with_min_lr_schedule_with_warmup =
  constructor("cosine_with_min_lr", "num_warmup_steps", "num_training_steps", "num_cycles")
schedules.get_cosine_with_min_lr_schedule_with_warmup_lr_rate =
  constructor("cosine_warmup_with_min_lr", "num_warmup_steps", "num_training_steps", "num_cycles")
schedules.get_wsd_schedule = constructor("warmup_stable_decay", "num_warmup_steps", "num_decay_steps")

function schedules.get_reduce_on_plateau_schedule(optimizer, given) return plateau.ReduceLROnPlateau(optimizer, given) end
function schedules.get_greedy_schedule(optimizer, given) return plateau.GreedyLR(optimizer, given) end

return schedules
