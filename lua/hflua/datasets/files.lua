--- Datasets from and to files: CSV, JSON Lines, text, Parquet, Arrow, and folders of our own format.
local Dataset = require "hflua.datasets.dataset"
local DatasetDict = require "hflua.datasets.dataset_dict"
local core = require "hflua.core.datasets"
local errors = require "hflua.errors"
local descriptions = require "hflua.datasets.descriptions"
local features = require "hflua.datasets.features"
local file_system = require "hflua.core.files"
local json = require "hflua.core.json"
local options = require "hflua.options"

local files = {}

local csv_options = { "delimiter", "sep", "column_names", "names", "header", "quotechar", "quoting", "skiprows", "keep_default_na", "infer_types" }
local line_options = { "sample_by" }
local column_options = { "columns" }
local shared_options = { "features", "split", "cache_dir", "keep_in_memory", "num_proc" }

-- What a reader calls its options.
local function csv_settings(opts, delimiter)
  local quoting, header = opts.quoting, opts.header
  if quoting ~= nil and quoting ~= 0 and quoting ~= 3 and quoting ~= "none" and quoting ~= "minimal" then
    errors.raise("csv: option 'quoting': expected \"minimal\" (0) or \"none\" (3), found %s", tostring(quoting))
  end
  local names = opts.column_names or opts.names
  if header == nil or header == "infer" then header = names == nil end
  if header == json.null then header = false end
  if header == 0 then header = true end
  if type(header) ~= "boolean" then errors.raise("csv: option 'header': expected true or false, found %s", tostring(header)) end
  return {
    delimiter = opts.delimiter or opts.sep or delimiter,
    quote = (quoting == 3 or quoting == "none") and "" or opts.quotechar,
    header = header, names = names, skip_rows = opts.skiprows,
    null_words = opts.keep_default_na, infer = opts.infer_types,
  }
end

-- format -> { options, read(path, opts) -> table and what the file tells of its features in JSON, or nil and message }
local readers = {
  csv = { csv_options, function(path, opts) return core.read_csv(path, csv_settings(opts, ",")) end },
  tsv = { csv_options, function(path, opts) return core.read_csv(path, csv_settings(opts, "\t")) end },
  json = { {}, function(path) return core.read_jsonl(path) end },
  text = { line_options, function(path, opts)
    local by = opts.sample_by or "line"
    if by ~= "line" and by ~= "paragraph" then errors.raise("text: option 'sample_by': expected \"line\" or \"paragraph\", found %s", tostring(by)) end
    return core.read_lines(path, by == "paragraph")
  end },
  arrow = { {}, function(path) return core.read_arrow(path) end },
  parquet = { column_options, function(path, opts) return core.read_parquet(path, { columns = opts.columns }) end },
}
readers.jsonl = readers.json
readers.txt = readers.text
readers.ndjson = readers.json
files.readers = readers

--- The names of the formats that can be read.
files.formats = { "arrow", "csv", "json", "jsonl", "parquet", "text", "tsv" }

