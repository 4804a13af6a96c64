--- Times greedy generation of a GPT-2 with random weights; prints one JSON line.
--   hflua tests/bench/generate.lua [--dtype=fp32|bf16] [--prompt=16] [--new=64] [--batch=1] [--from_file]
-- A token reads every weight of the layers and of the output once: `bandwidth` is that beside the time, `ceiling` how fast the same
-- process reads memory (the largest value of 512 MB), measured between the runs.
local hf = require "hflua"
local system = require "hflua.core.system"
local tensor = hf.tensor

local o = hf.parse_args { dtype = "fp32", prompt = 16, new = 64, batch = 1, from_file = false, rounds = 3 }

local function seconds(fn)
  local start = system.clock()
  fn()
  return system.clock() - start
end

-- Bytes a second over as many reads as there are new tokens, so that a disturbed moment counts for both alike.
local block = tensor.zeros { 128 * 2 ^ 20 }
local function memory_speed()
  return o.new * 512 * 2 ^ 20 / seconds(function() for _ = 1, o.new do block:max() end end)
end

local model = hf.models.GPT2LMHeadModel.from_config(hf.models.GPT2Config()):eval()
if o.from_file or o.dtype == "bf16" then
  local folder = os.tmpname() .. ".gpt2"
  model:save_pretrained(folder)
  model = hf.models.GPT2LMHeadModel.from_pretrained(folder, { dtype = o.dtype == "bf16" and "bfloat16" or "float32", quiet = true })
  os.execute("rm -r '" .. folder .. "'")
end
local bytes = 0
for name, parameter in model:named_parameters() do
  if not name:find "wpe" then bytes = bytes + parameter:numel() * (o.dtype == "bf16" and 2 or 4) end
end

local ids = tensor.randint(0, 50000, { o.batch, o.prompt })
local function run() model:generate(ids, { max_new_tokens = o.new, min_new_tokens = o.new, pad_token_id = 50256 }) end
run()
local best, ceiling = math.huge, memory_speed()
for _ = 1, o.rounds do
  best = math.min(best, seconds(run))
  ceiling = math.max(ceiling, memory_speed())
end
print(hf.json.encode { seconds = best, tokens_per_second = o.batch * o.new / best, bandwidth = bytes * o.new / best * 1e-9, ceiling = ceiling * 1e-9,
  share = bytes * o.new / best / ceiling, peak_mib = system.peak_memory() // 2 ^ 20 })
