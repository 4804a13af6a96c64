--- The optimizers beside Adam's family: SGD, RMSprop, Adagrad, Adadelta, Rprop, Lion, and both Adafactors. Formulas and
-- option names are PyTorch's, Lion's those of its paper.
local Optimizer = require "hflua.trainer.optimizer"
local adam = require "hflua.trainer.adam"
local adafactor = require "hflua.trainer.adafactor"
local errors = require "hflua.errors"
local options = require "hflua.options"

local with_decay = adam.with_decay

local optimizers = {
  Optimizer = Optimizer, AdamW = adam.AdamW, Adam = adam.Adam, Adamax = adam.Adamax, NAdam = adam.NAdam, RAdam = adam.RAdam,
  Adafactor = adafactor.Adafactor, TorchAdafactor = adafactor.TorchAdafactor,
  AdafactorSchedule = adafactor.AdafactorSchedule,
}

--- SGD(parameters, { lr = 1e-3, momentum, dampening, weight_decay, nesterov, maximize }).
optimizers.SGD = Optimizer.define("SGD", { lr = 1e-3, momentum = 0.0, dampening = 0.0, weight_decay = 0.0, nesterov = false,
  maximize = false }, {
  update = function(self, parameter, gradient, state, group)
    gradient = with_decay(gradient, parameter, group)
    if group.momentum ~= 0 then
      if state.momentum_buffer then
        state.momentum_buffer:copy_(state.momentum_buffer * group.momentum + gradient * (1 - group.dampening))
      else
        state.momentum_buffer = gradient:detach():clone():keep()
      end
      gradient = group.nesterov and gradient + state.momentum_buffer * group.momentum or state.momentum_buffer
    end
    parameter:copy_(parameter - gradient * group.lr)
  end,
})

local function check_nesterov(params, given)
  if given and given.nesterov and ((given.momentum or 0) <= 0 or (given.dampening or 0) ~= 0) then
    errors.raise("SGD: nesterov needs a momentum and no dampening")
  end
end

function optimizers.SGD:init(params, given)
  check_nesterov(params, given)
  Optimizer.init(self, params, given)
end

--- RMSprop(parameters, { lr = 1e-2, alpha, eps, weight_decay, momentum, centered, maximize }).
optimizers.RMSprop = Optimizer.define("RMSprop", { lr = 1e-2, alpha = 0.99, eps = 1e-8, weight_decay = 0.0, momentum = 0.0,
  centered = false, maximize = false }, {
  new_state = function(self, parameter, group)
    return { step = 0, square_avg = self.zeros_like(parameter),
      grad_avg = group.centered and self.zeros_like(parameter) or nil,
      momentum_buffer = group.momentum > 0 and self.zeros_like(parameter) or nil }
  end,
  update = function(self, parameter, gradient, state, group)
    gradient = with_decay(gradient, parameter, group)
    state.square_avg:copy_(state.square_avg * group.alpha + gradient * gradient * (1 - group.alpha))
    local square = state.square_avg
    if group.centered then
      state.grad_avg:copy_(state.grad_avg + (gradient - state.grad_avg) * (1 - group.alpha))
      square = square - state.grad_avg * state.grad_avg
    end
    local update = gradient / (square:sqrt() + group.eps)
    if group.momentum > 0 then
      state.momentum_buffer:copy_(state.momentum_buffer * group.momentum + update)
      update = state.momentum_buffer
    end
    parameter:copy_(parameter - update * group.lr)
  end,
})

--- Adagrad(parameters, { lr = 1e-2, lr_decay, weight_decay, initial_accumulator_value, eps, maximize }).
optimizers.Adagrad = Optimizer.define("Adagrad", { lr = 1e-2, lr_decay = 0.0, weight_decay = 0.0, initial_accumulator_value = 0.0,
  eps = 1e-10, maximize = false }, {
  new_state = function(self, parameter, group)
    return { step = 0, sum = (self.zeros_like(parameter) + group.initial_accumulator_value):keep() }
  end,
  update = function(self, parameter, gradient, state, group)
    gradient = with_decay(gradient, parameter, group)
    local rate = group.lr / (1 + (state.step - 1) * group.lr_decay)
    state.sum:copy_(state.sum + gradient * gradient)
    parameter:copy_(parameter - gradient / (state.sum:sqrt() + group.eps) * rate)
  end,
})

