--- What all models share: loading and saving Hugging Face's folders, first values, tied weights.
local tensor = require "hflua.tensor"
local embeddings = require "hflua.models.embeddings"
local checkpointing = require "hflua.models.checkpointing"
local errors = require "hflua.errors"
local hub = require "hflua.hub"
local json = require "hflua.core.json"
local options_of = require "hflua.options"
local init = require "hflua.nn.parameter"
local memory = require "hflua.models.memory"
local weight_files = require "hflua.models.weight_files"
local Module = require "hflua.nn.module"

local PreTrainedModel = Module:extend("PreTrainedModel")
for name, value in pairs(embeddings) do PreTrainedModel[name] = value end

-- Options of from_pretrained that are not fields of the configuration.
local loading_options = { config = true, dtype = true, torch_dtype = true, ignore_mismatched_sizes = true,
  quiet = true, device = true, device_map = true, low_cpu_mem_usage = true, attn_implementation = true, trust_remote_code = true }
for _, name in ipairs(hub.place_options) do loading_options[name] = true end

PreTrainedModel.main_input_name = "input_ids"
--- Of labels the host asks which are -100, and nothing else (Trainer's graphs).
PreTrainedModel.asks_which_labels_count = true
--- Field that holds the headless model, "" in the headless model itself.
PreTrainedModel.base_model_prefix = ""
--- Parameters below these prefixes are the task head: a checkpoint may lack them.
PreTrainedModel.head_prefixes = {}
--- Patterns of checkpoint names that carry nothing and are not reported.
PreTrainedModel.ignored_names = { "position_ids$" }

-- Arguments of a call that are no tensors, or need not be.
local call_flags = { output_hidden_states = true, use_cache = true, past_key_values = true, logits_to_keep = true, num_items_in_batch = true, return_dict = true }

-- Error unless `inputs` is a table whose fields are arguments of the model's forward.
local function check_call(model, inputs)
  if type(inputs) ~= "table" then
    errors.raise("%s: expected a table of inputs, { input_ids = ..., attention_mask = ... }, found %s", model.__name, tensor.is_tensor(inputs) and "a tensor" or type(inputs))
  end
  for name, value in pairs(inputs) do
    if model.forward_arguments then options_of.check(model.__name, { [name] = value }, model.forward_arguments) end
    if not call_flags[name] and not tensor.is_tensor(value) then
      errors.raise("%s: %s: expected a tensor, found %s; tokenize with return_tensors=\"pt\"", model.__name, tostring(name), type(value))
    end
  end
end

--- Runs the model: `model{ input_ids = ..., attention_mask = ..., labels = ... }`. Gives the outputs, with a loss when there are labels.
function PreTrainedModel:__call(inputs)
  check_call(self, inputs)
  return self:forward(inputs)
end

-- Error unless `config` is one of this class's configurations.
local function check_config(class, config, where)
  local kind = class.config_class
  if type(config) ~= "table" or config.model_type ~= kind.model_type or not getmetatable(config) then
    errors.raise("%s.%s: config: expected a %s, found %s", class.__name, where, kind.__name,
      type(config) == "table" and config.model_type and "one of model_type " .. tostring(config.model_type) or type(config))
  end
end

--- Draws the first values of one module, as the model's Python class does. A module that needs others has `first_values(std, loading)`.
-- loading: the module is a part that a checkpoint lacks.
function PreTrainedModel:init_module(module, loading)
  local std = self.config.initializer_range
  if module.first_values then
    module:first_values(std, loading)
  elseif module.is_embedding then
    init.normal_(module.weight, 0, std)
    module:zero_padding()
  elseif module.__name == "Linear" then
    init.normal_(module.weight, 0, std)
    if module.bias then init.zeros_(module.bias) end
  elseif module.__name == "LayerNorm" then
    init.constant_(module.weight, 1)
    init.zeros_(module.bias)
  end
end

--- Ends the `init` of every model class: draws first values for the layers that have none yet, after they drew their own
-- defaults. A headless model inside another ends its own `init` first, so that draws come in Python's order.
function PreTrainedModel:post_init()
  if init.is_skipped() then return end
  self:apply(function(module)
    if rawget(module, "has_first_values") then return end
    self:init_module(module)
    rawset(module, "has_first_values", true)
  end)
end

--- A model with random weights from a configuration, in training mode as in Python.
function PreTrainedModel:from_config(config)
  check_config(self, config, "from_config")
  memory.check(self, config, self.config_class.__name)
  return self(config)
end

-- Names of early TensorFlow conversions.
local function modern_name(name) return (name:gsub("gamma$", "weight"):gsub("beta$", "bias")) end

-- Checkpoints of the headless model load into a model with a head and the other way round: adds or drops the prefix.
local function align_prefix(state, model)
  local prefix = model.checkpoint_prefix or model.base_model_prefix
  if prefix == "" then return state end
  local dotted, found = prefix .. ".", false
  for name in pairs(state) do found = found or name:sub(1, #dotted) == dotted end
  local has_prefix, aligned = model.base_model_prefix ~= "", {}
  for name, value in pairs(state) do
    if has_prefix and not found then
      local headed = name
      for _, head in ipairs(model.head_prefixes) do
        if name:sub(1, #head) == head then headed = nil end
      end
      aligned[headed and dotted .. name or name] = value
    elseif not has_prefix and found then
      aligned[name:sub(1, #dotted) == dotted and name:sub(#dotted + 1) or "\0" .. name] = value
    else
      aligned[name] = value
    end
  end
  return aligned
end

local function is_head(model, name)
  for _, prefix in ipairs(model.head_prefixes) do
    if name:sub(1, #prefix) == prefix then return true end
  end
  return false
end

local function is_ignored(model, name)
  for _, pattern in ipairs(model.ignored_names) do
    if name:find(pattern) then return true end
  end
  return false
end

local float_types = { float32 = true, float16 = true, bfloat16 = true }

-- The checkpoint's tensor for a slot; nil when it is of another shape and o.ignore_mismatched_sizes allows that.
local function matching(model, slot, found, path, o)
  if not float_types[found.dtype] then
    errors.raise("%s: tensor %q: expected floating-point numbers, found %s", path, slot.name, found.dtype)
  end
  local ok, message = pcall(Module.check_shape, slot.name, slot.tensor, found)
  if ok then return found end
  if not o.ignore_mismatched_sizes then
    errors.raise("%s: %s; %s", path, message:gsub("^.-: ", ""), is_head(model, slot.name) and "ignore_mismatched_sizes=true starts this head anew"
      or "is config.json the one of this checkpoint?")
  end
  slot.mismatched = true
end

-- Names of the checkpoint that no parameter took, sorted.
local function unused_names(model, state, used)
  local unused = {}
  for name in pairs(state) do
    if not used[name] and not is_ignored(model, name) then unused[#unused + 1] = (name:gsub("^%z", "")) end
  end
  table.sort(unused)
  return unused
end

-- Gives every parameter its tensor from the checkpoint (no copy: the file stays mapped). Returns the slots that got none
-- and the names that were not used, both sorted.
local function fill(model, state, path, o)
  local new, used, placed = {}, {}, {}
  for _, slot in ipairs(model:slots()) do
    local found = state[slot.name]
    used[slot.name] = true
    if found and not placed[slot.tensor] then
      found = matching(model, slot, found, path, o)
      if found then placed[slot.tensor] = init.Parameter(found:to(o.dtype or found.dtype)) end
    end
    if placed[slot.tensor] then rawset(slot.owner, slot.key, placed[slot.tensor])
    else new[#new + 1] = slot end
  end
  return new, unused_names(model, state, used)
end

-- Real memory and first values for the parameters the checkpoint lacks, module by module in the model's order.
local function start_anew(model, new, path, dtype)
  local fresh = {}
  for _, slot in ipairs(new) do
    if not slot.mismatched and not is_head(model, slot.name) then
      errors.raise("%s: tensor %q: not found, and it is no part of a task head; is config.json the one of this checkpoint?", path, slot.name)
    end
    rawset(slot.owner, slot.key, init.new(slot.tensor.shape))
    fresh[slot.owner] = true
  end
  model:apply(function(module) if fresh[module] then model:init_module(module, true) end end)
  if not dtype then return end
  for _, slot in ipairs(new) do rawset(slot.owner, slot.key, init.Parameter(rawget(slot.owner, slot.key):detach():to(dtype))) end
end

local function quote_list(names) return "['" .. table.concat(names, "', '") .. "']" end

local function report(model, source, new, unused)
  local class, names = model.__name, {}
  for i, slot in ipairs(new) do names[i] = slot.name end
  table.sort(names)
  if #unused > 0 then
    io.stderr:write(("Some weights of the checkpoint at %s were not used when initializing %s: %s\n"):format(source, class, quote_list(unused)))
  end
  if #names > 0 then
    io.stderr:write(("Some weights of %s were not initialized from the model checkpoint at %s and are newly initialized: %s\n"
      .. "You should probably TRAIN this model on a down-stream task to be able to use it for predictions and inference.\n"):format(class, source, quote_list(names)))
  end
end

local function split_options(class, options)
  if options ~= nil and type(options) ~= "table" then errors.raise("%s.from_pretrained: options: expected a table, found %s", class.__name, type(options)) end
  local o, fields = {}, {}
  for name, value in pairs(options or {}) do
    if loading_options[name] then o[name] = value else fields[name] = value end
  end
  o.dtype = o.dtype or o.torch_dtype or "float32"
  if o.dtype ~= "auto" and not float_types[o.dtype] then
    errors.raise("%s.from_pretrained: dtype: expected float32, float16, bfloat16 or auto, found %s", class.__name, tostring(o.dtype))
  end
  if o.dtype == "auto" then o.dtype = nil end
  return o, fields
end

-- Options that overwrite the configuration must be fields of it.
local function check_fields(class, config, fields)
  local known = {}
  for name in pairs(loading_options) do known[#known + 1] = name end
  for _, field in ipairs { "num_labels", "id2label", "label2id", "problem_type", "output_hidden_states", "classifier_dropout", "pack", "pad_token_id" } do known[#known + 1] = field end
  for name in pairs(config) do known[#known + 1] = name end
  for _, field in ipairs(class.config_class.fields) do known[#known + 1] = field[1] end
  options_of.check(class.__name .. ".from_pretrained", fields, known)
end

--- A model from a folder or a name on the Hub.
-- options: fields of the configuration (num_labels, hidden_dropout_prob ...), config (instead of the folder's), dtype
-- ("float32" by default, "bfloat16", "auto": as in the file), ignore_mismatched_sizes, quiet; revision, cache_dir, token, force_download, local_files_only.
-- Weights the checkpoint lacks (the task head only) are drawn anew and named; weights it has in excess are named too.
function PreTrainedModel:from_pretrained(source, options)
  local o, fields = split_options(self, options)
  if type(source) ~= "string" then errors.raise("%s.from_pretrained: expected a folder or a name, found %s", self.__name, type(source)) end
  local files = hub.open(source, hub.place(o, "model"))
  local path = o.config and source or files:need("config.json")
  if o.config then check_config(self, o.config, "from_pretrained") end
  local config = o.config and o.config:clone() or self.config_class.from_dict(files:reading(function() return json.load_file(files:need("config.json")) end), path)
  check_fields(self, config, fields)
  config:update(fields):check(path)
  rawset(config, "name_or_path", source)
  memory.check(self, config, path)
  local state = files:reading(function() return weight_files.load(files) end)
  local folder, renamed = files.folder, {}
  for name, value in pairs(state) do renamed[modern_name(name)] = value end
  local model = init.skip(function() return self(config) end)
  state = align_prefix(model:adapt_state(renamed), model)
  local new, unused = fill(model, state, folder, o)
  start_anew(model, new, folder, o.dtype)
  if not o.quiet then report(model, source, new, unused) end
  if model:can_generate() then
    files:file("generation_config.json")
    rawset(model, "generation_config", require("hflua.generation.config").of_folder(folder, config))
  end
  return model:eval()
end

--- Renames or drops entries of a checkpoint before they are matched; models override it.
function PreTrainedModel:adapt_state(state) return state end

--- Writes config.json and model.safetensors (new files, renamed into place) for hflua and transformers.
-- {max_shard_size="5GB"}: weights that take more go into several files with an index.
function PreTrainedModel:save_pretrained(folder, options)
  options_of.check("save_pretrained", options, { "max_shard_size", "safe_serialization" })
  require("hflua.core.system").makedirs(folder)
  local config = self.config:clone()
  config.architectures = json.array { self.__name }
  config.dtype = self:parameters()[1].dtype
  config:save_pretrained(folder)
  local entries = {}
  for _, iterate in ipairs { self.named_parameters, self.named_buffers } do
    for name, value in iterate(self) do entries[#entries + 1] = { name = name, tensor = value:detach() } end
  end
  weight_files.save(entries, folder, options and options.max_shard_size)
  if self:can_generate() then require("hflua.generation.generate").config_of(self):save_pretrained(folder) end
end

--- Has the model an output for the next token, and a cache?
function PreTrainedModel:can_generate()
  return rawget(self, "lm_head") ~= nil and table.concat(self.forward_arguments or {}, " "):find("past_key_values", 1, true) ~= nil
end

--- Tokens behind a prompt: see generation/generate.lua.
function PreTrainedModel:generate(inputs, options) return require("hflua.generation.generate").generate(self, inputs, options) end

--- The same as an iterator over pieces of text.
function PreTrainedModel:stream(inputs, options) return require("hflua.generation.generate").stream(self, inputs, options) end

local function set_checkpointing(model, on)
  if not checkpointing.set(model, on) then errors.raise("%s: there is no list of layers to checkpoint", model.__name) end
  rawset(model, "is_gradient_checkpointing", on)
end

--- From here on layers keep no activations in training: they are made again in the backward (checkpointing.lua). The settings of
-- Python's torch.utils.checkpoint (use_reentrant, preserve_rng_state) are taken and change nothing.
function PreTrainedModel:gradient_checkpointing_enable(settings)
  options_of.check("gradient_checkpointing_enable", settings, { "gradient_checkpointing_kwargs", "use_reentrant", "preserve_rng_state", "determinism_check" })
  set_checkpointing(self, true)
end

--- Layers keep their activations again.
function PreTrainedModel:gradient_checkpointing_disable() set_checkpointing(self, false) end

--- Classes are called with a dot in Hugging Face's examples, `Class.from_pretrained(name)`: gives the class both spellings.
function PreTrainedModel.publish(class)
  local load, build = PreTrainedModel.from_pretrained, PreTrainedModel.from_config
  rawset(class, "from_pretrained", function(first, ...)
    if rawequal(first, class) then return load(class, ...) end
    return load(class, first, ...)
  end)
  rawset(class, "from_config", function(first, ...)
    if rawequal(first, class) then return build(class, ...) end
    return build(class, first, ...)
  end)
  return class
end

return PreTrainedModel
