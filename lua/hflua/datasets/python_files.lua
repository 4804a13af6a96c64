--- What Python's datasets leaves on disk: folders of save_to_disk, and its cache of prepared datasets. Both hold Arrow files.
local DatasetDict = require "hflua.datasets.dataset_dict"
local cache = require "hflua.datasets.cache"
local errors = require "hflua.errors"
local file_system = require "hflua.core.files"
local files = require "hflua.datasets.files"
local json = require "hflua.core.json"

local python_files = {}

local function is_file(path) return file_system.type(path) == "file" end
local function is_folder(path) return file_system.type(path) == "folder" end

-- A name that a file gives; it may not lead out of its folder.
local function plain_name(name, where)
  local plain = type(name) == "string" and name ~= "" and not name:find("^%.+$") and not name:find("[/\\%z]")
  return plain and name or errors.raise("%s: expected the name of a file, found %s", where, tostring(name))
end

-- ---- save_to_disk

-- One dataset: state.json names its files.
local function load_one(folder)
  local where, paths = folder .. "/state.json", {}
  local state = json.load_file(where)
  if type(state._data_files) ~= "table" or #state._data_files == 0 then errors.raise("%s: _data_files: expected a list of files", where) end
  for i, entry in ipairs(state._data_files) do paths[i] = folder .. "/" .. plain_name(type(entry) == "table" and entry.filename, where .. ": _data_files") end
  if type(state._indices_data_files) == "table" and #state._indices_data_files > 0 then
    errors.raise("%s: rows chosen by an indices file are not read; call flatten_indices() in Python before save_to_disk", where)
  end
  return files.read("arrow", paths, {}, type(state._split) == "string" and state._split or nil)
end

--- The Dataset or DatasetDict that Python's save_to_disk wrote into a folder; nil for other folders.
function python_files.load_from_disk(folder)
  if is_file(folder .. "/state.json") then return load_one(folder) end
  local where = folder .. "/dataset_dict.json"
  if not is_file(where) then return nil end
  local splits, names, listed = {}, {}, json.load_file(where).splits
  if type(listed) ~= "table" then errors.raise("%s: splits: expected a list", where) end
  for i, name in ipairs(listed) do
    names[i] = plain_name(name, where .. ": splits")
    splits[name] = load_one(folder .. "/" .. name)
  end
  return DatasetDict._new(splits, names)
end

-- ---- the cache: NAME/CONFIG/VERSION/HASH/NAME-SPLIT[-00000-of-00002].arrow

-- The folders inside a folder.
local function folders_of(folder)
  local list = {}
  for _, name in ipairs(file_system.list(folder)) do
    if is_folder(folder .. "/" .. name) and not name:find("%.incomplete") then list[#list + 1] = name end
  end
  return list
end

-- { split = paths } of a folder of the last level; nil when there are none. What map wrote (cache-...) is passed over.
local function splits_of(folder)
  local by_split
  for _, name in ipairs(file_system.list(folder)) do
    local split = name:gsub("%-%d%d%d%d%d%-of%-%d%d%d%d%d%.arrow$", ".arrow"):match("%-([%w_.]+)%.arrow$")
    if split and not name:find("^cache%-") then
      by_split = by_split or {}
      by_split[split] = by_split[split] or {}
      table.insert(by_split[split], folder .. "/" .. name)
    end
  end
  return by_split
end

local function choose_config(name, folder, config)
  local configs = folders_of(folder)
  if config then return is_folder(folder .. "/" .. config) and config or nil end
  for _, each in ipairs(configs) do
    if each == "default" or #configs == 1 then return each end
  end
  if #configs > 1 then errors.raise("load_dataset: '%s' has several configurations; give one of them: %s", name, table.concat(configs, ", ")) end
end

-- The splits of the newest version; versions and hashes in it are taken in the order of their names, the last one first.
local function newest(folder)
  local versions = folders_of(folder)
  for v = #versions, 1, -1 do
    local hashes = folders_of(folder .. "/" .. versions[v])
    for h = #hashes, 1, -1 do
      local by_split = splits_of(("%s/%s/%s"):format(folder, versions[v], hashes[h]))
      if by_split then return by_split end
    end
  end
end

-- The folders of the cache that may hold a dataset: "nyu-mll___glue" for "nyu-mll/glue" and for "glue", "glue" for both.
local function folders_named(name)
  local list, own, short = {}, name:gsub("/", "___"), name:match("[^/]+$")
  for _, folder in ipairs(is_folder(cache.folder()) and folders_of(cache.folder()) or {}) do
    local fits = folder == own or folder == short or (name == short and folder:match("___(.*)$") == name)
    if fits then table.insert(list, folder == own and 1 or #list + 1, cache.folder() .. "/" .. folder) end
  end
  return list
end

--- { split = paths } of a dataset in Python's cache, or nil.
function python_files.find(name, config)
  for _, folder in ipairs(folders_named(name)) do
    local chosen = choose_config(name, folder, config)
    local by_split = chosen and newest(folder .. "/" .. chosen)
    if by_split then return by_split end
  end
end

return python_files
