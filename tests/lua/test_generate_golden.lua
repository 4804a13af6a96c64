--- Replays golden/generate and golden/capp_gpt2: every generate call and seeded sampling of transformers, every logits processor.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local golden = require "golden"
local tensor, models = hf.tensor, hf.models

local function options_of(case)
  local options = {}
  for name, value in pairs(case.kwargs) do options[name] = value end
  return options
end

local function run(model, prompt, case)
  local options = options_of(case)
  options.return_dict_in_generate = case.sequences_scores ~= nil or nil
  options.output_scores = options.return_dict_in_generate
  if case.manual_seed then
    tensor.manual_seed(case.manual_seed)
    -- PyTorch's draws are the host's: a processor of the caller's own keeps a device from choosing
    options.logits_processor = os.getenv "HFLUA_TEST_DEVICE" and function(_, scores) return scores end or nil
  end
  local out = model:generate({ input_ids = tensor.tensor(prompt.input_ids, { dtype = "int64" }), attention_mask = tensor.tensor(prompt.attention_mask, { dtype = "int64" }) }, options)
  if not case.sequences_scores then return t.same(out:tolist(), case.sequences, case.case) end
  t.same(out.sequences:tolist(), case.sequences, case.case)
  for i, score in ipairs(case.sequences_scores) do t.near(out.sequences_scores:tolist()[i], score, 2e-5, 2e-5, case.case .. ": score") end
end

for _, name in ipairs { "gpt2", "llama" } do
  local folder = golden.path("generate/" .. name .. "/expected.json") and golden.folder("generate/" .. name)
  if not folder then t.skip(name, "needs ../shared/golden/generate")
  else
    local expected = hf.json.load_file(folder .. "/expected.json")
    local model = models.AutoModelForCausalLM.from_pretrained(folder, { quiet = true })
    for _, list in ipairs { "results", "samples" } do
      for _, case in ipairs(expected[list]) do
        t.test(("%s: %s, %s%s"):format(name, case.case, case.prompt, case.manual_seed and " seed " .. case.manual_seed or ""),
          function() run(model, expected.prompts[case.prompt], case) end)
      end
    end
  end
end


-- ---- a trained model
local capp = golden.path "capp_gpt2/expected.json"
local checkpoint = t.shared and t.shared .. "/data/checkpoints/capp-gpt2"
if not capp or not checkpoint or not t.exists(checkpoint .. "/config.json") then t.skip("capp_gpt2", "needs ../shared/golden/capp_gpt2 and ../shared/data")
else
  local expected = golden.json "capp_gpt2/expected.json"
  local model = models.GPT2LMHeadModel.from_pretrained(checkpoint, { quiet = true })
  for _, case in ipairs(expected.generate) do
    t.test(("capp_gpt2: %s, %s"):format(case.case, case.prompt), function() run(model, expected.prompts[case.prompt], case) end)
  end
end

-- ---- logits processors alone and in chains
local P = hf.generation
local makers = {
  temperature = P.TemperatureLogitsWarper, top_k = P.TopKLogitsWarper, top_p = P.TopPLogitsWarper, min_p = P.MinPLogitsWarper,
  typical = P.TypicalLogitsWarper, epsilon = P.EpsilonLogitsWarper, eta = P.EtaLogitsWarper, top_h = P.TopHLogitsWarper,
  repetition = P.RepetitionPenaltyLogitsProcessor, no_repeat_ngram = P.NoRepeatNGramLogitsProcessor,
}
local special = {
  bad_words_7_and_8_9 = function() return P.NoBadWordsLogitsProcessor({ { 7 }, { 8, 9 } }) end,
  exponential_decay = function() return P.ExponentialDecayLengthPenalty({ 2, 1.5 }, 4, 5) end,
  log_normalize = P.LogitNormalization,
  min_length_10_eos_4 = function() return P.MinLengthLogitsProcessor(10, 4) end,
  min_length_12_eos_4 = function() return P.MinLengthLogitsProcessor(12, 4) end,
  min_new_tokens_prompt8_new3_eos_4_5 = function() return P.MinNewTokensLengthLogitsProcessor(8, 3, { 4, 5 }) end,
}

local function processor_of(name)
  if special[name] then return special[name]() end
  local kind, number, keep = name:match "^([%a_]+)_([%d.]+)_?k?e?e?p?_?(%d*)$"
  return makers[kind](tonumber(number), keep ~= "" and { min_tokens_to_keep = tonumber(keep) } or nil)
end

-- -inf where it is expected, close elsewhere
local function check_scores(actual, expected, what)
  local cut = expected:eq(-math.huge)
  assert(actual:eq(-math.huge):ne(cut):to("int64"):sum():item() == 0, what .. ": other tokens are left")
  golden.close(actual:masked_fill(cut, 0), expected:masked_fill(cut, 0), 2e-5, what)
end

if not golden.path "generate/processors/expected.json" then t.skip("processors", "needs ../shared/golden/generate/processors")
else
  local expected = golden.json "generate/processors/expected.json"
  local io = hf.safetensors.load_file(golden.path "generate/processors/processors.safetensors")
  for _, name in ipairs(expected.processors) do
    t.test("processor " .. name, function() check_scores(processor_of(name)(io.input_ids, io.scores:clone()), io["out." .. name], name) end)
  end
  for name, fields in pairs(expected.chains) do
    t.test("chain " .. name, function()
      local c = setmetatable({ do_sample = true }, { __index = P.GenerationConfig.defaults })
      for field, value in pairs(fields) do c[field] = value end
      if fields.top_k == nil then c.top_k = 0 end
      local chain = P.processors.of_config(c, { prompt = expected.prompt_length, eos = fields.eos_token_id and { fields.eos_token_id } })
      check_scores(P.processors.apply(chain, io.input_ids, io.scores:clone()), io["chain." .. name], name)
    end)
  end
end
t.finish()
