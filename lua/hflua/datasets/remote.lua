--- The data files of a dataset on the Hub: which ones make up a configuration and its splits, fetched into the local cache.
--
--     local folder, by_split = remote.fetch("glue", "mrpc", { split = "train" })   -- folder, { train = { "mrpc/train-...parquet" } }
local errors = require "hflua.errors"
local glob = require "hflua.hub.glob"
local hub = require "hflua.hub"
local options = require "hflua.options"
local split_names = require "hflua.datasets.split_names"

local remote = {}

-- Formats, the preferred one first.
local formats = { "parquet", "csv", "tsv", "jsonl", "json", "ndjson", "txt" }

local CONVERTED = "refs/convert/parquet" -- where the Hub keeps datasets of scripts as config/split/0000.parquet

local function extension(name) return (name:match("%.(%w+)$") or ""):lower() end

local function is_documentation(name)
  local last = name:match("[^/]+$"):lower()
  return name:sub(1, 1) == "." or last:match("^readme") or last == "dataset_infos.json" or last == "dataset_info.json" or last == "requirements.txt" or last == "license.txt"
end

-- ---- by the card

-- The names of the card's configurations, in order.
local function config_names(configs)
  local list = {}
  for _, entry in ipairs(configs) do
    if type(entry) == "table" and type(entry.config_name) == "string" then list[#list + 1] = entry.config_name end
  end
  return list
end

local function raise_config(name, config, list)
  if config then errors.raise("load_dataset: '%s': %s; it has: %s", name, options.unknown("configuration", config, list), table.concat(list, ", ")) end
  errors.raise("load_dataset: '%s' has several configurations; give one of them: %s", name, table.concat(list, ", "))
end

-- The entry of a configuration: the one named, else the default or only one.
local function choose_config(name, config, configs)
  for _, entry in ipairs(configs) do
    if type(entry) == "table" and (config and entry.config_name == config or not config and (entry.default == true or entry.config_name == "default" or #configs == 1)) then return entry end
  end
  raise_config(name, config, config_names(configs))
end

-- Adds to by_split the files that match a pattern of the card, or a list of them.
local function add_matching(by_split, split, patterns, list, folder)
  for _, pattern in ipairs(type(patterns) == "table" and patterns or { patterns }) do
    for _, file in ipairs(type(pattern) == "string" and list or {}) do
      if glob.matches_path(folder .. pattern, file) then
        by_split[split] = by_split[split] or {}
        table.insert(by_split[split], file)
      end
    end
  end
end

-- { split = files } of a configuration's data_files: text, a list of texts, or a list of { split =, path = }.
local function by_data_files(entry, list)
  local by_split, folder = {}, type(entry.data_dir) == "string" and entry.data_dir:gsub("/+$", "") .. "/" or ""
  local given = type(entry.data_files) == "table" and entry.data_files or { entry.data_files }
  for _, item in ipairs(given) do
    if type(item) == "table" then add_matching(by_split, type(item.split) == "string" and item.split or "train", item.path, list, folder)
    else add_matching(by_split, "train", item, list, folder) end
  end
  return by_split
end

-- { split = files } of load_dataset's data_files: a name or pattern, a list of them, or { split = those }.
local function by_option(data_files, list)
  local by_split = {}
  if type(data_files) ~= "table" or data_files[1] ~= nil then data_files = { train = data_files } end
  for split, patterns in pairs(data_files) do add_matching(by_split, tostring(split), patterns, list, "") end
  return by_split
end

-- ---- by names

-- The split that a path tells: SPLIT-00000-of-00003, else a word in the file's name, else in the nearest folder's.
local function split_of_path(path)
  local split = path:match("([%w_.]+)%-%d%d%d%d%d%-of%-%d%d%d%d%d[^/]*$")
  if split then return split end
  for part in path:gsub("%.%w+$", ""):gmatch("[^/]+") do split = split_names.find(part) or split end
  return split or "train"
end

-- The files of the preferred format below a folder, by split; nil when there are none.
local function by_names(list, folder)
  for _, format in ipairs(formats) do
    local by_split
    for _, file in ipairs(list) do
      if extension(file) == format and file:sub(1, #folder) == folder and not is_documentation(file) then
        local split = split_of_path(file:sub(#folder + 1))
        by_split = by_split or {}
        by_split[split] = by_split[split] or {}
        table.insert(by_split[split], file)
      end
    end
    if by_split then return by_split end
  end
end

-- The folders of the top level that hold files.
local function top_folders(list)
  local folders, seen = {}, {}
  for _, file in ipairs(list) do
    local folder = file:match("^([^/]+)/")
    if folder and not seen[folder] then seen[folder], folders[#folders + 1] = true, folder end
  end
  return folders
end

-- { split = files } of a repository, or nil: by the configurations of its card, else by the names of its files.
local function choose_files(name, config, list, card)
  if type(card.configs) == "table" and #card.configs > 0 then
    local entry = choose_config(name, config, card.configs)
    if entry.data_files ~= nil then return by_data_files(entry, list) end
    if type(entry.data_dir) == "string" then return by_names(list, entry.data_dir:gsub("/+$", "") .. "/") end
  end
  local in_folder = config and by_names(list, config .. "/")
  return in_folder or (not config or config == "default") and by_names(list, "") or nil
end

-- ---- scripts

local function has_script(name, list)
  local script = name:match("[^/]+$") .. ".py"
  for _, file in ipairs(list) do
    if file == script then return true end
  end
  return false
end

-- The files of the Hub's own conversion: config/split/0000.parquet.
local function choose_converted(name, config, list)
  local folders = top_folders(list)
  if not config and #folders > 1 then
    for _, folder in ipairs(folders) do if folder == "default" then config = folder end end
    if not config then raise_config(name, nil, folders) end
  end
  local folder, by_split = (config or folders[1] or "") .. "/", nil
  for _, file in ipairs(list) do
    local split = file:sub(1, #folder) == folder and file:sub(#folder + 1):match("^([^/]+)/[^/]+%.parquet$")
    if split then
      by_split = by_split or {}
      split = split:gsub("^partial%-", "")
      by_split[split] = by_split[split] or {}
      table.insert(by_split[split], file)
    end
  end
  return by_split or raise_config(name, config, folders)
end

-- ---- fetching

-- Drops the splits that `wanted` ("train[:10%]+test") does not name; keeps all when it names none.
local function only_wanted(by_split, wanted)
  if type(wanted) ~= "string" then return by_split end
  local named = {}
  for word in wanted:gmatch("[%w_.]+") do named[word] = by_split[word] end
  return next(named) and named or by_split
end

local function open(name, opts, revision)
  return hub.open(name, { kind = "dataset", revision = revision, cache_dir = opts.cache_dir, token = opts.token, force_download = opts.download_mode == "force_redownload" or nil })
end

--- Fetches what a configuration (nil: the default one) needs: the folder, and { split = names of files in it }. opts: data_files, revision, split, token, cache_dir, download_mode.
function remote.fetch(name, config, opts)
  local source = open(name, opts, opts.revision)
  local list, card = source:list()
  local by_split
  if opts.data_files then by_split = by_option(opts.data_files, list) else by_split = choose_files(name, config, list, card) end
  if not by_split and not opts.revision and has_script(name, list) then
    source = open(name, opts, CONVERTED)
    by_split = choose_converted(name, config, (source:list()))
  end
  if not by_split or not next(by_split) then
    errors.raise("load_dataset: '%s'%s: no files that can be read; expected %s", name, config and ", '" .. config .. "'" or "", table.concat(formats, ", "))
  end
  by_split = only_wanted(by_split, opts.split)
  for _, files in pairs(by_split) do
    for _, file in ipairs(files) do source:need(file) end
  end
  return source.folder, by_split
end

return remote
