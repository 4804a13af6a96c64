-- slow: several processes under mpirun: what they exchange, Trainer and Accelerator against transformers' on two processes (tests/golden/parallel) and
-- against one process with the batch of both, resuming, signals, a process that fails. The scripts that mpirun starts are in tests/parallel.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local program = dofile(os.getenv("HFLUA_TESTS") .. "/lib/program.lua")
local hf = require "hflua"
local files = require "hflua.core.files"

local has_mpi = t.exists((program.path:match "^(.*)/" or ".") .. "/hflua_mpi.so") and program.shell("command -v mpirun").status == 0
if not has_mpi then
  t.skip("several processes", "needs mpirun and a build with MPI")
  t.finish()
  return
end

local emulated = os.getenv "HFLUA_EMULATED"
local folder = os.tmpname()
os.remove(folder)
hf.makedirs(folder)

-- Two processes on few cores, as whoever; a run that hangs is a failure.
local environment = "env -u HFLUA_DEVICE OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 OMP_NUM_THREADS=1"
local function run(processes, arguments, more)
  local words = { environment, more or "", "timeout 120", processes > 1 and "mpirun -np " .. processes or "", program.quote(program.path) }
  for _, argument in ipairs(arguments) do words[#words + 1] = program.quote(argument) end
  return program.shell(table.concat(words, " "))
end

local function check(result)
  if result.status ~= 0 then error(("exit status %s\n%s%s"):format(result.status, result.out, result.err), 0) end
  return result
end

local on_emulated = emulated and "HFLUA_CUDA_BLOCKING=1 HFLUA_DEVICE=cuda HFLUA_CUDA_BACKEND=" .. program.quote(emulated)

-- ---- exchanges

local function script(name) return t.dir .. "/parallel/" .. name .. ".lua" end

for _, name in ipairs { "exchange", "accelerate" } do
  t.test(name .. ".lua on two processes", function() check(run(2, { script(name) })) end)
  if emulated then
    t.test(name .. ".lua on two processes with the emulated device", function() check(run(2, { script(name) }, on_emulated)) end)
  end
end

-- ---- training

-- Results of cases of tests/parallel/train.lua.
local function train(processes, cases, more)
  local asked, answered = folder .. "/cases.json", folder .. "/results.json"
  for _, case in ipairs(cases) do case.args.output_dir = case.args.output_dir or folder .. "/out" end
  files.write(asked, hf.json.encode(cases))
  check(run(processes, { script "train", asked, answered }, more))
  return hf.json.load_file(answered)
end

-- Gradients of key biases are zero but for rounding, which AdamW makes a step of.
local function is_noise(name) return name:find("key.bias", 1, true) or name:find("c_attn.bias", 1, true) end

local function check_weights(actual, expected, limit)
  for name, numbers in pairs(expected) do
    for i = 1, is_noise(name) and 0 or #numbers do t.near(actual[name][i], numbers[i], limit, limit, name) end
  end
end

local function check_history(actual, expected, limit, skipped)
  t.same(#actual, #expected, "log rows")
  for i, row in ipairs(expected) do
    for name, value in pairs(row) do
      if not (skipped or {})[name] then t.near(actual[i][name], value, limit, limit, ("log row %d, %s"):format(i, name)) end
    end
  end
end

local function check_predictions(result, expected)
  t.same(#result.predictions, #expected.predictions)
  for i, row in ipairs(expected.predictions) do
    for j, value in ipairs(row) do t.near(result.predictions[i][j], value, 1e-5, 0, "prediction " .. i) end
  end
end

-- accelerate fetches a batch ahead, so theirs may begin one more pass.
local function check_batches(actual, expected)
  for r, seen in ipairs(expected) do
    for split, batches in pairs(seen) do
      local own = actual[r][split]
      t.same(own, table.move(batches, 1, #own, 1, {}), ("process %d, rows for %s"):format(r - 1, split))
    end
  end
end

local reference = { "seqcls", "seqcls_accum", "seqcls_drop_last", "seqcls_few_rows", "seqcls_grouped", "seqcls_split", "clm", "clm_accum", "clm_local_tokens" }

local function reference_cases(names, changes)
  local cases, goldens = {}, {}
  for i, name in ipairs(names) do
    goldens[i] = hf.json.load_file(("%s/golden/parallel/%s.json"):format(t.dir, name))
    cases[i] = { task = goldens[i].task, train_rows = goldens[i].train_rows, eval_rows = goldens[i].eval_rows, args = goldens[i].args }
    cases[i].args.hf_quirks = true -- theirs multiply the loss of a classification by the number of processes
    for key, value in pairs(changes or {}) do cases[i].args[key] = value end
  end
  return cases, goldens
end

local function check_reference(name, result, golden)
  -- With split_batches they repeat the loss of a part of a batch as if it were the whole batch.
  local skipped = name == "seqcls_split" and { eval_loss = true } or nil
  check_history(result.log_history, golden.log_history, 2e-5, skipped)
  check_weights(result.weights, golden.weights, 2e-5)
  check_batches(result.batches, golden.batches)
  for _, key in ipairs { "global_step", "max_steps", "train_batch_size" } do t.same(result[key], golden[key], key) end
  t.near(result.training_loss, golden.training_loss, 1e-5)
  if not golden.predictions then return end
  check_predictions(result, golden)
  for key, value in pairs(golden.predict_metrics) do
    if not skipped or key ~= "test_loss" then t.near(result.predict_metrics[key], value, 1e-5, 1e-5, key) end
  end
end

local cases, goldens = reference_cases(reference)
local ok, results = pcall(train, 2, cases)
t.test("two processes run as transformers' do", function() assert(ok, results) end)
for i, name in ipairs(ok and reference or {}) do
  t.test("as transformers: " .. name, function() check_reference(name, results[i], goldens[i]) end)
end

if emulated then
  t.test("as transformers, on the emulated device", function()
    local few, expected = reference_cases({ "seqcls_accum", "clm_accum" }, { use_cpu = false, num_train_epochs = 1 })
    for i, result in ipairs(train(2, few, on_emulated)) do
      check_batches(result.batches, expected[i].batches)
      check_history({ result.log_history[1] }, { expected[i].log_history[1] }, 1e-5, { learning_rate = true }) -- of a longer run
    end
  end)
end

local function arguments(given)
  local args = { learning_rate = 0.002, logging_steps = 2, eval_strategy = "epoch", save_strategy = "no", use_cpu = true, disable_tqdm = true, num_train_epochs = 2,
    per_device_train_batch_size = 4, per_device_eval_batch_size = 4 }
  for name, value in pairs(given) do args[name] = value end
  return args
end

t.test("two processes of batch 4 are one of batch 8", function()
  local function both(size)
    return {
      { task = "seqcls", train_rows = 64, eval_rows = 16, args = arguments { per_device_train_batch_size = size, per_device_eval_batch_size = size } },
      { task = "seqcls", train_rows = 64, eval_rows = 16, frozen = "embeddings",
        args = arguments { per_device_train_batch_size = size / 2, per_device_eval_batch_size = size, gradient_accumulation_steps = 2 } },
      { task = "clm", train_rows = 64, eval_rows = 16, args = arguments { per_device_train_batch_size = size, per_device_eval_batch_size = size } },
      { task = "clm", train_rows = 64, eval_rows = 16, args = arguments { per_device_train_batch_size = size, per_device_eval_batch_size = size, num_train_epochs = 1,
        label_smoothing_factor = 0.1, optim = "sgd", max_grad_norm = 0, include_num_input_tokens_seen = "non_padding" } },
      { task = "seqcls", train_rows = 64, eval_rows = 15, summed_loss = true, args = arguments { per_device_train_batch_size = size, num_train_epochs = 1, lr_scheduler_type = "cosine",
        per_device_eval_batch_size = 1, include_for_metrics = { "inputs", "loss" } } },
      { task = "seqcls", train_rows = 64, eval_rows = 19, args = arguments { per_device_train_batch_size = size, num_train_epochs = 1, max_steps = 5, eval_strategy = "steps", eval_steps = 5,
        per_device_eval_batch_size = 1, batch_eval_metrics = true } },
    }
  end
  local whole, shared = train(1, both(8)), train(2, both(4))
  for i, expected in ipairs(whole) do
    check_history(shared[i].log_history, expected.log_history, 1e-5, { total_flos = true }) -- of padded tokens
    check_weights(shared[i].weights, expected.weights, i == 3 and 1e-5 or 2e-6)
    t.near(shared[i].training_loss, expected.training_loss, 1e-6)
    if expected.predictions then check_predictions(shared[i], expected) end
  end
end)

t.test("a resumed run goes on to the bit; another number of processes is an error", function()
  local function case(name, given, more)
    local c = { task = "seqcls", train_rows = 61, eval_rows = 19, dropout = 0.1, args = arguments(given) }
    c.args.output_dir = folder .. "/" .. name
    for key, value in pairs(more or {}) do c[key] = value end
    return c
  end
  for i, given in ipairs { { dropout_rng = "counter" }, { dropout_rng = "torch", train_sampling_strategy = "group_by_length" } } do
    local saving = { save_strategy = "steps", save_steps = 5 }
    for name, value in pairs(given) do saving[name] = value end
    local resumed = "resumed_" .. i
    local all = train(2, { case("whole_" .. i, given), case(resumed, saving, { stop = 5 }), case(resumed, saving, { resume = true }) })
    t.same(all[3].log_history, all[1].log_history)
    t.same(all[3].weights, all[1].weights)
    t.same(all[3].training_loss, all[1].training_loss)
    t.same(files.type(folder .. "/" .. resumed .. "/checkpoint-5/rng_state_1.json"), "file")
    t.raises(function() train(1, { case(resumed, saving, { resume = folder .. "/" .. resumed .. "/checkpoint-5" }) }) end,
      "checkpoint-5 was written by 2 processes, this run has 1: start it with mpirun -np 2")
  end
end)

-- ---- how a run ends

-- A script that trains for a while; `body` has the trainer and the rank.
local function training_script(body)
  local path = folder .. "/script.lua"
  files.write(path, ([[
    local tiny = dofile(%q .. "/lib/tiny.lua")
    local hf = require "hflua"
    local rank = require("hflua.process_group").info().rank
    local trainer = tiny.trainer({ output_dir = %q, num_train_epochs = 200, logging_steps = 2, report_to = "none" }, {})
    %s
  ]]):format(t.dir, folder .. "/run", body))
  return path
end

local function count(text, part)
  local _, n = text:gsub(part, "")
  return n
end

t.test("a process that fails says why and takes the others with it", function()
  local result = run(2, { training_script [[
    trainer:add_callback { on_step_end = function(_, args, state)
      if rank == 1 and state.global_step == 3 then error("rank 1 gives up", 0) end
    end }
    trainer:train()
    print "not reached"
  ]] })
  assert(result.status ~= 0 and result.status ~= 124, "status " .. result.status)
  t.says(result.err, "hflua (process 1 of 2): rank 1 gives up")
  assert(not result.out:find("not reached", 1, true))
  result = run(2, { training_script "if rank == 0 then os.exit(7) end trainer:train()" })
  t.same(result.status, 7)
  result = run(2, { training_script "if rank == 0 then trainer:train() end" }, "HFLUA_MPI_PATIENCE=0") -- the other one just ends
  t.same(result.status, 1)
  t.says(result.err, "hflua (process 0 of 2): waits for process 1, which has ended: all processes must make the same calls")
end)

t.test("a signal to one process ends all of them after the same step, with a checkpoint", function()
  local result = run(2, { training_script [[
    trainer.args.save_strategy = "steps"
    trainer:add_callback { on_step_end = function(_, args, state)
      if rank == 1 and state.global_step == 3 then io.popen(("kill -TERM %d"):format(require("hflua.core.files").process_id())):close() end
    end }
    local ok, message = pcall(trainer.train, trainer)
    require("hflua.core.interrupt").clear()
    assert(not ok and message:find("training stopped by SIGTERM after step 3: saved in", 1, true), message)
    trainer.args.max_steps = 5
    trainer:train { resume_from_checkpoint = true }
    assert(trainer.state.global_step == 5)
  ]] })
  check(result)
  files.remove(folder .. "/run")
end)

t.test("one process prints, writes and notes; a full disk is told to all", function()
  local result = check(run(2, { training_script [[
    trainer.args.max_steps = 4
    trainer:add_callback(hf.trainer.PrinterCallback())
    require("hflua.trainer.notes").once("a note")
    trainer:train()
    trainer:save_model()
    trainer:save_state()
    trainer:save_metrics("train", { loss = 1 })
    trainer:log_metrics("train", { loss = 1 })
    local a = trainer.args
    assert(a.world_size == 2 and a.process_index == rank and a.parallel_mode == "distributed" and a.should_save == (rank == 0))
    assert(trainer:is_world_process_zero() == (rank == 0) and trainer.state.is_world_process_zero == (rank == 0))
    local checkpoint = require "hflua.trainer.checkpoint"
    checkpoint.check_space = function() error("the disk is full", 0) end
    trainer.args.save_strategy = "steps"
    local ok, message = pcall(trainer.train, trainer)
    assert(not ok and message:find("the disk is full", 1, true), message)
  ]] }))
  t.same(count(result.err, "note: a note"), 1)
  t.same(count(result.out, "'train_loss'"), 1)
  t.same(count(result.out, "'grad_norm'"), 2)
  t.same(count(result.out, "train metrics"), 1)
  t.same(files.type(folder .. "/run/model.safetensors"), "file")
end)

-- ---- starting

t.test("hf.launch starts the program again under mpirun", function()
  local path = folder .. "/launch.lua"
  files.write(path, [[
    local hf = require "hflua"
    hf.launch(function(word)
      local acc = hf.Accelerator { cpu = true }
      acc:print(word, acc.num_processes, arg[1])
      acc:wait_for_everyone()
      if arg[2] then os.exit(tonumber(arg[2])) end
    end, { args = { "hello" }, num_processes = 2 })
    print "after"
  ]])
  local result = check(run(1, { path, "it's me" }))
  t.says(result.out, "hello\t2\tit's me\n")
  t.same(count(result.out, "after"), 2)
  t.same(run(1, { path, "x", "5" }).status, 5)
  t.says(run(1, { "-e", "require('hflua').launch(print, { num_processes = 3 })" }).err, "launch: num_processes = 3 needs a script", "mpirun -np 3 hflua SCRIPT")
end)

t.test("without the library, or in a group of one", function()
  t.says(run(2, { "-e", "require('hflua.process_group').info()" }, "HFLUA_MPI_LIBRARY=/none/such.so").err,
    "2 processes were started, but MPI cannot be opened: /none/such.so")
  check(run(1, { "-e", "assert(require('hflua.process_group').info().size == 1)" }, "HFLUA_MPI_LIBRARY=/none/such.so"))
  check(run(1, { "-e", "assert(require('hflua.process_group').info().size == 1)" }, "HFLUA_MPI_LIBRARY=/none/such.so mpirun -np 1"))
end)

os.execute("rm -rf " .. program.quote(folder))
t.finish()
