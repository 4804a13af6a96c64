--- model:generate: arguments, configuration, caches, criteria, streamers; the sequences themselves are in test_generate_golden.lua.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local golden = require "golden"
local program = require "program"
local tensor, models = hf.tensor, hf.models

local function new_model()
  tensor.manual_seed(7)
  return models.GPT2LMHeadModel.from_config(models.GPT2Config { vocab_size = 30, n_positions = 32, n_embd = 16, n_layer = 2, n_head = 2,
    initializer_range = 0.3, bos_token_id = 1, eos_token_id = 2 }):eval()
end

local model = new_model()
local NO_END = { eos_token_id = hf.null, max_new_tokens = 6 }
local function with(options, more)
  local all = {}
  for _, source in ipairs { options, more or {} } do
    for name, value in pairs(source) do all[name] = value end
  end
  return all
end
local function generate(inputs, more) return model:generate(inputs, with(NO_END, more)) end

t.test("prompts are tensors, lists or named inputs", function()
  local ids = tensor.tensor({ { 3, 4, 5 } }, { dtype = "int64" })
  local expected = generate(ids):tolist()
  t.same(#expected[1], 9)
  t.same(generate({ 3, 4, 5 }):tolist(), expected)
  t.same(generate({ { 3, 4, 5 } }):tolist(), expected)
  t.same(generate({ input_ids = ids }):tolist(), expected)
  t.same(model:generate { input_ids = ids, eos_token_id = hf.null, max_new_tokens = 6 }:tolist(), expected)
end)

t.test("lists of unequal length are padded at the left, and give what each gives alone", function()
  local both = generate({ { 3, 4, 5, 6 }, { 7, 8 } }, { pad_token_id = 0 }):tolist()
  t.same(both[1], generate({ 3, 4, 5, 6 }):tolist()[1])
  t.same({ table.unpack(both[2], 1, 4) }, { 0, 0, 7, 8 })
  t.same({ table.unpack(both[2], 3) }, generate({ 7, 8 }):tolist()[1])
  t.raises(function() generate({ { 3, 4 }, { 5 } }) end, "pad_token_id")
end)

t.test("padding at the right is moved to the left", function()
  local ids = tensor.tensor({ { 3, 4, 5, 6 }, { 7, 8, 0, 0 } }, { dtype = "int64" })
  local mask = tensor.tensor({ { 1, 1, 1, 1 }, { 1, 1, 0, 0 } }, { dtype = "int64" })
  local out = generate({ input_ids = ids, attention_mask = mask }, { pad_token_id = 0 }):tolist()
  t.same({ table.unpack(out[2], 3) }, generate({ 7, 8 }):tolist()[1])
end)

t.test("nothing is recorded on the tape, and the model is left as it was", function()
  assert(not generate({ 3 }).requires_grad and model.lm_head.weight.grad == nil)
  assert(tensor.is_grad_enabled())
end)

t.test("the prompt of a call without inputs is the begin token", function()
  t.same(generate(nil):tolist(), generate({ 1 }):tolist())
end)

t.test("errors say what to do", function()
  t.raises(function() generate({}) end, "prompt 1 is empty")
  t.raises(function() generate(tensor.zeros({ 1, 0 }, { dtype = "int64" })) end, "the prompt is empty", "bos_token_id")
  t.raises(function() generate("Once upon") end, "input_ids", "found string", "tokenize")
  t.raises(function() generate(5) end, "input_ids", "found number")
  t.raises(function() generate({ 3 }, { max_new_tokens = math.maxinteger }) end, "max_new_tokens", "2147483647")
  t.raises(function() generate({ {} , {} }) end, "prompt 1 is empty")
  t.raises(function() generate({ 99 }) end, "ids in 0 .. 29", "99")
  t.raises(function() generate({ 3 }, { max_new_token = 3 }) end, "max_new_token", "did you mean 'max_new_tokens'")
  t.raises(function() generate({ 3 }, { temperature = -1 }) end, "temperature", "above 0")
  t.raises(function() generate({ 3 }, { num_return_sequences = 2 }) end, "num_return_sequences", "do_sample")
  t.raises(function() generate({ 3 }, { num_beams = 2, num_return_sequences = 3 }) end, "at most num_beams 2")
  t.raises(function() generate({ 3 }, { penalty_alpha = 0.6 }) end, "contrastive search", "removed")
  t.raises(function() generate({ 3 }, { num_beam_groups = 2 }) end, "group beam search")
  t.raises(function() generate({ 3 }, { assistant_model = model }) end, "assisted generation")
  t.raises(function() generate({ 3 }, { stop_strings = "x" }) end, "tokenizer=tok")
  t.raises(function() generate({ 3 }, { position_ids = 1 }) end, "position_ids", "attention_mask")
  t.raises(function() generate({ 3 }, { suppress_tokens = { 4 }, forced_eos_token_id = 4 }) end, "forced_eos_token_id", "suppress_tokens")
  t.raises(function() model:generate({ 3, 4 }, { max_length = 2 }) end, "max_length", "max_new_tokens")
  t.raises(function() generate({ 3 }, { max_new_tokens = 40 }) end, "32 positions", "max_new_tokens")
  local long = {}
  for i = 1, 33 do long[i] = 3 end
  t.raises(function() generate(long) end, "33 tokens", "32 positions")
  local bert = models.BertModel.from_config(models.BertConfig { vocab_size = 10, hidden_size = 8, num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 8 })
  t.raises(function() bert:generate({ 3 }) end, "BertModel", "causal model")
end)

t.test("scores and logits of each step", function()
  local out = generate({ 3, 4 }, { return_dict_in_generate = true, output_scores = true, output_logits = true, suppress_tokens = { 5 } })
  t.same({ #out.scores, #out.logits }, { 6, 6 })
  local whole = tensor.no_grad(function() return model { input_ids = out.sequences }.logits end)
  for step = 1, 6 do
    golden.close(out.logits[step], whole:select(1, step), 1e-5, "logits of step " .. step)
    assert(out.scores[step][1]:tolist()[6] == -math.huge)
  end
  t.same(out.past_key_values:get_seq_length(), 7)
end)

t.test("a logits processor and a stopping criterion of one's own", function()
  local lengths = {}
  local out = generate({ 3, 4 }, {
    logits_processor = function(ids, scores)
      lengths[#lengths + 1] = ids.shape[2]
      return scores:masked_fill(tensor.arange(30):ne(ids.shape[2]):unsqueeze(0), -math.huge)
    end,
    stopping_criteria = { function(ids) return ids.shape[2] >= 5 end },
  })
  t.same(out:tolist(), { { 3, 4, 2, 3, 4 } })
  t.same(lengths, { 2, 3, 4 })
  t.raises(function() generate({ 3 }, { stopping_criteria = function() return 3 end }) end, "stopping_criteria")
end)

t.test("tokens of the prompt come more easily, or its n-grams not again", function()
  local first = generate({ 3, 4, 5, 3, 4 }, { output_logits = true, return_dict_in_generate = true })
  local scores = first.logits[1][1]:tolist()
  local keyed = hf.generation.EncoderRepetitionPenaltyLogitsProcessor(2.0, tensor.tensor({ { 3, 4, 5, 3, 4 } }, { dtype = "int64" }))
  local changed = keyed(nil, first.logits[1]:clone())[1]:tolist()
  for id = 0, 29 do
    local old, new = scores[id + 1], changed[id + 1]
    t.near(new, (id < 3 or id > 5) and old or old > 0 and old * 2 or old / 2, 1e-5)
  end
  local sure = generate({ 3, 4, 5, 3, 4 }, { encoder_repetition_penalty = 1e6, encoder_no_repeat_ngram_size = 3 }):tolist()[1]
  for i = 6, #sure do
    assert(sure[i] >= 3 and sure[i] <= 5 or scores[4] < 0, "a token of the prompt")
    assert(not (sure[i - 2] == 3 and sure[i - 1] == 4 and sure[i] == 5), "3 4 5 came again")
    assert(not (sure[i - 2] == 4 and sure[i - 1] == 5 and sure[i] == 3), "4 5 3 came again")
  end
end)

t.test("the allowed tokens of a function", function()
  local only = generate({ 3 }, { prefix_allowed_tokens_fn = function(batch, ids) return { batch == 0 and 10 + ids:numel() or 0 } end })
  t.same(only:tolist(), { { 3, 11, 12, 13, 14, 15, 16 } })
end)

t.test("settings: the call, then generation_config, then the model's, then the defaults", function()
  local own = new_model()
  own.generation_config = hf.GenerationConfig { max_new_tokens = 3, eos_token_id = 2, bos_token_id = 1 }
  t.same(own:generate({ 3 }, { eos_token_id = hf.null }).shape[2], 4)
  t.same(own:generate({ 3 }, { eos_token_id = hf.null, generation_config = hf.GenerationConfig { max_new_tokens = 5 } }).shape[2], 6)
  t.same(own:generate({ 3 }, { eos_token_id = hf.null, max_new_tokens = 1, generation_config = hf.GenerationConfig { max_new_tokens = 5 } }).shape[2], 2)
  t.raises(function() own.generation_config.top_pp = 1 end, "did you mean 'top_p'")
  t.raises(function() hf.GenerationConfig { num_return_sequences = 2 } end, "num_return_sequences")
end)

t.test("settings are saved with the checkpoint and read again", function()
  local own, folder = new_model(), os.tmpname() .. ".model"
  hf.generation.GenerationConfig.from_dict {}
  own:generate({ 3 }, NO_END)
  own.generation_config.max_new_tokens = 4
  own:save_pretrained(folder)
  local again = models.AutoModelForCausalLM.from_pretrained(folder, { quiet = true })
  t.same(again.generation_config.max_new_tokens, 4)
  t.same(again.generation_config.eos_token_id, 2)
  t.same(again:generate({ 3 }, { eos_token_id = hf.null }):tolist(), own:generate({ 3 }, { eos_token_id = hf.null }):tolist())
  os.execute("rm -r '" .. folder .. "'")
end)

-- ---- the cache

t.test("a cache gives what the whole sequence gives", function()
  local ids = tensor.tensor({ { 3, 4, 5, 6, 7 }, { 8, 9, 10, 11, 12 } }, { dtype = "int64" })
  tensor.no_grad(function()
    local whole, cache = model { input_ids = ids }.logits, models.DynamicCache()
    golden.close(model { input_ids = ids:narrow(1, 0, 3), past_key_values = cache }.logits, whole:narrow(1, 0, 3), 1e-5, "first")
    for column = 3, 4 do
      golden.close(model { input_ids = ids:narrow(1, column, 1), past_key_values = cache }.logits, whole:narrow(1, column, 1), 1e-5, "column " .. column)
    end
    cache:crop(3)
    t.same(cache:get_seq_length(), 3)
    golden.close(model { input_ids = ids:narrow(1, 3, 2), past_key_values = cache }.logits, whole:narrow(1, 3, 2), 1e-5, "after crop")
    cache:crop(3)
    cache:reorder_cache { 1, 1 }
    local second = model { input_ids = ids:narrow(1, 3, 1), past_key_values = cache }.logits
    golden.close(second:narrow(0, 1, 1), whole:narrow(0, 1, 1):narrow(1, 3, 1), 1e-5, "reordered")
    cache:batch_repeat_interleave(2)
    golden.close(model { input_ids = ids:narrow(0, 1, 1):narrow(1, 4, 1):expand(4, 1), past_key_values = cache }.logits:narrow(0, 2, 1),
      whole:narrow(0, 1, 1):narrow(1, 4, 1), 1e-5, "repeated")
    t.raises(function() model { input_ids = ids, past_key_values = cache } end, "4 rows")
  end)
end)

t.test("a conversation goes on from its cache", function()
  local first = generate({ 3, 4 }, { return_dict_in_generate = true })
  local longer = first.sequences:tolist()[1]
  table.insert(longer, 9)
  local expected = generate({ longer }):tolist()
  t.same(generate({ longer }, { past_key_values = first.past_key_values }):tolist(), expected)
end)

t.test("with and without a cache the same comes", function()
  for _, more in ipairs { {}, { num_beams = 3 }, { repetition_penalty = 1.4 } } do
    t.same(generate({ { 3, 4, 5 }, { 6 } }, with(more, { use_cache = false, pad_token_id = 0 })):tolist(), generate({ { 3, 4, 5 }, { 6 } }, with(more, { pad_token_id = 0 })):tolist())
  end
end)

t.test("bfloat16 weights generate", function()
  local folder = os.tmpname() .. ".model"
  model:save_pretrained(folder)
  local half = models.GPT2LMHeadModel.from_pretrained(folder, { dtype = "bfloat16", quiet = true })
  local rounded = models.GPT2LMHeadModel.from_pretrained(folder, { quiet = true })
  t.same(half:generate({ 3, 4 }, NO_END).shape[2], 8)
  local out = tensor.no_grad(function() return half { input_ids = tensor.tensor({ { 3, 4 } }, { dtype = "int64" }), past_key_values = models.DynamicCache() } end)
  t.same(out.logits.dtype, "bfloat16") -- activations keep the weights' dtype behind a cache too
  golden.close(half { input_ids = tensor.tensor { { 3, 4 } }:to("int64") }.logits:float(), rounded { input_ids = tensor.tensor { { 3, 4 } }:to("int64") }.logits, 0.15, "logits")
  os.execute("rm -r '" .. folder .. "'")
end)

-- ---- text

local words = { [0] = "", " one", " two", "two", "\n", " 中", "文" }
local tok = { decode = function(_, ids)
  local text = {}
  for i, id in ipairs(ids) do text[i] = words[id] end
  return table.concat(text)
end }

local function streamed(rows, options)
  local pieces, streamer = {}, hf.TextStreamer(tok, options)
  function streamer:on_finalized_text(text, last) pieces[#pieces + 1] = text .. (last and "$" or "") end
  for _, row in ipairs(rows) do streamer:put(row) end
  streamer["end"](streamer)
  return pieces
end

t.test("a streamer gives whole words, lines and Chinese characters", function()
  t.same(streamed({ { { 1 } }, { 2 }, { 3 }, { 4 }, { 5 }, { 6 } }), { " ", "one ", "", "twotwo\n", " 中", "文", "$" })
  t.same(streamed({ { { 1, 2 } }, { 2 } }, { skip_prompt = true }), { " ", "two$" })
  t.raises(function() streamed { { { 1 }, { 2 } } } end, "one sequence")
  t.raises(function() hf.TextStreamer(tok, { skip_promt = true }) end, "skip_prompt")
  t.raises(function() generate({ 3 }, { num_beams = 2, streamer = hf.TextStreamer(tok) }) end, "num_beams must be 1")
end)

t.test("stream gives text to a loop, and gradients stay on outside", function()
  local own = new_model()
  local fake = { decode = function(_, ids) return string.rep("x ", #ids) end }
  local text = ""
  for piece in own:stream({ 3 }, with(NO_END, { tokenizer = fake })) do
    assert(tensor.is_grad_enabled())
    text = text .. piece
  end
  t.same(text, string.rep("x ", 6))
end)

t.test("stop strings end a row within its last token", function()
  local bert = hf.tokenizer.AutoTokenizer.from_pretrained(t.dir .. "/../recipes/builtin/bert")
  local ids = bert("the big cat", { add_special_tokens = false }).input_ids
  local stop = hf.generation.StopStringCriteria(bert, { "g c", "zebra" })
  local before = false
  for n = 1, #ids do
    local found = bert:decode({ table.unpack(ids, 1, n) }):find("g c", 1, true) ~= nil
    t.same(stop(tensor.tensor({ { table.unpack(ids, 1, n) } }, { dtype = "int64" }))[1], found and not before)
    before = before or found
  end
  assert(before)
end)

t.test("a program prints while it generates", function()
  local script = program.file [[
local hf = require "hflua"
hf.tensor.manual_seed(7)
local model = hf.models.GPT2LMHeadModel.from_config(hf.models.GPT2Config { vocab_size = 30, n_positions = 32, n_embd = 16, n_layer = 1, n_head = 2 }):eval()
local tok = { decode = function(_, ids) return "<" .. table.concat(ids, "> <") .. ">" end }
local out = model:generate({ 3 }, { max_new_tokens = 3, eos_token_id = hf.null, streamer = hf.TextStreamer(tok) })
print(table.concat(out:tolist()[1], " "))
]]
  local result = program.shell(program.quote(program.path) .. " " .. script)
  local lines = {}
  for line in result.out:gmatch "[^\n]+" do lines[#lines + 1] = line end
  assert(lines[2], result.out .. result.err)
  t.same((lines[1]:gsub("[<>]", "")), lines[2])
  program.clean()
end)

t.finish()
