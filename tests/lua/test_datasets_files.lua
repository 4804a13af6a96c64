-- Files to datasets and back: CSV, TSV, JSON Lines, text, folders, splits, our own format, the cache of map.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local D = hf.datasets
local Dataset = D.Dataset

local folder = os.tmpname()
os.remove(folder)
hf.makedirs(folder)

local function write(name, text)
  local path = folder .. "/" .. name
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

local function csv(text, opts) return Dataset.from_csv(write("t.csv", text), opts) end
local function jsonl(text) return Dataset.from_json(write("t.jsonl", text)) end

-- ---- CSV

t.test("CSV finds the types of columns", function()
  local ds = csv("id,x,ok,text\n1,0.5,True,a\n2,3,False,\n-7,1e3,,NA\n")
  t.same(tostring(ds.features), "{'id': Value('int64'), 'x': Value('float64'), 'ok': Value('bool'), 'text': Value('string')}")
  t.same(ds.id, { 1, 2, -7 })
  t.same(ds.x, { 0.5, 3.0, 1000.0 })
  t.same(ds.ok, { true, false, hf.null })
  t.same(ds.text, { "a", hf.null, hf.null })
end)

t.test("CSV quotes hold delimiters, line ends and quotes", function()
  local ds = csv('a,b\n"x, y","1\n2"\n"say ""hi""",z"z\n')
  t.same(ds.a, { "x, y", 'say "hi"' })
  t.same(ds.b, { "1\n2", 'z"z' })
end)

t.test("CSV takes CR LF, a byte order mark, empty lines and a last line without an end", function()
  local ds = csv("\xEF\xBB\xBFa,b\r\n1,x\r\n\r\n2,y")
  t.same(ds.column_names, { "a", "b" })
  t.same(ds.b, { "x", "y" })
end)

t.test("CSV options: delimiter, header, column_names, quoting, skiprows, keep_default_na", function()
  t.same(csv("a;b\n1;x\n", { delimiter = ";" }).b, { "x" })
  t.same(csv("1,x\n2,y\n", { column_names = { "n", "s" } }).s, { "x", "y" })
  t.same(csv("1,x\n2,y\n", { header = false }).column_names, { "0", "1" })
  t.same(csv("p,q\n2,y\n", { column_names = { "n", "s" }, header = true }).s, { "y" })
  t.same(csv('a,b\n"x,1\n', { quoting = "none" }).a, { '"x' })
  t.same(csv("junk\na,b\n1,2\n", { skiprows = 1 }).a, { 1 })
  t.same(csv("a\nnull\nx\n", { keep_default_na = false }).a, { "null", "x" })
  t.same(csv("a\n007\n", { infer_types = false }).a, { "007" })
  t.same(csv("a\n007\n", { features = { a = "string" } }).a, { "7" })
  t.same(Dataset.from_csv(write("t.tsv", "a\tb\n1\t2\n"), { delimiter = "\t" }).b, { 2 })
end)

t.test("bad CSV is an error with the line of the row", function()
  for _, case in ipairs {
    { "a,b\n1,2\n3\n", "line 3: expected 2 values, one for each column, found 1" },
    { "a,b\n1,2,3\n", "line 2: expected 2 values, one for each column, found 3" },
    { 'a,b\n"x\ny,2\n', "line 2: a quoted value that begins in this row is not closed" },
    { 'a,b\n"x"y,2\n', "line 2: text follows a closing quote" },
    { "a,a\n1,2\n", "line 1: columns 1 and 2 are both called 'a'" },
    { "a,\n1,2\n", "line 1: column 2 has no name" },
    { "a,b\n1,x\0\n", "line 2: expected text, found a NUL byte" },
    { "a,b\n1,2\n1,\xC3(\n", "line 3: expected UTF-8, found byte 0xc3" },
    { "", "an empty file" },
    { "\n\n", "expected a row of column names" },
    { "version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer" },
    { "\xFF\xFEa\0", "UTF-16" },
  } do
    t.raises(function() csv(case[1]) end, "t.csv", case[2])
  end
  t.raises(function() csv("a\n1\n", { delimeter = ";" }) end, "unknown option 'delimeter' (did you mean 'delimiter'?)")
  t.raises(function() Dataset.from_csv(folder .. "/none.csv") end, "none.csv")
end)

-- ---- JSON Lines

