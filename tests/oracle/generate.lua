--- Compares generate with transformers on random option combinations, where Python has it:
--
--   build/hflua tests/oracle/generate.lua --python=PYTHON [--model=FOLDER] [--cases=200] [--seed=1]
--
-- Without a folder, small GPT-2 and Llama models are made and saved here, and saved again by transformers: the greedy text must be the
-- same through both folders. Prints the calls that differ and ends with status 1 when there are any.
local hf = require "hflua"
local system = require "hflua.core.system"
local tensor = hf.tensor

local o = hf.parse_args { python = "python3", model = "", cases = 200, seed = 1 }
local here = arg[0]:match "^(.*)/[^/]*$" or "."
math.randomseed(o.seed)

local function maybe(chance) return math.random() < chance end
local function pick(list) return list[math.random(#list)] end
local function ids(n, vocabulary)
  local list = {}
  for i = 1, n do list[i] = math.random(3, vocabulary - 1) end
  return hf.json.array(list)
end

-- One prompt, or three padded at the left with 0.
local function prompt(vocabulary)
  if maybe(0.5) then return { input_ids = { ids(math.random(1, 6), vocabulary) } } end
  local rows, masks, longest = {}, {}, 6
  for i = 1, 3 do
    local n = i == 1 and longest or math.random(1, longest)
    local row, mask = ids(n, vocabulary), {}
    for _ = n + 1, longest do table.insert(row, 1, 0) end
    for c = 1, longest do mask[c] = c > longest - n and 1 or 0 end
    rows[i], masks[i] = row, mask
  end
  return { input_ids = rows, attention_mask = masks }
end

local function case(vocabulary)
  local k, p = { pad_token_id = 0, max_new_tokens = math.random(1, 14) }, prompt(vocabulary)
  k.do_sample = maybe(0.4)
  if maybe(0.4) then k.num_beams = math.random(2, 5) end
  k.eos_token_id = pick { hf.null, math.random(vocabulary) - 1, ids(2, vocabulary) }
  if maybe(0.15) then k.repetition_penalty = pick { 0.7, 1.1, 1.5, 2.0 } end
  if maybe(0.15) then k.no_repeat_ngram_size = math.random(1, 4) end
  if maybe(0.1) then k.bad_words_ids = { ids(1, vocabulary), ids(2, vocabulary), ids(3, vocabulary) } end
  if maybe(0.1) then k.suppress_tokens = ids(4, vocabulary) end
  if maybe(0.1) then k.begin_suppress_tokens = ids(3, vocabulary) end
  if maybe(0.1) then k.sequence_bias = { { ids(1, vocabulary), 2.5 }, { ids(2, vocabulary), -3.5 } } end
  if maybe(0.1) then k.min_new_tokens = math.random(1, 6) end
  if maybe(0.1) then k.min_length = math.random(1, 12) end
  if maybe(0.1) then k.forced_eos_token_id = math.random(vocabulary) - 1 end
  if maybe(0.1) then k.forced_bos_token_id = math.random(vocabulary) - 1 end
  if maybe(0.1) then k.exponential_decay_length_penalty = { math.random(0, 4), 1.3 } end
  if maybe(0.1) then k.renormalize_logits = true end
  if maybe(0.1) then k.remove_invalid_values = true end
  if maybe(0.1) then k.use_cache = false end
  if k.do_sample then
    if maybe(0.4) then k.temperature = pick { 0.5, 0.9, 1.7 } end
    k.top_k = pick { 0, 1, 3, 50 }
    if maybe(0.3) then k.top_p = pick { 0.1, 0.5, 0.9 } end
    if maybe(0.2) then k.min_p = pick { 0.02, 0.2, 0.7 } end
    if maybe(0.2) then k.typical_p = pick { 0.2, 0.6, 0.95 } end
    if maybe(0.1) then k.epsilon_cutoff = pick { 0.01, 0.05 } end
    if maybe(0.1) then k.eta_cutoff = pick { 0.01, 0.05 } end
    if maybe(0.1) then k.top_h = pick { 0.2, 0.6 } end
  end
  if k.num_beams then
    if maybe(0.5) then k.length_penalty = pick { -1.0, 0.0, 0.6, 2.0 } end
    if maybe(0.5) then k.early_stopping = pick { true, false, "never" } end
    if maybe(0.4) then k.num_return_sequences = math.random(1, k.num_beams) end
  elseif k.do_sample and maybe(0.4) then k.num_return_sequences = math.random(2, 3) end
  return { prompt = p, kwargs = k, manual_seed = k.do_sample and math.random(0, 1000) or hf.null }
end

local function run(model, c)
  local inputs, options = {}, { return_dict_in_generate = true, output_scores = true }
  for name, value in pairs(c.prompt) do inputs[name] = tensor.tensor(value, { dtype = "int64" }) end
  for name, value in pairs(c.kwargs) do options[name] = value end
  if c.manual_seed ~= hf.null then tensor.manual_seed(c.manual_seed) end
  local ok, out = pcall(model.generate, model, inputs, options)
  if not ok then return { error = tostring(out) } end
  return { sequences = out.sequences:tolist(), sequences_scores = out.sequences_scores and out.sequences_scores:tolist() }
end

local function same(a, b)
  if a.error or b.error and b.error ~= hf.null then return a.error ~= nil and b.error ~= nil end
  if hf.json.encode(a.sequences) ~= hf.json.encode(b.sequences) then return false end
  for i, score in ipairs(a.sequences_scores or {}) do
    if math.abs(score - b.sequences_scores[i]) > 1e-4 * math.max(1, math.abs(score)) then return false end
  end
  return true
end

local function python(...)
  local words = { "'" .. o.python .. "'", "'" .. here .. "/peer_generate.py'" }
  for _, word in ipairs { ... } do words[#words + 1] = "'" .. word .. "'" end
  assert(os.execute(table.concat(words, " ") .. " 2>/dev/null"), "Python failed")
end

-- Cases whose answers differ, printed; `reloaded`: the same model as transformers saved it.
local function compare(folder, name)
  local model = hf.models.AutoModelForCausalLM.from_pretrained(folder, { quiet = true })
  local cases, work = {}, os.tmpname()
  for i = 1, o.cases do cases[i] = case(model.config.vocab_size) end
  hf.json.save_file(hf.json.array(cases), work .. ".in")
  python(folder, work .. ".in", work .. ".out", work .. ".saved")
  local expected, bad, errors = hf.json.load_file(work .. ".out"), 0, 0
  local reloaded = hf.models.AutoModelForCausalLM.from_pretrained(work .. ".saved", { quiet = true })
  for i, c in ipairs(cases) do
    local found = run(model, c)
    if expected[i].error then errors = errors + 1 end
    if not same(found, expected[i]) then
      bad = bad + 1
      print("differs: " .. hf.json.encode(c) .. "\n  expected " .. hf.json.encode(expected[i]) .. "\n  found    " .. hf.json.encode(found))
    elseif not same(run(reloaded, c), expected[i]) then
      bad = bad + 1
      print("differs after saving by transformers: " .. hf.json.encode(c))
    end
  end
  print(("%s: %d calls, %d differ, %d are errors in transformers"):format(name, #cases, bad, errors))
  return bad
end

local function small_models()
  tensor.manual_seed(o.seed)
  local gpt2 = hf.models.GPT2LMHeadModel.from_config(hf.models.GPT2Config { vocab_size = 40, n_positions = 64, n_embd = 32, n_layer = 2, n_head = 4, initializer_range = 0.2, bos_token_id = 1, eos_token_id = 2 })
  local llama = hf.models.LlamaForCausalLM.from_config(hf.models.LlamaConfig { vocab_size = 40, hidden_size = 32, intermediate_size = 48, num_hidden_layers = 2,
    num_attention_heads = 4, num_key_value_heads = 2, max_position_embeddings = 64, initializer_range = 0.2, bos_token_id = 1, eos_token_id = 2 })
  return { gpt2 = gpt2, llama = llama }
end

local bad = 0
if o.model ~= "" then bad = compare(o.model, o.model)
else
  for name, model in pairs(small_models()) do
    local folder = os.tmpname() .. "." .. name
    model:eval():save_pretrained(folder)
    bad = bad + compare(folder, name)
  end
end
os.exit(bad == 0 and 0 or 1, true)
