--- Byte pair encoding against Hugging Face's tokenizers: the trained tokenizers of ../shared/golden/tokenizers.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local checks = dofile(t.dir .. "/lib/tokenizer_checks.lua")(t)
local tokenizer = require "hflua.tokenizer"

local shared = t.shared and t.shared .. "/golden/tokenizers"

if not shared or not t.exists(shared .. "/texts.json") then
  t.skip("the goldens of byte pair encoding", "no ../shared")
  return t.finish()
end

local texts = checks.load(shared .. "/texts.json")

for _, name in ipairs { "bpe_gpt2", "bpe_roberta", "bpe_llama2", "bpe_llama3", "bpe_qwen2", "bpe_added_tokens" } do
  t.test("trained/" .. name, function() checks.trained(shared .. "/trained/" .. name, texts) end)
end

t.finish()
