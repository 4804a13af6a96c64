--- A bad id is told, on the device at the next copy to the host or with HFLUA_CUDA_BLOCKING=1 at its line, and nothing breaks.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local tensor = require "hflua".tensor
local device = os.getenv "HFLUA_TEST_DEVICE" or "cuda"

local table_ = tensor.ones({ 4, 3 }, { device = device })
local function ids(...) return tensor.tensor({ ... }, { dtype = "int64", device = device }) end

t.test("an embedding's id", function()
  t.raises(function() return tensor.embedding(table_, ids(0, 9)):sum():item() end, "9 is out of range", "0 .. 3")
end)
t.test("a row of index_select", function()
  t.raises(function() return table_:index_select(0, ids(-1)):sum():item() end, "-1 is out of range")
end)
t.test("a label", function()
  t.raises(function() return tensor.cross_entropy(table_, ids(0, 1, 2, 7)):item() end, "7 is out of range")
end)
t.test("the device goes on", function() t.same(tensor.embedding(table_, ids(0, 3)):sum():item(), 6.0) end)
t.finish()
