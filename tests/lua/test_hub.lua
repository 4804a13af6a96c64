--- Names of models and datasets: folders, and Hugging Face's local cache.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hub = require "hflua.hub"

-- The folder of a name, or an error.
local function resolve(name, opts)
  local folder, reason = hub.find(name, opts)
  return folder or error(reason)
end

local root = os.tmpname()
os.remove(root)

local function write(path, text)
  assert(os.execute(("mkdir -p '%s'"):format(path:match("^(.*)/"))))
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local commit = ("0123456789"):rep(4)
write(root .. "/models--google-bert--bert-base-uncased/refs/main", commit .. "\n")
write(root .. "/models--google-bert--bert-base-uncased/snapshots/" .. commit .. "/config.json", "{}")
write(root .. "/datasets--org--set/snapshots/" .. commit .. "/data.csv", "a\n")

t.test("a folder is itself, a file is not a folder", function()
  assert(resolve(root) == root)
  assert(hub.is_folder(root) and not hub.is_file(root))
  local file = root .. "/datasets--org--set/snapshots/" .. commit .. "/data.csv"
  assert(hub.is_file(file) and not hub.is_folder(file))
  assert(not hub.is_folder(root .. "/none") and not hub.is_file(root .. "/none"))
end)

t.test("names are found in the cache under either spelling", function()
  local expected = root .. "/models--google-bert--bert-base-uncased/snapshots/" .. commit
  assert(resolve("google-bert/bert-base-uncased", { cache_dir = root }) == expected)
  assert(resolve("bert-base-uncased", { cache_dir = root }) == expected)
end)

t.test("datasets by commit", function()
  local folder = resolve("org/set", { kind = "dataset", revision = commit, cache_dir = root })
  assert(hub.is_file(folder .. "/data.csv"))
end)

t.test("what is not there says which options work offline", function()
  t.raises(function() resolve("gpt2", { cache_dir = root }) end, "model 'gpt2'", root, "HF_HUB_CACHE", "folder")
  t.raises(function() resolve("../evil", { cache_dir = root }) end, "no such folder")
  t.raises(function() resolve("a--b", { cache_dir = root }) end, "no such folder")
  t.raises(function() resolve("org/set", { kind = "dataset", revision = "../x", cache_dir = root }) end, "no such folder")
  t.raises(function() hub.open(nil) end, "found nil")
  t.raises(function() resolve("gpt2", { revisoin = "main" }) end, "did you mean 'revision'")
end)

os.execute(("rm -r '%s'"):format(root))
t.finish()
