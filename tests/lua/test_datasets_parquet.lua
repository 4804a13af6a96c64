-- Parquet and Arrow files: every value as pyarrow reads it, features, folders as the Hub and Python leave them, writing.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local columns = require "columns"
local core = require "hflua.core.datasets"
local hf = require "hflua"
local file_system = require "hflua.core.files"
local json = require "hflua.core.json"
local program = require "program"

local D = hf.datasets
local Dataset = D.Dataset
local golden = t.dir .. "/golden/parquet"

local folder = os.tmpname()
os.remove(folder)
hf.makedirs(folder)

local function read_lines(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

local function read(path)
  local reader = path:find("%.parquet$") and core.read_parquet or core.read_arrow
  return assert(reader(path, {}))
end

-- ---- values

for _, name in ipairs(file_system.list(golden)) do
  local of = name:match("^(.*)%.txt$")
  if of then
    t.test(of .. " has the values that pyarrow reads", function()
      local expected = read_lines(golden .. "/" .. name)
      assert(#expected > 1, "no values expected")
      t.same(columns.lines(read(golden .. "/" .. of)), expected)
    end)
  end
end

t.test("every codec gives the same table", function()
  local expected = columns.lines(read(golden .. "/codec_none.parquet"))
  for _, codec in ipairs { "snappy", "gzip", "brotli", "lz4", "zstd" } do
    t.same(columns.lines(read(golden .. "/codec_" .. codec .. ".parquet")), expected, codec)
  end
end)

t.test("a wrong check sum and files that are no Parquet are errors", function()
  t.raises(function() Dataset.from_parquet(golden .. "/bad_checksum.parquet") end, "bad_checksum.parquet", "column 'words'", "check sum")
  local path = folder .. "/other.parquet"
  for text, found in pairs { [""] = "empty", ["version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"] = "LFS", ["PAR1 and no more"] = "PAR1",
    ["PAR1" .. "\xff\xff\xff\x7f" .. "PAR1"] = "footer", ["PAR1....PARE"] = "encrypted" } do
    file_system.write(path, text)
    t.raises(function() Dataset.from_parquet(path) end, path, found)
  end
  t.raises(function() hf.load_dataset("arrow", { data_files = path }) end, path, "Arrow")
end)

-- ---- features and options

local mini = golden .. "/snapshot/mini/train-00000-of-00001.parquet"

t.test("the features that Python wrote come back", function()
  local ds = Dataset.from_parquet(mini)
  t.same(tostring(ds.features), "{'sentence': Value('string'), 'label': ClassLabel(names=['no', 'yes']), 'tags': List(ClassLabel(names=['a', 'b', 'c'])), "
    .. "'answers': {'text': List(Value('string')), 'kind': List(ClassLabel(names=['long', 'short']))}}")
  t.same(ds.features.label:int2str(ds[2].label), "yes")
  t.same(ds:select({ 2, 1 }):rename_column("label", "labels").features.labels:int2str({ 1, 0 }), { "yes", "no" })
  t.same(Dataset.from_parquet(mini, { features = { sentence = "string", label = "int8", tags = { "int64" }, answers = { text = { "string" }, kind = { "int64" } } } })
    .features.label.dtype, "int8")
end)

t.test("columns are chosen, and unknown ones are errors", function()
  local ds = Dataset.from_parquet(mini, { columns = { "label", "sentence" } })
  t.same(ds.column_names, { "label", "sentence" })
  t.same(ds[3].sentence, "sentence 2")
  t.raises(function() Dataset.from_parquet(mini, { columns = { "lable" } }) end, "no column 'lable'", "label")
  t.raises(function() Dataset.from_parquet(mini, { columns = { "label", "label" } }) end, "twice")
  t.raises(function() Dataset.from_parquet(mini, { column = { "label" } }) end, "column", "columns")
end)

-- ---- folders

t.test("load_dataset reads files, lists and patterns", function()
  local parts = golden .. "/snapshot_data/data"
  t.same(hf.load_dataset("parquet", { data_files = { train = parts .. "/train-*", test = parts .. "/test-00000-of-00001.parquet" } }).num_rows, { train = 8, test = 1 })
  local ds = hf.load_dataset("parquet", { data_files = parts .. "/train-*.parquet", split = "train[2:6]" })
  t.same(ds.sentence, { "sentence 2", "sentence 3", "sentence 10", "sentence 11" })
  t.same(ds.features.label.names, { "no", "yes" })
  t.same(hf.load_dataset("arrow", { data_files = golden .. "/cache/someone___tiny/mini/0.0.0/0123abc/tiny-validation.arrow" }).num_rows, { train = 4 })
end)

t.test("folders: splits by the names of shards, configurations by folders", function()
  t.same(hf.load_dataset(golden .. "/snapshot_data").num_rows, { train = 8, test = 1 })
  local ds = hf.load_dataset(golden .. "/snapshot", "mini")
  t.same(ds.num_rows, { train = 5, validation_matched = 3, test = 2 })
  t.same(hf.load_dataset(golden .. "/snapshot", "other", { split = "validation_matched" })[1].sentence, "sentence 100")
  t.raises(function() hf.load_dataset(golden .. "/snapshot") end, "several configurations", "mini, other")
  t.raises(function() hf.load_dataset(golden .. "/snapshot", "minni") end, "unknown configuration 'minni'", "mini")
end)

t.test("folders of Python's save_to_disk", function()
  local ds = D.load_from_disk(golden .. "/saved")
  t.same({ #ds, ds.split }, { 5, "train" })
  t.same(columns.lines(ds._table), columns.lines(read(mini)))
  t.same(ds.features.label.names, { "no", "yes" })
  local dict = D.load_from_disk(golden .. "/saved_dict")
  t.same(dict.num_rows, { train = 5, test = 2 })
  t.same(dict.test.sentence, { "sentence 3", "sentence 1" })
  t.same(hf.load_dataset(golden .. "/saved_dict").num_rows, dict.num_rows)
end)

t.test("a state.json cannot lead out of its folder", function()
  local saved = folder .. "/saved"
  hf.makedirs(saved)
  json.save_file({}, saved .. "/dataset_info.json")
  for _, name in ipairs { "../x.arrow", "/etc/passwd", "", ".." } do
    json.save_file({ _data_files = { { filename = name } } }, saved .. "/state.json")
    t.raises(function() D.load_from_disk(saved) end, "state.json", "_data_files")
  end
  json.save_file({ _data_files = { { filename = "a.arrow" } }, _indices_data_files = { { filename = "i.arrow" } } }, saved .. "/state.json")
  t.raises(function() D.load_from_disk(saved) end, "indices")
end)

-- Runs Lua with the caches of a folder.
local function with_caches(variables, code)
  local result = program.shell(("env HF_HOME=%s HF_HUB_OFFLINE=1 %s %s -e %s"):format(program.quote(folder), variables, program.quote(program.path), program.quote(code)))
  return result.out, result.err
end

t.test("datasets that Python prepared are found by name", function()
  local out = with_caches("HF_DATASETS_CACHE=" .. program.quote(golden .. "/cache"), [[
    local hf = require "hflua"
    for _, name in ipairs { "someone/tiny", "tiny" } do
      local ds = hf.load_dataset(name, "mini")
      print(ds.num_rows.train, ds.num_rows.validation, #ds, ds.train[8].sentence, ds.train.features.label)
    end
    print(#hf.load_dataset("someone/tiny", { split = "validation" }))
    print(pcall(hf.load_dataset, "someone/tiny", "maxi"))]])
  local lines = {}
  for line in out:gmatch("[^\n]+") do lines[#lines + 1] = line end
  t.same(lines[1], "8\t4\t2\tsentence 7\tClassLabel(names=['no', 'yes'])")
  t.same(lines[2], lines[1])
  t.same(lines[3], "4")
  assert(lines[4]:find("^false.*not on this machine"), lines[4])
end)

-- ---- writing

local function sample()
  local ds = Dataset.from_dict({ i = { 1, hf.null, -3, 4 }, f = { 0.5, 1.5, hf.null, 2 }, s = { "a", "", hf.null, "é" }, b = { true, false, hf.null, true },
    bytes = { "\xff\0", "x", hf.null, "y" }, l = { { 1, 2 }, hf.null, {}, { 3 } }, deep = { { { 1 }, {} }, { {} }, hf.null, { { 2, 3 }, { hf.null } } },
    st = { { x = 1, y = "q" }, { x = 2 }, hf.null, { y = "z" } }, ls = { { { a = 1 } }, {}, { { a = 2 }, { a = 3 } }, hf.null },
    label = { 0, 1, 1, 0 }, none = { hf.null, hf.null, hf.null, hf.null } })
  ds = ds:cast_column("label", D.ClassLabel { names = { "no", "yes" } })
  for name, type_of in pairs { i = "int16", f = "float32", l = { "int8" } } do ds = ds:cast_column(name, type_of) end
  return ds
end

t.test("to_parquet writes what from_parquet reads", function()
  local ds, path = sample(), folder .. "/out.parquet"
  for _, compression in ipairs { "snappy", "zstd", "uncompressed" } do
    for _, rows in ipairs { 3, 100000 } do
      ds:to_parquet(path, { compression = compression, batch_size = rows })
      local back = Dataset.from_parquet(path)
      t.same(tostring(back.features), tostring(ds.features))
      t.same(columns.lines(back._table), columns.lines(ds._table))
    end
  end
  ds:select({ 4, 1 }):to_parquet(path)
  t.same(Dataset.from_parquet(path).s, { "é", "a" })
  ds:select({}):to_parquet(path)
  local empty = Dataset.from_parquet(path)
  t.same({ #empty, tostring(empty.features) }, { 0, tostring(ds.features) })
end)

t.test("many rows take many pages and row groups", function()
  local texts, numbers = {}, {}
  for i = 1, 20000 do texts[i], numbers[i] = ("row %d "):format(i):rep(i % 20), i % 7 == 0 and hf.null or i end
  local ds, path = Dataset.from_dict { text = texts, number = numbers }, folder .. "/many.parquet"
  ds:to_parquet(path, { batch_size = 7001 })
  local back = Dataset.from_parquet(path)
  t.same(columns.lines(back._table), columns.lines(ds._table))
end)

t.test("to_parquet refuses what it cannot do", function()
  local ds = sample()
  t.raises(function() ds:to_parquet(folder .. "/x.parquet", { compression = "lzo" }) end, "compression", "lzo")
  t.raises(function() ds:to_parquet(folder .. "/x.parquet", { batch_size = 0 }) end, "batch_size")
  t.raises(function() ds:to_parquet(folder .. "/none/x.parquet") end, "none/x.parquet")
  t.raises(function() ds:to_parquet(folder .. "/x.parquet", { compresion = "zstd" }) end, "compression")
  t.same(t.exists(folder .. "/x.parquet"), false)
end)

-- ---- the files of apache/parquet-testing and of the Hub

local data = t.shared and t.shared:gsub("/+$", "") .. "/data/parquet"
if not data or not t.exists(data .. "/hf/SST-2-val.parquet") then
  t.skip("files of other programs", "HFLUA_SHARED has no data/parquet")
else
  -- Refused, with what the message must say: two have wrong check sums on purpose, one a page above 1 GiB.
  local refused = { ["datapage_v1-corrupt-checksum.parquet"] = "check sum", ["rle-dict-uncompressed-corrupt-checksum.parquet"] = "check sum",
    ["large_string_map.brotli.parquet"] = "page size", ["ARROW-GH-41317.parquet"] = "timestamp_us_no_tz", ["ARROW-GH-41321.parquet"] = "levels",
    ["ARROW-GH-45185.parquet"] = "does not begin a row", ["ARROW-GH-47662.parquet"] = "fewer bytes", ["ARROW-RS-GH-6229-DICTHEADER.parquet"] = "more bytes than the file",
    ["ARROW-RS-GH-6229-LEVELS.parquet"] = "levels", ["PARQUET-1481.parquet"] = "schema" }
  for _, kind in ipairs { "data", "bad_data" } do
    t.test("parquet-testing/" .. kind .. ": read, or refused for the known reason", function()
      local count = 0
      for _, name in ipairs(file_system.list(data .. "/" .. kind)) do
        if name:find("%.parquet$") then
          local found, message = core.read_parquet(data .. "/" .. kind .. "/" .. name, {})
          count = count + 1
          if refused[name] then
            assert(not found and message:find(name, 1, true) and message:find(refused[name], 1, true), name .. ": " .. tostring(message))
          else
            assert(found, message)
          end
        end
      end
      assert(count >= 8, "files are missing")
    end)
  end

  t.test("parquet-testing: values of delta encodings as their CSV files tell them", function()
    for _, name in ipairs { "delta_byte_array", "delta_encoding_required_column", "delta_encoding_optional_column" } do
      local found = read(data .. "/data/" .. name .. ".parquet")
      local expected = assert(core.read_csv(data .. "/data/" .. name .. "_expect.csv", { delimiter = ",", infer = false }))
      t.same(#found, #expected)
      for i, column in ipairs(found:names()) do
        local texts = expected:column(expected:names()[i])
        for row, value in ipairs(found:column(column)) do t.same(tostring(value), tostring(texts[row]), ("%s: %s: row %d"):format(name, column, row)) end
      end
    end
  end)

  t.test("BYTE_STREAM_SPLIT columns equal their PLAIN twins", function()
    local found = read(data .. "/data/byte_stream_split_extended.gzip.parquet")
    local names = found:names()
    for i = 1, #names, 2 do t.same(found:column(names[i + 1]), found:column(names[i]), names[i]) end
  end)

  t.test("SST-2 as Hugging Face wrote it", function()
    local ds = hf.load_dataset("parquet", { data_files = data .. "/hf/SST-2-val.parquet", split = "train" })
    t.same({ #ds, ds.features.label:int2str(ds[1].label), ds[1].sentence, ds[872].idx },
      { 872, "positive", "it 's a charming and often affecting journey . ", 871 })
  end)

  t.test("glue mrpc from a snapshot of the Hub cache", function()
    local original = hf.load_dataset("glue", "mrpc", { data_dir = data .. "/../mrpc" })
    local repository = folder .. "/hub/datasets--nyu-mll--glue"
    local snapshot = repository .. "/snapshots/0123abc"
    hf.makedirs(snapshot .. "/mrpc")
    hf.makedirs(repository .. "/refs")
    file_system.write(repository .. "/refs/main", "0123abc")
    for split, ds in pairs(original) do ds:to_parquet(("%s/mrpc/%s-00000-of-00001.parquet"):format(snapshot, split)) end
    local out, err = with_caches("HF_HUB_CACHE=" .. program.quote(folder .. "/hub"), [[
      local raw = require "hflua".load_dataset("glue", "mrpc")
      print(#raw.train, #raw.validation, #raw.test)
      print(table.concat(raw.train.column_names, " "), raw.train.features.label, raw.train[1].idx, raw.validation[1].idx)]])
    t.same(out, "3668\t408\t1725\nsentence1 sentence2 label idx\tClassLabel(names=['not_equivalent', 'equivalent'])\t0\t9\n", err)
  end)
end

t.finish()
