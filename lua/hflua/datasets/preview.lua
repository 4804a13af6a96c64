--- A data set in the REPL: how it prints, and below that its first rows in columns.
local repr = require "hflua.repr"
local system = require "hflua.core.system"

local ROWS, CELL = 5, 48 -- rows shown; characters of a cell

local function cell_text(value)
  local text = type(value) == "string" and value or type(value) == "table" and repr(value) or tostring(value)
  text = text:gsub("%s+", " ")
  local length = utf8.len(text)
  if not length then return (text:sub(1, CELL)) end
  return length <= CELL and text or text:sub(1, utf8.offset(text, CELL - 2) - 1) .. "..."
end

local function width_of(text) return utf8.len(text) or #text end

-- { name, cells of the first rows } with its width, for every column.
local function columns_of(dataset, count)
  local columns = {}
  for c, name in ipairs(dataset.column_names) do columns[c] = { name, width = width_of(name) } end
  for i = 1, count do
    local row = dataset[i]
    for _, column in ipairs(columns) do
      local text = cell_text(row[column[1]])
      column[#column + 1] = text
      column.width = math.max(column.width, width_of(text))
    end
  end
  return columns
end

-- One line of the table; columns that do not fit any more become "...".
local function line(columns, place, limit)
  local parts, used = {}, 0
  for _, column in ipairs(columns) do
    used = used + column.width + 2
    if used > limit and #parts > 0 then
      parts[#parts + 1] = "..."
      break
    end
    parts[#parts + 1] = column[place] .. (" "):rep(column.width - width_of(column[place]))
  end
  return (table.concat(parts, "  "):gsub("%s+$", ""))
end

return function(dataset)
  local count, lines = math.min(#dataset, ROWS), { tostring(dataset) }
  if count == 0 then return lines[1] end
  local columns, limit = columns_of(dataset, count), (system.terminal_size() or 100) - 4
  for place = 1, count + 1 do lines[#lines + 1] = line(columns, place, limit) end
  if #dataset > count then lines[#lines + 1] = ("... (%d rows in all)"):format(#dataset) end
  return table.concat(lines, "\n")
end
