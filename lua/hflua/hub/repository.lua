--- One repository at one revision: its files, from the cache or from the Hub. The first request settles which commit the revision
-- is; from then on, and for the rest of the process, files are those of that commit, and what is cached of it needs no network.
--
--     local repository = Repository.open("model", "bert-base-uncased", { revision = "main" })
--     local path = repository:need("config.json")
--     local index = repository:file("model.safetensors.index.json")   -- nil: there is none
local cache = require "hflua.hub.cache"
local client = require "hflua.hub.client"
local core = require "hflua.core.hub"
local errors = require "hflua.errors"
local files = require "hflua.core.files"
local interrupt = require "hflua.core.interrupt"
local names = require "hflua.hub.names"
local notes = require "hflua.trainer.notes"
local progress = require "hflua.progress"

local Repository = {}
Repository.__index = Repository

local commits = {} -- what revisions were settled on: address, kind, name and revision -> commit

-- The spelling of a name that the cache has, else the name as given.
local function cached_spelling(root, kind, name)
  for _, spelling in ipairs(names.spellings(name)) do
    if files.type(root .. "/" .. names.folder(kind, spelling) .. "/snapshots") == "folder" then return spelling end
  end
  return name
end

-- Why a file (nil: all of them) is not there, and what to do.
local function missing(self, name)
  if not self.offline then return ("%s '%s': revision '%s' has no file '%s'"):format(self.kind, self.name, self.revision, name) end
  return ("%s '%s': %snot in the local Hub cache (%s, revision %s), and %s; give the path of a folder that holds its files, or set HF_HOME or HF_HUB_CACHE to a cache that has it")
    :format(self.kind, self.name, name and name .. ": " or "", self.root, self.revision, self.reason or "HF_HUB_OFFLINE or local_files_only forbids to fetch it")
end

--- options: revision ("main"), cache_dir, token, force_download, local_files_only.
function Repository.open(kind, name, options)
  local root, revision = options.cache_dir or cache.folder(), options.revision or "main"
  local self = setmetatable({ kind = kind, revision = revision, root = root, force = options.force_download, used = {}, brought = {} }, Repository)
  self.name = cached_spelling(root, kind, name)
  self.cached = root .. "/" .. names.folder(kind, self.name)
  self.offline = options.local_files_only or client.is_offline()
  if self.offline then
    if self.force then errors.raise("%s '%s': force_download needs the network, which HF_HUB_OFFLINE or local_files_only forbids", kind, name) end
    self:settle(cache.read_ref(self.cached, revision) or revision)
    if files.type(self.folder) ~= "folder" then errors.raise("%s", missing(self)) end
    return self
  end
  self.token = client.token(options.token)
  self.key = table.concat({ client.endpoint(), root, kind, self.name, revision }, "\n")
  local commit = names.is_commit(revision) and revision or commits[self.key]
  if commit then self:settle(commit) end
  return self
end

--- The commit is known: so is the folder of the snapshot.
function Repository:settle(commit)
  self.commit, self.folder = commit, ("%s/snapshots/%s"):format(self.cached, commit)
end

-- Settles on a commit that the Hub named, here and in the cache.
local function settle_online(self, commit)
  if self.commit == commit then return end
  self:settle(commit)
  commits[self.key] = commit
  cache.write_ref(self.cached, self.revision, commit)
end

local function place_of(self, name)
  return { kind = self.kind, name = self.name, revision = self.commit or self.revision, file = name, token = self.token }
end

-- The commit that the cache alone says, when it has a snapshot of it; nil once the Hub was reached.
local function cached_commit(self)
  if self.force or commits[self.key] then return nil end
  local commit = self.commit or cache.read_ref(self.cached, self.revision)
  return commit and files.type(self.cached .. "/snapshots/" .. commit) == "folder" and commit or nil
end

-- Can a file (nil: the list of them) be had without the Hub? Then a request that fails is not tried again.
local function is_cached(self, name)
  local commit = cached_commit(self)
  return commit and (self.commit or not name or files.type(cache.path(self.cached, commit, name)) == "file") and true or false
end

-- Without the Hub: goes on with what the cache has of the revision, and says so once; an error when it has nothing.
local function fall_back(self, reason)
  local commit = cached_commit(self) or errors.raise("%s", reason)
  notes.once("%s; %s '%s' is taken from the local cache", reason, self.kind, self.name)
  self.offline, self.reason = true, reason
  self:settle(commit)
end

