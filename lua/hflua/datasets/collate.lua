--- Rows of a dataset to a batch: by the engine, by a collator, or the default of DataLoader: rows stacked into tensors, column by column.
local Dataset = require "hflua.datasets.dataset"
local errors = require "hflua.errors"
local format = require "hflua.datasets.format"
local new_batch = require "hflua.trainer.batch"
local rows = require "hflua.datasets.rows"

local collate = {}

-- One column of a dataset: by the engine where it holds numbers or lists of them, else through Lua values.
local function dataset_column(ds, name, numbers)
  local type_of = ds._table:type(name)
  if type(type_of) == "string" or type(type_of[2]) == "string" then return ds._table:collate(name, numbers) end
  if not format.number_type(type_of) then
    errors.raise("column '%s' holds %ss, which make no tensor: remove_columns{\"%s\"}, or give a collate_fn", name, type_of[1], name)
  end
  local list = {}
  for i, row in ipairs(numbers) do list[i] = ds._table:row(row)[name] end
  return format.to_tensor(list, format.number_type(type_of), ("column '%s'"):format(name))
end

local function is_float(value)
  while type(value) == "table" do value = value[1] end
  return math.type(value) == "float"
end

-- Values of one column of plain rows: tensors are stacked, numbers and lists become one.
local function stack(values, name)
  local tensor, first = require "hflua.tensor", values[1]
  if type(first) == "userdata" and first.shape then return tensor.stack(values, { dim = 0 }) end
  if type(first) == "string" then errors.raise("column '%s' is text: remove it, or give a collate_fn", name) end
  local float = false
  for _, value in ipairs(values) do float = float or is_float(value) end
  local dtype = type(first) == "boolean" and "bool" or float and "float32" or "int64"
  return format.to_tensor(values, dtype, ("column '%s'"):format(name))
end

-- Rows of a plain list: tables of named values, lists of values, or single values.
local function plain_rows(list)
  local first = list[1]
  if type(first) ~= "table" then return stack(list, "1") end
  local batch = #first > 0 and {} or new_batch()
  for _, name in ipairs(#first > 0 and first or rows.returned_keys(first)) do
    local key = #first > 0 and #batch + 1 or name
    local values = {}
    for i, row in ipairs(list) do
      values[i] = row[key]
      if values[i] == nil then errors.raise("DataLoader: row %d of the batch has no '%s'", i, tostring(key)) end
    end
    batch[key] = stack(values, tostring(key))
  end
  return batch
end

--- What a collator makes of these rows: by its collate_rows(dataset, numbers) where it has one that takes them, else
-- called with a list of rows.
function collate.by_collator(dataset, numbers, collator)
  local by_rows = type(collator) == "table" and collator.collate_rows
  local batch = by_rows and by_rows(collator, dataset, numbers)
  if batch then return batch end
  local list = {}
  for i, row in ipairs(numbers) do list[i] = dataset[row] end
  return collator(list)
end

--- The batch of these rows.
function collate.default(dataset, numbers)
  if getmetatable(dataset) ~= Dataset then
    local list = {}
    for i, row in ipairs(numbers) do list[i] = dataset[row] end
    return plain_rows(list)
  end
  local batch = new_batch()
  for _, name in ipairs(format.visible_columns(dataset)) do batch[name] = dataset_column(dataset, name, numbers) end
  return batch
end

return collate
