-- slow: runs stopped after each of their steps and resumed go on as if nothing had happened, to the bit.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local tiny = dofile(t.dir .. "/lib/tiny.lua")
local hf = require "hflua"
local files = require "hflua.core.files"

-- The log without what depends on the clock.
local function history(trainer)
  local rows = {}
  for i, row in ipairs(trainer.state.log_history) do
    rows[i] = {}
    for key, value in pairs(row) do
      if not key:find("_runtime$") and not key:find("_per_second$") then rows[i][key] = value end
    end
  end
  return rows
end

-- One run in one go; then, for each of its steps, one that breaks off behind the checkpoint of that step and is resumed.
local function check_resume(name, given, options)
  t.test(name, function()
    local folder = tiny.folder()
    local function trainer(save_steps)
      local all = { output_dir = folder, save_strategy = "steps", save_steps = save_steps, eval_strategy = "epoch", logging_steps = 3 }
      for k, v in pairs(given) do all[k] = v end
      local o = { eval_dataset = tiny.rows(6, 3), model = tiny.model(1, 0.3) }
      for k, v in pairs(options and options() or {}) do o[k] = v end
      return tiny.trainer(all, o)
    end
    local whole = trainer(1000)
    local output = whole:train()
    local expected, weights = history(whole), tiny.weights(whole.model)
    files.remove(folder)
    for stop = 1, output.global_step - 1 do
      local first = trainer(stop)
      first:add_callback { on_step_end = function(_, args, state)
        if state.global_step == stop + 1 then error("the machine fails", 0) end
      end }
      t.raises(function() first:train() end, "the machine fails")
      local second = trainer(1000)
      tiny.spoil(second.model)
      local again = second:train { resume_from_checkpoint = true }
      t.same(history(second), expected, "stopped after step " .. stop)
      t.same(tiny.weights(second.model), weights, "stopped after step " .. stop)
      t.near(again.training_loss, output.training_loss, 0)
      files.remove(folder)
    end
  end)
end

check_resume("batches in random order", {})
check_resume("gradient accumulation", { gradient_accumulation_steps = 2, per_device_train_batch_size = 3 })
check_resume("rows grouped by length, which draws from the global generator", { train_sampling_strategy = "group_by_length" })
check_resume("the schedule follows the evaluations", { lr_scheduler_type = "reduce_lr_on_plateau", lr_scheduler_kwargs = { patience = 0 } })
check_resume("dropout drawn from the global generator", { dropout_rng = "torch" })
check_resume("SGD with momentum", { optim = "sgd", optim_args = "momentum=0.9" })
check_resume("early stopping", { metric_for_best_model = "loss", load_best_model_at_end = false, learning_rate = 0.5, num_train_epochs = 4, eval_strategy = "steps", eval_steps = 2 },
  function() return { callbacks = { hf.EarlyStoppingCallback { early_stopping_patience = 2 } } } end)

t.test("a signal inside an evaluation saves, and the evaluation is made up for", function()
  local folder, interrupt = tiny.folder(), require "hflua.core.interrupt"
  local function trainer()
    return tiny.trainer({ output_dir = folder, save_strategy = "epoch", eval_strategy = "epoch", logging_steps = 2, num_train_epochs = 3 },
      { eval_dataset = tiny.rows(6, 3), model = tiny.model(1, 0.3) })
  end
  local whole = trainer()
  whole:train()
  files.remove(folder)
  local first, sent = trainer(), false
  first:add_callback { on_prediction_step = function(_, args, state)
    if state.global_step < 10 or sent then return end
    sent = true
    io.popen(("kill -INT %d"):format(files.process_id())):close()
  end }
  t.raises(function() first:train() end, "training stopped by SIGINT after step 10: saved in " .. folder .. "/checkpoint-10")
  interrupt.clear()
  local second = trainer()
  tiny.spoil(second.model)
  second:train { resume_from_checkpoint = true }
  t.same(history(second), history(whole))
  t.same(tiny.weights(second.model), tiny.weights(whole.model))
  files.remove(folder)
end)

t.finish()
