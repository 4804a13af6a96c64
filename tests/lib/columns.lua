--- Values of the table engine in one plain form, which tests/oracle/columns.py writes of pyarrow's: a line "- NAME" for each column,
-- then a line a value. Texts are "'" and their bytes in hexadecimal.
local columns = {}

local show

local function show_struct(value, fields)
  local parts = {}
  for i, field in ipairs(fields) do parts[i] = field[1] .. "=" .. show(value[field[1]], field[2]) end
  return "{" .. table.concat(parts, ",") .. "}"
end

function show(value, type_of)
  if value == nil or type(value) == "userdata" then return "null" end
  if type(type_of) == "table" and type_of[1] == "struct" then return show_struct(value, type_of[2]) end
  if type(type_of) == "table" then
    local parts = {}
    for i, item in ipairs(value) do parts[i] = show(item, type_of[2]) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  if type(value) == "string" then return "'" .. value:gsub(".", function(c) return ("%02x"):format(c:byte()) end) end
  if math.type(value) == "float" then return value ~= value and "nan" or ("%.17g"):format(value) end
  return tostring(value)
end

--- The lines of a table.
function columns.lines(t)
  local lines = {}
  for _, name in ipairs(t:names()) do
    local type_of = t:type(name)
    lines[#lines + 1] = "- " .. name
    for _, value in ipairs(t:column(name)) do lines[#lines + 1] = show(value, type_of) end
  end
  return lines
end

return columns
