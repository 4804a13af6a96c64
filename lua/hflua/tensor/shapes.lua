--- Splitting, slicing by expressions, and other operations on shapes composed of those in C.
local define = require "hflua.tensor.define"
local core = require "hflua.core.tensor"
local errors = require "hflua.errors"

local f = core.functions
local slice_dim = f.slice

local function check_dim(name, x, dim)
  dim = dim or 0
  if dim < -x.ndim or dim >= x.ndim then
    errors.raise("%s: dim must be in %d .. %d, found %d", name, -x.ndim, x.ndim - 1, dim)
  end
  return dim
end

-- Pieces of the given sizes along dim, as several values.
local function pieces(x, sizes, dim)
  local out, start = {}, 0
  for i, size in ipairs(sizes) do
    out[i] = x:narrow(dim, start, size)
    start = start + size
  end
  return table.unpack(out)
end

local function equal_sizes(total, size)
  local sizes = {}
  for start = 0, math.max(total - 1, 0), size do sizes[#sizes + 1] = math.min(size, total - start) end
  return sizes
end

--- split(x, 2) or split(x, {1, 2, 4}, {dim = -1}): the pieces, as several values.
define { name = "split", arguments = { "x", "size", "dim", "sizes" }, run = function(x, size, dim, sizes)
  dim = check_dim("split", x, dim)
  sizes = sizes or size
  if type(sizes) == "number" then
    if math.type(sizes) ~= "integer" or sizes < 1 then errors.raise("split: size: expected a whole number of 1 or more, found %s", sizes) end
    return pieces(x, equal_sizes(x:size(dim), sizes), dim)
  elseif type(sizes) ~= "table" then
    errors.raise("split: expected a size or a sequence of sizes, found %s", type(sizes))
  end
  local sum = 0
  for _, s in ipairs(sizes) do sum = sum + s end
  if sum ~= x:size(dim) then errors.raise("split: the sizes add up to %d, but dim %d has %d", sum, dim, x:size(dim)) end
  return pieces(x, sizes, dim)
end }

--- At most `chunks` pieces of equal size (the last may be smaller), as several values.
define { name = "chunk", arguments = { "x", "chunks", "dim" }, required = 2, run = function(x, chunks, dim)
  dim = check_dim("chunk", x, dim)
  if math.type(chunks) ~= "integer" or chunks < 1 then errors.raise("chunk: chunks: expected a whole number of 1 or more, found %s", chunks) end
  local total = x:size(dim)
  return pieces(x, equal_sizes(total, math.max(1, (total + chunks - 1) // chunks)), dim)
end }

--- The slices along dim, as several values.
define { name = "unbind", arguments = { "x", "dim" }, run = function(x, dim)
  dim = check_dim("unbind", x, dim)
  local out = {}
  for i = 1, x:size(dim) do out[i] = x:select(dim, i - 1) end
  return table.unpack(out)
end }

-- One part of "[:, 1::2, -3:]" applied to dim; returns the tensor and the dim of the next part.
local function apply_part(x, dim, part)
  if part:match "^%-?%d+$" then return x:select(dim, math.tointeger(tonumber(part))), dim end
  local start, stop, step = part:match "^(%-?%d*):(%-?%d*):?(%d*)$"
  if not start then errors.raise("slice: cannot read '%s': expected start:stop:step or an index", part) end
  return slice_dim(x, dim, math.tointeger(tonumber(start)), math.tointeger(tonumber(stop)), math.tointeger(tonumber(step))), dim + 1
end

-- Python's spelling, counted from 0; "..." stands for as many ":" as are left.
local function slice_by(x, expression)
  local parts, full = {}, 0
  for part in expression:gsub("[%[%]%s]", ""):gmatch "[^,]+" do parts[#parts + 1] = part end
  for _, part in ipairs(parts) do if part ~= "..." then full = full + 1 end end
  if full > x.ndim then errors.raise("slice: '%s' has %d parts for a tensor of %d dims", expression, full, x.ndim) end
  local dim, left = 0, x.ndim - full
  for _, part in ipairs(parts) do
    if part == "..." then dim = dim + left
    else x, dim = apply_part(x, dim, part) end
  end
  return x
end

--- x:slice{dim=1, start=1, stop=nil, step=2} (stop exclusive, negatives from the end), or x:slice("[:, 1::2, -3:]").
define { name = "slice", arguments = { "x", "dim", "start", "stop", "step", "expr" }, run = function(x, dim, start, stop, step, expr)
  if type(dim) == "string" then expr, dim = dim, nil end
  if expr then return slice_by(x, expr) end
  return slice_dim(x, dim, start, stop, step)
end }

--- x with src[j] added at index[j] along dim.
define { name = "index_add", arguments = { "x", "dim", "index", "src" }, required = 4, run = function(x, dim, index, src)
  dim = check_dim("index_add", x, dim)
  if dim < 0 then dim = dim + x.ndim end
  local shape = {}
  for d = 1, src.ndim do shape[d] = d == dim + 1 and -1 or 1 end
  return f.scatter_add(x, index:reshape(shape):expand(src.shape), src, dim)
end }

--- The sorted distinct numbers of x.
define { name = "unique", arguments = { "x" }, run = function(x)
  local out = {}
  for _, value in ipairs(f.sort(x:detach():flatten()):tolist()) do
    if value ~= out[#out] then out[#out + 1] = value end
  end
  return core.tensor(out, { dtype = x.dtype, device = x.device })
end }

--- How often each of 0, 1, 2, ... occurs in x.
define { name = "bincount", arguments = { "x", "minlength" }, run = function(x, minlength)
  local size = math.max(minlength or 0, x:numel() > 0 and x:max():item() + 1 or 0)
  local ones = f.ones { sizes = { x:numel() }, device = x.device }
  return f.zeros({ size }, { device = x.device }):scatter_add(x:flatten(), ones, 0):long()
end }

define { name = "argsort", arguments = { "x", "dim", "descending", "stable" }, run = function(x, dim, descending)
  local _, indices = f.sort(x, dim, descending)
  return indices
end }

for name, shaped in pairs { view_as = "view", reshape_as = "reshape", expand_as = "expand" } do
  define { name = name, arguments = { "x", "other" }, required = 2, run = function(x, other) return f[shaped](x, other.shape) end }
end

define.alias("swapaxes", "transpose")
define.alias("repeat", "tile")
