--- Benchmarks: hflua beside PyTorch/transformers on the same machine, in turns; prints ratios, peak memory and the share of the
-- product ceiling measured in the same run. Run from the repository:
--
--   build/hflua tests/bench/bench.lua step --python=PYTHON [--model=bert-base --batch=16 --length=128 --padded_to=0] [--rounds=3]
--   build/hflua tests/bench/bench.lua tokenize --python=PYTHON --vocab=vocab.txt [--merges=merges.txt] --text=FILE [--single]
--   build/hflua tests/bench/bench.lua start --python=PYTHON
--   build/hflua tests/bench/bench.lua generate --python=PYTHON [--dtype=fp32|bf16 --prompt=16 --new=64 --batch=1] [--rounds=3]
--   build/hflua tests/bench/bench.lua mrpc --python=PYTHON --model=FOLDER --data=FOLDER [--max_steps=100] [--rounds=5]
--
-- PYTHON is an interpreter that has torch, transformers and datasets; without it only hflua is timed. Other options go to both
-- sides as they are. Timings only mean something while nothing else runs.
local hf = require "hflua"
local system = require "hflua.core.system"

local here = arg[0]:match "^(.*)/[^/]*$" or "."
local program = arg[-1]

local own = { python = "", rounds = 3 }
local kind, passed = arg[1], {}
for i = 2, #arg do
  local name, value = arg[i]:match "^%-%-(%w+)=(.*)$"
  if name and own[name] then own[name] = math.tointeger(tonumber(value)) or value
  else passed[#passed + 1] = arg[i] end
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function command(side, script, extra)
  local parts = side == "hflua" and { quote(program), quote(here .. "/" .. script .. ".lua") } or { quote(own.python), quote(here .. "/peer_" .. script .. ".py") }
  for _, word in ipairs(extra or {}) do parts[#parts + 1] = quote(side == "hflua" and word or word:gsub("=true$", "")) end
  return table.concat(parts, " ")
end

-- Runs a child; the last line it prints is JSON. Also measures the wall time of the whole process.
local function run(text)
  local start, last = system.clock(), nil
  local pipe = assert(io.popen(text .. " 2>/dev/null"))
  for line in pipe:lines() do last = line end
  local ok = pipe:close()
  if not ok then error("failed: " .. text, 0) end
  local result = last and last:sub(1, 1) == "{" and hf.json.decode(last) or {}
  result.wall = system.clock() - start
  return result
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- Alternates the two sides; `value(result)` is what is compared (smaller is better).
local function compare(script, value, unit, extra)
  local sides = own.python ~= "" and { "hflua", "peer" } or { "hflua" }
  local values, ratios, memory = { hflua = {}, peer = {} }, {}, {}
  for round = 1, own.rounds do
    local pair = {}
    for _, side in ipairs(sides) do
      local result = run(command(side, script, extra))
      pair[side] = value(result)
      table.insert(values[side], pair[side])
      memory[side] = math.max(memory[side] or 0, result.peak_mib or 0)
      if side == "hflua" then pair.result = result end
    end
    if pair.peer then ratios[round] = pair.peer / pair.hflua end
  end
  for _, side in ipairs(sides) do print(("%-6s median %.4f %s, peak %d MiB"):format(side, median(values[side]), unit, memory[side])) end
  if #ratios > 0 then
    table.sort(ratios)
    print(("hflua is %.2f x as fast (%.2f .. %.2f in %d rounds)%s"):format(median(ratios), ratios[1], ratios[#ratios], #ratios,
      memory.peer > 0 and (", with %.2f x the memory"):format(memory.hflua / memory.peer) or ""))
  end
end

local benches = {}

-- The ceiling of a step is the product in the step's own number type.
local function ceiling_options()
  for _, word in ipairs(passed) do
    if word == "--dtype=bf16" then return { "--dtype=bfloat16" } end
  end
end

function benches.step()
  local before = run(command("hflua", "ceiling", ceiling_options())).gflops
  local best
  compare("step", function(r) best = r.gflops or best return r.seconds end, "s a step", passed)
  local after = run(command("hflua", "ceiling", ceiling_options())).gflops
  print(("products alone: %.0f GFLOP/s before, %.0f after; the step reaches %.0f, %.0f %%"):format(before, after, best, 100 * best / math.max(before, after)))
end

function benches.tokenize() compare("tokenize", function(r) return r.seconds end, "s for the file", passed) end

function benches.generate()
  local best
  compare("generate", function(r)
    if r.share and (not best or r.share > best.share) then best = r end
    return 1000 / r.tokens_per_second
  end, "ms a token", passed)
  print(("weights are read at %.1f GB/s where memory gives %.1f: %.0f %%"):format(best.bandwidth, best.ceiling, 100 * best.share))
end

function benches.mrpc() compare("mrpc", function(r) return r.wall end, "s start to end", passed) end

-- Start-up has no script of its own on hflua's side: the first line of an empty program.
function benches.start()
  local function seconds(text)
    local list = {}
    for i = 1, own.rounds do list[i] = run(text).wall end
    return median(list)
  end
  local ours = seconds(quote(program) .. " -e " .. quote "hf = require 'hflua'")
  print(("hflua  median %.4f s"):format(ours))
  if own.python ~= "" then
    local theirs = seconds(command("peer", "start"))
    print(("peer   median %.4f s\nhflua starts %.0f x as fast"):format(theirs, theirs / ours))
  end
end

local bench = benches[kind] or error("usage: bench.lua step|tokenize|generate|start|mrpc [--python=PYTHON] [options]", 0)
bench()
