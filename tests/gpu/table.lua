--- hflua tests/gpu/table.lua FOLDER: results.jsonl of a run as tables, and as one object in summary.json.
local hf = require "hflua"
local folder = arg[1]

local phases, order, steps, ceilings, curves, generations = {}, {}, {}, {}, {}, {}
local by_task = { step = steps, curve = curves, generate = generations, ceiling = ceilings }
for line in io.lines(folder .. "/results.jsonl") do
  local ok, r = pcall(hf.json.decode, line)
  if ok and r.status then
    if not phases[r.phase] then order[#order + 1] = r.phase end
    phases[r.phase] = r
  elseif ok then
    table.insert(by_task[r.phase], r)
  end
end

local function show(format, ...) print((format:format(...):gsub("%s+$", ""))) end

show("%-36s %-14s %6s %6s %6s %6s", "phase", "status", "s", "cases", "failed", "skip")
for _, name in ipairs(order) do
  local p = phases[name]
  local counted = p.cases > 0
  show("%-36s %-14s %6d %6s %6s %6s", name, p.status == "started" and "killed" or p.status, p.seconds, counted and p.cases or "", counted and p.failed or "",
    counted and p.skipped or "")
end

-- What the best of the programs reaches is the ceiling.
local best = 0
if #ceilings > 0 then show("\n%-24s %10s %10s", "ceiling", "TFLOP/s", "TB/s") end
for _, c in ipairs(ceilings) do
  best = math.max(best, c.operations_a_second)
  show("%-24s %10.1f %10.2f", c.program .. " " .. c.precision, c.operations_a_second * 1e-12, c.bytes_a_second * 1e-12)
end

-- Of a step's operations in bfloat16 as bench.lua counts them; the same for the programs beside it.
local operations, eager = {}, {}
for _, s in ipairs(steps) do
  operations[s.model] = s.operations or operations[s.model]
  if s.program == "torch eager" then eager[s.model .. s.precision] = s.seconds end
end
if #steps > 0 then show("\n%-20s %-5s %-14s %9s %10s %9s %9s %8s %8s", "step", "", "program", "ms", "tokens/s", "peak MiB", "reserved", "x eager", "ceiling") end
table.sort(steps, function(a, b) return a.model .. a.precision .. a.program < b.model .. b.precision .. b.program end)
for _, s in ipairs(steps) do
  local beside = eager[s.model .. s.precision]
  s.times_eager = beside and beside / s.seconds
  s.share_of_ceiling = s.precision == "bf16" and best > 0 and operations[s.model] and operations[s.model] / s.seconds / best or nil
  show("%-20s %-5s %-14s %9.2f %10.0f %9.0f %9.0f %8s %8s", s.model, s.precision, s.program, 1000 * s.seconds, s.tokens_a_second, s.peak_mib, s.reserved_mib,
    s.times_eager and ("%.2f"):format(s.times_eager) or "-", s.share_of_ceiling and ("%.0f%%"):format(100 * s.share_of_ceiling) or "-")
end

if #generations > 0 then show("\n%-20s %6s %-14s %10s", "greedy tokens", "batch", "program", "tokens/s") end
for _, g in ipairs(generations) do show("%-20s %6d %-14s %10.0f", g.model, g.batch, g.program, g.tokens_a_second) end

-- Two curves from the same weights and batches.
local comparison
if #curves > 0 then
  show("\n%-20s %-14s %9s %9s %9s %9s", "loss curve", "program", "1", "10", "half", "last")
  for _, c in ipairs(curves) do
    local l = c.losses
    show("%-20s %-14s %9.4f %9.4f %9.4f %9.4f", c.model, c.program, l[1], l[10], l[#l // 2], l[#l])
  end
  if #curves == 2 then
    local worst = 0
    for i, loss in ipairs(curves[1].losses) do worst = math.max(worst, math.abs(loss - curves[2].losses[i]) / curves[2].losses[i]) end
    comparison = { steps = #curves[1].losses, largest_relative_difference = worst }
    show("%d steps, largest difference %.3f%%", comparison.steps, 100 * worst)
  end
end

local file = assert(io.open(folder .. "/summary.json", "w"))
file:write(hf.json.encode { phases = phases, ceilings = ceilings, steps = steps, generate = generations, curves = curves, curve_comparison = comparison }, "\n")
file:close()
