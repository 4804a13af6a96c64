--- TrainingArguments: the options of a training run, HF's names and defaults, old and new spellings.
--
--     local args = hf.TrainingArguments("out", { learning_rate = 2e-5, eval_strategy = "epoch" })
--
-- Unknown names, wrong types and combinations that contradict each other are errors when it is made.
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"
local notes = require "hflua.trainer.notes"
local fields = require "hflua.trainer.argument_fields"

local WHERE = "TrainingArguments"
local TrainingArguments = class(WHERE)

local field_of = {}
for _, field in ipairs(fields.list) do
  field_of[field[1]] = { name = field[1], kind = field[2], default = field[3], choices = field[4] }
end

local function bad(name, expected, found)
  errors.raise("%s: option '%s': expected %s, found %s", WHERE, name, expected,
    type(found) == "string" and ("'%s'"):format(found) or type(found) == "table" and "a table" or tostring(found))
end

local function number(field, value, low, high, expected)
  if type(value) ~= "number" or not (value >= low and value <= high) then bad(field.name, expected, value) end
  return value
end

local function whole(field, value, low, expected)
  local integer = type(value) == "number" and math.tointeger(value)
  if not integer or integer < low then bad(field.name, expected, value) end
  return integer
end

-- kind -> function(field, value) giving the value to keep, or raising
local convert = {
  string = function(field, value) return type(value) == "string" and value or bad(field.name, "a string", value) end,
  boolean = function(field, value)
    if type(value) ~= "boolean" then bad(field.name, "true or false", value) end
    return value
  end,
  table = function(field, value) return type(value) == "table" and value or bad(field.name, "a table", value) end,
  integer = function(field, value) return whole(field, value, math.mininteger, "a whole number") end,
  count = function(field, value) return whole(field, value, 1, "a whole number of at least 1") end,
  index = function(field, value) return whole(field, value, 0, "a whole number of at least 0") end,
  rate = function(field, value) return number(field, value, 0, math.huge, "a number of at least 0") end,
  share = function(field, value) return number(field, value, 0, 1, "a number from 0 to 1") end,
}

function convert.strings(field, value)
  if type(value) == "string" then return { value } end
  if type(value) ~= "table" then bad(field.name, "a list of strings", value) end
  return value
end

function convert.checkpoint(field, value)
  if type(value) ~= "string" and type(value) ~= "boolean" then bad(field.name, "a folder, or true for the newest one", value) end
  return value
end

function convert.choice(field, value)
  if field.name == "include_num_input_tokens_seen" and type(value) == "boolean" then value = value and "all" or "no" end
  for _, choice in ipairs(field.choices) do
    if choice == value then return value end
  end
  if type(value) ~= "string" then bad(field.name, "one of " .. table.concat(field.choices, ", "), value) end
  errors.raise("%s: option '%s': %s; expected one of %s", WHERE, field.name,
    options.unknown("value", value, field.choices), table.concat(field.choices, ", "))
end

local function is_null(value) return type(value) == "userdata" and tostring(value) == "null" end

