--- Values written as Python's repr writes them: {'loss': '0.6936', 'epoch': 3.0}.
local repr

-- Shortest decimal digits that read back as x, and the exponent of the first one: 0.00025 -> "25", -4.
local function shortest_digits(x)
  for precision = 0, 16 do
    local text = ("%." .. precision .. "e"):format(x)
    if tonumber(text) == x then
      local digits, exponent = text:match("^([%d.]+)e([-+]%d+)$")
      return (digits:gsub("%.", ""):gsub("0+$", "")), tonumber(exponent)
    end
  end
end

-- Digits with the point behind position `exponent`: "25", -4 -> 0.00025; "25", 3 -> 2500.0.
local function plain_decimal(digits, exponent)
  if exponent < 0 then return "0." .. ("0"):rep(-exponent - 1) .. digits end
  digits = digits .. ("0"):rep(exponent + 1 - #digits)
  local fraction = digits:sub(exponent + 2)
  return digits:sub(1, exponent + 1) .. "." .. (fraction == "" and "0" or fraction)
end

local function float_repr(x)
  if x ~= x then return "nan" end
  if x == math.huge or x == -math.huge then return x > 0 and "inf" or "-inf" end
  if x == 0 then return 1 / x < 0 and "-0.0" or "0.0" end
  local sign = x < 0 and "-" or ""
  local digits, exponent = shortest_digits(math.abs(x))
  if exponent >= -4 and exponent < 16 then return sign .. plain_decimal(digits, exponent) end
  local mantissa = #digits > 1 and digits:sub(1, 1) .. "." .. digits:sub(2) or digits
  return ("%s%se%s%02d"):format(sign, mantissa, exponent < 0 and "-" or "+", math.abs(exponent))
end

local escapes = { ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function string_repr(s)
  local quote = (s:find("'", 1, true) and not s:find('"', 1, true)) and '"' or "'"
  s = s:gsub("[%c\\]", function(c) return escapes[c] or ("\\x%02x"):format(c:byte()) end)
  if quote == "'" then s = s:gsub("'", "\\'") end
  return quote .. s .. quote
end

local function table_repr(t)
  local parts = {}
  if #t > 0 or next(t) == nil and getmetatable(t) == nil then
    for i, value in ipairs(t) do parts[i] = repr(value) end
    return "[" .. table.concat(parts, ", ") .. "]"
  end
  for key, value in require("hflua.ordered").pairs(t) do
    parts[#parts + 1] = repr(key) .. ": " .. repr(value)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

--- The text of a value. A table with a sequence part is a list, any other one a dict (keys in order, see hflua.ordered).
function repr(value)
  local kind = math.type(value) or type(value)
  if kind == "float" then return float_repr(value) end
  if kind == "string" then return string_repr(value) end
  if kind == "table" then return table_repr(value) end
  if kind == "boolean" then return value and "True" or "False" end
  if value == nil or tostring(value) == "null" then return "None" end
  return tostring(value)
end

return repr
