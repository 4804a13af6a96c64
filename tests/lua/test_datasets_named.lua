--- load_dataset of named datasets from local files: sonnets, cnn_dailymail, imdb, yelp_review_full.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local files = require "hflua.core.files"

local folder = os.tmpname()
os.remove(folder)
hf.makedirs(folder)

local function write(name, text)
  hf.makedirs((folder .. "/" .. name):match "^(.*)/")
  files.write(folder .. "/" .. name, text)
  return folder .. "/" .. name
end

local function poem(n, lines)
  local list = {}
  for i = 1, lines do list[i] = ("  poem %d line %d"):format(n, i) end
  return table.concat(list, "\r\n")
end

t.test("sonnets: blocks of ten lines or more, stripped", function()
  local path = write("sonnets.txt", "THE TITLE\n\nby\nsomeone\n\nI\n\n" .. poem(1, 14) .. "\n\nII\n\n" .. poem(2, 10) .. "\n\n" .. poem(3, 9))
  local ds = hf.load_dataset("kkawamu1/shakespeares_sonnets", { data_files = path })
  t.same(ds.train.column_names, { "id", "text" })
  t.same(ds.train.id, { 0, 1 })
  t.same(ds.train.text[2]:sub(1, 32), "poem 2 line 1\npoem 2 line 2\npoem")
  t.same(#hf.load_dataset("kkawamu1/shakespeares_sonnets", { data_files = path, split = "train[:1]" }), 1)
  t.raises(function() hf.load_dataset("kkawamu1/shakespeares_sonnets", { data_files = write("short.txt", "a\nb\n") }) end, "short.txt", "poems")
  t.raises(function() hf.load_dataset "kkawamu1/shakespeares_sonnets" end, "data_files", "not on this machine")
end)

t.test("cnn_dailymail: CSV files by split, columns in order", function()
  write("cnn/cnn_dailymail_test.csv", 'id,article,highlights\n7,"One, two.","A\nB"\n')
  write("cnn/cnn_dailymail_train.csv", "id,article,highlights\n8,Three.,C\n")
  local ds = hf.load_dataset("cnn_dailymail", "3.0.0", { data_dir = folder .. "/cnn" })
  t.same(ds.test.column_names, { "article", "highlights", "id" })
  t.same(ds.test[1].highlights, "A\nB")
  t.same(#ds.train, 1)
  t.raises(function() hf.load_dataset("cnn_dailymail", { data_files = write("other.csv", "text,label\na,1\n") }) end, "other.csv", "article")
end)

t.test("cnn_dailymail: stories, every sentence with an end", function()
  write("stories/0a1b.story", "First part\n\nSecond \u{201C}part\u{201D}\n\nThird.\n\n@highlight\n\nShort one\n\n@highlight\n\nShort two!\n")
  local row = hf.load_dataset("cnn_dailymail", { data_dir = folder .. "/stories", split = "train" })[1]
  t.same(row.article, "First part . Second \u{201C}part\u{201D} Third.")
  t.same(row.highlights, "Short one .\nShort two!")
  t.same(row.id, "0a1b")
end)

t.test("imdb: labels neg and pos", function()
  local ds = hf.load_dataset("imdb", { data_files = { train = write("imdb_a.csv", "label,text\n1,good\n0,bad\n"), test = write("imdb_b.csv", "text,label\nfine,pos\n") } })
  t.same(ds.train.column_names, { "text", "label" })
  t.same(ds.train.label, { 1, 0 })
  t.same(ds.test.label, { 1 })
  t.same(tostring(ds.train.features.label), "ClassLabel(names=['neg', 'pos'])")
  t.raises(function() hf.load_dataset("imdb", { data_files = write("imdb_c.csv", "text,label\nfine,7\n") }) end, "7")
end)

t.test("yelp_review_full: no header; stars 1 to 5 become 0 to 4", function()
  local ds = hf.load_dataset("yelp_review_full", { data_files = { train = write("yelp_train.csv", '"5","Great, ""really"""\n"1","Poor"\n'), test = write("yelp_test.csv", "4,Fine\n0,Bad\n") } })
  t.same(ds.train.column_names, { "label", "text" })
  t.same(ds.train.label, { 4, 0 })
  t.same(ds.train.text[1], 'Great, "really"')
  t.same(ds.test.label, { 4, 0 })
  t.same(ds.train.features.label.names[5], "5 stars")
end)

local data = t.shared and t.shared:gsub("/+$", "") .. "/data"
if data and t.exists(data .. "/sonnets/sonnets.txt") then
  t.test("the real files have their known sizes", function()
    local ds = hf.load_dataset("kkawamu1/shakespeares_sonnets", { data_files = data .. "/sonnets/sonnets.txt", split = "train" })
    t.same(#ds, 154)
    assert(ds[1].text:find "^From fairest creatures we desire increase,\nThat thereby")
    local cnn = hf.load_dataset("cnn_dailymail", { data_dir = data .. "/cnn_dailymail" })
    t.same({ #cnn.test, #cnn.validation }, { 500, 500 })
    t.same(#hf.load_dataset("cnn_dailymail", { data_dir = data .. "/cnn_dailymail/cnn_stories", split = "train" }), 20)
    t.same(#hf.load_dataset("imdb", { data_dir = data .. "/imdb", split = "train" }), 1000)
    t.same(#hf.load_dataset("yelp_review_full", { data_dir = data .. "/yelp", split = "train" }), 10785)
  end)
else
  t.skip("the real files have their known sizes", "needs ../shared/data")
end

files.remove(folder)
t.finish()
