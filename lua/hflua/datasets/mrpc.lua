--- The Microsoft Research Paraphrase Corpus in the two layouts in which it is passed around, as HF's glue/mrpc.
--
-- msr_paraphrase_train.txt, dev_ids.tsv, msr_paraphrase_test.txt: the pairs of dev_ids.tsv are the validation split, and
-- idx is the row in the source file, so that it has holes in train. Or train.tsv, dev.tsv, test.tsv: rows are counted.
-- The files have tabs and no quoting: hundreds of fields begin with a plain quote.
local Dataset = require "hflua.datasets.dataset"
local DatasetDict = require "hflua.datasets.dataset_dict"
local core = require "hflua.core.datasets"
local errors = require "hflua.errors"
local features = require "hflua.datasets.features"
local file_system = require "hflua.core.files"

local mrpc = {}

local label_feature = features.ClassLabel { names = { "not_equivalent", "equivalent" } }
local no_label = -1 -- HF's label of rows without one

local function is_file(path) return file_system.type(path) == "file" end

local function read_table(path, header)
  local opts = { delimiter = "\t", quote = "", null_words = false, infer = false, header = header }
  local result, message = core.read_csv(path, opts)
  return result or errors.raise("%s", message)
end

local function require_columns(source, path)
  local known = {}
  for _, name in ipairs(source:names()) do known[name] = true end
  for _, name in ipairs { "#1 String", "#2 String" } do
    if not known[name] then
      errors.raise("%s: line 1: expected the columns of MRPC (Quality, #1 ID, #2 ID, #1 String, #2 String), found %s", path,
        features.list_text(source:names()))
    end
  end
  return known.Quality
end

-- The four columns of a file, and its table for the ids.
local function read_pairs(path)
  local source = read_table(path)
  local has_labels = require_columns(source, path)
  local extra, labels = {}, {}
  for i = 1, #source do
    extra[i], labels[i] = i - 1, no_label
  end
  local numbers = Dataset.from_dict({ label = labels, idx = extra }, { columns = { "label", "idx" } })._table
  if has_labels then numbers = numbers:merge(source:pick({ "Quality" }, { "label" })) end
  local columns = source:pick({ "#1 String", "#2 String" }, { "sentence1", "sentence2" }):merge(numbers)
  local labelled, message = columns:cast("label", features.to_type(label_feature))
  if not labelled then errors.raise("%s: %s", path, message) end
  return columns:merge(labelled), source
end

local function make(columns, split, fingerprint)
  return Dataset._new { _table = columns, _labels = { label = label_feature }, _split = split, _cached = true,
    _fingerprint = core.hash("mrpc", split, fingerprint) }
end

-- True for each row whose ids are in dev_ids.tsv.
local function in_dev(source, path)
  local ids, chosen = read_table(path, false), {}
  if #ids:names() ~= 2 then errors.raise("%s: line 1: expected two ids, found %d values", path, #ids:names()) end
  local first, second = ids:column("0"), ids:column("1")
  for i = 1, #ids do chosen[first[i] .. "\t" .. second[i]] = true end
  local flags = {}
  first, second = source:column("#1 ID"), source:column("#2 ID")
  for i = 1, #source do flags[i] = chosen[first[i] .. "\t" .. second[i]] or false end
  return flags
end

local function load_original(folder, splits)
  local path, ids = folder .. "/msr_paraphrase_train.txt", folder .. "/dev_ids.tsv"
  local columns, source = read_pairs(path)
  local train, dev = {}, {}
  for i, is_dev in ipairs(in_dev(source, ids)) do
    local chosen = is_dev and dev or train
    chosen[#chosen + 1] = i
  end
  local content = core.hash_file(path) .. core.hash_file(ids)
  splits.train = make(columns:select(train), "train", content)
  splits.validation = make(columns:select(dev), "validation", content)
end

local function load_file(folder, name, split, splits)
  local path = folder .. "/" .. name
  if not is_file(path) then return end
  splits[split] = make(read_pairs(path), split, core.hash_file(path))
end

--- True when the folder holds MRPC in one of its layouts.
function mrpc.is_here(folder)
  return (is_file(folder .. "/msr_paraphrase_train.txt") and is_file(folder .. "/dev_ids.tsv")) or is_file(folder .. "/train.tsv")
end

--- The DatasetDict of a folder: train 3668, validation 408, test 1725 rows when it is complete.
function mrpc.load(folder)
  if not mrpc.is_here(folder) then
    errors.raise("%s: expected the files of MRPC: msr_paraphrase_train.txt with dev_ids.tsv, or train.tsv with dev.tsv", folder)
  end
  local splits = {}
  if is_file(folder .. "/msr_paraphrase_train.txt") and is_file(folder .. "/dev_ids.tsv") then
    load_original(folder, splits)
  else
    load_file(folder, "train.tsv", "train", splits)
    load_file(folder, "dev.tsv", "validation", splits)
  end
  load_file(folder, "msr_paraphrase_test.txt", "test", splits)
  if not splits.test then load_file(folder, "test.tsv", "test", splits) end
  return DatasetDict(splits)
end

return mrpc
