-- Callbacks, the flow of logs, evaluations and checkpoints, printed log lines, trainer_state.json.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local golden = dofile(t.dir .. "/lib/golden.lua")
local hf = require "hflua"
local callbacks = require "hflua.trainer.callbacks"
local ordered = require "hflua.ordered"
local states = require "hflua.trainer.state"

local function setup(given, max_steps)
  local args, state, control = hf.TrainingArguments("o", given), states.TrainerState(), states.TrainerControl()
  state.max_steps = max_steps or 100
  state:compute_steps(args, state.max_steps)
  return args, state, control
end

-- The steps at which a switch is turned on.
local function steps_of(switch, given, max_steps)
  local args, state, control = setup(given, max_steps)
  local flow, steps = hf.trainer.DefaultFlowCallback(), {}
  for step = 1, max_steps do
    state.global_step = step
    for _, name in ipairs { "should_log", "should_save", "should_evaluate" } do control[name] = false end
    flow:on_step_end(args, state, control)
    if control[switch] then steps[#steps + 1] = step end
  end
  return steps
end

t.test("logs, saves and evaluations are due at their steps", function()
  t.same(steps_of("should_log", { logging_steps = 4 }, 10), { 4, 8 })
  t.same(steps_of("should_log", { logging_steps = 4, logging_first_step = true }, 10), { 1, 4, 8 })
  t.same(steps_of("should_log", { logging_steps = 0.25 }, 10), { 3, 6, 9 })
  t.same(steps_of("should_save", { save_steps = 4 }, 10), { 4, 8, 10 })
  t.same(steps_of("should_evaluate", { eval_strategy = "steps", eval_steps = 5 }, 12), { 5, 10, 12 })
  t.same(steps_of("should_evaluate", { eval_strategy = "steps", eval_steps = 5, eval_delay = 6 }, 12), { 10, 12 })
  t.same(steps_of("should_evaluate", {}, 12), {})
end)

t.test("a log line is printed as transformers prints it", function()
  local logs = ordered.new("loss", 0.693559, "grad_norm", 0.31159, "learning_rate", 2.5e-05, "epoch", 0.4, "total_flos", 1e9)
  t.same(callbacks.format_logs(logs), "{'loss': '0.6936', 'grad_norm': '0.3116', 'learning_rate': '2.5e-05', 'epoch': '0.4'}")
  t.same(callbacks.format_logs(ordered.new("train_loss", 3.0, "steps", 12)), "{'train_loss': '3', 'steps': 12}")
end)

t.test("events reach objects, classes and plain tables, in order", function()
  local seen = {}
  local Mine = hf.TrainerCallback:extend("Mine")
  function Mine:on_log(args, state, control, kwargs) seen[#seen + 1] = "class " .. kwargs.logs.loss end
  local handler = callbacks.CallbackHandler({ Mine, { on_log = function() seen[#seen + 1] = "table" end } }, { model = 1 })
  local args, state, control = setup({})
  assert(handler:call("on_log", args, state, control, "logs", { loss = 1 }) == control)
  t.same(seen, { "class 1", "table" })
  assert(handler:pop(Mine))
  t.same(#handler.callbacks, 1)
  t.raises(function() handler:add { on_logs = function() end } end, "unknown event 'on_logs'", "on_log")
  t.raises(function() handler:add(3) end, "expected a callback")
end)

t.test("a callback may replace the control", function()
  local other = states.TrainerControl()
  local handler = callbacks.CallbackHandler({ { on_step_end = function() return other end } }, {})
  local args, state, control = setup({})
  assert(handler:call("on_step_end", args, state, control) == other)
end)

t.test("early stopping counts evaluations without improvement", function()
  local args, state, control = setup { eval_strategy = "epoch", save_strategy = "epoch", load_best_model_at_end = true,
    metric_for_best_model = "accuracy" }
  local early = hf.EarlyStoppingCallback { early_stopping_patience = 2, early_stopping_threshold = 0.01 }
  early:on_train_begin(args, state, control)
  for i, case in ipairs { { 0.5, false }, { 0.6, false }, { 0.605, false }, { 0.6, true } } do
    early:on_evaluate(args, state, control, { metrics = { eval_accuracy = case[1] } })
    t.same(control.should_training_stop, case[2], "evaluation " .. i)
    state.best_metric = math.max(state.best_metric or 0, case[1])
  end
  t.same(early:state().attributes.early_stopping_patience_counter, 2)
  t.raises(function() hf.EarlyStoppingCallback { patience = 1 } end, "unknown option 'patience'")
  t.raises(function() early:on_train_begin(hf.TrainingArguments("o"), state, control) end, "needs metric_for_best_model")
end)

local path = golden.path "trainer/base/trainer_state.json"
if path then
  t.test("trainer_state.json is read and written as it is", function()
    local file = assert(io.open(path))
    local text = file:read "a"
    file:close()
    t.same(states.TrainerState.from_json(text):to_json(), text)
  end)
else
  t.skip("trainer_state.json is read and written as it is", "shared/golden is not there")
end

t.finish()
