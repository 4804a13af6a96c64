--- Times tokenizing of the lines of a text file, ids only, 1000 lines a call or one; prints one JSON line. BERT, or with
-- merges GPT-2. encoded: without making Lua sequences of the ids.
--   hflua tests/bench/tokenize.lua --vocab=FILE [--merges=FILE] --text=FILE [--single] [--encoded]
local hf = require "hflua"
local system = require "hflua.core.system"

local o = hf.parse_args { vocab = "", merges = "", text = "", single = false, encoded = false }
local tok = o.merges ~= "" and hf.tokenizer.GPT2Tokenizer(o.vocab, o.merges) or hf.tokenizer.BertTokenizer(o.vocab, { do_lower_case = true })
local lines, bytes = {}, 0
for line in io.lines(o.text) do lines[#lines + 1], bytes = line, bytes + #line end

local options = { return_attention_mask = false, return_token_type_ids = false }

local function all_at_once()
  local count = 0
  for i = 1, #lines, 1000 do
    local result = tok(table.move(lines, i, math.min(i + 999, #lines), 1, {}), options)
    for _, ids in ipairs(o.encoded and {} or result.input_ids) do count = count + #ids end
  end
  return count
end

local function one_by_one()
  local count = 0
  for _, line in ipairs(lines) do
    local result = tok(line, options)
    if not o.encoded then count = count + #result.input_ids end
  end
  return count
end

local best, tokens = math.huge, 0
for _ = 1, 5 do
  local start = system.clock()
  tokens = o.single and one_by_one() or all_at_once()
  best = math.min(best, system.clock() - start)
end
print(hf.json.encode { seconds = best, tokens = tokens, mb_per_second = bytes / best * 1e-6, peak_mib = system.peak_memory() // 2 ^ 20 })
