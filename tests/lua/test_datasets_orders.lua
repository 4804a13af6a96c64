-- Row orders: shuffle, train_test_split and DataLoader give the orders of numpy and PyTorch for the same seed.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local D = hf.datasets

local function numbered(n)
  local list = {}
  for i = 1, n do list[i] = i - 1 end
  return D.Dataset.from_dict { n = list }
end

local function first(list, n) return table.move(list, 1, n, 1, {}) end

t.test("shuffle is default_rng(seed).permutation", function()
  t.same(numbered(10):shuffle({ seed = 0 }).n, { 4, 6, 2, 7, 3, 5, 9, 0, 8, 1 })
  t.same(first(numbered(1000):shuffle({ seed = 1234 }).n, 6), { 314, 767, 539, 43, 558, 709 })
  t.raises(function() numbered(3):shuffle { seed = -1 } end, "seed: expected a whole number from 0 on")
end)

-- The orders are those of datasets 5.2 for the same columns and seeds.
t.test("train_test_split keeps the share of each class", function()
  local function labelled(n, classes)
    local i, label = {}, {}
    for row = 0, n - 1 do i[row + 1], label[row + 1] = row, (row * row * 7 + row // 3) % classes end
    return D.Dataset.from_dict { i = i, label = label }
  end
  local ds = labelled(20, 2):cast_column("label", D.ClassLabel { num_classes = 2 })
  local parts = ds:train_test_split { test_size = 0.25, seed = 42, stratify_by_column = "label" }
  t.same(parts.train.i, { 19, 0, 5, 14, 3, 16, 8, 11, 15, 7, 18, 13, 9, 4, 6 })
  t.same(parts.test.i, { 10, 12, 2, 17, 1 })
  local three = labelled(37, 3):cast_column("label", D.ClassLabel { num_classes = 3 })
  t.same(three:train_test_split({ test_size = 0.2, seed = 7, stratify_by_column = "label" }).test.i, { 33, 1, 12, 23, 8, 3, 17, 27 })
  t.raises(function() labelled(20, 2):train_test_split { stratify_by_column = "label" } end, "expected a ClassLabel, found Value('int64'); use class_encode_column")
  t.raises(function() ds:train_test_split { stratify_by_column = "lable" } end, "did you mean 'label'")
  t.raises(function() ds:train_test_split { stratify_by_column = "label", shuffle = false } end, "drop shuffle=false")
  t.raises(function() ds:train_test_split { stratify_by_column = "label", test_size = 1 } end, "1 rows are fewer than the 2 classes")
end)

t.test("train_test_split takes test first, then train", function()
  local parts = numbered(20):train_test_split { test_size = 0.1, seed = 1234 }
  t.same(parts.test.n, { 3, 9 })
  t.same(parts.train.n, { 18, 16, 8, 5, 12, 13, 0, 17, 15, 11, 2, 7, 10, 6, 4, 14, 1, 19 })
  t.same(parts:keys(), { "train", "test" })
  local plain = numbered(5):train_test_split { test_size = 2, shuffle = false }
  t.same({ plain.train.n, plain.test.n }, { { 0, 1, 2 }, { 3, 4 } })
  t.same(numbered(10):train_test_split({ train_size = 0.35, seed = 1 }).num_rows, { train = 3, test = 7 })
  t.raises(function() numbered(3):train_test_split { test_size = 5 } end, "test_size=5: expected a number of rows below 3")
  t.raises(function() numbered(3):train_test_split { test_size = 1.5 } end, "test_size=1.5")
end)

t.test("interleave_datasets draws as default_rng(seed).choice", function()
  local function range(first, last)
    local list = {}
    for i = first, last do list[#list + 1] = i end
    return D.Dataset.from_dict { n = list }
  end
  local list, opts = { range(0, 4), range(10, 19), range(30, 32) }, { probabilities = { 0.5, 0.3, 0.2 }, seed = 42 }
  t.same(D.interleave_datasets(list, opts).n, { 10, 0, 30, 11, 1, 31, 12, 13, 2, 3, 4 }) -- Python's datasets
end)

t.test("without a seed the orders are those of np.random.seed(42)", function()
  hf.set_seed(42)
  t.same(numbered(8):shuffle().n, { 3, 4, 2, 7, 6, 1, 5, 0 })
  t.same(numbered(8):shuffle().n, { 0, 3, 1, 7, 2, 5, 4, 6 })
end)

-- ---- DataLoader

local function batches(loader)
  local list = {}
  for batch in loader do list[#list + 1] = batch.n:tolist() end
  return list
end

t.test("DataLoader goes in order, drops what is asked, counts batches", function()
  t.same(batches(D.DataLoader(numbered(5), { batch_size = 2 })), { { 0, 1 }, { 2, 3 }, { 4 } })
  t.same(batches(D.DataLoader(numbered(5), { batch_size = 2, drop_last = true })), { { 0, 1 }, { 2, 3 } })
  t.same(batches(D.DataLoader(numbered(2))), { { 0 }, { 1 } })
  t.same(#D.DataLoader(numbered(5), { batch_size = 2 }), 3)
  t.same(#D.DataLoader(numbered(5), { batch_size = 2, drop_last = true }), 2)
  t.same(batches(D.DataLoader(numbered(4), { batch_size = 2, sampler = { 4, 1, 2 } })), { { 3, 0 }, { 1 } })
  t.same(batches(D.DataLoader(numbered(4), { batch_sampler = { { 1 }, { 3, 2 } } })), { { 0 }, { 2, 1 } })
end)

t.test("a shuffled DataLoader draws as PyTorch's: two int64, the second seeds the order", function()
  local random = require "hflua.core.random"
  hf.set_seed(42)
  random.random_int64()
  local order = random.randperm(7, random.generator(random.random_int64()))
  hf.set_seed(42)
  local seen = {}
  for batch in D.DataLoader(numbered(7), { batch_size = 3, shuffle = true }) do
    table.move(batch.n:tolist(), 1, #batch.n, #seen + 1, seen)
  end
  t.same(seen, order)
  t.same(seen, { 1, 2, 3, 6, 4, 5, 0 }) -- torch.manual_seed(42); DataLoader(range(7), batch_size=3, shuffle=True) in PyTorch
end)

t.test("a generator that is given goes on from pass to pass as PyTorch's", function()
  local loader = D.DataLoader(numbered(7), { batch_size = 3, shuffle = true, generator = require("hflua.core.random").generator(5) })
  t.same(batches(loader), { { 2, 4, 3 }, { 5, 0, 6 }, { 1 } })
  t.same(batches(loader), { { 4, 1, 0 }, { 2, 3, 6 }, { 5 } })
end)

t.test("each pass takes one int64 of the global generator, also in order", function()
  local random = require "hflua.core.random"
  hf.set_seed(7)
  random.random_int64()
  local expected = random.random_int64()
  hf.set_seed(7)
  for _ in D.DataLoader(numbered(2)) do end
  t.same(random.random_int64(), expected)
end)

t.test("nested loops over one loader and an early break are independent", function()
  local loader, seen = D.DataLoader(numbered(3)), {}
  for a in loader do
    for b in loader do seen[#seen + 1] = a.n:tolist()[1] * 10 + b.n:tolist()[1] end
  end
  t.same(seen, { 0, 1, 2, 10, 11, 12, 20, 21, 22 })
  for _ in loader do break end
  t.same(batches(loader), { { 0 }, { 1 }, { 2 } })
end)

t.test("the default collator stacks numbers and lists of one length", function()
  local ds = D.Dataset.from_dict { ids = { { 1, 2 }, { 3, 4 } }, x = { 0.5, 1 }, good = { true, false } }
  for batch in D.DataLoader(ds, { batch_size = 2 }) do
    t.same(batch:keys(), { "good", "ids", "x" })
    t.same(batch.ids:tolist(), { { 1, 2 }, { 3, 4 } })
    t.same({ batch.ids.dtype, batch.x.dtype, batch.good.dtype }, { "int64", "float32", "bool" })
  end
  for batch in D.DataLoader({ { a = 1, b = 0.5 }, { a = 2, b = 1.5 } }, { batch_size = 2 }) do
    t.same({ batch.a:tolist(), batch.b:tolist() }, { { 1, 2 }, { 0.5, 1.5 } })
  end
end)

t.test("collate_fn gets the rows", function()
  local loader = D.DataLoader(numbered(3), { batch_size = 2, collate_fn = function(rows) return { #rows, rows[1].n } end })
  local seen = {}
  for batch in loader do seen[#seen + 1] = batch end
  t.same(seen, { { 2, 0 }, { 1, 2 } })
end)

t.test("a padding collator makes the same batch of dataset rows as of a list of rows", function()
  local ds = D.Dataset.from_dict { input_ids = { { 5, 6, 7 }, { 8 }, { 9, 9 } }, attention_mask = { { 1, 1, 1 }, { 1 }, { 1, 1 } }, label = { 1, 0, 1 } }
  local tokenizer = { pad_token_id = 3, padding_side = "left" }
  for _, opts in ipairs { {}, { pad_to_multiple_of = 4 }, { padding = "max_length", max_length = 6 } } do
    opts.tokenizer = tokenizer
    local collator = hf.DataCollatorWithPadding(opts)
    local by_rows, by_list = collator:collate_rows(ds, { 3, 1 }), collator { ds[3], ds[1] }
    t.same(by_rows:keys(), by_list:keys())
    for _, name in ipairs(by_rows:keys()) do
      t.same(by_rows[name]:tolist(), by_list[name]:tolist(), name)
      t.same(by_rows[name].dtype, by_list[name].dtype)
    end
  end
  local with_text = ds:add_column("text", { "a", "b", "c" })
  t.raises(function() hf.DataCollatorWithPadding({ tokenizer = tokenizer }):collate_rows(with_text, { 1 }) end,
    "column 'text' is text: remove_columns{\"text\"}")
end)

t.test("what cannot be stacked is an error that says what to do", function()
  local ds = D.Dataset.from_dict { sentence1 = { "a", "b" }, ids = { { 1, 2 }, { 3 } }, x = { 1, hf.null } }
  local function run(column)
    for _ in D.DataLoader(ds:select_columns { column }, { batch_size = 2 }) do end
  end
  t.raises(function() run "sentence1" end, "column 'sentence1' is text: remove_columns{\"sentence1\"}")
  t.raises(function() run "ids" end, "column 'ids': row 1 has 2 values, row 2 has 1: pad them")
  t.raises(function() run "x" end, "column 'x': row 2 is None")
  t.raises(function() D.DataLoader(ds, { batch_size = 0 }) end, "batch_size: expected a whole number above 0")
  t.raises(function() D.DataLoader(ds, { batchsize = 2 }) end, "did you mean 'batch_size'?")
  t.raises(function() D.DataLoader(D.DatasetDict { train = ds }) end, "choose a split")
end)

-- ---- the reference numbers

local reference = t.shared and t.shared .. "/golden/rng/expected.json"
if reference and t.exists(reference) then
  local golden = hf.json.load_file(reference)
  for seed, want in pairs(golden) do
    if seed ~= "about" then
      t.test("reference orders of seed " .. seed, function()
        local s = tonumber(seed)
        for _, n in ipairs { 20, 100, 1000 } do
          t.same(first(numbered(n):shuffle({ seed = s }).n, 20), { table.unpack(want["datasets_shuffle_select_" .. n], 1, 20) })
          local parts, expected = numbered(n):train_test_split { test_size = 0.1, seed = s }, want["datasets_train_test_split_0.1_" .. n]
          t.same(parts.test.n, { table.unpack(expected.test) })
          t.same(first(parts.train.n, #expected.train_first40), { table.unpack(expected.train_first40) })
        end
        local odd = numbered(37):train_test_split { test_size = 7, seed = s }
        t.same({ odd.train.n, odd.test.n }, { { table.unpack(want.datasets_train_test_split_7_rows_of_37.train) }, { table.unpack(want.datasets_train_test_split_7_rows_of_37.test) } })
        local plain = numbered(37):train_test_split { shuffle = false }
        t.same({ plain.train.n, plain.test.n }, { { table.unpack(want.datasets_train_test_split_noshuffle_37.train) }, { table.unpack(want.datasets_train_test_split_noshuffle_37.test) } })
        t.same(numbered(37):shuffle({ seed = s }):shuffle({ seed = s + 1 }).n, { table.unpack(want.datasets_shuffle_twice_37) })
      end)
    end
  end
else
  t.skip("reference orders", "HFLUA_SHARED has no golden/rng")
end

t.finish()
