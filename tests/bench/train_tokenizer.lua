--- Times the training of a byte-level BPE vocabulary on the lines of a text file; prints one JSON line.
--   hflua tests/bench/train_tokenizer.lua --text=FILE [--vocab_size=8000] [--kind=BPE]
local hf = require "hflua"
local system = require "hflua.core.system"
local T = hf.tokenizer

local o = hf.parse_args { text = "", vocab_size = 8000, kind = "BPE" }
local lines, bytes = {}, 0
for line in io.lines(o.text) do lines[#lines + 1], bytes = line, bytes + #line end

local function train()
  if o.kind == "Unigram" then
    local tok = T.Tokenizer(T.models.Unigram())
    tok.pre_tokenizer = T.pre_tokenizers.Metaspace()
    tok:train_from_iterator(lines, T.trainers.UnigramTrainer { vocab_size = o.vocab_size, unk_token = "<unk>", special_tokens = { "<unk>" } })
    return tok
  end
  local tok = T.Tokenizer(T.models.BPE())
  tok.pre_tokenizer = T.pre_tokenizers.ByteLevel { add_prefix_space = false }
  tok:train_from_iterator(lines, T.trainers.BpeTrainer { vocab_size = o.vocab_size, initial_alphabet = T.pre_tokenizers.ByteLevel.alphabet() })
  return tok
end

local best, tok = math.huge, nil
for _ = 1, 3 do
  local start = system.clock()
  tok = train()
  best = math.min(best, system.clock() - start)
end
print(hf.json.encode { seconds = best, tokens = tok:get_vocab_size(), mb_per_second = bytes / best * 1e-6, peak_mib = system.peak_memory() // 2 ^ 20 })
