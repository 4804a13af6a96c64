--- Causal decoders: rotary positions, first values, padding and packed rows, losses, resizing, files.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local golden = require "golden"
local hf = require "hflua"
local files = require "hflua.core.files"
local rope = require "hflua.models.rope"
local tensor, models = hf.tensor, hf.models

local expected = golden.json "decoders/expected.json"

local function table_of(rows, dtype) return tensor.tensor(rows, { dtype = dtype }) end

local function build(case)
  local kind = models.AutoConfig.for_model(case.config.model_type, { num_labels = case.num_labels })
  local config = getmetatable(kind).class.from_dict(case.config)
  hf.set_seed(7)
  return models[case.class](config)
end

local function gpt2(fields)
  local c = { vocab_size = 48, n_embd = 32, n_layer = 2, n_head = 4, n_positions = 32 }
  for name, value in pairs(fields or {}) do c[name] = value end
  return hf.GPT2Config(c)
end

local function llama(fields)
  local c = { vocab_size = 48, hidden_size = 32, intermediate_size = 40, num_hidden_layers = 2, num_attention_heads = 4, num_key_value_heads = 2, max_position_embeddings = 32 }
  for name, value in pairs(fields or {}) do c[name] = value end
  return hf.LlamaConfig(c)
end

local function seeded(class, config)
  hf.set_seed(3)
  return class(config):eval()
end

local both = { GPT2 = function() return seeded(hf.GPT2LMHeadModel, gpt2()) end, Llama = function() return seeded(hf.LlamaForCausalLM, llama()) end }

-- ---- against transformers

for name, case in pairs(expected.ropes) do
  t.test("rotary positions: " .. name, function()
    for _, form in ipairs { "rope_parameters", "rope_scaling" } do
      local given = { [form] = case.parameters }
      for _, row in ipairs(case.rows) do
        local cosine, sine = rope.angles(rope.parameters(llama(given), 8, "here"), tensor.tensor(row.positions))
        golden.close(cosine, table_of(row.cosine), 3e-6, form .. ": cosine")
        golden.close(sine, table_of(row.sine), 3e-6, form .. ": sine")
      end
    end
  end)
end

t.test("an unknown kind of rotary positions, and one without its numbers, are errors", function()
  t.raises(function() llama { rope_parameters = { rope_type = "yarm" } } end, "did you mean 'yarn'")
  t.raises(function() llama { rope_parameters = { rope_type = "llama3", factor = 8 } } end, "low_freq_factor: expected a number")
  t.raises(function() llama { rope_parameters = { rope_type = "longrope", short_factor = { 1, 2 }, long_factor = { 1, 2, 3, 4 } } } end, "short_factor: expected 4 numbers, found 2")
end)

local function check_parameters(model, case)
  local seen = 0
  for name, p in model:named_parameters() do
    local want, flat = assert(case.parameters[name], name), p:detach():reshape(-1)
    t.near(flat[1]:item(), want[2], 3e-8, 0, name .. ": first value")
    t.near(flat[flat:numel()]:item(), want[3], 3e-8, 0, name .. ": last value")
    t.near(flat:sum():item(), want[1], 1e-5, 1e-6, name .. ": sum")
    seen = seen + 1
  end
  for _ in pairs(case.parameters) do seen = seen - 1 end
  t.same(seen, 0)
  t.near(tensor.rand({ 1 }):item(), case.next, 1e-9, 0, "the next random number")
end

for i, case in ipairs(expected.models) do
  t.test(("%s (%d): first values, and printed as PyTorch prints it"):format(case.class, i), function()
    local model = build(case)
    check_parameters(model, case)
    t.same(tostring(model), case.printed)
    t.same(model:num_parameters(), case.count)
    t.same(model:num_parameters { exclude_embeddings = true }, case.without_embeddings)
  end)
end

