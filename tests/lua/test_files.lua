-- hflua.core.files: hashes, locks, folders.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local files = require "hflua.core.files"
local makedirs = require("hflua.core.system").makedirs

local root = os.tmpname()
os.remove(root)
makedirs(root .. "/a/b")

-- Published vectors (FIPS 180-4 examples), and lengths around the block size against sha256sum.
t.test("sha256 of known texts", function()
  local cases = { [""] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    [("a"):rep(1000000)] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" }
  for text, hash in pairs(cases) do
    files.write(root .. "/text", text)
    t.same(files.sha256(root .. "/text"), hash)
    t.same(files.size(root .. "/text"), #text)
    t.same(files.read(root .. "/text"), text)
  end
end)

t.test("folders are listed, renamed and removed", function()
  files.write(root .. "/a/x", "1")
  t.same(files.list(root .. "/a"), { "b", "x" })
  t.same(files.type(root .. "/a"), "folder")
  t.same(files.type(root .. "/a/x"), "file")
  t.same(files.type(root .. "/none"), nil)
  files.rename(root .. "/a", root .. "/c")
  files.sync(root)
  files.remove(root .. "/c")
  t.same(files.type(root .. "/c"), nil)
  assert(files.free_space(root) > 0)
  t.raises(function() files.list(root .. "/none") end, "/none")
  t.raises(function() files.read(root .. "/none") end, "/none")
  t.raises(function() files.sha256(root .. "/none") end, "/none")
end)

t.test("a lock keeps a second process out and names the first", function()
  local lock = files.lock(root .. "/.lock")
  local script = root .. "/second.lua"
  files.write(script, ('print(pcall(require("hflua.core.files").lock, %q))'):format(root .. "/.lock"))
  local function second()
    local pipe = io.popen(os.getenv "HFLUA_BIN" .. " " .. script)
    local text = pipe:read "a"
    pipe:close()
    return text
  end
  local text = second()
  assert(text:find("another process with the id " .. files.process_id(), 1, true), text)
  lock:close()
  assert(second():find("^true"))
end)

files.remove(root)
t.finish()
