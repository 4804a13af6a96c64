--- hf.safetensors: loading, looking, saving; errors that name file, tensor and field.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local safetensors, tensor = hf.safetensors, hf.tensor
local corpus = t.dir .. "/fuzz/corpus/fuzz_safetensors/"

local function sorted(names) table.sort(names) return names end

t.test("load_file gives tensors by name", function()
  local tensors = safetensors.load_file(corpus .. "good_metadata.safetensors")
  t.same(tensors.a:tolist(), { 1.5, -2.0 })
  t.same(tensors.a.dtype, "float32")
end)

t.test("open: keys, info, metadata, get", function()
  local file <close> = safetensors.open(corpus .. "good_mixed.safetensors")
  t.same(#file:keys(), 9)
  t.same(file:info("a"), { dtype = "F32", shape = { 2, 2 }, bytes = 16 })
  t.same(file:info("x").dtype, "F64")
  t.same(file:get("a"):tolist(), { { 1.0, 2.0 }, { 3.0, 4.0 } })
  t.same(file:get("b"):tolist(), { 7, -7 })
  t.same(file:get("m"):tolist(), { false, true, true })
  t.same(file:metadata(), {})
  t.raises(function() file:get("A") end, 'good_mixed.safetensors: no tensor "A" among its 9')
  t.raises(function() file:get("x") end, 'tensor "x": dtype: F64 cannot be computed with')
end)

t.test("what is saved comes back", function()
  local path = os.tmpname()
  local tensors = {
    ["layer.weight"] = tensor.tensor { { 1.5, 2 }, { 3, 4 } }, ids = tensor.tensor({ 5, -6 }, { dtype = "int64" }),
    half = tensor.tensor({ 1, 2, 3 }, { dtype = "float16" }), mask = tensor.tensor({ true, false }, { dtype = "bool" }),
  }
  tensors.turned = tensors["layer.weight"]:transpose(0, 1)
  safetensors.save_file(tensors, path, { format = "pt", note = "é" })
  local file = safetensors.open(path)
  t.same(file:metadata(), { format = "pt", note = "é" })
  t.same(file:keys(), { "ids", "layer.weight", "turned", "half", "mask" })
  for name, value in pairs(tensors) do t.same(file:get(name):tolist(), value:tolist()) end
  file:close()
  t.raises(function() file:keys() end, "closed")
  os.remove(path)
end)

t.test("a file can be saved over itself while it is mapped", function()
  local path = os.tmpname()
  safetensors.save_file({ a = tensor.tensor { 1, 2 } }, path)
  local tensors = safetensors.load_file(path)
  safetensors.save_file({ a = tensors.a, b = tensors.a }, path)
  t.same(tensors.a:tolist(), { 1.0, 2.0 })
  t.same(sorted(safetensors.open(path):keys()), { "a", "b" })
  os.remove(path)
end)

t.test("errors", function()
  t.raises(function() safetensors.load_file("/no/such/file") end, "/no/such/file: cannot be opened: No such file or directory")
  t.raises(function() safetensors.load_file(corpus .. "bad_git_lfs_pointer.safetensors") end, "expected a safetensors file, found a Git LFS pointer")
  t.raises(function() safetensors.load_file(corpus .. "bad_offsets_short.safetensors") end,
    'bad_offsets_short.safetensors: tensor "a": data_offsets: expected 4096 bytes for F32 [32,32], found 4000')
  t.raises(function() safetensors.save_file({ a = 3 }, "/tmp/x") end, 'tensor "a": expected a tensor, found a number')
  t.raises(function() safetensors.save_file({ 3 }, "/tmp/x") end, "expected names as keys, found a number")
  t.raises(function() safetensors.save_file({}, "/tmp/x", { format = 1 }) end, "metadata.format: expected a string, found a number")
  t.raises(function() safetensors.save_file({ __metadata__ = tensor.tensor { 1 } }, "/tmp/x") end, "the name is taken by the format")
  t.raises(function() safetensors.save_file({}, "/no/such/folder/x") end, "cannot be written")
end)

t.finish()
