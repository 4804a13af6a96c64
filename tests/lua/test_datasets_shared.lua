-- Real data files: row counts, first rows and labels of MRPC, Yelp, IMDB and CNN/DailyMail.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"

local data = t.shared and t.shared .. "/data"
if not data or not t.exists(data .. "/mrpc/train.tsv") then
  t.skip("real data files", "HFLUA_SHARED has no data/")
  t.finish()
  return
end

local function count(list, value)
  local n = 0
  for _, v in ipairs(list) do n = n + (v == value and 1 or 0) end
  return n
end

t.test("MRPC from the original files", function()
  local mrpc = hf.load_dataset("glue", "mrpc", { data_dir = data .. "/mrpc" })
  t.same(mrpc.num_rows, { train = 3668, validation = 408, test = 1725 })
  t.same(mrpc.train.column_names, { "sentence1", "sentence2", "label", "idx" })
  assert(mrpc.train[1].sentence1:find("^Amrozi accused his brother , whom he called \" the witness \" ,"))
  t.same({ count(mrpc.train.label, 1), count(mrpc.validation.label, 1), count(mrpc.test.label, 1) }, { 2474, 279, 1147 })
  t.same({ mrpc.train[1].idx, mrpc.train[3668].idx, mrpc.validation[1].idx, mrpc.test[1725].idx }, { 0, 4075, 9, 1724 })
  local seen = {}
  for _, idx in ipairs(mrpc.train.idx) do seen[idx] = true end
  for _, idx in ipairs(mrpc.validation.idx) do assert(not seen[idx], "a row is in both splits") end
end)

t.test("MRPC from train.tsv and dev.tsv has the same rows in the same order", function()
  local original = hf.load_dataset("glue", "mrpc", { data_dir = data .. "/mrpc" })
  local plain = hf.load_dataset("glue", "mrpc", { data_dir = data .. "/mrpc/untokenized" })
  t.same(plain.num_rows, original.num_rows)
  t.same(plain.train.label, original.train.label)
  t.same({ plain.train[3668].idx, plain.validation[1].idx }, { 3667, 0 })
  local tsv = hf.load_dataset("tsv", { data_files = data .. "/mrpc/dev.tsv", quoting = "none", split = "train" })
  t.same(tsv["#1 String"], original.validation.sentence1)
end)

t.test("Yelp, IMDB and CNN/DailyMail", function()
  local yelp = hf.load_dataset("csv", { data_files = { train = data .. "/yelp/yelp_train_small.csv", test = data .. "/yelp/yelp_dev.csv" },
    column_names = { "label", "text" } })
  t.same(yelp.num_rows, { train = 10785, test = 4008 })
  t.same({ count(yelp.test.label, 0), count(yelp.test.label, 4) }, { 608, 1873 })
  local imdb = hf.load_dataset("csv", { data_files = data .. "/imdb/imdb_sample.csv", split = "train" })
  t.same({ #imdb, count(imdb.label, 0) }, { 1000, 512 })
  local cnn = hf.load_dataset(data .. "/cnn_dailymail")
  t.same(cnn.num_rows, { validation = 500, test = 500 })
  t.same(cnn.test.column_names, { "article", "highlights", "id" })
end)

t.finish()
