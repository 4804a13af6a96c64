--- Optimizer state on disk: optimizer.safetensors holds `PARAMETER|exp_avg` and so on, optimizer.json the options of the groups and
-- the numbers (steps) of each parameter.
local errors = require "hflua.errors"

local optimizer_state = {}

local function files() return require "hflua.core.files" end
local function json() return require "hflua.core.json" end

-- tensor -> name of the model's parameters
local function parameter_names(model)
  local names = {}
  for name, parameter in model:named_parameters() do names[parameter] = name end
  return names
end

-- Numbers become tensors of one element too, so that the one file is all that other programs need.
local function collect(optimizer, names)
  local tensor, tensors, numbers = require "hflua.tensor", {}, {}
  for parameter, state in pairs(optimizer.state) do
    local name = names[parameter] or errors.raise("optimizer: a parameter that is not one of the model's cannot be saved")
    numbers[name] = {}
    for key, value in pairs(state) do
      if type(value) == "userdata" then
        tensors[name .. "|" .. key] = value
      else
        numbers[name][key] = value
        tensors[name .. "|" .. key] = tensor.tensor(value + 0.0, { dtype = "float32" })
      end
    end
  end
  return tensors, numbers
end

local function check_finite(tensors)
  for name, value in pairs(tensors) do
    local square = value.dtype == "float32" and require("hflua.tensor").core.sum_squares { value } or 0
    if square ~= square or square == math.huge then errors.raise("not saved: optimizer state '%s' is not finite", name) end
  end
end

local function group_names(optimizer, names)
  local groups = {}
  for g, group in ipairs(optimizer.param_groups) do
    groups[g] = json().array {}
    for i, parameter in ipairs(group.params) do groups[g][i] = names[parameter] end
  end
  return groups
end

--- Writes both files.
function optimizer_state.save(optimizer, model, folder)
  if not optimizer.param_groups or not optimizer.state then
    errors.raise("optimizer: expected one of hf.trainer's optimizers; a state of another kind cannot be saved")
  end
  local names = parameter_names(model)
  local tensors, numbers = collect(optimizer, names)
  check_finite(tensors)
  require("hflua.core.safetensors").save_file(tensors, folder .. "/optimizer.safetensors")
  local record = { param_groups = optimizer:state_dict().param_groups, group_parameter_names = group_names(optimizer, names),
    numbers = numbers }
  files().write(folder .. "/optimizer.json", json().encode(record, { indent = 2, sort_keys = true }) .. "\n")
end

local function value_of(tensors, numbers, name, key)
  local exact = numbers and numbers[name] and numbers[name][key]
  if exact ~= nil then return exact end
  local value = tensors[name .. "|" .. key]
  if value.ndim > 0 then return value:clone():keep() end
  local number = value:item()
  return math.tointeger(number) or number
end

local function check_shapes(name, key, parameter, value)
  if key:find("^exp_avg") and type(value) == "userdata" and key ~= "exp_avg_sq_row" and key ~= "exp_avg_sq_col"
    and value.shape ~= parameter.shape then
    errors.raise("optimizer.safetensors: tensor \"%s|%s\": expected shape %s, found %s", name, key, tostring(parameter.shape), tostring(value.shape))
  end
end

-- Options of the groups come back where both have the same number of groups; None is left out.
local function load_groups(optimizer, groups)
  if not groups or #groups ~= #optimizer.param_groups then return end
  for g, group in ipairs(optimizer.param_groups) do
    for key, value in pairs(groups[g]) do
      if key ~= "params" and value ~= json().null and (optimizer.option_defaults[key] ~= nil or key == "initial_lr") then group[key] = value end
    end
  end
end

--- Reads both files into the optimizer; false when they are not there.
function optimizer_state.load(optimizer, model, folder)
  if files().type(folder .. "/optimizer.safetensors") ~= "file" then return false end
  local tensors = require("hflua.core.safetensors").load_file(folder .. "/optimizer.safetensors")
  local record = json().load_file(folder .. "/optimizer.json")
  local parameters, restored = {}, {}
  for name, parameter in model:named_parameters() do parameters[name] = parameter end
  for full in pairs(tensors) do
    local name, key = full:match("^(.*)|([^|]+)$")
    local parameter = name and parameters[name]
    if not parameter then errors.raise("%s/optimizer.safetensors: tensor \"%s\": the model has no such parameter", folder, full) end
    restored[parameter] = restored[parameter] or {}
    local value = value_of(tensors, record.numbers, name, key)
    check_shapes(name, key, parameter, value)
    restored[parameter][key] = value
  end
  optimizer.state = restored
  load_groups(optimizer, record.param_groups)
  return true
end

--- The schedule kept inside optimizer.json, as converted HF checkpoints have it; false when there is none.
function optimizer_state.load_foreign_scheduler(scheduler, folder)
  if files().type(folder .. "/optimizer.json") ~= "file" then return false end
  local kept = json().load_file(folder .. "/optimizer.json").scheduler
  if not kept then return false end
  scheduler:load_state_dict(kept)
  return true
end

return optimizer_state