--- The option names of a format, beside those every reader takes.
function files.option_names(format)
  local names = {}
  for _, list in ipairs { readers[format][1], shared_options } do table.move(list, 1, #list, #names + 1, names) end
  return names
end

-- The options as text, for the fingerprint.
local function options_text(opts, names)
  local parts = {}
  for _, name in ipairs(names) do
    local value = opts[name]
    if type(value) == "table" then value = table.concat(value, "\0") end
    parts[#parts + 1] = name .. "=" .. tostring(value)
  end
  return table.concat(parts, "\n")
end

--- One dataset from the files of a split, one after another.
function files.read(format, paths, opts, split)
  local tables, content, labels = {}, { "read", format, options_text(opts, readers[format][1]), tostring(split) }, nil
  for i, path in ipairs(paths) do
    local told
    tables[i], told = readers[format][2](path, opts)
    if not tables[i] then errors.raise("%s", told) end
    labels = labels or told and descriptions.labels(tables[i], told, path)
    content[#content + 1] = core.hash_file(path)
  end
  local joined = #tables == 1 and tables[1] or Dataset._must(table.concat(paths, ", "), core.concat(tables))
  local made = Dataset._made(joined, { split = split, features = opts.features }, paths[1], core.hash(table.unpack(content)))
  if labels and not opts.features then rawset(made, "_labels", labels) end
  return made
end

-- ---- Dataset.from_csv and the like

local function from(format)
  return function(path, opts)
    local where = "Dataset.from_" .. format
    opts = options.check(where, opts, files.option_names(format))
    local paths = type(path) == "table" and path or { path }
    for _, each in ipairs(paths) do
      if type(each) ~= "string" then errors.raise("%s: expected the path of a file, found %s", where, type(each)) end
    end
    return files.read(format, paths, opts, opts.split)
  end
end

--- Dataset.from_csv(path or list of paths[, opts]); also from_json (lines or an array) and from_text (one row a line).
Dataset.from_csv = from "csv"
Dataset.from_json = from "json"
Dataset.from_text = from "text"

--- Dataset.from_parquet(path or list of paths[, { columns = { "text", "label" } }])
Dataset.from_parquet = from "parquet"

-- ---- writing

local function open_file(path, where)
  local file, message = io.open(path, "wb")
  return file or errors.raise("%s: %s", where, message)
end

local function close_file(file, written, message, path, where)
  local closed, reason = file:close()
  if not written or not closed then errors.raise("%s: %s: %s", where, path, tostring(message or reason)) end
end

local function csv_cell(value, delimiter)
  if type(value) == "userdata" then return "" end
  if type(value) == "boolean" then return value and "True" or "False" end
  if type(value) == "table" then value = json.encode(value) end
  local text = type(value) == "string" and value or json.encode(value)
  if text:find('[\r\n"]') or text:find(delimiter, 1, true) then return '"' .. text:gsub('"', '""') .. '"' end
  return text
end

-- Calls emit(columns, count) for the rows in pieces of 1000.
local function in_pieces(ds, emit)
  local names = ds._table:names()
  for first = 1, #ds, 1000 do
    local last, columns = math.min(first + 999, #ds), {}
    for i, name in ipairs(names) do columns[i] = ds._table:column(name, first, last) end
    emit(columns, last - first + 1)
  end
end

--- Writes CSV with a header; lists become JSON texts, None an empty value.
-- @param opts sep (",")
function Dataset:to_csv(path, opts)
  opts = options.check("Dataset:to_csv", opts, { "sep" })
  local sep, names, cells = opts.sep or ",", self._table:names(), {}
  local file = open_file(path, "Dataset:to_csv")
  for i, name in ipairs(names) do cells[i] = csv_cell(name, sep) end
  local written, message = file:write(table.concat(cells, sep), "\n")
  in_pieces(self, function(columns, count)
    local lines = {}
    for row = 1, count do
      for i = 1, #names do cells[i] = csv_cell(columns[i][row], sep) end
      lines[row] = table.concat(cells, sep) .. "\n"
    end
    if written then written, message = file:write(table.concat(lines)) end
  end)
  close_file(file, written, message, path, "Dataset:to_csv")
end

--- Writes JSON Lines: one object a row, columns in order, None as null.
function Dataset:to_json(path)
  local names = self._table:names()
  local file = open_file(path, "Dataset:to_json")
  local written, message = true, nil
  in_pieces(self, function(columns, count)
    local lines = {}
    for row = 1, count do
      local members = {}
      for i, name in ipairs(names) do members[i] = json.encode(name) .. ":" .. json.encode(columns[i][row]) end
      lines[row] = "{" .. table.concat(members, ",") .. "}\n"
    end
    if written then written, message = file:write(table.concat(lines)) end
  end)
  close_file(file, written, message, path, "Dataset:to_json")
end

--- Writes Parquet, with the features as Python's datasets reads them.
-- @param opts compression ("snappy", "zstd" or "uncompressed"), batch_size (rows of a row group: 100,000)
function Dataset:to_parquet(path, opts)
  opts = options.check("Dataset:to_parquet", opts, { "compression", "batch_size" })
  local rows = opts.batch_size or 100000
  if math.type(rows) ~= "integer" or rows < 1 then errors.raise("Dataset:to_parquet: batch_size: expected a number of rows, found %s", tostring(rows)) end
  local plain = self._table:flatten()
  local about = descriptions.text(self.features, function(name) return core.is_utf8(plain, name) end)
  local saved, message = core.write_parquet(plain, path, opts.compression or "snappy", rows, about)
  if not saved then errors.raise("Dataset:to_parquet: %s", message) end
end

-- ---- our own folders

local description_name, data_name, dict_name = "hflua_dataset.json", "data.table", "hflua_dataset_dict.json"

-- Features as JSON: what to_type gives, which is made of lists and texts.
local function labels_of(ds)
  local labels = {}
  for name, feature in pairs(ds._labels) do labels[#labels + 1] = { name, features.to_type(feature) } end
  table.sort(labels, function(a, b) return a[1] < b[1] end)
  return labels
end

local function feature_of(type_of)
  if type(type_of) == "table" and type_of[1] == "class" then return features.ClassLabel { names = type_of[2] } end
  if type(type_of) == "table" and type_of[1] == "list" then return features.Sequence(feature_of(type_of[2])) end
  if type(type_of) == "string" then return features.Value(type_of) end
  local columns = {}
  for i, field in ipairs(type_of[2]) do columns[i] = { field[1], feature_of(field[2]) } end
  return features.Features(columns)
end

--- Writes the dataset into a folder that load_from_disk reads: the columns, and a small JSON file beside them.
function Dataset:save_to_disk(folder)
  local saved, message = core.save_table(self._table, folder .. "/" .. data_name)
  if not saved then errors.raise("Dataset:save_to_disk: %s", message) end
  json.save_file({ format = "hflua dataset", version = 1, fingerprint = self._fingerprint, split = self._split or json.null,
    labels = json.array(labels_of(self)) }, folder .. "/" .. description_name)
end

local function load_one(folder)
  local about = json.load_file(folder .. "/" .. description_name)
  local columns, message = core.load_table(folder .. "/" .. data_name)
  if not columns then errors.raise("load_from_disk: %s", message) end
  local labels = {}
  for _, entry in ipairs(about.labels or {}) do labels[entry[1]] = feature_of(entry[2]) end
  local split = about.split
  return Dataset._new { _table = columns, _labels = labels, _split = split ~= json.null and split or nil, _cached = true,
    _fingerprint = about.fingerprint }
end

--- Writes each split into a folder of its name.
function DatasetDict:save_to_disk(folder)
  for name, ds in pairs(self) do ds:save_to_disk(folder .. "/" .. name) end
  json.save_file({ format = "hflua dataset", version = 1, splits = json.array(self:keys()) }, folder .. "/" .. dict_name)
end

--- True for a folder that save_to_disk wrote, here or in Python.
function files.is_saved(folder)
  local function has(name) return file_system.type(folder .. "/" .. name) == "file" end
  return has(description_name) or has(dict_name) or has("dataset_dict.json") or (has("state.json") and has("dataset_info.json"))
end

--- A Dataset or DatasetDict that save_to_disk wrote, here or in Python.
function files.load_from_disk(folder)
  if type(folder) ~= "string" then errors.raise("load_from_disk: expected the path of a folder, found %s", type(folder)) end
  if file_system.type(folder .. "/" .. description_name) == "file" then return load_one(folder) end
  if file_system.type(folder .. "/" .. dict_name) == "file" then
    local splits, names = {}, {}
    for i, name in ipairs(json.load_file(folder .. "/" .. dict_name).splits) do
      if name:find("[/\\]") or name == ".." then errors.raise("load_from_disk: %s: split '%s' is no folder name", folder, name) end
      names[i], splits[name] = name, load_one(folder .. "/" .. name)
    end
    return DatasetDict._new(splits, names)
  end
  local found = require("hflua.datasets.python_files").load_from_disk(folder)
  if found then return found end
  errors.raise("load_from_disk: %s: expected a folder that save_to_disk wrote", folder)
end

return files