t.test("JSON Lines gives typed columns; absent keys are None", function()
  local ds = jsonl('{"a": 1, "b": [1, 2], "c": {"x": "y"}}\n\n{"a": 2.5, "d": true}\n')
  t.same(ds.a, { 1.0, 2.5 })
  t.same(ds.b, { { 1, 2 }, hf.null })
  t.same(ds[1].c.x, "y")
  t.same(ds.d, { hf.null, true })
  t.same(ds.column_names, { "a", "b", "c", "d" })
end)

t.test("JSON numbers stay exact", function()
  t.same(jsonl('{"n": 9007199254740993}\n').n, { 9007199254740993 })
end)

t.test("a JSON array of objects is read too", function()
  t.same(jsonl('[{"a": 1}, {"a": 2}]').a, { 1, 2 })
end)

t.test("bad JSON Lines is an error with the line", function()
  for _, case in ipairs {
    { '{"a": 1}\n{"a": "x"}\n', "line 2: column 'a': expected int64 as in the rows before, found text 'x'" },
    { '{"a": 1}\n\n{"a": 1,}\n', "line 3, column 9" },
    { '{"a": 1}\n[1]\n', "line 2: expected an object" },
    { '{"a": 1, "a": 2}\n', "duplicate name" },
    { '{"a": 1} x\n', "line 1" },
    { '[{"a": 1}', "expected ',' or ']'" },
    { '{"a": NaN}\n', "line 1" },
    { '{"a": "\xFF"}\n', "line 1" },
  } do
    t.raises(function() jsonl(case[1]) end, "t.jsonl", case[2])
  end
end)

-- ---- text

t.test("text gives one row a line, or a paragraph", function()
  local path = write("t.txt", "one\r\n\ntwo\nthree")
  t.same(Dataset.from_text(path).text, { "one", "", "two", "three" })
  t.same(Dataset.from_text(path, { sample_by = "paragraph" }).text, { "one", "two\nthree" })
  t.raises(function() Dataset.from_text(write("bad.txt", "a\n\xFF\n")) end, "bad.txt: line 2: expected UTF-8")
end)

-- ---- load_dataset

t.test("load_dataset by format: one file, splits, wildcards", function()
  local a, b = write("a.csv", "x\n1\n2\n3\n4\n"), write("b.csv", "x\n5\n6\n")
  t.same(D.load_dataset("csv", { data_files = a }).train.x, { 1, 2, 3, 4 })
  t.same(D.load_dataset("csv", { data_files = { a, b }, split = "train" }).x, { 1, 2, 3, 4, 5, 6 })
  local dict = D.load_dataset("csv", { data_files = { train = a, validation = b } })
  t.same(dict.validation.x, { 5, 6 })
  write("part1.csv", "x\n7\n")
  write("part2.csv", "x\n8\n")
  t.same(D.load_dataset("csv", { data_files = folder .. "/part*.csv" }).train.x, { 7, 8 })
  t.same(hf.load_dataset("json", { data_files = write("j.json", '[{"k": 1}]') }).train.k, { 1 })
end)

