--- Packing: examples of unequal length put together into rows of at most `length` tokens.
--
-- "bfd" (best fit, the longest first) keeps examples whole and cuts what is longer than a row; "bfd_split" goes on with the rest as an
-- example of its own; "wrapped" puts everything one behind another and cuts. Results and order are trl's, which packs 1,000 rows at a time.
local packing = {}

local CHUNK = 1000

local function cut(row, first, last)
  local piece = {}
  for name, list in pairs(row) do piece[name] = table.move(list, first, math.min(last, #list), 1, {}) end
  return piece
end

-- The examples with a length that fits; empty ones are left out.
local function fitting(rows, length, splits)
  local out = {}
  for _, row in ipairs(rows) do
    local size = #row.input_ids
    for first = 1, splits and size or math.min(size, 1), length do out[#out + 1] = cut(row, first, first + length - 1) end
  end
  return out
end

-- Numbers of the examples, the longest first; equal ones in their order.
local function longest_first(examples)
  local order = {}
  for i = 1, #examples do order[i] = i end
  table.sort(order, function(a, b)
    local x, y = #examples[a].input_ids, #examples[b].input_ids
    if x ~= y then return x > y end
    return a < b
  end)
  return order
end

-- Spaces that bins have, as a tree over 1 .. limit that finds the smallest one of at least a size.
local Spaces = {}
Spaces.__index = Spaces

local function new_spaces(limit)
  local size = 1
  while size < limit do size = size * 2 end
  return setmetatable({ size = size, tree = {} }, Spaces)
end

function Spaces:set(space, there)
  local tree, i = self.tree, self.size + space - 1
  tree[i] = there and space or 0
  while i > 1 do
    i = i // 2
    tree[i] = math.max(tree[2 * i] or 0, tree[2 * i + 1] or 0)
  end
end

function Spaces:smallest(least)
  local tree, i = self.tree, 1
  while i < self.size do i = (tree[2 * i] or 0) >= least and 2 * i or 2 * i + 1 end
  return tree[i]
end

-- Bins of numbers of examples; a bin that has waited longest for its space is taken first.
local function best_fit(examples, length)
  local spaces, waiting, bins = new_spaces(length), {}, {}
  spaces:set(length, true)
  for _, number in ipairs(longest_first(examples)) do
    local size = #examples[number].input_ids
    local space = spaces:smallest(size)
    local queue, bin = waiting[space], nil
    if space < length then
      bin = table.remove(queue, 1)
      if #queue == 0 then spaces:set(space, false) end
    else
      bin = {}
      bins[#bins + 1] = bin
    end
    bin[#bin + 1] = number
    local left = space - size
    waiting[left] = waiting[left] or {}
    table.insert(waiting[left], bin)
    if left > 0 then spaces:set(left, true) end
  end
  return bins
end

local function joined(examples, bin)
  local row = { seq_lengths = {} }
  for _, number in ipairs(bin) do
    for name, list in pairs(examples[number]) do
      row[name] = row[name] or {}
      table.move(list, 1, #list, #row[name] + 1, row[name])
    end
    row.seq_lengths[#row.seq_lengths + 1] = #examples[number].input_ids
  end
  return row
end

local function pack_best_fit(rows, length, splits, out)
  local examples = fitting(rows, length, splits)
  for _, bin in ipairs(best_fit(examples, length)) do out[#out + 1] = joined(examples, bin) end
end

local function pack_wrapped(rows, length, out)
  local all = {}
  for _, row in ipairs(rows) do
    for name, list in pairs(row) do
      all[name] = all[name] or {}
      table.move(list, 1, #list, #all[name] + 1, all[name])
    end
  end
  for first = 1, all.input_ids and #all.input_ids or 0, length do out[#out + 1] = cut(all, first, first + length - 1) end
end

--- Rows { input_ids =, labels = } packed to rows of at most `length` tokens; those of "bfd" and "bfd_split" have seq_lengths too.
function packing.pack(rows, length, strategy)
  local out = {}
  for first = 1, #rows, CHUNK do
    local chunk = table.move(rows, first, math.min(first + CHUNK - 1, #rows), 1, {})
    if strategy == "wrapped" then pack_wrapped(chunk, length, out) else pack_best_fit(chunk, length, strategy == "bfd_split", out) end
  end
  return out
end

return packing
