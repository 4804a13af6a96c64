--- Adapters: golden/lora (logits, gradients, six steps, merged weights), first values of peft, files, Trainer.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local golden = require "golden"
local hf = require "hflua"
local files = require "hflua.core.files"
local tensor = hf.tensor

local classes = { gpt2 = "GPT2LMHeadModel", gpt2_rslora_all = "GPT2LMHeadModel", bert = "BertForSequenceClassification" }

local function folder(name)
  local path = os.tmpname()
  os.remove(path)
  return path .. "-" .. name
end

local function base_model(case, expected)
  return hf.models[classes[case]].from_pretrained(golden.folder(expected.base), { quiet = true })
end

local function file_name(name) return (name:gsub("%.default%.", "."):gsub("%.modules_to_save%.", ".")) end

local function trained(model)
  local list = {}
  for name, p in model:named_parameters() do
    if p.requires_grad then list[#list + 1] = { name = file_name(name), tensor = p } end
  end
  return list
end

-- An adapted model in evaluation mode whose adapter is trained, with the reference numbers.
local function load(case)
  local path = golden.folder("lora/" .. case)
  if not path then return end
  local expected, io = hf.json.load_file(path .. "/expected.json"), hf.safetensors.load_file(path .. "/io.safetensors")
  if not golden.folder(expected.base) then return end
  return hf.PeftModel.from_pretrained(base_model(case, expected), path, { is_trainable = true }):eval(), expected, io, path
end

local function check_gradients(model, expected, io)
  local out = model(golden.inputs_of(io, "in"))
  t.near(out.loss:item(), expected.loss, 1e-5)
  golden.close_where(out.logits, io["out.logits"], io["in.attention_mask"], 1e-5, "logits")
  out.loss:backward()
  for _, p in ipairs(trained(model)) do
    local want = io["grad." .. p.name]
    golden.close(p.tensor.grad, want, 1e-5 * want:abs():max():item(), p.name)
  end
  for name, p in model:named_parameters() do assert(p.requires_grad or not p.grad, name .. " is frozen") end
end

local function check_training(model, expected, base)
  local steps = hf.safetensors.load_file(golden.folder(base) .. "/io.safetensors")
  local parameters = {}
  for i, p in ipairs(trained(model)) do parameters[i] = p.tensor end
  local optimizer = hf.AdamW(parameters, { lr = 1e-2, weight_decay = 0.01 })
  model:zero_grad()
  for step, want in ipairs(expected.training.losses) do
    local loss = model(golden.inputs_of(steps, "train", step)).loss
    loss:backward()
    t.near(hf.nn.utils.clip_grad_norm_(parameters, 1.0):item(), expected.training.grad_norms[step], 1e-4)
    optimizer:step()
    optimizer:zero_grad()
    t.near(loss:item(), want, 2e-5)
  end
end

for case in pairs(classes) do
  local model, expected, io, path = load(case)
  if not model then t.skip("golden/lora/" .. case, "HFLUA_SHARED does not name the reference data")
  else
    t.test(case .. ": logits and gradients", function()
      check_gradients(model, expected, io)
      local count, numbers = 0, model:get_nb_trainable_parameters()
      for name, shape in pairs(expected.trainable) do
        count = count + 1
        t.same(io["grad." .. name].shape, shape)
      end
      t.same(#trained(model), count)
      t.same(numbers, expected.trainable_values)
      local plain = model:disable_adapter(function() return model(golden.inputs_of(io, "in")).loss:item() end)
      t.near(plain, expected.loss_without_adapter, 1e-5)
    end)
    t.test(case .. ": six steps", function()
      check_training(model, expected, expected.base)
      for _, p in ipairs(trained(model)) do golden.close(p.tensor, io["final." .. p.name], 1e-5, p.name) end
    end)
    t.test(case .. ": merged", function()
      local again = hf.PeftModel.from_pretrained(base_model(case, expected), path)
      again:merge_adapter()
      t.near(again(golden.inputs_of(io, "in")).loss:item(), expected.merged_loss, 1e-5)
      again:unmerge_adapter()
      local merged = again:merge_and_unload()
      golden.close_where(merged(golden.inputs_of(io, "in")).logits, io["merged.logits"], io["in.attention_mask"], 1e-5, "logits")
      local state = merged:state_dict()
      for _, name in ipairs(expected.merged_names) do golden.close(state[name], io["merged." .. name], 1e-6, name) end
      t.same(tostring(merged), tostring(base_model(case, expected)))
    end)
  end
end

-- ---- without reference data

local function tiny_bert()
  hf.set_seed(3)
  return hf.BertForSequenceClassification.from_config(hf.BertConfig { vocab_size = 40, hidden_size = 16, num_hidden_layers = 2, num_attention_heads = 2,
    intermediate_size = 24, max_position_embeddings = 16, num_labels = 2 })
end

local function tiny_llama()
  hf.set_seed(3)
  return hf.LlamaForCausalLM.from_config(hf.LlamaConfig { vocab_size = 40, hidden_size = 16, num_hidden_layers = 2, num_attention_heads = 2,
    num_key_value_heads = 1, intermediate_size = 24, max_position_embeddings = 32 })
end

local function names_of(model)
  local names = {}
  for i, p in ipairs(trained(model)) do names[i] = p.name:gsub("^base_model%.model%.", "") end
  return names
end

t.test("targets: endings, an expression, all linear layers, some of the layers", function()
  local function targets(config)
    local model = hf.get_peft_model(tiny_llama(), hf.LoraConfig(config))
    local found = {}
    for _, name in ipairs(names_of(model)) do found[#found + 1] = name:match "^model%.layers%.(.*)%.lora_A%.weight$" end
    return table.concat(found, " ")
  end
  t.same(targets { target_modules = { "q_proj" } }, "0.self_attn.q_proj 1.self_attn.q_proj")
  t.same(targets {}, "0.self_attn.q_proj 0.self_attn.v_proj 1.self_attn.q_proj 1.self_attn.v_proj")
  t.same(targets { target_modules = [[.*\.1\.self_attn\.(q|o)_proj]] }, "1.self_attn.q_proj 1.self_attn.o_proj")
  t.same(targets { target_modules = { "down_proj" }, layers_to_transform = 1 }, "1.mlp.down_proj")
  t.same(targets { target_modules = { "q_proj", "k_proj" }, exclude_modules = { "layers.0.self_attn.q_proj" } }, "0.self_attn.k_proj 1.self_attn.q_proj 1.self_attn.k_proj")
  t.same(select(2, targets { target_modules = "all-linear" }:gsub("proj", "")), 14)
end)

t.test("ranks and scales by pattern, and with use_rslora", function()
  local model = hf.get_peft_model(tiny_llama(), hf.LoraConfig { r = 2, lora_alpha = 6, target_modules = { "q_proj", "v_proj" }, rank_pattern = { q_proj = 4 },
    alpha_pattern = { [ [[layers\.1\.self_attn\.v_proj]] ] = 10 } })
  local layers = model:get_base_model().model.layers
  t.same(layers[1].self_attn.q_proj.lora_A.default.weight.shape, { 4, 16 })
  t.same(layers[1].self_attn.q_proj.scaling.default, 1.5)
  t.same(layers[1].self_attn.v_proj.scaling.default, 3.0)
  t.same(layers[2].self_attn.v_proj.scaling.default, 5.0)
  local rooted = hf.get_peft_model(tiny_llama(), hf.LoraConfig { r = 4, lora_alpha = 6, use_rslora = true, target_modules = { "q_proj" } })
  t.same(rooted:get_base_model().model.layers[1].self_attn.q_proj.scaling.default, 3.0)
end)

t.test("a new adapter changes nothing; biases and whole modules are trained where asked for", function()
  local ids = { input_ids = tensor.tensor({ { 1, 2, 3 } }, { dtype = "int64" }) }
  local base = tiny_llama():eval()
  local before = base(ids).logits
  local model = hf.get_peft_model(base, hf.LoraConfig { r = 2, target_modules = { "q_proj" }, modules_to_save = { "lm_head" } })
  golden.close(model(ids).logits, before, 0, "logits")
  assert(table.concat(names_of(model), " "):find("lm_head.weight", 1, true), "the output layer is trained")
  tensor.no_grad(function() model:get_base_model().lm_head.weight:mul_(2) end)
  golden.close(model(ids).logits, before * 2, 1e-6, "twice")
  golden.close(model:disable_adapter(function() return model(ids).logits end), before, 0, "without the adapter")
  golden.close(model:unload()(ids).logits, before, 0, "unloaded")
  local biased = hf.get_peft_model(tiny_bert(), hf.LoraConfig { r = 2, bias = "lora_only", task_type = "SEQ_CLS" })
  local text = table.concat(names_of(biased), " ")
  assert(text:find("layer.0.attention.self.query.base_layer.bias", 1, true) and text:find("classifier.bias", 1, true), text)
  assert(not text:find("key", 1, true), text)
end)

t.test("several adapters in one model", function()
  local ids = { input_ids = tensor.tensor({ { 1, 2, 3 } }, { dtype = "int64" }) }
  local model = hf.get_peft_model(tiny_llama():eval(), hf.LoraConfig { r = 2, init_lora_weights = false })
  local first = model(ids).logits
  model:add_adapter("other", hf.LoraConfig { r = 3, init_lora_weights = false })
  golden.close(model(ids).logits, first, 0, "the first stays in use")
  model:set_adapter "other"
  assert((model(ids).logits - first):abs():max():item() > 1e-3, "the other gives other logits")
  local place = folder "two"
  model:save_pretrained(place)
  model:set_adapter "default"
  golden.close(model(ids).logits, first, 0, "back")
  local again = hf.PeftModel.from_pretrained(tiny_llama():eval(), place)
  again:load_adapter(place .. "/other", "second")
  golden.close(again(ids).logits, first, 0, "from the folder")
  again:set_adapter "second"
  model:set_adapter "other"
  golden.close(again(ids).logits, model(ids).logits, 0, "the second from the folder")
  files.remove(place)
end)

local function rows()
  local list = {}
  for i = 1, 12 do list[i] = { input_ids = { i, i + 1, i % 5 + 2 }, attention_mask = { 1, 1, 1 }, label = i % 2 } end
  return list
end

local function run(place, options)
  local model = hf.get_peft_model(tiny_bert(), hf.LoraConfig { r = 2, lora_dropout = 0.1, task_type = "SEQ_CLS" })
  local args = { output_dir = place, num_train_epochs = 2, per_device_train_batch_size = 4, save_steps = 3, save_strategy = "steps", disable_tqdm = true, learning_rate = 1e-2 }
  local tr = hf.Trainer { model = model, args = hf.TrainingArguments(args), train_dataset = hf.datasets.Dataset.from_list(rows()) }
  tr:train(options)
  return model
end

t.test("Trainer saves adapters alone, and resumes them to the bit", function()
  local place = folder "trainer"
  local whole = run(place)
  assert(files.type(place .. "/checkpoint-3/adapter_model.safetensors") == "file", "adapter_model.safetensors")
  assert(files.type(place .. "/checkpoint-3/model.safetensors") == nil, "no model.safetensors")
  local resumed = run(place, { resume_from_checkpoint = place .. "/checkpoint-3" })
  for i, p in ipairs(trained(resumed)) do golden.close(p.tensor, trained(whole)[i].tensor, 0, p.name) end
  files.remove(place)
end)

t.test("what cannot be adapted is said", function()
  local function try(config, model)
    return function() hf.get_peft_model(model or tiny_llama(), hf.LoraConfig(config)) end
  end
  t.raises(try { target_modules = { "q_porj" } }, "unknown module 'q_porj' (did you mean 'q_proj'?)")
  t.raises(try { target_modules = { "lm_head" } }, "lm_head is the output layer of LlamaForCausalLM, whose loss is made in chunks from its weight; train it whole with modules_to_save")
  t.raises(try { target_modules = { "embed_tokens" } }, "embed_tokens: expected a Linear or Conv1D layer, found Embedding")
  t.raises(try { target_modules = "q_.*" }, "no module of LlamaForCausalLM has a name")
  t.raises(try { r = 0 }, "r: expected a whole number of at least 1, found 0")
  t.raises(try { rank = 4 }, "unknown option 'rank'")
  t.raises(try { use_dora = true }, "use_dora: expected false, found true: not built here")
  t.raises(try { lora_dropout = 1.5 }, "lora_dropout: expected a number in 0 .. 1")
  t.raises(try { layers_pattern = "layers" }, "only of use with layers_to_transform")
  t.raises(function() hf.PeftModel.from_pretrained(tiny_llama(), "/nowhere") end, "/nowhere")
  local place = folder "wrong"
  hf.get_peft_model(tiny_llama(), hf.LoraConfig { r = 2 }):save_pretrained(place)
  t.raises(function() hf.PeftModel.from_pretrained(tiny_bert(), place) end, "unknown module 'q_proj'")
  local config = hf.json.load_file(place .. "/adapter_config.json")
  config.r = 3
  files.write(place .. "/adapter_config.json", hf.json.encode(config))
  t.raises(function() hf.PeftModel.from_pretrained(tiny_llama(), place) end, "adapter_model.safetensors: tensor \"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight\": expected shape [3, 16], found [2, 16]")
  files.remove(place)
end)

t.finish()
