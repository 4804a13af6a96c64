--- Reviews with their verdicts: imdb (text, label: neg, pos) and yelp_review_full (label: 1 star .. 5 stars, text), from CSV files.
--
-- Yelp's files have no header; where labels run from 1 to 5, as in the original files, they become 0 to 4.
local DatasetDict = require "hflua.datasets.dataset_dict"
local errors = require "hflua.errors"
local features = require "hflua.datasets.features"
local files = require "hflua.datasets.files"

local reviews = {}

local kinds = {
  imdb = { columns = { "text", "label" }, names = { "neg", "pos" } },
  yelp = { columns = { "label", "text" }, names = { "1 star", "2 star", "3 stars", "4 stars", "5 stars" }, headless = true },
}

local function has(ds, name)
  for _, column in ipairs(ds.column_names) do if column == name then return true end end
  return false
end

-- Labels 1 .. 5 to 0 .. 4, when no label is 0.
local function from_zero(ds, count)
  local lowest, highest = math.huge, -math.huge
  for _, label in ipairs(ds.label) do
    if math.type(label) ~= "integer" then return ds end
    lowest, highest = math.min(lowest, label), math.max(highest, label)
  end
  if lowest < 1 or highest ~= count then return ds end
  return ds:map(function(row) return { label = row.label - 1 } end)
end

local function load_split(kind, format, paths, split)
  local settings = {}
  if kind.headless and format ~= "json" then settings.column_names, settings.header = kind.columns, false end
  local ds = files.read(format, paths, settings, split)
  for _, name in ipairs(kind.columns) do
    if not has(ds, name) then errors.raise("%s: expected the columns %s, found %s", paths[1], table.concat(kind.columns, ", "), table.concat(ds.column_names, ", ")) end
  end
  ds = ds:select_columns(kind.columns)
  if kind.headless then ds = from_zero(ds, #kind.names) end
  return ds:cast_column("label", features.ClassLabel { names = kind.names })
end

for name, kind in pairs(kinds) do
  reviews[name] = { needs = "{data_files = CSV files with " .. table.concat(kind.columns, ", ") .. "} or {data_dir = a folder of them}" }

  --- The DatasetDict of files of one format: { split = paths }.
  reviews[name].load = function(format, by_split)
    local all = {}
    for split, paths in pairs(by_split) do all[split] = load_split(kind, format, paths, split) end
    return DatasetDict(all)
  end
end

return reviews
