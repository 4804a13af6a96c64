--- hf.torch.load: files of torch.save in both formats, wrong ones, models in pytorch_model.bin.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local golden = require "golden"
local hf = require "hflua"
local files = require "hflua.core.files"
local tensor = hf.tensor

local corpus = t.dir .. "/fuzz/corpus/fuzz_torch_file/"

for _, name in ipairs { "zip.pt", "old.pt" } do
  t.test(name .. ": tensors, views and types", function()
    local state = hf.torch.load(corpus .. name)
    golden.close(state.w, tensor.arange(6):float():reshape(2, 3), 0, "w")
    golden.close(state.t, tensor.arange(6):float():reshape(2, 3):t(), 0, "t")
    t.same({ state.n.dtype, state.d.dtype, state.b.dtype }, { "int64", "float32", "bool" })
    t.same(state.d:tolist(), { 1.0, 1.0 })
    state.w:fill_(3) -- private to the process
    golden.close(hf.torch.load(corpus .. name).w, tensor.arange(6):float():reshape(2, 3), 0, "w again")
  end)
end

t.test("dicts, lists, tuples and simple values become tables", function()
  local object = hf.torch.load(corpus .. "nested.pt")
  t.same(object.n, -3)
  t.same({ table.unpack(object.a.b[2]) }, { 1, 2.5, hf.null, true, "x" })
  t.same(hf.torch.load(corpus .. "param.pt").p:tolist(), { 1.0 })
end)

for name, message in pairs { ["evil.pt"] = "posix.system is none of the objects that are read", ["evil_old.pt"] = "nothing of a pickle is ever run",
  ["cut_zip.pt"] = "zip file is missing", ["cut_old.pt"] = "the file ends inside it", ["short_member.pt"] = "", ["compressed.pt"] = "it is compressed",
  ["self.pt"] = "deeper than", ["doubling.pt"] = "more than 10000000 values", ["empty.pt"] = "expected a file of torch.save", ["zero.pt"] = "expected a file of torch.save",
  ["not_a_pickle.pt"] = "the stack is empty", ["memo.pt"] = "memo beyond" } do
  t.test(name .. " is a clear error", function() t.raises(function() hf.torch.load(corpus .. name) end, name .. ":", message) end)
end

local shared = (os.getenv "HFLUA_SHARED" or "") .. "/data"
if not t.exists(shared .. "/torch_vectors/burn/float32.pt") then
  t.skip("other programs' files", "needs ../shared/data/torch_vectors")
  return t.finish()
end

t.test("one tensor in each type, protocol and format", function()
  local count = 0
  for _, name in ipairs(files.list(shared .. "/torch_vectors/gopickle")) do
    local dtype, as = name:match "^tensor_(%w+)_proto", { float64 = "float32", int8 = "int32", int16 = "int32" }
    local found = hf.torch.load(shared .. "/torch_vectors/gopickle/" .. name)
    t.same(found.dtype, as[dtype] or dtype, name)
    local first = hf.torch.load(shared .. ("/torch_vectors/gopickle/tensor_%s_proto2_zip.pt"):format(dtype))
    golden.close(found:float(), first:float(), 0, name)
    count = count + 1
  end
  t.same(count, 100)
end)

t.test("reader cases of other programs", function()
  for _, folder in ipairs { "burn", "candle" } do
    for _, name in ipairs(files.list(shared .. "/torch_vectors/" .. folder)) do
      local path = shared .. "/torch_vectors/" .. folder .. "/" .. name
      if name == "broken.pt" then t.raises(function() hf.torch.load(path) end, "expected a file of torch.save")
      else t.same(type(hf.torch.load(path)), "table", name) end
    end
  end
  local views = hf.torch.load(shared .. "/torch_vectors/burn/legacy_shared_storage.pt")
  t.same({ views.view1:numel(), views.view2:numel(), views.view3:numel() }, { 10, 20, 10 })
  local column_major = hf.torch.load(shared .. "/torch_vectors/candle/fortran_tensor_3d.pth").tensor_fortran
  golden.close(column_major:float(), (tensor.arange(24) + 1):reshape(2, 3, 4):float(), 0, "column-major")
end)

t.test("a model loads from pytorch_model.bin", function()
  local folder = shared .. "/checkpoints/bert-xsmall-dummy"
  local model = hf.BertModel.from_pretrained(folder, { quiet = true })
  local state = hf.torch.load(folder .. "/pytorch_model.bin")
  golden.close(model.embeddings.word_embeddings.weight, state["embeddings.word_embeddings.weight"], 0, "word embeddings")
  t.same(model { input_ids = tensor.tensor { { 1, 2, 3 } } }.last_hidden_state.shape[3], 20)
end)
t.finish()
