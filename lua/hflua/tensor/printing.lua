--- How tensors print: the numbers as PyTorch lays them out (4 digits, columns aligned, only the ends of long dims above 1000
-- elements), then shape, dtype and what else differs from a plain tensor on the CPU.
local core = require "hflua.core.tensor"

local edge, threshold, width = 3, 1000, 80

local function is_finite(v) return v == v and v ~= math.huge and v ~= -math.huge end

-- Python's texts for numbers outside the ordinary ones.
local function special(v)
  if v ~= v then return "nan" end
  return v > 0 and "inf" or "-inf"
end

-- All values of a nested list, in order.
local function flatten(list, out)
  if type(list) ~= "table" then out[#out + 1] = list return out end
  for _, v in ipairs(list) do flatten(v, out) end
  return out
end

-- How floats are written: whole numbers as "2.", wide ranges in scientific form, the rest with four digits.
local function float_format(values)
  local least, most, whole = math.huge, 0, true
  for _, v in ipairs(values) do
    local size = math.abs(v)
    if is_finite(v) and v ~= 0 then
      least, most = math.min(least, size), math.max(most, size)
      whole = whole and v == math.floor(v)
    end
  end
  local wide = most > 0 and (most / least > 1000 or most > 1e8)
  if wide or (most > 0 and not whole and least < 1e-4) then return "%.4e" end
  return whole and "%.0f." or "%.4f"
end

local function number_texts(values, is_float)
  local format = is_float and float_format(values)
  return function(v)
    if type(v) == "boolean" then return v and "true" or "false" end
    if not is_float then return tostring(v) end
    return is_finite(v) and format:format(v) or special(v)
  end
end

local function column_width(values, text)
  local widest = 0
  for _, v in ipairs(values) do widest = math.max(widest, #text(v)) end
  return widest
end

-- Rows of one vector, broken at the line width; `cut` marks where elements were left out.
local function vector_text(list, text, column, indent, cut)
  local cells = {}
  for i, v in ipairs(list) do
    if cut and i == edge + 1 then cells[#cells + 1] = " ..." end
    local cell = text(v)
    cells[#cells + 1] = (" "):rep(column - #cell) .. cell
  end
  local per_line = math.max(1, (width - indent) // (column + 2))
  local lines = {}
  for i = 1, #cells, per_line do lines[#lines + 1] = table.concat(cells, ", ", i, math.min(i + per_line - 1, #cells)) end
  return "[" .. table.concat(lines, ",\n" .. (" "):rep(indent + 1)) .. "]"
end

local function nested_text(list, shape, dim, text, column, indent, summary)
  if dim > #shape then return text(list) end
  local cut = summary and shape[dim] > 2 * edge
  if dim == #shape then return vector_text(list, text, column, indent, cut) end
  local rows = {}
  for i, row in ipairs(list) do
    if cut and i == edge + 1 then rows[#rows + 1] = "..." end
    rows[#rows + 1] = nested_text(row, shape, dim + 1, text, column, indent + 1, summary)
  end
  return "[" .. table.concat(rows, "," .. ("\n"):rep(#shape - dim) .. (" "):rep(indent + 1)) .. "]"
end

-- The first and last rows of every long dim.
local function ends_of(x)
  for dim = 0, x.ndim - 1 do
    if x:size(dim) > 2 * edge then
      x = core.functions.cat({ x:narrow(dim, 0, edge), x:narrow(dim, x:size(dim) - edge, edge) }, dim)
    end
  end
  return x
end

local function notes(x)
  local out = {}
  if x.ndim > 0 then out[1] = "shape=" .. tostring(x.shape) end
  out[#out + 1] = "dtype=" .. x.dtype
  if x.device ~= "cpu" then out[#out + 1] = "device=" .. x.device end
  if x.grad_fn then out[#out + 1] = "grad_fn=" .. x.grad_fn
  elseif x.requires_grad then out[#out + 1] = "requires_grad=true" end
  return table.concat(out, ", ")
end

--- "tensor([[ 1.0000, -2.5000]], shape=[1, 2], dtype=float32)"
function core.class.__tostring(x)
  local shown = x:detach()
  local summary = x:numel() > threshold
  if summary then shown = ends_of(shown) end
  local list = shown:tolist()
  local values = flatten(list, {})
  local text = number_texts(values, x:is_floating_point())
  local shape, prefix = x.shape, "tensor("
  if x:numel() == 0 then return prefix .. "[], " .. notes(x) .. ")" end
  return prefix .. nested_text(list, shape, 1, text, column_width(values, text), #prefix, summary) .. ", " .. notes(x) .. ")"
end
