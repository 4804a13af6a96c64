--- The options of TrainingArguments: name, kind, default, and the choices where there are some. Old spellings and
-- options without effect here are listed after them.
-- Kinds: "count" is a whole number >= 1, "index" one >= 0, "rate" a number >= 0, "share" one in 0..1.

local intervals = { "no", "steps", "epoch" }

-- name, kind, default (nil: not set), choices
local fields = {
  { "output_dir", "string", "trainer_output" },
  -- how long and with which rate
  { "per_device_train_batch_size", "count", 8 },
  { "per_device_eval_batch_size", "count", 8 },
  { "num_train_epochs", "rate", 3.0 },
  { "max_steps", "integer", -1 },
  { "gradient_accumulation_steps", "count", 1 },
  { "learning_rate", "rate", 5e-5 },
  { "lr_scheduler_type", "choice", "linear", { "linear", "cosine", "cosine_with_restarts", "polynomial", "constant",
    "constant_with_warmup", "inverse_sqrt", "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr",
    "warmup_stable_decay", "greedy" } },
  { "lr_scheduler_kwargs", "table" },
  { "warmup_steps", "rate", 0 },
  -- optimizer
  { "optim", "choice", "adamw_torch_fused", { "adamw_torch_fused", "adamw_torch", "adamw_hf", "sgd", "adafactor",
    "rmsprop", "adagrad", "lion", "lion_32bit" } },
  { "optim_args", "string" },
  { "weight_decay", "rate", 0.0 },
  { "adam_beta1", "share", 0.9 },
  { "adam_beta2", "share", 0.999 },
  { "adam_epsilon", "rate", 1e-8 },
  { "max_grad_norm", "rate", 1.0 },
  { "label_smoothing_factor", "share", 0.0 },
  { "average_tokens_across_devices", "boolean", true },
  { "accelerator_config", "table" },
  { "ddp_bucket_cap_mb", "count", 25 },
  -- precision, memory, device
  { "bf16", "boolean", false },
  { "fp16", "boolean", false },
  { "bf16_full_eval", "boolean", false },
  { "fp16_full_eval", "boolean", false },
  { "tf32", "boolean" },
  { "activation_checkpointing", "boolean", false },
  { "activation_checkpointing_kwargs", "table" },
  { "use_cache", "boolean", false },
  { "use_cpu", "boolean", false },
  { "cuda_graphs", "boolean", false },
  { "dropout_rng", "choice", "counter", { "counter", "torch" } },
  { "full_determinism", "boolean", false },
  { "deterministic", "boolean", false },
  { "hf_quirks", "boolean", false },
  -- log lines
  { "logging_strategy", "choice", "steps", intervals },
  { "logging_steps", "rate", 500 },
  { "logging_first_step", "boolean", false },
  { "logging_nan_inf_filter", "boolean", true },
  { "include_num_input_tokens_seen", "choice", "no", { "no", "all", "non_padding" } },
  { "log_level", "choice", "passive", { "passive", "debug", "info", "warning", "error", "critical" } },
  { "disable_tqdm", "boolean" },
  { "report_to", "strings", "none" },
  { "run_name", "string" },
  -- evaluation
  { "do_train", "boolean", false },
  { "do_eval", "boolean", false },
  { "do_predict", "boolean", false },
  { "eval_strategy", "choice", "no", intervals },
  { "eval_steps", "rate" },
  { "eval_delay", "rate", 0 },
  { "eval_on_start", "boolean", false },
  { "eval_accumulation_steps", "count" },
  { "eval_do_concat_batches", "boolean", true },
  { "batch_eval_metrics", "boolean", false },
  { "prediction_loss_only", "boolean", false },
  { "include_for_metrics", "strings", {} },
  -- checkpoints
  { "save_strategy", "choice", "steps", { "no", "steps", "epoch", "best" } },
  { "save_steps", "rate", 500 },
  { "save_total_limit", "index" },
  { "save_only_model", "boolean", false },
  { "save_on_each_node", "boolean", false },
  { "on_save_error", "choice", "stop", { "stop", "continue" } },
  { "load_best_model_at_end", "boolean", false },
  { "metric_for_best_model", "string" },
  { "greater_is_better", "boolean" },
  { "resume_from_checkpoint", "checkpoint" },
  { "ignore_data_skip", "boolean", false },
  { "restore_callback_states_from_checkpoint", "boolean", false },
  -- data
  { "seed", "index", 42 },
  { "data_seed", "index" },
  { "train_sampling_strategy", "choice", "random", { "random", "sequential", "group_by_length" } },
  { "length_column_name", "string", "length" },
  { "dataloader_drop_last", "boolean", false },
  { "remove_unused_columns", "boolean", true },
  { "label_names", "strings" },
}