for _, case in ipairs(expected.resized) do
  t.test(("%s: %d rows in the embeddings"):format(case.class, case.rows), function()
    local model = build(case)
    local module = model:resize_token_embeddings(case.rows, { pad_to_multiple_of = case.pad_to_multiple_of ~= hf.null and case.pad_to_multiple_of or nil, mean_resizing = false })
    check_parameters(model, case)
    t.same(model.config.vocab_size, module.weight.shape[1])
    t.same(model:num_parameters(), case.count)
    local ids = table_of({ { 1, module.num_embeddings - 1 } })
    t.same(model { input_ids = ids }.logits.shape[3], module.num_embeddings)
    t.raises(function() model { input_ids = table_of({ { module.num_embeddings } }) } end, "resize_token_embeddings")
  end)
end

for _, case in ipairs(expected.packed) do
  t.test(case.class .. ": several sequences in one row do not see each other", function()
    local model = build(case):eval()
    local inputs = { input_ids = table_of(case.ids), position_ids = table_of(case.positions), labels = table_of(case.labels) }
    local out = model(inputs)
    t.near(out.loss:item(), case.loss, 0, 1e-5, "loss")
    golden.close(out.logits[1], table_of(case.logits), 1e-5, "logits")
    inputs.num_items_in_batch = 10
    t.near(model(inputs).loss:item(), case.loss_over_10, 0, 1e-5, "loss over 10 items")
    local alone = model { input_ids = table_of { { 8, 9, 10, 11 } } }.logits
    golden.close(out.logits:narrow(1, 3, 4), alone, 1e-6, "the second sequence alone")
    model.config.pack = false
    golden.close(model(inputs).logits, out.logits, 1e-6, "every position computed")
  end)
end

-- ---- padding, losses

local function padded(side)
  local ids, mask = { { 5, 6, 7, 8, 9 }, { 5, 6, 7, 8, 9 } }, { { 1, 1, 1, 1, 1 }, { 1, 1, 1, 0, 0 } }
  if side == "left" then ids[2], mask[2] = { 0, 0, 5, 6, 7 }, { 0, 0, 1, 1, 1 } end
  return table_of(ids), table_of(mask)
end

