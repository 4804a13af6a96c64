--- model:generate where tokens are chosen on the device: the same as on the host, with a graph and without, and draws by their chances.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local tensor, models = hf.tensor, hf.models
local core = require "hflua.core.generation"

local device = os.getenv "HFLUA_TEST_DEVICE" or hf.cuda.default_device()
if device == "cpu" then
  t.skip("generation on a device", "there is none")
  t.finish()
end

-- how often tokens were chosen on the device by the model's own calls
local choose, chosen = core.choose, 0
function core.choose(...)
  chosen = chosen + 1
  return choose(...)
end

local function gpt2(more)
  tensor.manual_seed(7)
  local c = { vocab_size = 30, n_positions = 160, n_embd = 16, n_layer = 2, n_head = 2, initializer_range = 0.3, bos_token_id = 1, eos_token_id = 2 }
  for name, value in pairs(more or {}) do c[name] = value end
  return models.GPT2LMHeadModel.from_config(models.GPT2Config(c)):eval():to(device)
end

local function llama(more)
  tensor.manual_seed(7)
  local c = { vocab_size = 30, hidden_size = 32, intermediate_size = 32, num_hidden_layers = 2, num_attention_heads = 4, num_key_value_heads = 2, initializer_range = 0.3,
    max_position_embeddings = 64 }
  for name, value in pairs(more or {}) do c[name] = value end
  return models.LlamaForCausalLM.from_config(models.LlamaConfig(c)):eval():to(device)
end

local function with(options, more)
  local all = { eos_token_id = hf.null, pad_token_id = 0, max_new_tokens = 24 }
  for _, source in ipairs { options or {}, more or {} } do
    for name, value in pairs(source) do all[name] = value end
  end
  return all
end

local function unchanged(_, scores) return scores end -- a processor that only the host knows

local function on_host(model, inputs, options)
  local before = chosen
  local out = model:generate(inputs, with(options, { logits_processor = unchanged }))
  assert(chosen == before, "a processor of the caller's own must run")
  return out:tolist()
end

local function here(model, inputs, options)
  local before = chosen
  local out = model:generate(inputs, with(options))
  assert(chosen > before, "tokens are chosen on the device")
  assert(out.device == "cpu")
  return out:tolist()
end

local model = gpt2()
local prompts = { { 3, 4, 5, 6 }, { 7, 8 }, { 9 } }

t.test("greedy search chooses what the host chooses, graphs recorded or not", function()
  for _, m in ipairs { model, llama() } do
    for _, options in ipairs { {}, { max_new_tokens = 3 }, { repetition_penalty = 1.4 }, { repetition_penalty = 0.7 }, { max_new_tokens = 1 } } do
      t.same(here(m, prompts, options), on_host(m, prompts, options))
    end
    local before = chosen
    here(m, prompts)
    t.same(chosen - before, 4) -- the prompt, two steps, the recording; twenty launches of it
  end
end)

t.test("rows end and are padded as on the host", function()
  local free = on_host(model, prompts)
  for _, ends in ipairs { free[1][10], { free[2][8], free[3][12] }, { free[1][5], free[2][5], free[3][5] } } do
    t.same(here(model, prompts, { eos_token_id = ends, pad_token_id = 29 }), on_host(model, prompts, { eos_token_id = ends, pad_token_id = 29 }))
  end
end)

t.test("what was queued behind the last token leaves no trace", function()
  local free = on_host(model, { 3, 4 })
  local found = model:generate({ 3, 4 }, with({ eos_token_id = free[1][8], return_dict_in_generate = true }))
  local length = found.sequences.shape[2]
  t.same(found.past_key_values:get_seq_length(), length - 1)
  local longer = found.sequences:tolist()[1]
  table.insert(longer, 9)
  t.same(here(model, { longer }, { past_key_values = found.past_key_values }), on_host(model, { longer }))
end)

