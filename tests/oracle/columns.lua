--- Prints every value of Parquet and Arrow files for tests/oracle/columns.py: hflua tests/oracle/columns.lua FILE ...
-- A line "= FILE", then the lines of tests/lib/columns.lua; "! MESSAGE" for a file that is refused.
local columns = dofile(arg[0]:match("^(.*)/oracle/") .. "/lib/columns.lua")
local core = require "hflua.core.datasets"

for _, path in ipairs(arg) do
  local read = path:find("%.parquet$") and core.read_parquet or core.read_arrow
  local table_, message = read(path, {})
  print("= " .. path)
  print(table_ and table.concat(columns.lines(table_), "\n") or "! " .. message)
end
