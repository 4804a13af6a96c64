--- Adam and its relatives: Adam and AdamW by the fused kernel, Adamax, NAdam and RAdam as tensor operations.
local Optimizer = require "hflua.trainer.optimizer"
local options = require "hflua.options"

local adam = {}

-- The fused kernel steps all parameters that have done equally many steps in one pass over memory.
local fused = { takes_gradient_check = true }

function fused:new_state(parameter, group)
  return { step = 0, exp_avg = self.zeros_like(parameter), exp_avg_sq = self.zeros_like(parameter),
    max_exp_avg_sq = group.amsgrad and self.zeros_like(parameter) or nil }
end

-- What the kernel reads of a parameter; the gradient is the parameter's own.
local function entry_of(parameter, state, group)
  return { parameter = parameter, exp_avg = state.exp_avg, exp_avg_sq = state.exp_avg_sq, max_exp_avg_sq = state.max_exp_avg_sq,
    weight_decay = group.weight_decay }
end

-- step -> entries of the parameters that make this step; frozen ones lag behind.
local function entries_by_step(self, group)
  local by_step = {}
  for _, parameter in ipairs(group.params) do
    if parameter.grad then
      local state = self:state_of(parameter, group)
      state.step = state.step + 1
      local entries = by_step[state.step] or {}
      entries[#entries + 1] = entry_of(parameter, state, group)
      by_step[state.step] = entries
    end
  end
  return by_step
end

-- scale: a number, or a gradient check (core.gradient_check), whose factor stays on the device.
function fused:apply_group(group, scale)
  local core, is_check = require "hflua.core.tensor", type(scale) == "userdata"
  for step, entries in pairs(entries_by_step(self, group)) do
    core.adam_step(entries, { lr = group.lr, beta1 = group.betas[1], beta2 = group.betas[2], eps = group.eps, step = step,
      decoupled = group.decoupled_weight_decay, amsgrad = group.amsgrad, maximize = group.maximize,
      gradient_scale = is_check and 1 or scale, check = is_check and scale or nil })
  end
end

local function adam_options(weight_decay, decoupled)
  return { lr = 1e-3, betas = { 0.9, 0.999 }, eps = 1e-8, weight_decay = weight_decay, amsgrad = false, maximize = false,
    decoupled_weight_decay = decoupled, fused = options.none, foreach = options.none, no_deprecation_warning = options.none }
end

--- AdamW(parameters, { lr, betas, eps, weight_decay = 0.01, amsgrad, maximize }): PyTorch's.
adam.AdamW = Optimizer.define("AdamW", adam_options(0.01, true), fused)

--- Adam(parameters, { lr, betas, eps, weight_decay = 0, amsgrad, maximize, decoupled_weight_decay }).
adam.Adam = Optimizer.define("Adam", adam_options(0.0, false), fused)

-- gradient + weight_decay * parameter
local function with_decay(gradient, parameter, group)
  if group.weight_decay == 0 then return gradient end
  return gradient + parameter * group.weight_decay
end

-- What NAdam and RAdam do with weight decay: on the parameter, or through the gradient.
local function apply_decay(parameter, gradient, group)
  if not group.decoupled_weight_decay then return with_decay(gradient, parameter, group) end
  if group.weight_decay ~= 0 then parameter:copy_(parameter * (1 - group.lr * group.weight_decay)) end
  return gradient
end

-- Both running averages; names as in PyTorch.
local function average(state, gradient, betas)
  state.exp_avg:copy_(state.exp_avg + (gradient - state.exp_avg) * (1 - betas[1]))
  state.exp_avg_sq:copy_(state.exp_avg_sq * betas[2] + gradient * gradient * (1 - betas[2]))
end

local function new_moments(self, parameter)
  return { step = 0, exp_avg = self.zeros_like(parameter), exp_avg_sq = self.zeros_like(parameter) }
end

--- Adamax(parameters, { lr = 2e-3, betas, eps, weight_decay, maximize }).
adam.Adamax = Optimizer.define("Adamax", { lr = 2e-3, betas = { 0.9, 0.999 }, eps = 1e-8, weight_decay = 0.0, maximize = false }, {
  new_state = function(self, parameter)
    return { step = 0, exp_avg = self.zeros_like(parameter), exp_inf = self.zeros_like(parameter) }
  end,
  update = function(self, parameter, gradient, state, group)
    gradient = with_decay(gradient, parameter, group)
    state.exp_avg:copy_(state.exp_avg + (gradient - state.exp_avg) * (1 - group.betas[1]))
    state.exp_inf:copy_((state.exp_inf * group.betas[2]):maximum(gradient:abs() + group.eps))
    local rate = group.lr / (1 - group.betas[1] ^ state.step)
    parameter:copy_(parameter - state.exp_avg / state.exp_inf * rate)
  end,
})

--- NAdam(parameters, { lr = 2e-3, betas, eps, weight_decay, momentum_decay = 4e-3, decoupled_weight_decay, maximize }).
adam.NAdam = Optimizer.define("NAdam", { lr = 2e-3, betas = { 0.9, 0.999 }, eps = 1e-8, weight_decay = 0.0,
  momentum_decay = 4e-3, decoupled_weight_decay = false, maximize = false }, {
  new_state = function(self, parameter)
    local state = new_moments(self, parameter)
    state.mu_product = 1.0
    return state
  end,
  update = function(self, parameter, gradient, state, group)
    gradient = apply_decay(parameter, gradient, group)
    local function momentum(step) return group.betas[1] * (1 - 0.5 * 0.96 ^ (step * group.momentum_decay)) end
    local mu, mu_next = momentum(state.step), momentum(state.step + 1)
    state.mu_product = state.mu_product * mu
    average(state, gradient, group.betas)
    local denominator = (state.exp_avg_sq / (1 - group.betas[2] ^ state.step)):sqrt() + group.eps
    local step = gradient * ((1 - mu) / (1 - state.mu_product)) + state.exp_avg * (mu_next / (1 - state.mu_product * mu_next))
    parameter:copy_(parameter - step / denominator * group.lr)
  end,
})

--- RAdam(parameters, { lr, betas, eps, weight_decay, decoupled_weight_decay, maximize }).
adam.RAdam = Optimizer.define("RAdam", { lr = 1e-3, betas = { 0.9, 0.999 }, eps = 1e-8, weight_decay = 0.0,
  decoupled_weight_decay = false, maximize = false }, {
  new_state = new_moments,
  update = function(self, parameter, gradient, state, group)
    gradient = apply_decay(parameter, gradient, group)
    average(state, gradient, group.betas)
    local beta1, beta2, step = group.betas[1], group.betas[2], state.step
    local correction = 1 - beta2 ^ step
    local update = state.exp_avg / (1 - beta1 ^ step)
    local rho_end = 2 / (1 - beta2) - 1
    local rho = rho_end - 2 * step * beta2 ^ step / correction
    if rho > 5 then
      local rectified = math.sqrt((rho - 4) * (rho - 2) * rho_end / ((rho_end - 4) * (rho_end - 2) * rho))
      update = update * (rectified * math.sqrt(correction)) / (state.exp_avg_sq:sqrt() + group.eps)
    end
    parameter:copy_(parameter - update * group.lr)
  end,
})

adam.with_decay = with_decay

return adam