t.test("criteria, texts and streamers see every column", function()
  local function stop(ids) return { ids.shape[2] >= 7, ids.shape[2] >= 9, false } end
  local options = { stopping_criteria = stop, pad_token_id = 0, max_new_tokens = 8, eos_token_id = 29 }
  t.same(here(model, prompts, options), on_host(model, prompts, options))
  local function list()
    return { put = function(self, ids) self[#self + 1] = tensor.is_tensor(ids) and ids:tolist() or ids end, ["end"] = function(self) self[#self + 1] = "end" end }
  end
  local mine, hosts = list(), list()
  here(model, prompts, { streamer = mine })
  on_host(model, prompts, { streamer = hosts })
  t.same({ table.unpack(mine) }, { table.unpack(hosts) })
  t.same(#here(model, { 3 }, { max_time = 1e-9 })[1], 2)
  local bert = hf.tokenizer.AutoTokenizer.from_pretrained(t.dir .. "/../recipes/builtin/bert")
  local free = on_host(model, { 3 })
  local text = bert:decode({ free[1][5] })
  t.same(here(model, { 3 }, { stop_strings = text, tokenizer = bert }), on_host(model, { 3 }, { stop_strings = text, tokenizer = bert }))
end)

t.test("a step that cannot be recorded is called", function()
  local m = llama { rope_parameters = { rope_type = "dynamic", rope_theta = 10000, factor = 2 } } -- asks for the longest row
  local before = chosen
  t.same(here(m, prompts), on_host(m, prompts))
  assert(chosen - before >= 24)
end)

t.test("a cache that grows is recorded anew", function()
  local cache = models.DynamicCache()
  function cache:reserve(columns, fixed) models.DynamicCache.reserve(self, math.min(columns, 8), fixed) end
  local before = chosen
  t.same(here(model, { 3, 4 }, { max_new_tokens = 90, past_key_values = cache }), on_host(model, { 3, 4 }, { max_new_tokens = 90 }))
  t.same(chosen - before, 7)
end)

t.test("a static cache has its room from the start", function()
  local cache = models.StaticCache { max_cache_len = 100 }
  tensor.no_grad(function() model { input_ids = tensor.tensor({ { 3 } }, { dtype = "int64", device = device }), past_key_values = cache } end)
  assert(cache.engine:room() >= 99)
end)

t.test("positions end with the same error, and not before a row needs one more", function()
  local short = gpt2 { n_positions = 12 }
  t.raises(function() here(short, { 3, 4 }) end, "the model has 12 positions")
  local tried = 0
  for first = 3, 29 do
    local free = on_host(short, { first, 4 }, { max_new_tokens = 11, repetition_penalty = 6 })
    t.same(here(short, { first, 4 }, { max_new_tokens = 11, repetition_penalty = 6 }), free)
    local ends, once = free[1][13], true
    for i = 1, 12 do once = once and free[1][i] ~= ends end
    if once then -- it ends with the token that would need another position to go on
      t.same(here(short, { first, 4 }, { eos_token_id = ends, max_new_tokens = 30, repetition_penalty = 6 }), free)
      tried = tried + 1
    end
    if tried == 2 then break end
  end
  assert(tried > 0)
end)

t.test("16-bit models keep keys and values in 16 bits", function()
  for _, dtype in ipairs { "bfloat16", "float16" } do
    local m = llama():to(dtype)
    local before = tensor.core.device_bytes(device)
    local cache = models.StaticCache { max_cache_len = 4096 }
    tensor.no_grad(function() m { input_ids = tensor.tensor({ { 3 } }, { dtype = "int64", device = device }), past_key_values = cache } end)
    local bytes = tensor.core.device_bytes(device) - before
    assert(bytes >= 4 * 4096 * 16 * 2 and bytes < 6 * 4096 * 16 * 2, bytes) -- 2 layers of k and v, 2 heads of 8, 2 bytes
    t.same(here(m, prompts), on_host(m, prompts))
  end
end)

t.test("a seed gives its tokens again, a graph or not", function()
  local function draw(seed, more)
    tensor.manual_seed(seed)
    return here(model, prompts, with({ do_sample = true, top_k = 12, top_p = 0.9, temperature = 1.3, repetition_penalty = 1.2 }, more))
  end
  local first = draw(5)
  t.same(draw(5), first)
  assert(hf.json.encode(draw(6)) ~= hf.json.encode(first))
  local short = draw(5, { max_new_tokens = 10 }) -- too short for a graph
  for row = 1, 3 do t.same(short[row], table.move(first[row], 1, #short[row], 1, {})) end
end)

t.test("tokens come as often as their chances say", function()
  local rows = 150
  for _, options in ipairs { { top_k = 0 }, { top_k = 5 }, { top_k = 0, top_p = 0.6 }, { top_k = 0, min_p = 0.2, temperature = 1.5 } } do
    options.do_sample, options.max_new_tokens, options.num_return_sequences = true, 1, rows
    local logits = tensor.no_grad(function() return model { input_ids = tensor.tensor({ { 3, 4 } }, { dtype = "int64", device = device }) }.logits:select(1, -1):to("cpu") end)
    local processors = hf.generation.processors
    local c = setmetatable(options, { __index = hf.generation.GenerationConfig.defaults })
    local scores = processors.apply(processors.of_config(c, { prompt = 2 }), nil, logits:clone())
    local chances, count = scores:softmax { dim = -1 }:tolist()[1], {}
    for _, row in ipairs(here(model, { 3, 4 }, setmetatable(options, nil))) do count[row[3]] = (count[row[3]] or 0) + 1 end
    local chi, cells = 0, 0
    for token, chance in ipairs(chances) do
      local seen = count[token - 1] or 0
      assert(chance > 0 or seen == 0, "a token that may not come")
      if chance * rows >= 5 then chi, cells = chi + (seen - chance * rows) ^ 2 / (chance * rows), cells + 1 end
    end
    assert(chi < cells + 4 * math.sqrt(2 * cells) + 4, chi)
  end
end)

t.test("scores that are not numbers are an error of the row", function()
  local m = gpt2()
  m.transformer.wte.weight:detach():fill_(0 / 0)
  t.raises(function() m:generate({ 3 }, with { do_sample = true }) end, "row 1: no token is possible")
end)

t.test("what the device does not know is done by the host", function()
  for _, options in ipairs { { no_repeat_ngram_size = 2 }, { use_cache = false }, { num_beams = 2 }, { do_sample = true, typical_p = 0.9 },
    { return_dict_in_generate = true, output_scores = true } } do
    local before = chosen
    model:generate(prompts, with(options))
    t.same(chosen, before)
  end
end)

t.test("wrong states are errors", function()
  local logits = tensor.zeros({ 1, 5 }, { device = device })
  t.raises(function() core.choose(logits, {}) end, "ids: expected a tensor")
  t.raises(function() core.choose(tensor.zeros({ 1, 5 }, { device = "cpu" }), {}) end, "expected a tensor")
  local cache = core.cache(1)
  t.raises(function() cache:advance() end, "no row has room")
  t.raises(function() cache:cut { 1, 2 } end, "expected 1 lengths")
end)

t.finish()
