--- load_dataset: files of a format, folders, and named datasets, on this machine or on the Hub.
local DatasetDict = require "hflua.datasets.dataset_dict"
local cache = require "hflua.datasets.cache"
local errors = require "hflua.errors"
local file_system = require "hflua.core.files"
local files = require "hflua.datasets.files"
local hub = require "hflua.hub"
local mrpc = require "hflua.datasets.mrpc"
local notes = require "hflua.trainer.notes"
local options = require "hflua.options"
local split_names = require "hflua.datasets.split_names"
local splits = require "hflua.datasets.splits"

local load = {}

-- Datasets that are made of files of their own kinds: name -> { module, field of the module }
local named = {
  ["kkawamu1/shakespeares_sonnets"] = { "sonnets" }, ["shakespeares_sonnets"] = { "sonnets" },
  ["cnn_dailymail"] = { "cnn_dailymail" }, ["abisee/cnn_dailymail"] = { "cnn_dailymail" }, ["ccdv/cnn_dailymail"] = { "cnn_dailymail" },
  ["imdb"] = { "reviews", "imdb" }, ["stanfordnlp/imdb"] = { "reviews", "imdb" },
  ["yelp_review_full"] = { "reviews", "yelp" }, ["Yelp/yelp_review_full"] = { "reviews", "yelp" },
}

-- The loader of a named dataset: { load(format, { split = paths }), needs = what to give it }; nil for other names.
local function loader_of(name)
  local entry = named[name]
  if not entry then return nil end
  local module = require("hflua.datasets." .. entry[1])
  return entry[2] and module[entry[2]] or module
end

local where_options = { "name", "data_files", "data_dir", "split", "revision", "trust_remote_code", "token", "download_mode", "cache_dir" }

-- ---- lists of files

local function is_file(path) return file_system.type(path) == "file" end
local function is_folder(path) return file_system.type(path) == "folder" end