t.test("split expressions slice as Hugging Face slices", function()
  local lines = {}
  for i = 0, 14 do lines[#lines + 1] = tostring(i) end
  local path = write("n.csv", "n\n" .. table.concat(lines, "\n") .. "\n")
  local function load(split) return D.load_dataset("csv", { data_files = { train = path, test = path }, split = split }).n end
  t.same(load("train[:3]"), { 0, 1, 2 })
  t.same(load("train[13:]"), { 13, 14 })
  t.same(load("train[-2:]"), { 13, 14 })
  t.same(load("train[:10%]"), { 0, 1 })
  t.same(load("train[10%:20%]"), { 2 })
  t.same(load("train[90%:]+test[:1]"), { 14, 0 })
  t.raises(function() load("trian") end, "no split 'trian' (did you mean 'train'?)")
  t.raises(function() load("train[a:b]") end, "expected [from:to]")
end)

t.test("a folder gives splits by the names of its files", function()
  hf.makedirs(folder .. "/set")
  write("set/train.jsonl", '{"q": 1}\n')
  write("set/my-test.jsonl", '{"q": 2}\n{"q": 3}\n')
  write("set/README.txt", "about\n")
  local dict = D.load_dataset(folder .. "/set")
  t.same(dict:keys(), { "train", "test" })
  t.same(dict.test.q, { 2, 3 })
end)

t.test("names that are not here say what works", function()
  t.raises(function() D.load_dataset("no_such_dataset_anywhere") end, "is not on this machine", "data_files", "Hub cache")
  t.raises(function() D.load_dataset("glue", "mrpc", { data_dir = folder .. "/set" }) end, "expected the files of MRPC")
  t.raises(function() D.load_dataset("csv", { data_files = folder .. "/none.csv" }) end, "no such file")
  t.raises(function() D.load_dataset("csv") end, "needs data_files or data_dir")
  t.raises(function() D.load_dataset("csv", { data_file = "x" }) end, "did you mean 'data_files'?")
end)

-- ---- MRPC in both layouts, with rows of our own

local header = "\xEF\xBB\xBFQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"

t.test("MRPC from the original files: dev_ids choose validation, idx has holes", function()
  hf.makedirs(folder .. "/mrpc")
  write("mrpc/msr_paraphrase_train.txt", header .. '1\t10\t11\t" a , b\tc\n0\t20\t21\td\te "\n1\t30\t31\tf\tNA\n')
  write("mrpc/dev_ids.tsv", "20\t21\n")
  write("mrpc/msr_paraphrase_test.txt", header .. "0\t40\t41\tg\th\n")
  local dict = D.load_dataset("glue", "mrpc", { data_dir = folder .. "/mrpc" })
  t.same(dict:keys(), { "train", "validation", "test" })
  t.same(dict.train.column_names, { "sentence1", "sentence2", "label", "idx" })
  t.same(dict.train.idx, { 0, 2 })
  t.same(dict.train.sentence1, { '" a , b', "f" })
  t.same(dict.train.sentence2, { "c", "NA" })
  t.same(dict.validation.idx, { 1 })
  t.same(dict.validation[1].label, 0)
  t.same(dict.train.features.label.names, { "not_equivalent", "equivalent" })
  t.same(dict.test.label, { 0 })
end)

t.test("MRPC from train.tsv, dev.tsv, test.tsv: rows are counted, a test without labels has -1", function()
  hf.makedirs(folder .. "/tsv")
  write("tsv/train.tsv", header .. "1\t1\t2\ta\tb\n0\t3\t4\tc\td\n")
  write("tsv/dev.tsv", header .. "0\t5\t6\te\tf\n")
  write("tsv/test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t7\t8\tg\th\n")
  local dict = D.load_dataset("glue", "mrpc", { data_dir = folder .. "/tsv" })
  t.same(dict.train.idx, { 0, 1 })
  t.same(dict.validation.sentence2, { "f" })
  t.same(dict.test.label, { -1 })
end)

-- ---- writing

t.test("to_csv, to_json and back", function()
  local ds = Dataset.from_dict { a = { 'x "y", z', "2\n3", hf.null }, b = { 1, 2, 3 }, c = { 0.1, 1e-7, 2.0 } }
  ds:to_csv(folder .. "/out.csv")
  local back = Dataset.from_csv(folder .. "/out.csv")
  t.same({ back.a, back.b, back.c }, { ds.a, ds.b, ds.c })
  ds:to_json(folder .. "/out.jsonl")
  back = Dataset.from_json(folder .. "/out.jsonl")
  t.same({ back.a, back.b, back.c }, { ds.a, ds.b, ds.c })
end)

t.test("save_to_disk and load_from_disk keep rows, types, names and the fingerprint", function()
  local ds = Dataset.from_dict { text = { "a", hf.null, "c" }, y = { 0, 1, 0 }, ids = { { 1 }, {}, hf.null }, s = { { k = 1 }, { k = 2 }, hf.null } }
  ds = ds:cast_column("y", D.ClassLabel { names = { "n", "p" } }):select { 3, 1, 2 }
  ds:save_to_disk(folder .. "/saved")
  local back = D.load_from_disk(folder .. "/saved")
  t.same(tostring(back.features), tostring(ds.features))
  t.same({ back.text, back.y, back.ids }, { ds.text, ds.y, ds.ids })
  t.same(back.s[2].k, 1)
  t.same(back._fingerprint, ds._fingerprint)
  D.DatasetDict({ train = ds, test = ds:take(1) }):save_to_disk(folder .. "/dict")
  t.same(D.load_from_disk(folder .. "/dict").test.text, { "c" })
  t.raises(function() D.load_from_disk(folder) end, "expected a folder that save_to_disk wrote")
end)

t.test("a damaged table file is refused, wherever a byte is changed", function()
  local path = folder .. "/saved/data.table"
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("a")
  file:close()
  for _, at in ipairs { 1, 20, #bytes // 2, #bytes - 30, #bytes - 12, #bytes } do
    local changed = bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 1) .. bytes:sub(at + 1)
    write("saved/data.table", changed)
    t.raises(function() D.load_from_disk(folder .. "/saved") end, "the file is damaged")
  end
  write("saved/data.table", bytes:sub(1, #bytes - 1))
  t.raises(function() D.load_from_disk(folder .. "/saved") end, "the file is damaged")
end)

-- ---- the cache of map

-- Runs a chunk in a program of its own whose cache lies in the test's folder; returns what it prints.
local function run(source)
  write("cached.lua", source)
  local pipe = assert(io.popen(("HF_DATASETS_CACHE='%s/cache' '%s' '%s/cached.lua' 2>&1"):format(folder, os.getenv("HFLUA_BIN"), folder)))
  local text = pipe:read("a")
  pipe:close()
  return text
end

local function cached_files() return #require("hflua.core.files").list(folder .. "/cache/hflua-1") end

t.test("results of map are kept by content: dataset, function and what it holds", function()
  local source = [[
    local hf = require "hflua"
    local ds, k = hf.datasets.Dataset.from_csv(%q), %d
    print(table.concat(ds:map(function(row) return { n = row.x + k } end).n, ","))
  ]]
  local path = write("cached.csv", "x\n1\n2\n")
  t.same(run(source:format(path, 1)), "2,3\n")
  t.same(cached_files(), 1)
  t.same(run(source:format(path, 1)), "2,3\n")
  t.same(cached_files(), 1)
  t.same(run(source:format(path, 2)), "3,4\n")
  t.same(cached_files(), 2)
  t.same(run("\n\n-- moved down\n" .. source:format(path, 2)), "3,4\n")
  t.same(cached_files(), 2)
  write("cached.csv", "x\n5\n")
  t.same(run(source:format(path, 2)), "7\n")
  t.same(cached_files(), 3)
end)

t.test("a kept result is used: the function is not called again", function()
  local path = write("cached.csv", "x\n1\n2\n")
  local source = [[
    local hf = require "hflua"
    local ds = hf.datasets.Dataset.from_csv(%q)
    local mapped = ds:map(function(row) io.write("called ") return { n = row.x * 3 } end)
    print(table.concat(mapped.n, ","))
  ]]
  source = source:format(path)
  t.same(run(source), "called called 3,6\n")
  t.same(run(source), "3,6\n")
  local cached = require("hflua.core.files").list(folder .. "/cache/hflua-1")
  for _, name in ipairs(cached) do write("cache/hflua-1/" .. name, "damaged") end
  t.same(run(source), "called called 3,6\n")
end)

t.test("functions differ by code, constants and what they hold, not by place", function()
  local of = require("hflua.datasets.fingerprint").of
  local function make(k, inner) return function(x) return function() return x + k + inner[1] end end end
  local a, b = make(1, { 2 }),


    make(1, { 2 })
  t.same(of(a), of(b))
  local moved = function(x) return x .. "long text that is no short string, more than forty bytes" end
  local same = function(x) return x .. "long text that is no short string, more than forty bytes" end
  local other = function(x) return x .. "long text that is no short string, more than forty bytes!" end
  t.same(of(moved), of(same))
  assert(of(moved) ~= of(other))
  assert(of(make(1, { 2 })) ~= of(make(1, { 3 })))
  assert(of(function() return 1 end) ~= of(function() return 1.0 end))
  local cycle = {}
  cycle.self = cycle
  t.same(of(cycle), of(cycle))
  t.same({ of(io.stdout) }, { nil, "it holds a FILE*" })
end)

t.test("a function that cannot be hashed is not cached, and one line says so", function()
  local path = write("cached.csv", "x\n1\n2\n")
  local text = run(([[
    local hf = require "hflua"
    factor = 2
    local ds = hf.datasets.Dataset.from_csv(%q)
    print(table.concat(ds:map(function(row) return { n = row.x * factor } end).n, ","))
  ]]):format(path))
  t.same(text, "Dataset:map: the result is not cached: it uses the global 'factor' (a local is hashed)\n2,4\n")
end)

require("hflua.core.files").remove(folder)
t.finish()
