--- hf itself: its modules and names.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"

t.test("hflua has a version", function() assert(hf.version) end)

t.test("the six modules are there; names in them are found in hf too", function()
  for _, name in ipairs { "tensor", "tokenizer", "datasets", "models", "trainer", "pipeline" } do assert(type(hf[name]) == "table", name) end
  assert(hf.Trainer == hf.trainer.Trainer)
  assert(hf.no_such_name == nil)
end)

t.test("an unknown task is an error at the script's line", function()
  t.raises(function() hf.pipeline("fill-maks", {}) end, "test_hflua.lua", "did you mean 'fill-mask'")
end)
t.finish()