for name, make in pairs(both) do
  t.test(name .. ": padding on either side changes no result, and is zero in it", function()
    local model = make()
    local alone = model { input_ids = table_of { { 5, 6, 7 } } }.logits
    for _, side in ipairs { "right", "left" } do
      local ids, mask = padded(side)
      local positions = (mask:cumsum { dim = 1 } - 1):clamp { min = 0 }
      local out = model { input_ids = ids, attention_mask = mask, position_ids = positions, output_hidden_states = true }
      local first = side == "left" and 2 or 0
      golden.close(out.logits[2]:narrow(0, first, 3), alone[1], 2e-6, side)
      t.same(out.logits[2]:narrow(0, first == 2 and 0 or 3, 2):abs():max():item(), 0.0)
      t.same(#out.hidden_states, 3)
      model.config.pack = false
      local whole = model { input_ids = ids, attention_mask = mask, position_ids = positions }
      golden.close(whole.logits[2]:narrow(0, first, 3), alone[1], 2e-6, side .. ", every position computed")
      model.config.pack = nil
    end
  end)

  t.test(name .. ": without position ids, positions are columns", function()
    local model = make()
    local ids, mask = padded "left"
    local columns = table_of { { 0, 1, 2, 3, 4 } }
    golden.close(model { input_ids = ids, attention_mask = mask }.logits, model { input_ids = ids, attention_mask = mask, position_ids = columns }.logits, 0, "logits")
  end)

  t.test(name .. ": the loss is the mean over the labels that are predicted", function()
    local model = make()
    local ids, mask = padded "right"
    local labels = table_of { { -100, 6, -100, 8, 9 }, { 5, 6, 7, -100, -100 } }
    local out = model { input_ids = ids, attention_mask = mask, labels = labels }
    local logits, sum = out.logits, 0
    for _, at in ipairs { { 1, 0, 6 }, { 1, 2, 8 }, { 1, 3, 9 }, { 2, 0, 6 }, { 2, 1, 7 } } do
      sum = sum - logits[at[1]]:select(0, at[2]):reshape(1, -1):log_softmax { dim = -1 }:reshape(-1)[at[3] + 1]:item()
    end
    t.near(out.loss:item(), sum / 5, 1e-5, 0, "mean")
    t.near(model { input_ids = ids, attention_mask = mask, labels = labels, num_items_in_batch = tensor.tensor(8) }.loss:item(), sum / 8, 1e-5, 0, "sum over 8")
  end)

  t.test(name .. ": a label behind padding is predicted from the padding", function()
    local model = make()
    local ids, mask = padded "right"
    local out = model { input_ids = ids, attention_mask = mask, labels = ids }
    model.config.pack = false
    t.near(out.loss:item(), model { input_ids = ids, attention_mask = mask, labels = ids }.loss:item(), 0, 1e-6, "loss")
  end)

  t.test(name .. ": logits of the last columns only; embeddings in place of ids", function()
    local model = make()
    local ids, mask = padded "left"
    local all = model { input_ids = ids, attention_mask = mask }.logits
    golden.close(model { input_ids = ids, attention_mask = mask, logits_to_keep = 2 }.logits, all:narrow(1, 3, 2), 1e-6, "logits_to_keep")
    local embeds = model:get_input_embeddings()(ids)
    golden.close(model { inputs_embeds = embeds, attention_mask = mask }.logits, all, 1e-6, "inputs_embeds")
    t.raises(function() model { inputs_embeds = embeds, input_ids = ids } end, "found both")
    t.raises(function() model { input_ids = ids, logits_to_keep = -1 } end, "logits_to_keep")
  end)

  t.test(name .. ": the embeddings and the output layer are found; the mean begins new rows", function()
    local model = make()
    t.same(model:get_output_embeddings(), model.lm_head)
    local before = model:get_input_embeddings().weight:detach():clone()
    model:resize_token_embeddings(50)
    local weight = model:get_input_embeddings().weight:detach()
    golden.close(weight:narrow(0, 0, 48), before, 0, "old rows")
    golden.close(weight:narrow(0, 49, 1), before:mean { dim = 0, keepdim = true }, 1e-7, "a new row")
    t.same(rawequal(model.lm_head.weight, model:get_input_embeddings().weight), name == "GPT2")
    t.same(model.lm_head.weight.shape[1], 50)
  end)
end

t.test("heads of other models keep their bias over the vocabulary when it grows", function()
  local model = hf.BertForMaskedLM(hf.BertConfig { vocab_size = 20, hidden_size = 8, num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 8 })
  model:resize_token_embeddings(24)
  t.same(model:eval() { input_ids = table_of { { 23, 1 } } }.logits.shape[3], 24)
end)

t.test("one result for a row: of the last token that is not padding", function()
  local model = seeded(hf.GPT2ForSequenceClassification, gpt2 { num_labels = 3 })
  t.raises(function() model { input_ids = table_of { { 1, 2 }, { 3, 4 } } } end, "Cannot handle batch sizes > 1 if no padding token is defined.")
  local alone = model { input_ids = table_of { { 5, 6, 7 } } }.logits
  model.config.pad_token_id = 0
  local out = model { input_ids = table_of { { 5, 6, 7, 0 }, { 5, 6, 7, 8 } }, attention_mask = table_of { { 1, 1, 1, 0 }, { 1, 1, 1, 1 } }, labels = table_of { 1, 2 } }
  golden.close(out.logits:narrow(0, 0, 1), alone, 1e-6, "logits")
  out.loss:backward()
end)

t.test("rows longer than a sliding window are refused, shorter ones are not touched by it", function()
  local fields = { vocab_size = 48, hidden_size = 32, intermediate_size = 40, num_hidden_layers = 1, num_attention_heads = 4, num_key_value_heads = 2, sliding_window = 4 }
  local model = seeded(hf.MistralForCausalLM, hf.MistralConfig(fields))
  t.same(model { input_ids = table_of { { 1, 2, 3, 4 } } }.logits.shape[2], 4)
  t.raises(function() model { input_ids = table_of { { 1, 2, 3, 4, 5 } } } end, "sliding_window 4")
  fields.use_sliding_window = true
  t.raises(function() seeded(hf.Qwen2ForCausalLM, hf.Qwen2Config(fields)) { input_ids = table_of { { 1, 2, 3, 4, 5 } } } end, "sliding_window 4")
end)

-- ---- files, names

local function folder()
  local path = os.tmpname()
  os.remove(path)
  return path
end

t.test("GPT-2 in shards: written with an index, read back, replaced by one file", function()
  local path, model = folder(), both.GPT2()
  model:save_pretrained(path, { max_shard_size = "10KB" })
  local names = files.list(path)
  t.same(names[#names], "model.safetensors.index.json")
  local index = hf.json.load_file(path .. "/model.safetensors.index.json")
  t.same(index.metadata.total_size, 4 * model:num_parameters())
  t.same(index.metadata.total_parameters, model:num_parameters())
  local ids = table_of { { 1, 2, 3 } }
  golden.close(hf.AutoModelForCausalLM.from_pretrained(path, { quiet = true }) { input_ids = ids }.logits, model { input_ids = ids }.logits, 0, "logits")
  model:save_pretrained(path)
  t.same(files.list(path), { "config.json", "generation_config.json", "model.safetensors" })
  t.raises(function() model:save_pretrained(path, { max_shard_size = "10 elephants" }) end, "max_shard_size")
  files.remove(path)
end)

t.test("a headless checkpoint finds its place in a model with a head", function()
  local path = folder()
  local model = both.GPT2()
  model.transformer:save_pretrained(path)
  local again = hf.GPT2LMHeadModel.from_pretrained(path, { quiet = true })
  local ids = table_of { { 1, 2, 3 } }
  golden.close(again { input_ids = ids }.logits, model { input_ids = ids }.logits, 0, "logits")
  files.remove(path)
end)

local capp = (os.getenv "HFLUA_SHARED" or "") .. "/data/checkpoints/capp-gpt2"
if t.exists(capp .. "/model.safetensors") then
  t.test("a trained GPT-2 gives transformers' logits", function()
    local model = hf.AutoModelForCausalLM.from_pretrained(capp)
    local reference = hf.safetensors.load_file(golden.path "capp_gpt2/logits.safetensors")
    local count = 0
    for name, ids in pairs(reference) do
      local key = name:match "^ids%.(.*)"
      if key then
        golden.close(model { input_ids = ids:reshape(1, -1) }.logits, reference["logits." .. key]:reshape(1, ids:numel(), -1), 3e-5, key)
        count = count + 1
      end
    end
    t.same(count, 3)
  end)
else
  t.skip("a trained GPT-2 gives transformers' logits", "needs ../shared/data/checkpoints/capp-gpt2")
end

t.test("classes that there are not are errors with the nearest name", function()
  t.raises(function() return hf.GPT3Model end, "unknown class 'GPT3Model' (did you mean 'GPT2Model'?)")
  t.raises(function() return hf.LamaForCausalLM end, "did you mean 'LlamaForCausalLM'?")
  t.same(hf.DataCollatorForNothing, nil)
end)

t.test("a resumed run of a decoder goes on to the bit", function()
  local tiny = dofile(t.dir .. "/lib/tiny.lua")
  local rows = {}
  for i = 1, 12 do rows[i] = { input_ids = { 1 + i, 2 + i, 3 + i, 4 }, labels = { 1 + i, 2 + i, 3 + i, 4 } } end
  local path = folder()
  local function run(steps, resume)
    local model = seeded(hf.GPT2LMHeadModel, gpt2 { attn_pdrop = 0.2, resid_pdrop = 0.2, embd_pdrop = 0.2 })
    local trainer = tiny.trainer({ output_dir = path, max_steps = 6, save_strategy = "steps", save_steps = 3 },
      { model = model, train_dataset = rows, data_collator = hf.trainer.default_data_collator })
    if steps then trainer:add_callback { on_step_end = function(_, args, state, control) control.should_training_stop = state.global_step == steps end } end
    trainer:train(resume and { resume_from_checkpoint = true } or nil)
    return tiny.weights(model)
  end
  local whole = run()
  files.remove(path)
  run(3)
  t.same(run(nil, true), whole)
  files.remove(path)
end)
t.finish()
