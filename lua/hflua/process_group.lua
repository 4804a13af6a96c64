--- The processes of a run: `mpirun -np N hflua recipe.lua` makes N of them, every other start a group of one.
--
--     local group = require "hflua.process_group"
--     group.info().rank, group.info().size
--     local total = group.sum(count)
--     local path = group.from_main(function() return find_newest() end)   -- run by one, known to all
--
-- Functions that exchange something are called by all processes in the same order.
local core = require "hflua.core.process_group"
local errors = require "hflua.errors"

local group = {}

local info

--- { rank =, size =, local_rank =, local_size = }; the first call joins the group.
function group.info()
  if not info then
    local rank, size, local_rank, local_size = core.info()
    info = { rank = rank, size = size, local_rank = local_rank, local_size = local_size }
  end
  return info
end

--- Is this the process that writes and speaks? Known without joining.
function group.is_main() return (core.launched()) == 0 end

--- Returns when all processes have called it.
group.barrier = core.barrier

-- ---- numbers and texts

--- The numbers that the processes give, in order of rank.
function group.gather_numbers(x)
  if group.info().size == 1 then return { x } end
  return core.all_gather_numbers(x)
end

--- Sum, mean and maximum of the numbers that the processes give.
function group.sum(x)
  if group.info().size == 1 then return x end
  local total = 0
  for _, value in ipairs(group.gather_numbers(x)) do total = total + value end
  return math.type(x) == "integer" and math.tointeger(total) or total
end
function group.mean(x) return group.info().size == 1 and x or group.sum(x + 0.0) / group.info().size end
function group.max(x)
  if group.info().size == 1 then return x end
  local most = math.max(table.unpack(group.gather_numbers(x)))
  return math.type(x) == "integer" and math.tointeger(most) or most
end

--- The texts that the processes give, in order of rank.
group.gather_texts = core.all_gather

--- The list of whole numbers of process 0, in all processes.
function group.broadcast_order(order)
  if group.info().size == 1 then return order end
  local bytes = {}
  if group.info().rank == 0 then
    for i, row in ipairs(order) do bytes[i] = string.pack("<i8", row) end
  end
  local text = core.broadcast(table.concat(bytes), 0)
  local shared = {}
  for i = 1, #text // 8 do shared[i] = string.unpack("<i8", text, 8 * i - 7) end
  return shared
end

local in_main = false

--- What fn() gives in process 0 (a text or nil), in all processes; an error of fn is raised in all of them. Inside fn process 0 is
-- alone: a second from_main there just calls its function.
function group.from_main(fn)
  if group.info().size == 1 or in_main then return fn() end
  local ok, value, said = true, nil, nil
  if group.info().rank == 0 then
    in_main = true
    ok, value = pcall(fn)
    in_main = false
    said = (ok and "+" or "-") .. (value == nil and "0" or "1") .. tostring(value)
  end
  said = core.broadcast(said, 0)
  value = said:sub(2, 2) == "1" and said:sub(3) or nil
  if said:sub(1, 1) == "-" then error(value, 0) end
  return value
end

--- fn(...) where `is_first`, then in the other processes; what it gives.
function group.first(is_first, fn, ...)
  local results = is_first and table.pack(fn(...))
  group.barrier()
  results = results or table.pack(fn(...))
  return table.unpack(results, 1, results.n)
end

-- ---- tensors

-- "[8, 2] float32" of each process.
local function describe_all(t) return core.all_gather(("[%s] %s"):format(table.concat(t.shape, ", "), t.dtype)) end

-- Tells all processes when one has another shape or dtype.
local function check_alike(descriptions, what)
  local rank = group.info().rank
  local own = descriptions[rank + 1]
  for r, theirs in ipairs(descriptions) do
    if theirs ~= own then
      errors.raise("%s: process %d has %s, process %d has %s; pad_across_processes first", what, rank, own, r - 1, theirs)
    end
  end
end

--- The tensors of all processes, one behind the other along dim 0; single values make a row.
function group.gather_tensor(t)
  if group.info().size == 1 then return t end
  t = t:detach()
  if t.ndim == 0 then t = t:reshape { 1 } end
  check_alike(describe_all(t), "gather")
  return core.all_gather_tensor(t)
end

local reduced_as = { float32 = true, int64 = true }

--- The element-wise "sum", "mean", "max" or "min" over the processes.
function group.reduce_tensor(t, reduction)
  if group.info().size == 1 then return t end
  check_alike(describe_all(t), "reduce")
  local plain = reduced_as[t.dtype] and t:detach() or t.dtype:find "float" and t:detach():float() or t:long()
  local result = core.all_reduce(plain, reduction == "mean" and "sum" or reduction)
  if reduction == "mean" then return result / group.info().size end
  return result:to(t.dtype)
end

-- `t` with dim `dim` brought to `size`.
local function widen(t, dim, size, value, first)
  local gap, pad = size - t:size(dim), {}
  if gap == 0 then return t end
  for _ = 1, 2 * (t.ndim - 1 - dim) do pad[#pad + 1] = 0 end
  pad[#pad + 1], pad[#pad + 2] = first and gap or 0, first and 0 or gap
  return t:pad(pad, value)
end

--- `t` with dim `dim` brought to the largest size among the processes by `value`, behind or (first = true) in front.
function group.pad_tensor(t, dim, value, first)
  if dim < 0 then dim = dim + t.ndim end
  if group.info().size == 1 or dim < 0 or dim >= t.ndim then return t end
  return widen(t, dim, group.max(t:size(dim)), value, first)
end

--- The rows of all processes, brought to one width (dim 1) by `value`.
function group.gather_rows(t, value)
  if t.ndim < 2 then return group.gather_tensor(t) end
  t = t:detach()
  local descriptions, most = describe_all(t), 0
  for _, text in ipairs(descriptions) do most = math.max(most, tonumber(text:match "^%[%d+, (%d+)")) end
  for r, text in ipairs(descriptions) do descriptions[r] = text:gsub("^(%[%d+, )%d+", "%1" .. most, 1) end
  check_alike(descriptions, "gather")
  return core.all_gather_tensor(widen(t, 1, most, value))
end

--- Calls fn(tensor) for every tensor in a value: a tensor, a list, a table of them; other values stay.
function group.map(value, fn)
  if type(value) == "userdata" and value.shape then return fn(value) end
  if type(value) ~= "table" then return value end
  local out = {}
  for key, part in pairs(value) do out[key] = group.map(part, fn) end
  return out
end

--- Parameters and buffers of a model become those of process 0.
function group.broadcast_model(model)
  if group.info().size == 1 then return end
  local list = {}
  for _, parameter in model:named_parameters() do list[#list + 1] = parameter end
  if model.named_buffers then
    for _, buffer in model:named_buffers() do list[#list + 1] = buffer end
  end
  core.broadcast_tensors(list, 0)
end

--- The exchange of the gradients of these parameters in buckets of about `mebibytes` (25): begin(), finish().
function group.exchange(parameters, mebibytes)
  return core.exchange(parameters, math.max(1, math.floor((mebibytes or 25) * 2 ^ 20)))
end

return group
