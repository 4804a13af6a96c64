--- Prints every value of files of columns in one plain form, for tests/oracle/columns.py: hflua tests/oracle/columns.lua FILE ...
-- A line "= FILE", then for each column a line "- NAME" and a line a value; "! MESSAGE" for a file that is refused.
local core = require "hflua.core.datasets"

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

for _, path in ipairs(arg) do
  local read = path:find("%.parquet$") and core.read_parquet or core.read_arrow
  local columns, message = read(path, {})
  print("= " .. path)
  if not columns then print("! " .. message) end
  for _, name in ipairs(columns and columns:names() or {}) do
    print("- " .. name)
    local type_of = columns:type(name)
    for _, value in ipairs(columns:column(name)) do print(show(value, type_of)) end
  end
end
