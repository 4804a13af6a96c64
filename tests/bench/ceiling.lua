--- Measures how fast this machine multiplies matrices, (2048, 768) by (768, 3072), through hflua's product kernel; prints
-- one JSON line. This is the ceiling of a training step.
--   hflua tests/bench/ceiling.lua [--dtype=float32|bfloat16]
local hf = require "hflua"
local system = require "hflua.core.system"
local tensor = hf.tensor

local m, n, k = 2048, 3072, 768
local o = hf.parse_args { dtype = "float32" }
local a, b = tensor.rand({ m, k }):to(o.dtype), tensor.rand({ k, n }):to(o.dtype)
local best = math.huge
for _ = 1, 40 do
  local start = system.clock()
  tensor.no_grad(function() tensor.matmul(a, b) end)
  best = math.min(best, system.clock() - start)
end
print(hf.json.encode { gflops = 2 * m * n * k / best * 1e-9 })