-- old name -> { new name, the value for it } (the value as given when there is no function)
local renamed = {
  evaluation_strategy = { "eval_strategy" },
  warmup_ratio = { "warmup_steps", function(value) return value end },
  group_by_length = { "train_sampling_strategy", function(value) return value and "group_by_length" or nil end },
  gradient_checkpointing = { "activation_checkpointing" },
  gradient_checkpointing_kwargs = { "activation_checkpointing_kwargs" },
  no_cuda = { "use_cpu" },
  torch_compile_mode = { "cuda_graphs", function(value) return (value == "reduce-overhead" or value == "max-autotune") or nil end },
  per_gpu_train_batch_size = { "per_device_train_batch_size" },
  per_gpu_eval_batch_size = { "per_device_eval_batch_size" },
  adafactor = { "optim", function(value) return value and "adafactor" or nil end },
  include_inputs_for_metrics = { "include_for_metrics", function(value) return value and { "inputs" } or nil end },
}

-- Accepted, without effect on the numbers: a note says so when they are set.
local ignored = {
  overwrite_output_dir = "checkpoints of this run replace those of the same step",
  logging_dir = "log lines are kept in trainer_state.json",
  save_safetensors = "weights are always saved as safetensors",
  dataloader_num_workers = "batches are made on the training thread",
  dataloader_pin_memory = "not needed",
  dataloader_persistent_workers = "not needed",
  dataloader_prefetch_factor = "not needed",
  dataloader_multiprocessing_context = "not needed",
  dataloader_in_order = "batches always come in order",
  skip_memory_metrics = "memory is not measured",
  torch_compile = "kernels are compiled already",
  torch_compile_backend = "kernels are compiled already",
  torch_compile_mode = "kernels are compiled already; 'reduce-overhead' means cuda_graphs",
  torch_empty_cache_steps = "memory is reused",
  use_liger_kernel = "kernels are fused already",
  log_level_replica = "the first process writes the log",
  log_on_each_node = "the first process writes the log",
  eval_use_gather_object = "not needed",
  enable_jit_checkpoint = "SIGTERM always saves a checkpoint",
  half_precision_backend = "there is one",
  fp16_backend = "there is one",
  fp16_opt_level = "there is one",
  use_mps_device = "there is no such device",
  jit_mode_eval = "not needed",
  use_ipex = "not needed",
  auto_find_batch_size = "the batch size stays as given",
  ddp_find_unused_parameters = "parameters without a gradient count as zeros", ddp_broadcast_buffers = "buffers do not change in training",
  ddp_static_graph = "not needed", ddp_backend = "NCCL between GPUs that have it, else MPI", ddp_timeout = "processes wait for each other",
  local_rank = "the launcher says it",
  project = "no such integration", trackio_space_id = "no such integration",
  hub_strategy = "nothing is uploaded", hub_private_repo = "nothing is uploaded", hub_model_id = "nothing is uploaded",
  hub_always_push = "nothing is uploaded", hub_revision = "nothing is uploaded", hub_token = "nothing is uploaded",
  debug = "HFLUA_DEBUG=1 shows more",
}

-- They would change what is computed or promised, so setting them is an error.
local refused = {
  fsdp = true, fsdp_config = true, deepspeed = true, parallelism_config = true, push_to_hub = true,
  neftune_noise_alpha = true, optim_target_modules = true, liger_kernel_config = true,
}

return { list = fields, renamed = renamed, ignored = ignored, refused = refused }
