-- Dataset and DatasetDict from Lua values: what rows, columns, transforms, map and printing give, and their errors.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local D = hf.datasets
local Dataset = D.Dataset

local function sample()
  return Dataset.from_dict({
    text = { "red", "green", hf.null, "blue" }, label = { 2, 0, 1, 0 }, score = { 0.5, 2, hf.null, -1 },
    ids = { { 1, 2 }, {}, hf.null, { 3 } }, good = { true, false, hf.null, true },
  }, { columns = { "text", "label", "score", "ids", "good" } })
end

local function plain(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for k, v in next, value do copy[k] = plain(v) end
  return copy
end

-- ---- making and reading

t.test("from_dict gives rows, columns and features", function()
  local ds = sample()
  t.same(#ds, 4)
  t.same(plain(ds[1]), { text = "red", label = 2, score = 0.5, ids = { 1, 2 }, good = true })
  t.same(plain(ds[3]), { label = 1 })
  t.same(ds.text, { "red", "green", hf.null, "blue" })
  t.same(ds["score"], { 0.5, 2.0, hf.null, -1.0 })
  t.same(math.type(ds.score[2]), "float")
  t.same(ds.ids, { { 1, 2 }, {}, hf.null, { 3 } })
  t.same(ds.column_names, { "text", "label", "score", "ids", "good" })
  t.same(ds.shape, { 4, 5 })
  t.same(tostring(ds.features),
    "{'text': Value('string'), 'label': Value('int64'), 'score': Value('float64'), 'ids': List(Value('int64')), 'good': Value('bool')}")
end)

t.test("from_dict sorts columns unless their order is given", function()
  t.same(Dataset.from_dict({ b = { 1 }, a = { 2 } }).column_names, { "a", "b" })
  local features = D.Features { { "b", D.Value "int64" }, { "a", D.Value "float32" } }
  t.same(Dataset.from_dict({ b = { 1 }, a = { 2 } }, { features = features }).column_names, { "b", "a" })
end)

t.test("prints as Hugging Face prints", function()
  t.same(tostring(sample()), "Dataset({\n    features: ['text', 'label', 'score', 'ids', 'good'],\n    num_rows: 4\n})")
  local dict = D.DatasetDict { test = sample():select { 1 }, train = sample() }
  t.same(tostring(dict), [[
DatasetDict({
    train: Dataset({
        features: ['text', 'label', 'score', 'ids', 'good'],
        num_rows: 4
    })
    test: Dataset({
        features: ['text', 'label', 'score', 'ids', 'good'],
        num_rows: 1
    })
})]])
  t.same(tostring(sample()[2]), "{'text': 'green', 'label': 0, 'score': 2.0, 'ids': [], 'good': False}")
end)

t.test("rows keep the order of the columns in pairs and keys", function()
  local row, names = sample()[1], {}
  row.extra = 1
  for name in pairs(row) do names[#names + 1] = name end
  t.same(names, { "text", "label", "score", "ids", "good", "extra" })
  t.same(row:keys(), names)
end)

t.test("ipairs ends with the last row", function()
  local labels = {}
  for i, row in ipairs(sample()) do labels[i] = row.label end
  t.same(labels, { 2, 0, 1, 0 })
end)

t.test("slices, lists of rows and iter give batches of columns", function()
  local ds = sample()
  t.same(ds:slice(2, 3).label, { 0, 1 })
  t.same(ds { 4, 1 }.text, { "blue", "red" })
  local sizes = {}
  for batch in ds:iter(3) do sizes[#sizes + 1] = #batch.label end
  t.same(sizes, { 3, 1 })
end)

t.test("from_list takes absent keys as None, from_generator both forms", function()
  local ds = Dataset.from_list { { a = 1 }, { b = "x" }, { a = 3, b = "y" } }
  t.same(ds.a, { 1, hf.null, 3 })
  t.same(ds.b, { hf.null, "x", "y" })
  local yielded = Dataset.from_generator(function(yield)
    for i = 1, 3 do yield { n = i } end
  end)
  t.same(yielded.n, { 1, 2, 3 })
  local iterated = Dataset.from_generator(function()
    local i = 0
    return function()
      i = i + 1
      return i <= 2 and { n = i } or nil
    end
  end)
  t.same(iterated.n, { 1, 2 })
end)

t.test("nested tables become lists and structs", function()
  local ds = Dataset.from_list { { answer = { text = { "a", "b" }, start = { 0 } }, grid = { { 1 }, { 2, 3 } } }, { answer = { text = {} } } }
  t.same(tostring(ds.features.answer), "{'start': List(Value('int64')), 'text': List(Value('string'))}")
  t.same(plain(ds[1].answer), { text = { "a", "b" }, start = { 0 } })
  t.same(plain(ds[2].answer), { text = {} })
  t.same(ds.grid[1], { { 1 }, { 2, 3 } })
end)

t.test("to_list and to_dict give back what was put in", function()
  local ds = sample()
  t.same(plain(Dataset.from_list(ds:to_list(), { columns = ds.column_names }):to_dict()), plain(ds:to_dict()))
  t.same(ds:to_dict():keys(), ds.column_names)
end)

-- ---- transforms

t.test("select, take, skip, shard, sort", function()
  local ds = sample()
  t.same(ds:select({ 4, 1, 1 }).label, { 0, 2, 2 })
  t.same(ds:select({ 4, 2 }):select({ 2 }).text, { "green" })
  t.same(ds:take(2).label, { 2, 0 })
  t.same(ds:skip(3).label, { 0 })
  t.same(ds:shard({ num_shards = 3, index = 0 }).label, { 2, 0 })
  t.same(ds:shard({ num_shards = 3, index = 1, contiguous = false }).label, { 0 })
  t.same(ds:sort("label").text, { "green", "blue", hf.null, "red" })
  t.same(ds:sort("score", { reverse = true }).score, { 2.0, 0.5, -1.0, hf.null })
  t.same(ds:sort("text", { null_placement = "at_start" }).text, { hf.null, "blue", "green", "red" })
  t.same(ds:sort({ "label", "score" }, { reverse = { false, true } }).score, { 2.0, -1.0, hf.null, 0.5 })
end)

t.test("columns are removed, selected, renamed and added", function()
  local ds = sample()
  t.same(ds:remove_columns({ "ids", "good" }).column_names, { "text", "label", "score" })
  t.same(ds:remove_columns("text").column_names, { "label", "score", "ids", "good" })
  t.same(ds:select_columns({ "good", "text" }).column_names, { "good", "text" })
  t.same(ds:rename_column("label", "labels").column_names, { "text", "labels", "score", "ids", "good" })
  t.same(ds:select({ 4, 1 }):add_column("n", { 7, 8 }).n, { 7, 8 })
  t.same(ds:select({ 4, 1 }):add_column("n", { 7, 8 }).label, { 0, 2 })
end)

t.test("unique keeps the order of appearance", function()
  t.same(sample():unique("label"), { 2, 0, 1 })
  t.same(sample():unique("text"), { "red", "green", hf.null, "blue" })
end)

t.test("concatenate_datasets joins rows or columns", function()
  local ds = sample():select_columns { "label" }
  t.same(D.concatenate_datasets({ ds, ds:select { 1 } }).label, { 2, 0, 1, 0, 2 })
  t.same(D.concatenate_datasets({ ds, sample():select_columns { "text" } }, { axis = 1 }).column_names, { "label", "text" })
end)

t.test("interleave_datasets takes turns", function()
  local function numbers(first, last)
    local list = {}
    for i = first, last do list[#list + 1] = i end
    return Dataset.from_dict { n = list }
  end
  local list = { numbers(0, 2), numbers(3, 6), numbers(7, 11) }
  t.same(D.interleave_datasets(list).n, { 0, 3, 7, 1, 4, 8, 2, 5, 9 })
  t.same(D.interleave_datasets(list, { stopping_strategy = "all_exhausted" }).n, { 0, 3, 7, 1, 4, 8, 2, 5, 9, 0, 6, 10, 1, 3, 11 })
end)

t.test("a transform shares the columns and changes the fingerprint", function()
  local ds, seen = sample(), {}
  for _, other in ipairs { ds, ds:select { 1 }, ds:select { 2 }, ds:remove_columns "ids", ds:rename_column("text", "t"), ds:sort "label" } do
    assert(not seen[other._fingerprint])
    seen[other._fingerprint] = true
  end
  t.same(ds:select({ 1 })._fingerprint, ds:select({ 1 })._fingerprint)
end)

-- ---- types

t.test("ClassLabel has names for numbers", function()
  local label = D.ClassLabel { names = { "no", "yes" } }
  t.same(tostring(label), "ClassLabel(names=['no', 'yes'])")
  t.same(label:int2str(1), "yes")
  t.same(label:str2int({ "yes", "no" }), { 1, 0 })
  t.same(label.num_classes, 2)
  t.raises(function() label:int2str(2) end, "label 2 is outside 0..1")
  t.raises(function() label:str2int("yess") end, "did you mean 'yes'?")
end)

t.test("casts convert what can be converted", function()
  local ds = sample()
  t.same(ds:cast_column("label", "string").label, { "2", "0", "1", "0" })
  t.same(ds:cast_column("score", "string").score, { "0.5", "2", hf.null, "-1" })
  t.same(ds:class_encode_column("good").features.good.names, { "False", "True" })
  t.same(ds:class_encode_column("good", { include_nulls = true }).good, { 2, 0, 1, 2 })
  t.same(ds:cast_column("label", D.Value "float32").label, { 2.0, 0.0, 1.0, 0.0 })
  t.same(ds:cast_column("ids", D.Sequence "int32").ids[1], { 1, 2 })
  local named = Dataset.from_dict({ c = { "b", "a", hf.null } }):cast_column("c", D.ClassLabel { names = { "a", "b" } })
  t.same(named.c, { 1, 0, hf.null })
  t.same(named.features.c:int2str(1), "b")
  t.same(ds:class_encode_column("text").text, { 2, 1, hf.null, 0 })
  t.same(ds:class_encode_column("text").features.text.names, { "blue", "green", "red" })
  t.raises(function() ds:cast_column("score", "int64") end, "column 'score': row 1: 0.5 is not a whole number")
  t.raises(function() ds:cast_column("label", D.ClassLabel { names = { "a", "b" } }) end, "column 'label': row 1: label 2 is outside 0..1")
end)

t.test("whole numbers become floats when a float appears, and ids are stored small", function()
  t.same(Dataset.from_dict({ x = { 1, 2.5 } }).x, { 1.0, 2.5 })
  local ds = Dataset.from_dict { input_ids = { { 101, 30521 } }, attention_mask = { { 1, 1 } } }
  t.same(tostring(ds.features.input_ids), "List(Value('int32'))")
  t.same(tostring(ds.features.attention_mask), "List(Value('int8'))")
  t.same(Dataset.from_dict({ input_ids = { { 1 }, { 1 << 40 } } }).input_ids, { { 1 }, { 1 << 40 } })
end)

-- ---- map and filter

t.test("map by rows adds and replaces; nil leaves a row as it is", function()
  local ds = sample():select_columns { "text", "label" }
  local mapped = ds:map(function(row) return { double = row.label * 2 } end)
  t.same(mapped.column_names, { "text", "label", "double" })
  t.same(mapped.double, { 4, 0, 2, 0 })
  local changed = ds:map(function(row)
    if row.label ~= 0 then
      row.label = row.label + 10
      return row
    end
  end)
  t.same(changed.label, { 12, 0, 11, 0 })
  t.same(changed.text, { "red", "green", hf.null, "blue" })
  t.same(ds:map(function(row) return row.label == 0 and { first = true } or nil end).first, { hf.null, true, hf.null, true })
end)

t.test("map by batches may change the number of rows", function()
  local ds = sample():select_columns { "label" }
  local calls = {}
  local doubled = ds:map(function(batch)
    calls[#calls + 1] = #batch.label
    local out = {}
    for _, v in ipairs(batch.label) do
      out[#out + 1] = v
      out[#out + 1] = -v
    end
    return { value = out }
  end, { batched = true, batch_size = 3, remove_columns = { "label" } })
  t.same(calls, { 3, 1 })
  t.same(doubled.column_names, { "value" })
  t.same(doubled.value, { 2, -2, 0, 0, 1, -1, 0, 0 })
end)

t.test("map hands over indices, input columns and fn_kwargs", function()
  local ds = sample()
  t.same(ds:map(function(_, i) return { i = i } end, { with_indices = true }).i, { 1, 2, 3, 4 })
  t.same(ds:map(function(_, indices) return { i = indices } end, { with_indices = true, batched = true, batch_size = 3 }).i, { 1, 2, 3, 4 })
  t.same(ds:map(function(label, score) return { s = label + (score or 0) } end, { input_columns = { "label", "score" } }).s, { 2.5, 2.0, 1.0, -1.0 })
  t.same(ds:map(function(row, extra) return { s = row.label + extra.by } end, { fn_kwargs = { by = 5 } }).s, { 7, 5, 6, 5 })
end)

t.test("map keeps class names and brings columns to given features", function()
  local ds = Dataset.from_dict({ y = { 0, 1 } }):cast_column("y", D.ClassLabel { names = { "n", "p" } })
  t.same(ds:map(function(row) return { z = row.y } end).features.y.names, { "n", "p" })
  t.same(tostring(ds:map(function(row) return { z = row.y } end, { features = { z = "float32" } }).features.z), "Value('float32')")
end)

t.test("map and filter see chosen rows only", function()
  local ds = sample():select { 4, 2 }
  t.same(ds:map(function(row) return { n = #row.text } end).n, { 4, 5 })
  t.same(ds:filter(function(row) return row.text == "green" end).label, { 0 })
  t.same(ds:filter(function(batch)
    local keep = {}
    for i, text in ipairs(batch.text) do keep[i] = text == "blue" end
    return keep
  end, { batched = true }).text, { "blue" })
end)

t.test("DatasetDict applies to every split", function()
  local dict = D.DatasetDict { train = sample(), test = sample():take(1) }
  local mapped = dict:map(function(row) return { n = row.label + 1 } end):remove_columns { "ids" }
  t.same(mapped.train.n, { 3, 1, 2, 1 })
  t.same(mapped.test.n, { 3 })
  t.same(mapped.num_rows, { train = 4, test = 1 })
  t.same(dict:keys(), { "train", "test" })
  t.raises(function() return dict.tran end, "no split 'tran' (did you mean 'train'?)")
  t.raises(function() dict:select { 1 } end, "'select' works on one split")
end)

-- ---- formats

t.test("set_format torch gives tensors and hides other columns", function()
  local ds = Dataset.from_dict { ids = { { 1, 2 }, { 3, 4 } }, text = { "a", "b" }, x = { 1, 2.5 } }
  local formatted = ds:with_format("torch", { columns = { "ids", "x" } })
  t.same(formatted[2].ids:tolist(), { 3, 4 })
  t.same(formatted[2].ids.dtype, "int64")
  t.same(formatted[2].x.dtype, "float32")
  t.same(formatted[2].text, nil)
  t.same(formatted:slice(1, 2).ids:tolist(), { { 1, 2 }, { 3, 4 } })
  t.same(ds[1].ids, { 1, 2 })
  ds:set_format("torch")
  t.same(ds[1].text, "a")
  t.same(ds[1].ids:tolist(), { 1, 2 })
  ds:reset_format()
  t.same(ds[1].ids, { 1, 2 })
end)

-- ---- errors

t.test("missing columns are named with the nearest one and the list", function()
  local ds = sample()
  for _, fn in ipairs { function() return ds.lable end, function() ds:remove_columns { "lable" } end, function() ds:rename_column("lable", "x") end,
    function() ds:sort("lable") end, function() ds:map(function() end, { remove_columns = { "lable" } }) end } do
    t.raises(fn, "no column 'lable' (did you mean 'label'?); the columns are ['text', 'label', 'score', 'ids', 'good']")
  end
end)

t.test("ragged columns, holes and mixed types are named", function()
  t.raises(function() Dataset.from_dict { a = { 1, 2 }, b = { 1 } } end, "column 'b' has 1 rows, column 'a' has 2")
  t.raises(function() Dataset.from_dict { a = { 1, nil, 3 } } end, "column 'a': row 2: it is nil")
  t.raises(function() Dataset.from_dict { a = { 1, "x" } } end, "column 'a': row 2: expected int64 as in the rows before, found text 'x'")
  t.raises(function() Dataset.from_dict { a = { { 1 }, { 2, "x" } } } end, "column 'a': row 2: item 2: expected int64")
  t.raises(function() Dataset.from_dict { a = { 1, true } } end, "found true")
  t.raises(function() Dataset.from_dict { a = { print } } end, "a function cannot be stored")
  t.raises(function() Dataset.from_list { { a = 1 }, { a = "x" } } end, "column 'a': row 2")
  local cycle = {}
  cycle[1] = cycle
  t.raises(function() Dataset.from_dict { a = { cycle } } end, "nest deeper")
end)

t.test("rows out of range are errors", function()
  local ds = sample()
  t.raises(function() return ds[0] end, "row 0 is out of range: rows count from 1 to 4")
  t.raises(function() return ds[-1] end, "row -1 is out of range")
  t.raises(function() return ds[9] end, "row 9 is out of range")
  t.raises(function() ds:select { 1, 5 } end, "item 2: row 5 is out of range 1..4")
end)

t.test("what a mapped function returns is checked", function()
  local ds = sample()
  t.raises(function() ds:map(function() return 5 end) end, "row 1: the function returned a number")
  t.raises(function() ds:map(function() return { n = { 1 } } end, { batched = true }) end, "returned 1 rows for 4, but column 'text' is kept")
  t.raises(function() ds:map(function() return { n = 1 } end, { batched = true }) end, "column 'n': a batched function returns a list")
  t.raises(function() ds:map(function() return { a = { 1 }, b = { 1, 2 } } end, { batched = true, remove_columns = ds.column_names }) end,
    "column 'b' has 2 values, column 'a' has 1")
  t.raises(function() ds:map(function(row) return { v = row.label == 0 and "x" or 1 } end) end, "column 'v': row 2")
  t.raises(function() ds:map(print, { batchd = true }) end, "unknown option 'batchd' (did you mean 'batched'?)")
  t.raises(function() ds:filter(function() return { true } end, { batched = true }) end, "a list of 4 true or false, found 1 values")
end)

t.test("an error in a mapped function points at its own line", function()
  t.raises(function() sample():map(function(row) return row.nothing.field end) end, "test_datasets.lua:")
end)

t.test("empty datasets work and say what they cannot do", function()
  local ds = sample():select {}
  t.same(#ds, 0)
  t.same(ds.text, {})
  t.same(#ds:map(function(row) return { n = 1 } end), 0)
  t.same(#ds:filter(function() return true end), 0)
  t.same(#ds:sort("label"), 0)
  t.raises(function() ds:train_test_split { test_size = 0.5 } end, "no rows")
end)

t.test("datasets cannot be changed by assignment", function()
  t.raises(function() sample().label = {} end, "datasets do not change")
end)

t.finish()
