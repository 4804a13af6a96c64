--- Where a collator takes its rows from: a list of rows, or rows of a dataset that the engine reads without making Lua values.
-- Both offer names(), has(name), stacked(name), padded(name, value, side, width) and lists(name).
local class = require "hflua.class"
local errors = require "hflua.errors"
local ordered = require "hflua.ordered"
local padding = require "hflua.trainer.padding"

local RowList = class("RowList")

function RowList:init(features)
  if type(features) ~= "table" or #features == 0 then errors.raise("data collator: expected a list of rows") end
  self.features = features
end

--- Column names, in the order of the first row.
function RowList:names()
  local names = {}
  for name in ordered.pairs(self.features[1]) do names[#names + 1] = name end
  return names
end

-- Numbers, truth values and lists of them; text and None are not.
function RowList:has(name)
  local value = self.features[1][name]
  local kind = type(value)
  return kind == "number" or kind == "boolean" or kind == "table" or kind == "userdata" and tostring(value) ~= "null"
end

--- The values of a column as they stand.
function RowList:values(name)
  local values = {}
  for i, row in ipairs(self.features) do
    values[i] = row[name]
    if values[i] == nil then errors.raise("row %d of the batch has no column '%s'", i, name) end
  end
  return values
end

--- The values as lists.
function RowList:lists(name)
  local lists = self:values(name)
  for i, value in ipairs(lists) do lists[i] = padding.list_of(value) end
  return lists
end

--- A tensor of values of equal shapes.
function RowList:stacked(name) return padding.stack_equal(self:values(name), name) end

--- A tensor (rows, width) of lists, padded; the width is at least that of the longest.
function RowList:padded(name, value, side, width)
  local lists = self:lists(name)
  for i, list in ipairs(lists) do
    if type(list) ~= "table" then errors.raise("column '%s': row %d of the batch: expected a list, found %s", name, i, type(list)) end
  end
  return padding.stack(lists, padding.width(lists, width), value, side)
end

local DatasetRows = class("DatasetRows", RowList)

--- Rows `numbers` (from 1) of a dataset.
function DatasetRows:init(dataset, numbers) self.dataset, self.numbers = dataset, numbers end

function DatasetRows.__index(self, key)
  if key == "features" then
    local features = {}
    for i, row in ipairs(self.numbers) do features[i] = self.dataset[row] end
    rawset(self, "features", features)
    return features
  end
  return DatasetRows[key]
end

function DatasetRows:names() return require("hflua.datasets.format").visible_columns(self.dataset) end

-- Does the engine turn this column into a tensor itself? Numbers, and lists of numbers.
local function is_plain(self, name, as_list)
  local kind = self.dataset._table:type(name)
  local is_list = type(kind) == "table" and kind[1] == "list"
  if is_list then kind = kind[2] end
  if as_list ~= nil and as_list ~= is_list then return false end
  return type(kind) == "string" and require("hflua.datasets.format").number_type(kind) ~= nil
end

function DatasetRows:has(name)
  for _, visible in ipairs(self:names()) do
    if visible == name then return is_plain(self, name) or RowList.has(self, name) end
  end
  return false
end

function DatasetRows:stacked(name)
  if not is_plain(self, name) then return RowList.stacked(self, name) end
  return self.dataset._table:collate(name, self.numbers)
end

function DatasetRows:padded(name, value, side, width)
  if not is_plain(self, name, true) then return RowList.padded(self, name, value, side, width) end
  return self.dataset._table:collate(name, self.numbers, value, width or 0, side == "left")
end

return { RowList = RowList, DatasetRows = DatasetRows }
