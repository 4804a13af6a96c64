--- TrainerState, what trainer_state.json holds, and TrainerControl, the switches that callbacks turn.
local class = require "hflua.class"

local TrainerState = class("TrainerState")

-- Fields of trainer_state.json that may be absent in the object: written as null.
local nullable = { "best_global_step", "best_metric", "best_model_checkpoint", "eval_steps", "train_batch_size", "trial_name",
  "trial_params" }

function TrainerState:init()
  self.epoch, self.global_step, self.max_steps, self.num_train_epochs = 0.0, 0, 0, 0
  self.logging_steps, self.eval_steps, self.save_steps = 500, 500, 500
  self.num_input_tokens_seen, self.total_flos = 0, 0.0
  self.log_history, self.stateful_callbacks = {}, {}
  local info = require("hflua.process_group").info()
  self.is_local_process_zero, self.is_world_process_zero, self.is_hyper_param_search = info.local_rank == 0, info.rank == 0, false
end

-- Fields that are this process's own.
local own = { is_local_process_zero = true, is_world_process_zero = true }

--- Takes the step intervals from the arguments; below 1 they are shares of max_steps.
function TrainerState:compute_steps(args, max_steps)
  for _, kind in ipairs { "logging", "eval", "save" } do
    local steps = args[kind .. "_steps"]
    if steps and steps < 1 then steps = math.ceil(max_steps * steps) end
    if steps then self[kind .. "_steps"] = math.tointeger(steps) or steps end
  end
end

-- JSON has no NaN and no infinity: such a number is written as null.
local function finite(value)
  if type(value) == "number" and (value ~= value or value == math.huge or value == -math.huge) then
    return require("hflua.core.json").null
  end
  return value
end

local function copy_rows(history)
  local rows = {}
  for i, row in ipairs(history) do
    rows[i] = {}
    for key, value in pairs(row) do rows[i][key] = finite(value) end
  end
  return rows
end

--- The text of trainer_state.json: keys sorted, two spaces, as HF writes it.
function TrainerState:to_json()
  local json = require "hflua.core.json"
  local fields = {}
  for key, value in pairs(self) do
    if key:sub(1, 1) ~= "_" then fields[key] = finite(value) end
  end
  for _, name in ipairs(nullable) do
    if fields[name] == nil then fields[name] = json.null end
  end
  fields.log_history = json.array(copy_rows(self.log_history))
  return json.encode(fields, { indent = 2, sort_keys = true }) .. "\n"
end

--- A state read back from the text of trainer_state.json.
function TrainerState.from_json(text)
  local json = require "hflua.core.json"
  local state = TrainerState()
  for key, value in pairs(json.decode(text)) do
    if value ~= json.null and not own[key] then state[key] = value end
  end
  for _, name in ipairs(nullable) do
    if state[name] == json.null then state[name] = nil end
  end
  return state
end

local TrainerControl = class("TrainerControl")

local switches = { "should_training_stop", "should_epoch_stop", "should_save", "should_evaluate", "should_log" }

function TrainerControl:init()
  for _, name in ipairs(switches) do self[name] = false end
end

--- The form in which a checkpoint keeps the switches.
function TrainerControl:state()
  local args = {}
  for _, name in ipairs(switches) do args[name] = self[name] end
  return { args = args, attributes = {} }
end

return { TrainerState = TrainerState, TrainerControl = TrainerControl }