--- Adadelta(parameters, { lr = 1.0, rho, eps, weight_decay, maximize }).
optimizers.Adadelta = Optimizer.define("Adadelta", { lr = 1.0, rho = 0.9, eps = 1e-6, weight_decay = 0.0, maximize = false }, {
  new_state = function(self, parameter)
    return { step = 0, square_avg = self.zeros_like(parameter), acc_delta = self.zeros_like(parameter) }
  end,
  update = function(self, parameter, gradient, state, group)
    gradient = with_decay(gradient, parameter, group)
    state.square_avg:copy_(state.square_avg * group.rho + gradient * gradient * (1 - group.rho))
    local delta = (state.acc_delta + group.eps):sqrt() / (state.square_avg + group.eps):sqrt() * gradient
    state.acc_delta:copy_(state.acc_delta * group.rho + delta * delta * (1 - group.rho))
    parameter:copy_(parameter - delta * group.lr)
  end,
})

--- Rprop(parameters, { lr = 1e-2, etas = {0.5, 1.2}, step_sizes = {1e-6, 50}, maximize }).
optimizers.Rprop = Optimizer.define("Rprop", { lr = 1e-2, etas = { 0.5, 1.2 }, step_sizes = { 1e-6, 50.0 }, maximize = false }, {
  new_state = function(self, parameter, group)
    return { step = 0, prev = self.zeros_like(parameter), step_size = (self.zeros_like(parameter) + group.lr):keep() }
  end,
  update = function(self, parameter, gradient, state, group)
    local tensor = require "hflua.tensor"
    local turn = gradient * state.prev
    local zero = tensor.zeros_like(gradient)
    local one = zero + 1
    local factor = tensor.where(turn:gt(0), one * group.etas[2], tensor.where(turn:lt(0), one * group.etas[1], one))
    state.step_size:copy_((state.step_size * factor):clamp { min = group.step_sizes[1], max = group.step_sizes[2] })
    gradient = tensor.where(turn:lt(0), zero, gradient)
    parameter:copy_(parameter - gradient:sign() * state.step_size)
    state.prev:copy_(gradient)
  end,
})

--- Lion(parameters, { lr = 1e-4, betas = {0.9, 0.99}, weight_decay, maximize }).
optimizers.Lion = Optimizer.define("Lion", { lr = 1e-4, betas = { 0.9, 0.99 }, weight_decay = 0.0, maximize = false }, {
  new_state = function(self, parameter) return { step = 0, exp_avg = self.zeros_like(parameter) } end,
  update = function(self, parameter, gradient, state, group)
    local beta1, beta2 = group.betas[1], group.betas[2]
    local direction = (state.exp_avg * beta1 + gradient * (1 - beta1)):sign()
    parameter:copy_(parameter * (1 - group.lr * group.weight_decay) - direction * group.lr)
    state.exp_avg:copy_(state.exp_avg * beta2 + gradient * (1 - beta2))
  end,
})

-- "key=value,key=value" of the option optim_args.
local function parse_optim_args(text)
  local given = {}
  for pair in (text or ""):gmatch("[^,]+") do
    local name, value = pair:match("^%s*([%w_]+)%s*=%s*(.-)%s*$")
    if not name then errors.raise("TrainingArguments: option 'optim_args': expected name=value, found '%s'", pair) end
    if value == "true" or value == "True" then given[name] = true
    elseif value == "false" or value == "False" then given[name] = false
    else given[name] = tonumber(value) or value end
  end
  return given
end

local function adam_like(args)
  return { betas = { args.adam_beta1, args.adam_beta2 }, eps = args.adam_epsilon }
end

-- optim -> class and the options it takes from the arguments
local by_name = {
  adamw_torch = { "AdamW", adam_like }, adamw_torch_fused = { "AdamW", adam_like }, adamw_hf = { "AdamW", adam_like },
  sgd = { "SGD" }, rmsprop = { "RMSprop" }, adagrad = { "Adagrad" },
  adafactor = { "Adafactor", function() return { scale_parameter = false, relative_step = false } end },
  lion = { "Lion", function(args) return { betas = { args.adam_beta1, args.adam_beta2 } } end },
}
by_name.lion_32bit = by_name.lion

--- The class and options that TrainingArguments ask for.
function optimizers.from_arguments(args)
  local entry = by_name[args.optim]
  local given = entry[2] and entry[2](args) or {}
  given.lr = args.learning_rate
  for name, value in pairs(parse_optim_args(args.optim_args)) do given[name] = value end
  return optimizers[entry[1]], options.check(entry[1], given, optimizers[entry[1]].option_defaults)
end

return optimizers