-- Names of a folder that match a pattern with * and ? in its last part.
local function expand(pattern)
  if not pattern:find("[*?]") then return { pattern } end
  local folder, last = pattern:match("^(.*)/([^/]*)$")
  local lua_pattern = "^" .. (last or pattern):gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
  local paths = {}
  for _, name in ipairs(file_system.list(folder or ".")) do
    if name:match(lua_pattern) then paths[#paths + 1] = (folder and folder .. "/" or "") .. name end
  end
  if #paths == 0 then errors.raise("load_dataset: no file matches '%s'", pattern) end
  return paths
end

-- A text or a list of texts as paths that exist.
local function paths_of(value, data_dir)
  if type(value) == "string" then value = { value } end
  if type(value) ~= "table" or #value == 0 then errors.raise("load_dataset: data_files: expected a path, a list of paths, or a table { split = paths }") end
  local paths = {}
  for _, path in ipairs(value) do
    if type(path) ~= "string" then errors.raise("load_dataset: data_files: expected a path, found %s", type(path)) end
    if data_dir and path:sub(1, 1) ~= "/" then path = data_dir .. "/" .. path end
    for _, each in ipairs(expand(path)) do
      if not is_file(each) then errors.raise("load_dataset: no such file: %s", each) end
      paths[#paths + 1] = each
    end
  end
  return paths
end

-- { split = paths } of the data_files option.
local function files_of_option(data_files, data_dir)
  if type(data_files) == "table" and data_files[1] == nil and next(data_files) ~= nil then
    local by_split = {}
    for split, value in pairs(data_files) do by_split[tostring(split)] = paths_of(value, data_dir) end
    return by_split
  end
  return { train = paths_of(data_files, data_dir) }
end

-- ---- folders

local format_of_extension = { csv = "csv", tsv = "tsv", json = "json", jsonl = "json", ndjson = "json", txt = "text", parquet = "parquet", arrow = "arrow" }
local extensions_text = "parquet, arrow, csv, tsv, json, jsonl or txt"

-- Adds the data files of a folder to found[format][split]; `inherited` is the split that the folder's name tells. extensions: the
-- format of each extension.
local function scan_folder(folder, found, inherited, depth, extensions)
  for _, name in ipairs(file_system.list(folder)) do
    local path, extension = folder .. "/" .. name, name:match("%.(%w+)$")
    local format = extension and extensions[extension:lower()]
    local split = split_names.find((name:gsub("%.%w+$", ""))) or inherited
    if name:sub(1, 1) ~= "." and is_folder(path) and depth < 2 then
      scan_folder(path, found, split, depth + 1, extensions)
    elseif format and is_file(path) and not name:lower():match("^readme") and name ~= "dataset_infos.json" and name ~= "dataset_info.json" then
      found[format] = found[format] or { count = 0, splits = {} }
      local own = found[format].splits
      own[split or "train"] = own[split or "train"] or {}
      table.insert(own[split or "train"], path)
      found[format].count = found[format].count + 1
    end
  end
end

-- The format most files of a folder have, and { split = paths }; nil when there are none. more: extensions beside the common ones,
-- for files that count only where there are none of a common format.
local function files_of_folder(folder, more)
  local found, best, extensions = {}, nil, {}
  for _, list in ipairs { more or {}, format_of_extension } do
    for extension, format in pairs(list) do extensions[extension] = format end
  end
  scan_folder(folder, found, nil, 0, extensions)
  for _, format in ipairs(files.formats) do
    if found[format] and (not best or found[format].count > found[best].count) then best = format end
  end
  if not best and more then _, best = next(more) end
  if found[best] then return best, found[best].splits end
end

-- ---- putting together

local function read_splits(format, by_split, opts)
  local all = {}
  for split, paths in pairs(by_split) do all[split] = files.read(format, paths, opts, split) end
  return DatasetDict(all)
end

local function check_options(format, opts)
  local known = files.option_names(format)
  table.move(where_options, 1, #where_options, #known + 1, known)
  options.check("load_dataset", opts, known)
end

local function load_format(format, opts)
  check_options(format, opts)
  if opts.data_files then return read_splits(format, files_of_option(opts.data_files, opts.data_dir), opts) end
  if not opts.data_dir then errors.raise("load_dataset: \"%s\" needs data_files or data_dir", format) end
  local found = {}
  scan_folder(opts.data_dir, found, nil, 0, format_of_extension)
  local own = found[format] or found[format == "jsonl" and "json" or format]
  if not own then errors.raise("load_dataset: %s: no %s files in this folder", opts.data_dir, format) end
  return read_splits(format, own.splits, opts)
end

local function load_folder(folder, opts)
  if files.is_saved(folder) then return files.load_from_disk(folder) end
  if opts.data_files then
    local by_split = files_of_option(opts.data_files, folder)
    local _, paths = next(by_split)
    local format = format_of_extension[(paths[1]:match("%.(%w+)$") or ""):lower()]
    if not format then errors.raise("load_dataset: %s: expected a file name that ends in %s", paths[1], extensions_text) end
    check_options(format, opts)
    return read_splits(format, by_split, opts)
  end
  local format, by_split = files_of_folder(folder)
  if not format then return nil end
  check_options(format, opts)
  return read_splits(format, by_split, opts)
end

-- ---- names

-- What Python's datasets prepared under this name, or nil.
local function load_prepared(name, config, opts)
  local by_split = not opts.data_files and require("hflua.datasets.python_files").find(name, config)
  if not by_split then return nil end
  check_options("arrow", opts)
  return read_splits("arrow", by_split, opts)
end

-- The folders that hold Parquet files of a configuration each: those whose names tell no split, but "data".
local function config_folders(folder)
  local list = {}
  for _, name in ipairs(file_system.list(folder)) do
    local path, holds = folder .. "/" .. name, false
    if is_folder(path) and name ~= "data" and not split_names.find(name) then
      for _, file in ipairs(file_system.list(path)) do holds = holds or file:find("%.parquet$") ~= nil end
    end
    if holds then list[#list + 1] = name end
  end
  return list
end

-- The folder of a configuration, where there are such folders; nil needs no name when there is only one.
local function folder_of_config(name, folder, config)
  if config and is_folder(folder .. "/" .. config) then return folder .. "/" .. config end
  local configs = config_folders(folder)
  if #configs == 0 then return folder end
  if config then errors.raise("load_dataset: '%s': %s; it has: %s", name, options.unknown("configuration", config, configs), table.concat(configs, ", ")) end
  if #configs > 1 then errors.raise("load_dataset: '%s' has several configurations; give one of them: %s", name, table.concat(configs, ", ")) end
  return folder .. "/" .. configs[1]
end

-- Where a name's files are on this machine: a folder (with the configuration's in it, or the only place), or the dataset that Python
-- prepared.
local function find_cached(name, config, opts)
  local folder = hub.find(name, { kind = "dataset", revision = opts.revision })
  if folder and (not config or is_folder(folder .. "/" .. config)) then return folder end
  return folder, load_prepared(name, config, opts)
end

local function not_found(name, config, reason)
  local title = config and ("'%s', '%s'"):format(name, config) or ("'%s'"):format(name)
  local hint = name == "glue" and config == "mrpc" and "; MRPC: give {data_dir = a folder with msr_paraphrase_train.txt and dev_ids.tsv, or train.tsv and dev.tsv}" or ""
  errors.raise("load_dataset: %s is not on this machine%s%s. What works without a network: load_dataset(\"parquet\", {data_files = ...}) and \"arrow\", \"csv\", "
    .. "\"tsv\", \"json\", \"text\"; a folder of such files; a name that Python left in the Hub cache (%s) or prepared in %s",
    title, hint, reason and " (" .. reason .. ")" or "", hub.cache_folder(), cache.folder())
end

-- A dataset from the Hub; nil when nobody is to be asked, or the name cannot be one.
local function load_remote(name, config, opts)
  if require("hflua.hub.client").is_offline() or not hub.is_repository_name(name) then return nil end
  local folder, by_split = require("hflua.datasets.remote").fetch(name, config, opts)
  local given = { data_files = by_split }
  for key, value in pairs(opts) do given[key] = given[key] or value end
  return load_folder(folder, given)
end

-- A name that is no folder: its dataset, from the Hub or as Python prepared it; or nil and the folder of its files in the local cache.
local function find_name(name, config, opts)
  local ok, fetched = pcall(load_remote, name, config, opts)
  if ok and fetched then return fetched end
  local folder, prepared = find_cached(name, config, opts)
  if not ok and not prepared then error(fetched, 0) end
  if not ok then notes.once("load_dataset: %s; what Python's datasets prepared is used", fetched) end
  return prepared, folder
end

-- MRPC from the files of its authors, or nil when they are not on this machine.
local function load_mrpc(opts)
  local folder = opts.data_dir
  if folder and is_folder(folder) and files_of_folder(folder) == "parquet" then return nil end
  if not folder then
    for _, candidate in ipairs { "glue/mrpc", "glue_data/MRPC", hub.find("glue", { kind = "dataset" }) or "" } do
      if candidate ~= "" and mrpc.is_here(candidate) then folder = candidate end
    end
  end
  if not folder then return nil end
  options.check("load_dataset", opts, where_options)
  if not is_folder(folder) then errors.raise("load_dataset: 'glue', 'mrpc': no such folder: %s", folder) end
  return mrpc.load(folder)
end

-- Formats whose files are the dataset as the Hub has it; text files of named datasets need their loader.
local as_published = { parquet = true, arrow = true }

-- A named dataset from data_files, data_dir, the Hub or what the local caches hold of it.
local function load_named(loader, name, config, opts)
  options.check("load_dataset", opts, where_options)
  if opts.data_files then
    local by_split = files_of_option(opts.data_files, opts.data_dir)
    local _, paths = next(by_split)
    local extension = (paths[1]:match("%.(%w+)$") or ""):lower()
    local format = (loader.extensions or {})[extension] or format_of_extension[extension] or "text"
    return as_published[format] and read_splits(format, by_split, opts) or loader.load(format, by_split)
  end
  local folder, found = opts.data_dir or (is_folder(name) and name), nil
  if not folder then found, folder = find_name(name, config, opts) end
  if found then return found end
  if not folder then not_found(name, nil, "it is made of local files: " .. loader.needs) end
  if not is_folder(folder) then errors.raise("load_dataset: '%s': no such folder: %s", name, folder) end
  folder = folder_of_config(name, folder, config)
  local format, by_split = files_of_folder(folder, loader.extensions)
  if not format then errors.raise("load_dataset: '%s': %s: no files of it in this folder; give %s", name, folder, loader.needs) end
  if as_published[format] then return read_splits(format, by_split, opts) end
  return loader.load(format, by_split)
end

local function load_name(name, config, opts)
  local loader = loader_of(name)
  if loader then return load_named(loader, name, config, opts) end
  if name == "glue" or name == "nyu-mll/glue" then
    local loaded = config == "mrpc" and load_mrpc(opts)
    if loaded then return loaded end
  end
  local folder, found = is_folder(name) and name or opts.data_dir, nil
  if not folder then found, folder = find_name(name, config, opts) end
  if found then return found end
  if not folder then not_found(name, config) end
  if opts.data_dir and folder ~= opts.data_dir then folder = folder .. "/" .. opts.data_dir end
  folder = opts.data_files and folder or folder_of_config(name, folder, config)
  local loaded = load_folder(folder, opts)
  if loaded then return loaded end
  not_found(name, config, ("%s has no %s files"):format(folder, extensions_text))
end

--- load_dataset("csv", {data_files = ...}), load_dataset("folder"), load_dataset("glue", "mrpc", {data_dir = ...}): a
-- DatasetDict, or one Dataset when `split` names one ("train[:10%]").
-- @param opts data_files, data_dir, split, features, and what the format takes: delimiter, column_names, header,
--   quoting, quotechar, skiprows, keep_default_na, infer_types (csv, tsv); sample_by (text); columns (parquet)
function load.load_dataset(name, config, opts)
  if type(config) == "table" then config, opts = nil, config end
  if type(name) ~= "string" then errors.raise("load_dataset: name: expected a format, a folder or a name, found %s", type(name)) end
  opts = opts or {}
  config = config or opts.name
  local loaded
  if files.readers[name] and not is_folder(name) then loaded = load_format(name, opts) else loaded = load_name(name, config, opts) end
  if opts.split then return splits.choose(loaded, opts.split) end
  return loaded
end

return load
