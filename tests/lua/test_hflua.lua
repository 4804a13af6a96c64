local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
t.test("hflua has a version", function() assert(require("hflua").version) end)
t.finish()
