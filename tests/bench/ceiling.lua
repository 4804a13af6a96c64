--- Measures how fast this machine multiplies float32 matrices, (2048, 768) by (768, 3072), through hflua's product kernel; prints
-- one JSON line. This is the ceiling of a training step.
local hf = require "hflua"
local system = require "hflua.core.system"
local tensor = hf.tensor

local m, n, k = 2048, 3072, 768
local a, b = tensor.rand({ m, k }), tensor.rand({ k, n })
local best = math.huge
for _ = 1, 40 do
  local start = system.clock()
  tensor.no_grad(function() tensor.matmul(a, b) end)
  best = math.min(best, system.clock() - start)
end
print(hf.json.encode { gflops = 2 * m * n * k / best * 1e-9 })
