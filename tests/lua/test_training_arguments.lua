-- TrainingArguments: defaults, spellings, refusals.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local golden = dofile(t.dir .. "/lib/golden.lua")
local hf = require "hflua"
local TrainingArguments = hf.TrainingArguments

t.test("defaults are those of transformers", function()
  local args = TrainingArguments()
  local expected = { output_dir = "trainer_output", per_device_train_batch_size = 8, per_device_eval_batch_size = 8,
    learning_rate = 5e-5, weight_decay = 0.0, adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8, max_grad_norm = 1.0,
    num_train_epochs = 3.0, max_steps = -1, lr_scheduler_type = "linear", warmup_steps = 0, gradient_accumulation_steps = 1,
    logging_strategy = "steps", logging_steps = 500, save_strategy = "steps", save_steps = 500, eval_strategy = "no",
    seed = 42, fp16 = false, bf16 = false, load_best_model_at_end = false, remove_unused_columns = true,
    dataloader_drop_last = false, label_smoothing_factor = 0.0, full_determinism = false, optim = "adamw_torch_fused",
    hf_quirks = false, dropout_rng = "counter", on_save_error = "stop", do_eval = false }
  for name, value in pairs(expected) do t.same(args[name], value, name) end
  for _, name in ipairs { "data_seed", "save_total_limit", "eval_steps", "metric_for_best_model", "label_names" } do
    t.same(args[name], nil, name)
  end
  t.same(#args.report_to, 0)
end)

if golden.path "trainer/base/expected.json" then
  t.test("resolved defaults agree with a real run", function()
    local reference = golden.json "trainer/base/expected.json"
    local given = { output_dir = "x" }
    for name, value in pairs(reference.args) do given[name] = value end
    local args = TrainingArguments(given)
    for name, value in pairs(reference.resolved_defaults) do
      local own = args[name]
      if own ~= nil and value ~= hf.null and type(own) ~= "table" and name ~= "use_cpu" then
        assert(own == value, ("%s: expected %s, found %s"):format(name, tostring(value), tostring(own)))
      end
    end
  end)
else
  t.skip("resolved defaults agree with a real run", "shared/golden is not there")
end

t.test("positional output_dir with and without a table", function()
  t.same(TrainingArguments("out").output_dir, "out")
  t.same(TrainingArguments("out", { seed = 1 }).output_dir, "out")
  t.same(TrainingArguments { output_dir = "out", seed = 1 }.seed, 1)
  t.raises(function() TrainingArguments("a", { output_dir = "b" }) end, "output_dir is given twice")
end)

t.test("old spellings", function()
  local args = TrainingArguments("o", { evaluation_strategy = "epoch", warmup_ratio = 0.1, group_by_length = true,
    gradient_checkpointing = true, no_cuda = true, overwrite_output_dir = true, logging_dir = "l", save_safetensors = true,
    per_gpu_train_batch_size = 4, include_inputs_for_metrics = true, adafactor = true })
  t.same(args.eval_strategy, "epoch")
  t.same(args.evaluation_strategy, "epoch")
  t.near(args.warmup_steps, 0.1)
  t.same(args.train_sampling_strategy, "group_by_length")
  t.same(args.activation_checkpointing, true)
  t.same(args.gradient_checkpointing, true)
  t.same(args.use_cpu, true)
  t.same(args.per_device_train_batch_size, 4)
  t.same(args.include_for_metrics, { "inputs" })
  t.same(args.optim, "adafactor")
  t.same(args.do_eval, true)
  t.near(TrainingArguments { warmup_ratio = 0.1, warmup_steps = 7 }.warmup_steps, 7)
  t.raises(function() TrainingArguments { evaluation_strategy = "epoch", eval_strategy = "steps" } end, "are one option")
end)

t.test("warmup steps below 1 are a share of all steps", function()
  t.same(TrainingArguments { warmup_steps = 0.1 }:get_warmup_steps(24), 3)
  t.same(TrainingArguments { warmup_steps = 5 }:get_warmup_steps(24), 5)
end)

t.test("derived values", function()
  local args = TrainingArguments { eval_strategy = "steps", logging_steps = 20, metric_for_best_model = "accuracy" }
  t.same(args.eval_steps, 20)
  t.same(args.greater_is_better, true)
  t.same(TrainingArguments { eval_strategy = "epoch", save_strategy = "epoch", load_best_model_at_end = true }.metric_for_best_model, "loss")
  t.same(TrainingArguments { metric_for_best_model = "eval_loss" }.greater_is_better, false)
  t.same(args.train_batch_size, 8)
  t.same(TrainingArguments { report_to = "none" }.report_to, {})
  assert(tostring(args):find("eval_steps=20,", 1, true))
  t.same(args:to_dict().learning_rate, 5e-5)
end)

t.test("options can be changed afterwards, with the same checks", function()
  local args = TrainingArguments "o"
  args.learning_rate = 1e-3
  args.evaluation_strategy = "steps"
  t.same(args.learning_rate, 1e-3)
  t.same(args.eval_strategy, "steps")
  t.raises(function() args.learning_rate = "fast" end, "option 'learning_rate'", "'fast'")
  t.raises(function() args.learnin_rate = 1 end, "did you mean 'learning_rate'")
end)

t.test("unknown names and wrong values are errors", function()
  local function make(given) return function() TrainingArguments(given) end end
  t.raises(make { learing_rate = 1 }, "unknown option 'learing_rate' (did you mean 'learning_rate'?)")
  t.raises(make { per_device_train_batch_size = 0 }, "per_device_train_batch_size", "at least 1", "found 0")
  t.raises(make { per_device_train_batch_size = 2.5 }, "whole number")
  t.raises(make { learning_rate = -1 }, "learning_rate", "at least 0")
  t.raises(make { learning_rate = 0 / 0 }, "learning_rate")
  t.raises(make { adam_beta1 = 2 }, "from 0 to 1")
  t.raises(make { fp16 = "yes" }, "true or false")
  t.raises(make { eval_strategy = "epochs" }, "did you mean 'epoch'", "no, steps, epoch")
  t.raises(make { optim = "adam_w" }, "option 'optim'")
  t.raises(make { lr_scheduler_type = "linar" }, "did you mean 'linear'")
  t.raises(make { max_steps = 0 }, "max_steps")
  t.raises(make { deepspeed = "x.json" }, "'deepspeed' is not supported")
  t.raises(make { "x" }, "options are named")
end)

t.test("contradictions are refused early", function()
  local function make(given) return function() TrainingArguments(given) end end
  t.raises(make { fp16 = true, bf16 = true }, "at most one of fp16 and bf16")
  t.raises(make { load_best_model_at_end = true }, "save and eval strategy to match")
  t.raises(make { load_best_model_at_end = true, eval_strategy = "steps", eval_steps = 300, save_steps = 500 }, "multiple of eval_steps")
  t.raises(make { lr_scheduler_type = "reduce_lr_on_plateau" }, "requires an eval_strategy")
  t.raises(make { save_strategy = "best" }, "requires an eval_strategy")
  t.raises(make { logging_steps = 0 }, "logging_steps above 0")
  t.raises(make { logging_steps = 2.5 }, "whole number when it is above 1")
  make { load_best_model_at_end = true, eval_strategy = "steps", eval_steps = 0.1, save_steps = 0.2 }()
  make { load_best_model_at_end = true, eval_strategy = "epoch", save_strategy = "best" }()
end)

t.test("with changes a copy; default fills in what with did not set", function()
  local args = TrainingArguments("out", { learning_rate = 1e-3, eval_strategy = "epoch" })
  local changed = args:with { seed = 7, evaluation_strategy = "no" }
  t.same({ args.seed, args.eval_strategy, changed.seed, changed.eval_strategy }, { 42, "epoch", 7, "no" })
  changed:default { seed = 8, learning_rate = 2e-3, eval_strategy = "steps", eval_steps = 5 }
  t.same({ changed.seed, changed.eval_strategy, changed.learning_rate, changed.output_dir }, { 7, "no", 2e-3, "out" })
  t.raises(function() args:with { fp16 = true, bf16 = true } end, "at most one of fp16 and bf16")
  t.raises(function() args:default { learning_rat = 1 } end, "did you mean 'learning_rate'?")
end)

t.finish()
