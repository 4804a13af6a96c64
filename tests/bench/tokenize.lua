--- Times BERT tokenizing of the lines of a text file, ids only, 1000 lines a call or one; prints one JSON line.
--   hflua tests/bench/tokenize.lua --vocab=FILE --text=FILE [--single]
local hf = require "hflua"
local system = require "hflua.core.system"

local o = hf.parse_args { vocab = "", text = "", single = false }
local tok = hf.tokenizer.BertTokenizer(o.vocab, { do_lower_case = true })
local lines, bytes = {}, 0
for line in io.lines(o.text) do lines[#lines + 1], bytes = line, bytes + #line end

local options = { return_attention_mask = false, return_token_type_ids = false }

local function all_at_once()
  local count = 0
  for i = 1, #lines, 1000 do
    for _, ids in ipairs(tok(table.move(lines, i, math.min(i + 999, #lines), 1, {}), options).input_ids) do count = count + #ids end
  end
  return count
end

local function one_by_one()
  local count = 0
  for _, line in ipairs(lines) do count = count + #tok(line, options).input_ids end
  return count
end

local best, tokens = math.huge, 0
for _ = 1, 5 do
  local start = system.clock()
  tokens = o.single and one_by_one() or all_at_once()
  best = math.min(best, system.clock() - start)
end
print(hf.json.encode { seconds = best, tokens = tokens, mb_per_second = bytes / best * 1e-6, peak_mib = system.peak_memory() // 2 ^ 20 })
