-- Checkpoints: what they hold, atomic writing, rotation, exact resume, the best model, broken folders.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local tiny = dofile(t.dir .. "/lib/tiny.lua")
local hf = require "hflua"
local files = require "hflua.core.files"
local checkpoint = require "hflua.trainer.checkpoint"

local function names_in(folder)
  local names = {}
  for _, entry in ipairs(checkpoint.list(folder)) do names[#names + 1] = entry.step end
  return names
end

local function saving(folder, given)
  local all = { output_dir = folder, save_strategy = "steps", save_steps = 2 }
  for k, v in pairs(given or {}) do all[k] = v end
  return all
end

t.test("a checkpoint holds everything, and its manifest says what", function()
  local folder = tiny.folder()
  tiny.trainer(saving(folder, { max_steps = 2 })):train()
  t.same(files.list(folder), { ".lock", "checkpoint-2", "latest" })
  t.same(files.list(folder .. "/checkpoint-2"), { "checkpoint.json", "model.safetensors", "optimizer.json", "optimizer.safetensors",
    "rng_state.json", "scheduler.json", "trainer_state.json", "training_args.json" })
  t.same(files.read(folder .. "/latest"), "checkpoint-2\n")
  local manifest = hf.json.load_file(folder .. "/checkpoint-2/checkpoint.json")
  t.same(manifest.step, 2)
  t.same(manifest.files["model.safetensors"].sha256, files.sha256(folder .. "/checkpoint-2/model.safetensors"))
  assert(checkpoint.verify(folder .. "/checkpoint-2"))
  local moments = hf.safetensors.load_file(folder .. "/checkpoint-2/optimizer.safetensors")
  assert(moments["norm.bias|exp_avg"] and moments["embedding|exp_avg_sq"] and moments["embedding|step"])
  files.remove(folder)
end)

t.test("rotation keeps the newest and the best", function()
  local folder = tiny.folder()
  local values = { 0.1, 0.9, 0.3, 0.2, 0.4 }
  local trainer = tiny.trainer(saving(folder, { max_steps = 10, eval_strategy = "steps", eval_steps = 2, save_total_limit = 2,
    load_best_model_at_end = true, metric_for_best_model = "score" }), { eval_dataset = tiny.rows(4),
    compute_metrics = function() return { score = table.remove(values, 1) } end })
  local at_best
  trainer:add_callback { on_step_end = function(_, args, state)
    if state.global_step == 4 then at_best = tiny.weights(trainer.model) end
  end }
  trainer:train()
  t.same(names_in(folder), { 4, 10 })
  t.same(trainer.state.best_global_step, 4)
  t.near(trainer.state.best_metric, 0.9)
  t.same(trainer.state.best_model_checkpoint, folder .. "/checkpoint-4")
  t.same(tiny.weights(trainer.model), at_best)
  files.remove(folder)
end)

t.test("with a limit of 1 only the best stays at the end; save_strategy best saves what is better", function()
  local folder = tiny.folder()
  local function run(given, values)
    local trainer = tiny.trainer(saving(folder, given), { eval_dataset = tiny.rows(4),
      compute_metrics = function() return { score = table.remove(values, 1) } end })
    trainer:train()
    return names_in(folder)
  end
  t.same(run({ max_steps = 6, eval_strategy = "steps", eval_steps = 2, save_total_limit = 1, load_best_model_at_end = true,
    metric_for_best_model = "score" }, { 0.5, 0.9, 0.1 }), { 4 })
  files.remove(folder)
  t.same(run({ max_steps = 8, eval_strategy = "steps", eval_steps = 2, save_strategy = "best", metric_for_best_model = "score" },
    { 0.5, 0.4, 0.6, 0.1 }), { 2, 6 })
  files.remove(folder)
end)

t.test("a metric that is not a number is never the best, and is written as null", function()
  local folder, values = tiny.folder(), { 0 / 0, 0.4, 0 / 0 }
  local trainer = tiny.trainer(saving(folder, { max_steps = 6, eval_strategy = "steps", eval_steps = 2, load_best_model_at_end = true,
    metric_for_best_model = "score" }), { eval_dataset = tiny.rows(4), compute_metrics = function() return { score = table.remove(values, 1) } end })
  trainer:train()
  t.near(trainer.state.best_metric, 0.4)
  t.same(trainer.state.best_global_step, 4)
  assert(files.read(folder .. "/checkpoint-6/trainer_state.json"):find('"eval_score": null', 1, true))
  files.remove(folder)
end)

-- A run of six steps with checkpoints 2, 4, 6.
local function three(folder) tiny.trainer(saving(folder, { max_steps = 6 })):train() end

t.test("broken checkpoints are passed over, and named", function()
  local folder = tiny.folder()
  three(folder)
  files.write(folder .. "/checkpoint-6/model.safetensors", files.read(folder .. "/checkpoint-6/model.safetensors"):gsub(".$", "X"))
  files.remove(folder .. "/checkpoint-4/optimizer.json")
  local told = {}
  t.same(checkpoint.newest(folder, function(path, reason) told[#told + 1] = path:match("[^/]+$") .. ": " .. reason end), folder .. "/checkpoint-2")
  t.same(told, { "checkpoint-6: model.safetensors: its SHA-256 is not the one it was saved with", "checkpoint-4: optimizer.json is missing" })
  files.write(folder .. "/checkpoint-2/checkpoint.json", "{")
  t.raises(function() tiny.trainer(saving(folder)):train { resume_from_checkpoint = true } end, "no complete checkpoint in " .. folder)
  t.raises(function() tiny.trainer(saving(folder)):train(folder .. "/checkpoint-4") end, "checkpoint-4", "optimizer.json is missing")
  t.raises(function() tiny.trainer(saving(folder)):train(folder .. "/checkpoint-8") end, "no such folder")
  files.remove(folder)
end)

t.test("leftovers of a killed process are removed; a second trainer is refused", function()
  local folder = tiny.folder()
  three(folder)
  require("hflua.core.system").makedirs(folder .. "/.tmp-checkpoint-8-1-a/x")
  require("hflua.core.system").makedirs(folder .. "/.trash-checkpoint-1-1-a")
  local trainer, refused = tiny.trainer(saving(folder, { max_steps = 8 })), nil
  trainer:add_callback { on_train_begin = function()
    refused = select(2, pcall(function() tiny.trainer(saving(folder)):train() end))
  end }
  trainer:train { resume_from_checkpoint = true }
  assert(tostring(refused):find("is using this folder", 1, true), refused)
  t.same(files.list(folder), { ".lock", "checkpoint-2", "checkpoint-4", "checkpoint-6", "checkpoint-8", "latest" })
  files.remove(folder)
end)

t.test("a save that fails says so and leaves nothing behind", function()
  local folder = tiny.folder()
  local function failing(given)
    local trainer = tiny.trainer(saving(folder, given))
    local save, calls = trainer.model.save_pretrained, 0
    rawset(trainer.model, "save_pretrained", function(self, where)
      calls = calls + 1
      if calls == 2 then error("the disk is full", 0) end
      save(self, where)
    end)
    return trainer
  end
  t.raises(function() failing { max_steps = 6 }:train() end, "checkpoint of step 4 could not be saved: the disk is full",
    "the last complete checkpoint is " .. folder .. "/checkpoint-2")
  t.same(files.list(folder), { ".lock", "checkpoint-2", "latest" })
  t.same(failing { max_steps = 6, on_save_error = "continue" }:train().global_step, 6)
  t.same(names_in(folder), { 2, 6 })
  files.remove(folder)
end)

t.test("weights that are not finite are never saved", function()
  local folder = tiny.folder()
  local trainer = tiny.trainer(saving(folder, { max_steps = 2 }))
  trainer:add_callback { on_step_end = function(_, args, state)
    if state.global_step == 2 then trainer.model.weight:detach():fill_(0 / 0) end
  end }
  t.raises(function() trainer:train() end, "not saved: parameter 'weight' is not finite at step 2")
  t.same(names_in(folder), {})
  files.remove(folder)
end)

t.test("save_model, save_state and save_metrics write to output_dir", function()
  local folder = tiny.folder()
  local trainer = tiny.trainer { output_dir = folder, max_steps = 1 }
  local output = trainer:train()
  trainer:save_model()
  trainer:save_state()
  trainer:save_metrics("train", output.metrics)
  t.same(files.list(folder), { "all_results.json", "model.safetensors", "train_results.json", "trainer_state.json", "training_args.json" })
  files.remove(folder)
end)

t.finish()
