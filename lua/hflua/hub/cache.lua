--- The Hub cache on the disk, shared with Python's huggingface_hub:
--
--     models--org--name/blobs/<etag>               the bytes of a file
--     models--org--name/snapshots/<commit>/<file>  a relative link to them
--     models--org--name/refs/<revision>            the commit of a branch or tag
--     models--org--name/.no_exist/<commit>/<file>  an empty file: the commit has no such file
--     .locks/models--org--name/<etag>.lock         held while a blob is fetched
local core = require "hflua.core.hub"
local files = require "hflua.core.files"
local names = require "hflua.hub.names"
local notes = require "hflua.trainer.notes"
local system = require "hflua.core.system"

local cache = {}

local function parent(path) return path:match("^(.*)/[^/]*$") end

--- Makes a folder of the cache, with those above it.
function cache.make_folder(path) core.in_cache(system.makedirs, path) end

local function write(path, text)
  cache.make_folder(parent(path))
  core.in_cache(files.write, path, text)
end

local function setting(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

--- Hugging Face's folder: HF_HOME, else huggingface in the user's cache folder.
function cache.home()
  local user = setting "XDG_CACHE_HOME" or (os.getenv "HOME" or ".") .. "/.cache"
  return setting "HF_HOME" or user .. "/huggingface"
end

--- The folder of the Hub cache: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub.
function cache.folder() return setting "HF_HUB_CACHE" or setting "HUGGINGFACE_HUB_CACHE" or cache.home() .. "/hub" end

--- The commit that refs/<revision> of a repository's folder names, or nil.
function cache.read_ref(folder, revision)
  local path = folder .. "/refs/" .. revision
  if files.type(path) ~= "file" then return nil end
  local commit = files.read(path):match("^%s*(.-)%s*$")
  return names.is_file(commit) and not commit:find("/", 1, true) and commit or nil
end

--- Keeps which commit a revision is. A cache that cannot be written stays as it is.
function cache.write_ref(folder, revision, commit)
  if revision == commit or cache.read_ref(folder, revision) == commit then return end
  local path = folder .. "/refs/" .. revision
  pcall(write, path, commit)
end

--- Keeps that a commit has no such file.
function cache.write_absent(folder, commit, name)
  pcall(write, ("%s/.no_exist/%s/%s"):format(folder, commit, name), "")
end

function cache.is_absent(folder, commit, name) return files.type(("%s/.no_exist/%s/%s"):format(folder, commit, name)) == "file" end

--- The path of a file of a commit, which need not be there.
function cache.path(folder, commit, name) return ("%s/snapshots/%s/%s"):format(folder, commit, name) end

function cache.blob(folder, etag) return ("%s/blobs/%s"):format(folder, etag) end

--- Makes a file of a commit a link to its blob; returns its path.
function cache.link(folder, commit, name, etag)
  local path, up = cache.path(folder, commit, name), ("../"):rep(2 + select(2, name:gsub("/", "")))
  cache.make_folder(parent(path))
  core.in_cache(files.link, ("%sblobs/%s"):format(up, etag), path)
  return path
end

--- The snapshot of a repository's folder for a revision, or nil.
function cache.snapshot(folder, revision)
  local commit = cache.read_ref(folder, revision) or revision
  local path = folder .. "/snapshots/" .. commit
  return not commit:find("/", 1, true) and files.type(path) == "folder" and path or nil
end

--- Waits until no other process fetches the same blob. Where nothing can be locked it is nil, and the cache stays right: each process
-- writes a file of its own.
function cache.lock(root, folder, etag)
  local locks = ("%s/.locks/%s"):format(root, folder:match("[^/]+$"))
  while true do
    local ok, lock = pcall(function()
      cache.make_folder(locks)
      return core.in_cache(files.try_lock, ("%s/%s.lock"):format(locks, etag))
    end)
    if not ok then return nil end
    if lock then return lock end
    notes.once("another process is fetching a file of %s; waiting for it", folder)
    system.sleep(0.1)
  end
end

--- All files below a folder, as names relative to it, sorted.
function cache.walk(folder, prefix, found)
  found, prefix = found or {}, prefix or ""
  for _, name in ipairs(files.list(folder .. "/" .. prefix)) do
    if files.type(folder .. "/" .. prefix .. name) == "folder" then cache.walk(folder, prefix .. name .. "/", found)
    else found[#found + 1] = prefix .. name end
  end
  return found
end

--- True when a blob holds the bytes its name stands for.
function cache.is_sound(path)
  local etag = path:match("[^/]+$")
  return (#etag == 64 and files.sha256(path) or files.git_digest(path)) == etag
end

--- The etag of the blob that a file of a snapshot links to, or nil.
function cache.etag_of(path)
  local etag = (files.link_target(path) or ""):match("/blobs/(%x+)$")
  return etag and (#etag == 40 or #etag == 64) and etag or nil
end

--- Renames the blobs of some files of a commit (a table whose keys are their names) that do not hold what they stand for; returns
-- their number.
function cache.set_aside(folder, commit, list)
  local count = 0
  for name in pairs(list) do
    local etag = cache.etag_of(cache.path(folder, commit, name))
    local blob = etag and cache.blob(folder, etag)
    if blob and files.type(blob) == "file" and not cache.is_sound(blob) then
      core.in_cache(files.rename, blob, blob .. ".corrupt")
      count = count + 1
    end
  end
  return count
end

return cache
