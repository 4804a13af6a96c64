--- Optimizer: parameter groups, state and the walk over parameters that every optimizer shares. A subclass gives
-- `defaults` (its options) and `update(parameter, gradient, state, group)`, which runs without a tape.
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"

local Optimizer = class("Optimizer")

-- Options that must be at least 0, and those that lie in 0..1.
local not_negative = { "lr", "eps", "weight_decay", "momentum", "lr_decay", "momentum_decay", "initial_accumulator_value" }
local shares = { "alpha", "rho", "beta1" }

local function check_number(where, name, value, high)
  if type(value) == "number" and not (value >= 0 and value < (high or math.huge)) then
    errors.raise("%s: option '%s': expected a number from 0%s, found %s", where, name, high and " to below 1" or "", value)
  end
end

local function check_ranges(where, group)
  for _, name in ipairs(not_negative) do check_number(where, name, group[name]) end
  for _, name in ipairs(shares) do check_number(where, name, group[name], 1) end
  for i, beta in ipairs(group.betas or {}) do check_number(where, "betas[" .. i .. "]", beta, 1) end
end

-- The parameters as lists per group: { p1, p2 } or { { params = ..., lr = ... }, ... }; an iterator will do.
local function read_groups(where, params)
  if type(params) == "function" then
    local list = {}
    for a, b in params do list[#list + 1] = type(a) == "userdata" and a or b end
    params = list
  end
  if type(params) ~= "table" then errors.raise("%s: parameters: expected a list, found %s", where, type(params)) end
  if #params == 0 then errors.raise("%s: the list of parameters is empty", where) end
  if type(params[1]) ~= "table" then return { { params = params } } end
  return params
end

--- Class(parameters, options): parameters are tensors, or tables { params = {...}, lr = ... } with options of their own.
function Optimizer:init(params, given)
  local where = self.__name
  self.defaults = options.merge(self.option_defaults, given, where)
  self.param_groups, self.state = {}, {}
  for _, group in ipairs(read_groups(where, params)) do self:add_param_group(group) end
end

--- Adds { params = {...}, ... }; options left out are those of the optimizer.
function Optimizer:add_param_group(group)
  local where, own = self.__name, {}
  for name, value in pairs(group) do
    if name ~= "params" then own[name] = value end
  end
  own = options.merge(self.option_defaults, own, where)
  local merged = {}
  for name, value in pairs(self.defaults) do merged[name] = value end
  for name in pairs(group) do
    if name ~= "params" then merged[name] = own[name] end
  end
  merged.params = read_groups(where, group.params)[1].params
  check_ranges(where, merged)
  for i, p in ipairs(merged.params) do
    if type(p) ~= "userdata" then errors.raise("%s: parameter %d: expected a tensor, found %s", where, i, type(p)) end
  end
  self.param_groups[#self.param_groups + 1] = merged
end

--- The state of a parameter, made by `new_state` when first asked for.
function Optimizer:state_of(parameter, group)
  local state = self.state[parameter]
  if not state then
    state = self:new_state(parameter, group)
    self.state[parameter] = state
  end
  return state
end

function Optimizer:new_state() return { step = 0 } end

--- A zero tensor like the parameter that outlives hf.step.
function Optimizer.zeros_like(parameter)
  return require("hflua.tensor").zeros_like(parameter):keep()
end

-- One group; gradients are multiplied by `scale` first.
function Optimizer:apply_group(group, scale)
  for _, parameter in ipairs(group.params) do
    local gradient = parameter.grad
    if gradient then
      if scale ~= 1 then gradient = gradient * scale end
      local state = self:state_of(parameter, group)
      state.step = state.step + 1
      self:update(parameter, group.maximize and -gradient or gradient, state, group)
    end
  end
end

--- One step with gradients multiplied by `scale` (clipping); a class with takes_gradient_check takes a core.gradient_check for it too.
function Optimizer:apply(scale)
  require("hflua.tensor").no_grad(function()
    for _, group in ipairs(self.param_groups) do self:apply_group(group, scale) end
  end)
end

--- One step. A closure that computes the loss again is called first, and its result returned.
function Optimizer:step(closure)
  local loss = closure and closure()
  self:apply(1)
  return loss
end

--- Forgets all gradients.
function Optimizer:zero_grad()
  for _, group in ipairs(self.param_groups) do
    for _, parameter in ipairs(group.params) do parameter.grad = nil end
  end
end

-- Calls f(parameter, index) for every parameter; indices count from 0 over all groups, as in PyTorch.
local function each_parameter(self, f)
  local index = 0
  for _, group in ipairs(self.param_groups) do
    for _, parameter in ipairs(group.params) do
      f(parameter, index)
      index = index + 1
    end
  end
end

-- The options of every group, with the indices of its parameters.
local function describe_groups(self)
  local groups, index = {}, 0
  for g, group in ipairs(self.param_groups) do
    groups[g] = { params = {} }
    for name, value in pairs(group) do
      if name ~= "params" then groups[g][name] = value end
    end
    for i = 1, #group.params do groups[g].params[i] = index + i - 1 end
    index = index + #group.params
  end
  return groups
end

--- { state = { [index] = { step, ... } }, param_groups = {...} }: PyTorch's form.
function Optimizer:state_dict()
  local state = {}
  each_parameter(self, function(parameter, index) state[index] = self.state[parameter] end)
  return { state = state, param_groups = describe_groups(self) }
end

local function check_groups(self, groups)
  if #groups ~= #self.param_groups then
    errors.raise("%s: state: expected %d parameter groups, found %d", self.__name, #self.param_groups, #groups)
  end
  for g, group in ipairs(self.param_groups) do
    if #groups[g].params ~= #group.params then
      errors.raise("%s: state: group %d: expected %d parameters, found %d", self.__name, g, #group.params, #groups[g].params)
    end
  end
end

local function copy_value(value)
  if type(value) ~= "userdata" or not value.clone then return value end
  return value:detach():clone():keep()
end

--- Takes over a state_dict: tensors are copied, options of the groups replaced.
function Optimizer:load_state_dict(dict)
  check_groups(self, dict.param_groups)
  for g, group in ipairs(self.param_groups) do
    for name, value in pairs(dict.param_groups[g]) do
      if name ~= "params" then group[name] = value end
    end
  end
  each_parameter(self, function(parameter, index)
    local given, state = dict.state[index], nil
    if given then
      state = {}
      for name, value in pairs(given) do state[name] = copy_value(value) end
    end
    self.state[parameter] = state
  end)
end

function Optimizer:__tostring()
  local lines = { self.__name .. " (" }
  for g, group in ipairs(self.param_groups) do
    lines[#lines + 1] = ("Parameter Group %d: %d tensors, lr %s, weight_decay %s"):format(g - 1, #group.params,
      tostring(group.lr), tostring(group.weight_decay))
  end
  return table.concat(lines, "\n    ") .. "\n)"
end

--- A new optimizer class from its options and its update.
function Optimizer.define(name, option_defaults, methods)
  local Class = class(name, Optimizer)
  Class.option_defaults = option_defaults
  for key, value in pairs(methods) do Class[key] = value end
  return Class
end

return Optimizer