-- Fetches a blob that the cache lacks.
local function fetch_blob(self, name, found)
  local blobs = self.cached .. "/blobs"
  cache.make_folder(blobs)
  local lock <close> = cache.lock(self.root, self.cached, found.etag)
  if not self.force and files.type(cache.blob(self.cached, found.etag)) == "file" then return end -- another process was faster
  local blob <close> = core.blob(blobs, found.etag, found.size)
  local bar <close> = progress.bar { total = found.size, desc = name:match("[^/]+$"), unit = "B", unit_scale = true }
  local place = place_of(self, name)
  place.revision = found.commit
  local done, message = client.fetch(place, blob, function(received) bar:update(received - bar.n) end)
  if not done then errors.raise("%s", message) end
  bar:update(blob:received() - bar.n)
  local ok, problem = pcall(blob.finish, blob)
  if not ok then errors.raise("%s '%s': %s: %s", self.kind, self.name, name, (problem:gsub("^.-: ", "", 1))) end
end

-- The path of a file that the Hub described, fetched where the cache lacks it.
local function bring(self, name, found)
  local path = cache.path(self.cached, found.commit, name)
  if not self.force and files.type(path) == "file" then return path end
  if self.force or files.type(cache.blob(self.cached, found.etag)) ~= "file" then fetch_blob(self, name, found) end
  self.brought[name] = true
  return cache.link(self.cached, found.commit, name, found.etag)
end

-- Asks the Hub for a file: its path, or nil when the revision has none.
local function ask(self, name)
  local found, message, kind, commit = client.metadata(place_of(self, name), is_cached(self, name))
  if kind == "entry" then
    if commit then
      settle_online(self, commit)
      cache.write_absent(self.cached, commit, name)
    end
    return nil
  end
  if kind == "revision" then errors.raise("%s", message) end
  if not found then
    fall_back(self, message)
    return self:file(name)
  end
  if self.commit and found.commit ~= self.commit then
    errors.raise("%s '%s': asked for %s of commit %s, the Hub answers for commit %s", self.kind, self.name, name, self.commit, found.commit)
  end
  settle_online(self, found.commit)
  return bring(self, name, found)
end

-- The path of a file, or nil.
local function locate(self, name)
  if self.commit and (not self.force or self.brought[name]) then
    local path = cache.path(self.cached, self.commit, name)
    if files.type(path) == "file" then return path end
    if self.offline or cache.is_absent(self.cached, self.commit, name) then return nil end
  end
  return ask(self, name)
end

--- The path of a file; nil when the revision has no such file, or the cache has not and the network is left alone.
function Repository:file(name)
  if not names.is_file(name) then errors.raise("%s '%s': %q is no name of a file in a repository", self.kind, self.name, name) end
  local path = locate(self, name)
  self.used[name] = path and true
  return path
end

--- As file; an error when there is none.
function Repository:need(name) return self:file(name) or errors.raise("%s", missing(self, name)) end

--- The names of all files, and what the card says ({} when it cannot be had).
function Repository:list()
  local info, message, kind
  if not self.offline then
    info, message, kind = client.info(place_of(self), is_cached(self))
    if info then settle_online(self, info.sha)
    elseif kind == "revision" then errors.raise("%s", message)
    else fall_back(self, message) end
  end
  if not info then return files.type(self.folder) == "folder" and cache.walk(self.folder) or errors.raise("%s", missing(self)), {} end
  local list = {}
  for _, entry in ipairs(info.siblings) do
    local name = type(entry) == "table" and entry.rfilename
    if type(name) ~= "string" or not names.is_file(name) then errors.raise("%s '%s': the Hub lists a file with the name %q, which no file may have", self.kind, self.name, tostring(name)) end
    list[#list + 1] = name
  end
  table.sort(list)
  return list, type(info.cardData) == "table" and info.cardData or {}
end

--- What `read()` gives. When it fails and a file that was asked for is not what its name stands for, that file is set aside and fetched once more.
function Repository:reading(read)
  local results = table.pack(pcall(read))
  if results[1] then return table.unpack(results, 2, results.n) end
  if self.offline or not self.commit or interrupt.pending() or files.type(self.folder) ~= "folder" then error(results[2], 0) end
  local count = cache.set_aside(self.cached, self.commit, self.used)
  if count == 0 then error(results[2], 0) end
  notes.once("%s '%s': %d damaged file%s in the cache set aside (.corrupt) and fetched again", self.kind, self.name, count, count > 1 and "s" or "")
  return read()
end

return Repository