-- A given value under its present name: the option and its value, or nothing when it only deserves a note.
local function resolve(name, value)
  if field_of[name] then return name, value end
  local rename = fields.renamed[name]
  local meant = value
  if rename and rename[2] then meant = rename[2](value) end
  if rename and (meant ~= nil or not fields.ignored[name]) then
    notes.once("%s: '%s' is now '%s'", WHERE, name, rename[1])
    return rename[1], meant
  end
  if fields.ignored[name] then
    if value then notes.once("%s: '%s' has no effect: %s", WHERE, name, fields.ignored[name]) end
    return
  end
  if fields.refused[name] then
    if not value or value == "" then return end
    errors.raise("%s: option '%s' is not supported", WHERE, name)
  end
  local known = { table.unpack(fields.list) }
  for i, field in ipairs(known) do known[i] = field[1] end
  for old in pairs(fields.renamed) do known[#known + 1] = old end
  errors.raise("%s: %s", WHERE, options.unknown("option", name, known))
end

-- Two spellings of one option must agree; HF lets warmup_steps win over warmup_ratio.
local function merge_spellings(values, spelled, name, value, given_name)
  local other = spelled[name]
  if other and name == "warmup_steps" then
    if given_name == "warmup_ratio" and (values[name] or 0) > 0 then return end
    if given_name == "warmup_steps" and not (value > 0) then return end
  elseif other and values[name] ~= value then
    errors.raise("%s: '%s' and '%s' are one option: give one of them", WHERE, other, given_name)
  end
  values[name], spelled[name] = value, given_name
end

local function collect(given)
  local values, spelled = {}, {}
  for given_name, given_value in pairs(given) do
    if type(given_name) ~= "string" then
      errors.raise("%s: options are named, found key %s", WHERE, tostring(given_name))
    end
    local name, value = resolve(given_name, given_value)
    if value ~= nil and not is_null(value) then
      merge_spellings(values, spelled, name, convert[field_of[name].kind](field_of[name], value), given_name)
    end
  end
  return values
end

local function whole_steps(values, strategy, name)
  local steps = values[name]
  if values[strategy] ~= "steps" or not steps or steps <= 1 then return end
  if not math.tointeger(steps) then
    errors.raise("%s: '%s' must be a whole number when it is above 1, found %s", WHERE, name, tostring(steps))
  end
  values[name] = math.tointeger(steps)
end

local function check_steps(values)
  if values.logging_strategy == "steps" and values.logging_steps == 0 then
    errors.raise("%s: logging_strategy 'steps' needs logging_steps above 0", WHERE)
  end
  if values.eval_strategy == "steps" and (values.eval_steps or 0) == 0 then
    if values.logging_steps == 0 then errors.raise("%s: eval_strategy 'steps' needs eval_steps or logging_steps", WHERE) end
    values.eval_steps = values.logging_steps
  end
  if values.save_strategy == "steps" and values.save_steps == 0 then
    errors.raise("%s: save_strategy 'steps' needs save_steps above 0", WHERE)
  end
  whole_steps(values, "logging_strategy", "logging_steps")
  whole_steps(values, "eval_strategy", "eval_steps")
  whole_steps(values, "save_strategy", "save_steps")
end

local function multiple(a, b)
  if a < 1 and b < 1 then return (a * 1000000) % (b * 1000000) == 0 end
  return a >= 1 and b >= 1 and a % b == 0
end

local function check_best_model(values)
  if not values.load_best_model_at_end or values.save_strategy == "best" then return end
  if values.eval_strategy ~= values.save_strategy then
    errors.raise("%s: load_best_model_at_end requires the save and eval strategy to match: eval_strategy is '%s', save_strategy '%s'",
      WHERE, values.eval_strategy, values.save_strategy)
  end
  if values.eval_strategy == "steps" and not multiple(values.save_steps, values.eval_steps) then
    errors.raise("%s: load_best_model_at_end requires save_steps to be a multiple of eval_steps, found %s and %s", WHERE,
      tostring(values.save_steps), tostring(values.eval_steps))
  end
end

local function check_metric(values)
  local scheduler = values.lr_scheduler_type
  local watches = scheduler == "reduce_lr_on_plateau" or scheduler == "greedy"
  if watches and values.eval_strategy == "no" then
    errors.raise("%s: lr_scheduler_type '%s' requires an eval_strategy", WHERE, scheduler)
  end
  if values.save_strategy == "best" and values.eval_strategy == "no" then
    errors.raise("%s: save_strategy 'best' requires an eval_strategy", WHERE)
  end
  if (values.load_best_model_at_end or watches) and not values.metric_for_best_model then
    values.metric_for_best_model = "loss"
  end
  if values.greater_is_better == nil and values.metric_for_best_model then
    values.greater_is_better = values.metric_for_best_model:sub(-4) ~= "loss"
  end
end

local function check_precision(values)
  if values.fp16 and values.bf16 then errors.raise("%s: at most one of fp16 and bf16 can be true", WHERE) end
  if values.fp16_full_eval and values.bf16_full_eval then
    errors.raise("%s: at most one of fp16_full_eval and bf16_full_eval can be true", WHERE)
  end
end

local function check_length(values)
  if values.max_steps == 0 or values.max_steps < -1 then
    errors.raise("%s: option 'max_steps': expected -1 (count epochs) or at least 1, found %d", WHERE, values.max_steps)
  end
  if values.lr_scheduler_type == "constant" and values.warmup_steps > 0 then
    notes.once("%s: lr_scheduler_type 'constant' has no warmup; 'constant_with_warmup' has", WHERE)
  end
end

local function finish(values)
  if values.eval_strategy ~= "no" then values.do_eval = true end
  if #values.report_to == 1 and (values.report_to[1] == "none" or values.report_to[1] == "all") then values.report_to = {} end
  for _, name in ipairs(values.report_to) do
    notes.once("%s: report_to '%s': no such integration; log lines are kept in trainer_state.json", WHERE, name)
  end
  if values.disable_tqdm == nil then values.disable_tqdm = false end
  local home = os.getenv("HOME")
  if home and (values.output_dir == "~" or values.output_dir:sub(1, 2) == "~/") then
    values.output_dir = home .. values.output_dir:sub(2)
  end
end

-- What accelerate is told; batches are dealt out evenly by each process itself, or it is an error.
local function check_accelerator(values)
  local given = options.check(WHERE .. ": accelerator_config", values.accelerator_config, { "split_batches", "dispatch_batches", "even_batches",
    "use_seedable_sampler", "non_blocking", "gradient_accumulation_kwargs", "use_configured_state" })
  for name, needed in pairs { dispatch_batches = false, even_batches = true, use_seedable_sampler = true } do
    local value = given[name]
    if value ~= nil and not is_null(value) and value ~= needed then
      errors.raise("%s: accelerator_config: '%s' is always %s, found %s", WHERE, name, tostring(needed), tostring(value))
    end
  end
end

local function check_all(values)
  check_accelerator(values)
  check_steps(values)
  check_best_model(values)
  check_metric(values)
  check_precision(values)
  check_length(values)
  finish(values)
end

local function info() return require("hflua.process_group").info() end

-- Read-only names computed from the options.
local derived = {
  train_batch_size = function(values) return values.per_device_train_batch_size end,
  eval_batch_size = function(values) return values.per_device_eval_batch_size end,
  world_size = function() return info().size end,
  process_index = function() return info().rank end,
  local_process_index = function() return info().local_rank end,
  parallel_mode = function() return info().size > 1 and "distributed" or "not_parallel" end,
  should_save = function() return info().rank == 0 end,
  should_log = function() return info().rank == 0 end,
}

local function copy(values)
  local new = {}
  for name, value in pairs(values) do new[name] = value end
  return new
end

--- TrainingArguments([output_dir,] options).
function TrainingArguments:init(output_dir, given)
  if type(output_dir) == "table" and given == nil then output_dir, given = nil, output_dir end
  if output_dir ~= nil and type(output_dir) ~= "string" then bad("output_dir", "a string", output_dir) end
  local values = collect(options.check(WHERE, given, given or {}))
  if output_dir then
    if values.output_dir and values.output_dir ~= output_dir then
      errors.raise("%s: output_dir is given twice: '%s' and '%s'", WHERE, output_dir, values.output_dir)
    end
    values.output_dir = output_dir
  end
  rawset(self, "given", copy(values))
  for name, field in pairs(field_of) do
    if values[name] == nil and field.default ~= nil then values[name] = convert[field.kind](field, field.default) end
  end
  check_all(values)
  rawset(self, "values", values)
end

function TrainingArguments.__index(self, name)
  local values = rawget(self, "values")
  if values and values[name] ~= nil then return values[name] end
  if derived[name] then return derived[name](values) end
  if fields.renamed[name] and not fields.renamed[name][2] then return values[fields.renamed[name][1]] end
  return TrainingArguments[name]
end

--- Options may be changed later; the same checks apply to the name and the type.
function TrainingArguments.__newindex(self, given_name, given_value)
  local name, value = resolve(given_name, given_value)
  if not name then return end
  if value ~= nil and not is_null(value) then value = convert[field_of[name].kind](field_of[name], value) else value = nil end
  self.values[name], self.given[name] = value, value
end

--- A copy with `changes` on top, all checks made anew. `default` leaves these options alone in the copy: they are the
-- wish of whoever typed the command line.
function TrainingArguments:with(changes)
  local fixed, merged = collect(changes), copy(self.given)
  for name, value in pairs(fixed) do merged[name] = value end
  local new = TrainingArguments(merged)
  rawset(new, "fixed", fixed)
  return new
end

--- Changes options that `with` did not set: `training:default { learning_rate = 3e-4 }`. All checks are made anew.
function TrainingArguments:default(changes)
  local fixed, merged = rawget(self, "fixed") or {}, copy(self.given)
  for name, value in pairs(collect(changes)) do
    if fixed[name] == nil then merged[name] = value end
  end
  local new = TrainingArguments(merged)
  rawset(self, "values", new.values)
  rawset(self, "given", new.given)
end

function TrainingArguments.__tostring(self)
  local repr, lines = require "hflua.repr", {}
  for _, field in ipairs(fields.list) do
    lines[#lines + 1] = ("%s=%s,"):format(field[1], repr(self.values[field[1]]))
  end
  table.sort(lines)
  return "TrainingArguments(\n" .. table.concat(lines, "\n") .. "\n)"
end

--- Calls fn() in the first process (of each host, with { local = true } as in HF by default), then in the others; what it gives.
function TrainingArguments:main_process_first(fn, given)
  local o = options.merge({ ["local"] = true, desc = "" }, given, "main_process_first")
  return require("hflua.process_group").first((o["local"] and info().local_rank or info().rank) == 0, fn)
end

--- Warmup steps of a run of `num_training_steps`; warmup_steps below 1 is a share of them.
function TrainingArguments:get_warmup_steps(num_training_steps)
  local steps = self.warmup_steps
  if steps >= 1 then return math.floor(steps) end
  return math.ceil(num_training_steps * steps)
end

--- A plain table of every option; what is not set is hf.null.
function TrainingArguments:to_dict()
  local null = require("hflua.core.json").null
  local dict = {}
  for name in pairs(field_of) do
    local value = self.values[name]
    if value == nil then value = null end
    dict[name] = value
  end
  return dict
end

--- The options and their defaults: { {name, kind, default, choices}, ... }, for command lines and documentation.
TrainingArguments.fields = fields.list

return TrainingArguments
