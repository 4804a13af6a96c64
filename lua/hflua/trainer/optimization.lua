--- Trainer's optimizer and schedule: which parameters decay, which class steps them.
local optimizers = require "hflua.trainer.optimizers"
local schedules = require "hflua.trainer.schedules"

local optimization = {}

-- Names whose parameters do not decay, besides those of normalization layers.
local function is_exempt(name)
  name = name:lower()
  if name:find("bias", 1, true) or name:find("layernorm", 1, true) or name:find("rmsnorm", 1, true) then return true end
  local dotted = "." .. name .. "."
  return dotted:find("%.norm%.") ~= nil or dotted:find("_norm%.") ~= nil
end

-- Names of the parameters that belong to normalization layers, where the model can tell its layers.
local function norm_parameters(model)
  local names = {}
  if not model.named_modules then return names end
  for prefix, layer in model:named_modules() do
    local kind = tostring(layer.__name or "")
    if kind:find("LayerNorm", 1, true) then
      for name in layer:named_parameters() do names[prefix .. "." .. name] = true end
    end
  end
  return names
end

--- The names of the parameters with weight decay: all but norms and biases.
function optimization:get_decay_parameter_names(model)
  local norms, names = norm_parameters(model), {}
  for name in model:named_parameters() do
    if not norms[name] and not is_exempt(name) then names[#names + 1] = name end
  end
  return names
end

-- Parameters that are trained, in two groups: with and without decay.
local function parameter_groups(self)
  local decays = {}
  for _, name in ipairs(self:get_decay_parameter_names(self.model)) do decays[name] = true end
  local with, without = { params = {}, weight_decay = self.args.weight_decay }, { params = {}, weight_decay = 0.0 }
  for name, parameter in self.model:named_parameters() do
    if parameter.requires_grad then
      local params = (decays[name] and with or without).params
      params[#params + 1] = parameter
    end
  end
  local groups = {}
  for _, group in ipairs { with, without } do
    if #group.params > 0 then groups[#groups + 1] = group end
  end
  return groups
end

-- Does the optimizer that this Trainer made hold tensors that are no longer the model's (after resize_token_embeddings)?
local function is_stale(self)
  if not self.optimizer or self.optimizer ~= self.created_optimizer then return false end
  local current = {}
  for _, parameter in self.model:named_parameters() do current[parameter] = true end
  for _, group in ipairs(self.optimizer.param_groups) do
    for _, parameter in ipairs(group.params) do
      if not current[parameter] then return true end
    end
  end
  return false
end

--- Makes the optimizer unless there is one for the model's parameters.
function optimization:create_optimizer()
  if is_stale(self) then self.optimizer = nil end
  if self.optimizer then return self.optimizer end
  local Class, given
  if self.optimizer_cls_and_kwargs then
    Class, given = table.unpack(self.optimizer_cls_and_kwargs)
  else
    Class, given = optimizers.from_arguments(self.args)
  end
  self.optimizer = Class(parameter_groups(self), given)
  self.created_optimizer = self.optimizer
  return self.optimizer
end

--- Makes the schedule of `num_training_steps` steps unless there is one.
function optimization:create_scheduler(num_training_steps, optimizer)
  if self.lr_scheduler then return self.lr_scheduler end
  self.lr_scheduler = schedules.get_scheduler(self.args.lr_scheduler_type, {
    optimizer = optimizer or self.optimizer, num_warmup_steps = self.args:get_warmup_steps(num_training_steps),
    num_training_steps = num_training_steps, scheduler_specific_kwargs = self.args.lr_scheduler_kwargs })
  self.created_scheduler = true
  return self.lr_scheduler
end

--- Both.
function optimization:create_optimizer_and_scheduler(num_training_steps)
  self:create_optimizer()
  self:create_scheduler(num_training_steps)
end

--- Does the schedule follow a metric rather than the steps?
function optimization:schedule_follows_metric()
  return self.lr_scheduler.is_a ~= nil and self.lr_scheduler:is_a(require("hflua.trainer.plateau_schedules").Plateau)
end

--- The rate in use.
function optimization:get_learning_rate()
  if self.lr_scheduler and self.lr_scheduler.get_last_lr then return self.lr_scheduler:get_last_lr()[1] end
  return self.optimizer.param_groups[1].lr
end

return optimization
