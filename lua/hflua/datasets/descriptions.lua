--- Features as Python's datasets writes them into its files: {"info": {"features": {"label": {"names": [...], "_type": "ClassLabel"}}}}.
local errors = require "hflua.errors"
local features = require "hflua.datasets.features"
local json = require "hflua.core.json"

local descriptions = {}

-- ---- reading

local described

-- What is written about field `name` of a struct. A Sequence of a struct is stored as a struct of lists.
local function about_field(about, name)
  if about._type ~= "Sequence" then return about[name] end
  local inner = type(about.feature) == "table" and about.feature[name]
  return inner and { _type = "List", feature = inner }
end

local function described_struct(fields, about)
  local columns, found = {}, false
  for i, field in ipairs(fields) do
    local feature = described(field[2], about_field(about, field[1]))
    found = found or feature ~= nil
    columns[i] = { field[1], feature or features.from_type(field[2]) }
  end
  return found and features.Features(columns) or nil
end

-- The feature of a column, where what is written about it says more than its type does (a ClassLabel); else nil.
function described(type_of, about)
  if type(about) ~= "table" then return nil end
  if type_of == "int64" and about._type == "ClassLabel" and type(about.names) == "table" and about.names[1] then
    return features.ClassLabel { names = about.names }
  end
  if type(type_of) ~= "table" then return nil end
  if type_of[1] == "struct" then return described_struct(type_of[2], about) end
  local item = described(type_of[2], about._type and about.feature or about[1])
  return item and features.Sequence(item)
end

--- { column = feature } of the columns of a table of the engine that have a ClassLabel in them.
-- @param text the JSON; where begins the error when it is none
function descriptions.labels(columns, text, where)
  local ok, about = pcall(json.decode, text)
  if not ok then errors.raise("%s: metadata 'huggingface': %s", where, tostring(about)) end
  local info = type(about) == "table" and type(about.info) == "table" and about.info or about
  local labels = {}
  for _, name in ipairs(columns:names()) do
    labels[name] = described(columns:type(name), type(info) == "table" and type(info.features) == "table" and info.features[name])
  end
  return labels
end

-- ---- writing

-- text: the dtype of texts, "string" or "binary".
local function written(feature, text)
  local type_of = features.to_type(feature)
  if features.is_class_label(feature) then return json.ordered({ names = json.array(feature.names), _type = "ClassLabel" }, { "names", "_type" }) end
  if type_of == "string" then type_of = text end
  if type(type_of) == "string" then return json.ordered({ dtype = type_of, _type = "Value" }, { "dtype", "_type" }) end
  if type_of[1] == "list" then return json.ordered({ feature = written(feature.feature, text), _type = "List" }, { "feature", "_type" }) end
  local fields = {}
  for name, field in pairs(feature) do fields[name] = written(field, text) end
  return json.ordered(fields, feature:keys())
end

--- The JSON for these features. is_text(column): false where texts are no UTF-8.
function descriptions.text(all, is_text)
  local columns = {}
  for name, feature in pairs(all) do columns[name] = written(feature, is_text(name) and "string" or "binary") end
  return json.encode { info = { features = json.ordered(columns, all:keys()) } }
end

return descriptions
