--- What rows and columns of a dataset look like: Lua values, or tensors after set_format("torch").
local core_rows = require "hflua.datasets.rows"
local errors = require "hflua.errors"

local format = {}

-- A format is { type = "torch" or nil, columns = list or nil (all), output_all_columns = true or nil }.

local function is_tensor_format(ds) return ds._format and ds._format.type end

-- The columns that rows show, in the order of the dataset.
local function visible_columns(ds)
  local names = ds._table:names()
  local chosen = ds._format and ds._format.columns
  if not chosen or ds._format.output_all_columns then return names end
  local wanted, visible = {}, {}
  for _, name in ipairs(chosen) do wanted[name] = true end
  for _, name in ipairs(names) do
    if wanted[name] then visible[#visible + 1] = name end
  end
  return visible
end
format.visible_columns = visible_columns

-- True when the column becomes a tensor: it was asked for, and holds numbers (maybe in lists).
local function becomes_tensor(ds, name)
  if not is_tensor_format(ds) then return false end
  if ds._format.columns then
    local asked = false
    for _, column in ipairs(ds._format.columns) do asked = asked or column == name end
    if not asked then return false end
  end
  return format.number_type(ds._table:type(name)) ~= nil
end

--- "int64", "float32" or "bool" for a column of numbers or of lists of them; nil for others.
function format.number_type(type_of)
  while type(type_of) == "table" and type_of[1] == "list" do type_of = type_of[2] end
  if type(type_of) ~= "string" then return nil end
  if type_of:match("^u?int") then return "int64" end
  if type_of:match("^float") then return "float32" end
  return type_of == "bool" and "bool" or nil
end

local function has_null(value)
  if type(value) ~= "table" then return type(value) == "userdata" end
  for _, item in ipairs(value) do
    if has_null(item) then return true end
  end
  return false
end

--- The tensor of a number or nested list; `where` begins the error when it holds None.
function format.to_tensor(value, dtype, where)
  if has_null(value) then errors.raise("%s: it holds None, which no tensor can", where) end
  return require("hflua.core.tensor").tensor(value, { dtype = dtype })
end

local row_metas = setmetatable({}, { __mode = "k" }) -- dataset -> metatable of its rows

--- Row i as a table.
function format.row(ds, i)
  local row, meta = ds._table:row(i), row_metas[ds]
  if not meta then
    meta = core_rows.row_meta(visible_columns(ds))
    row_metas[ds] = meta
  end
  if not ds._format then return setmetatable(row, meta) end
  local shown = {}
  for _, name in ipairs(meta.names) do
    local value = row[name]
    if value ~= nil and becomes_tensor(ds, name) then
      value = format.to_tensor(value, format.number_type(ds._table:type(name)), ("row %d: column '%s'"):format(i, name))
    end
    shown[name] = value
  end
  return setmetatable(shown, meta)
end

--- Drops what is remembered about a dataset whose format changed in place.
function format.forget(ds) row_metas[ds] = nil end

-- Stacks a list of equal-length lists; when they differ, a list of tensors, as HF gives it.
local function tensors_of(ds, name, list)
  local dtype, where = format.number_type(ds._table:type(name)), ("column '%s'"):format(name)
  local equal = true
  for i, item in ipairs(list) do
    equal = equal and (type(item) ~= "table" or (type(list[1]) == "table" and #item == #list[1]))
  end
  if equal then return format.to_tensor(list, dtype, where) end
  local tensors = {}
  for i, item in ipairs(list) do tensors[i] = format.to_tensor(item, dtype, where) end
  return tensors
end

--- Rows first..last of a column: a list, or a tensor.
function format.column(ds, name, first, last)
  local list = ds._table:column(name, first, last)
  if becomes_tensor(ds, name) and #list > 0 then return tensors_of(ds, name, list) end
  return list
end

--- Rows first..last as a batch.
function format.batch(ds, first, last)
  return core_rows.batch(visible_columns(ds), function(name) return format.column(ds, name, first, last) end)
end

--- A copy of the format for users.
function format.describe(ds)
  local set = ds._format or {}
  return { type = set.type, columns = visible_columns(ds), output_all_columns = set.output_all_columns or false }
end

return format
