--- Reference numbers: from $HFLUA_SHARED/golden where that folder is, else from the copies in tests/golden.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local golden = {}

--- The path of a reference file, or nil when neither place has it.
function golden.path(name)
  for _, root in ipairs { (t.shared or "") .. "/golden/", t.dir .. "/golden/" } do
    if t.exists(root .. name) then return root .. name end
  end
end

--- A decoded JSON file.
function golden.json(name)
  return require("hflua.core.json").load_file(assert(golden.path(name), name .. ": no such reference file"))
end

return golden
