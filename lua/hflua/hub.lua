--- hf.hub: names of models and datasets to files: a folder path as given, Hugging Face's local cache (shared with Python), and the
-- Hub itself. A folder that is there never leads to a request.
--
--     local hub = require "hflua.hub"
--     local source = hub.open("bert-base-uncased", { kind = "model" })
--     local path = source:need("config.json")      -- fetched if need be
local cache = require "hflua.hub.cache"
local errors = require "hflua.errors"
local names = require "hflua.hub.names"
local options = require "hflua.options"

local hub = { cache_folder = cache.folder, is_repository_name = names.is_repository }

local EXDEV, EISDIR = 18, 21

-- io.open for reading; a path that --sandbox keeps closed is an error rather than a file that is not there.
local function open(path)
  local file, reason, code = io.open(path, "r")
  if code == EXDEV then errors.raise("%s", reason) end
  return file
end

--- Options that say where files come from, of every from_pretrained.
hub.place_options = { "revision", "cache_dir", "token", "force_download", "local_files_only" }

local known_options = { "kind", table.unpack(hub.place_options) }

--- True when `path` is a folder that can be opened.
function hub.is_folder(path)
  local file = open(path)
  if not file then return false end
  local _, _, code = file:read(0)
  file:close()
  return code == EISDIR
end

--- True when `path` is a file that can be opened.
function hub.is_file(path)
  local file = open(path)
  if not file then return false end
  local _, _, code = file:read(0)
  file:close()
  return code ~= EISDIR
end

-- ---- local names

-- Error, in words, of a name or revision that cannot be one; nil when they can.
local function wrong_name(name, kind, revision)
  if names.is_repository(name) and names.is_revision(revision) then return nil end
  return ("%s '%s': no such folder, and not a name the Hub could have"):format(kind, name)
end

--- The local folder of a model or dataset, or nil and the reason. Asks nobody.
-- @param name folder path, or a name on the Hub that is in the local cache
-- @param opts kind ("model" or "dataset"), revision ("main"), cache_dir
function hub.find(name, opts)
  opts = options.check("hub", opts, known_options)
  if hub.is_folder(name) then return name end
  local kind, revision = opts.kind or "model", opts.revision or "main"
  local root, wrong = opts.cache_dir or cache.folder(), wrong_name(name, kind, revision)
  if wrong then return nil, wrong end
  for _, spelling in ipairs(names.spellings(name)) do
    local folder = cache.snapshot(root .. "/" .. names.folder(kind, spelling), revision)
    if folder then return folder end
  end
  return nil, ("%s '%s' is neither a folder nor in the local Hub cache (%s, revision %s): "
    .. "give the path of a folder that holds its files, or set HF_HOME or HF_HUB_CACHE to a cache that has it")
    :format(kind, name, root, revision)
end

-- ---- sources

-- A folder with the calls of a Repository.
local Folder = {}
Folder.__index = Folder

function Folder:file(name)
  local path = self.folder .. "/" .. name
  return hub.is_file(path) and path or nil
end

function Folder:need(name) return self:file(name) or errors.raise("%s/%s: no such file", self.folder, name) end
function Folder:list() return cache.walk(self.folder), {} end
function Folder:reading(read) return read() end

--- The files of a folder or of a repository (hub/repository.lua): source:file(name) is a path or nil, source:need(name) a path or an
-- error; source.folder is where they lie, once one was asked for.
-- @param opts kind ("model" or "dataset"), revision ("main"), cache_dir, token, force_download, local_files_only
function hub.open(name, opts)
  if type(name) ~= "string" then errors.raise("hub: name: expected the path of a folder or a name on the Hub, found %s", type(name)) end
  opts = options.check("hub", opts, known_options)
  if hub.is_folder(name) then return setmetatable({ folder = name }, Folder) end
  local kind = opts.kind or "model"
  local wrong = wrong_name(name, kind, opts.revision or "main")
  if wrong then errors.raise("%s", wrong) end
  return require("hflua.hub.repository").open(kind, name, opts)
end

--- The options of `given` that hub.open takes, with a kind.
function hub.place(given, kind)
  local place = { kind = kind }
  for _, name in ipairs(hub.place_options) do place[name] = given and given[name] end
  return place
end

-- ---- huggingface_hub's functions

-- Options of a function as Python names them, and the place they say.
local function read_options(where, given, more)
  local known = { "repo_type", table.unpack(hub.place_options) }
  table.move(more or {}, 1, #(more or {}), #known + 1, known)
  given = options.check(where, given, known)
  if given.repo_type and given.repo_type ~= "model" and given.repo_type ~= "dataset" then
    errors.raise("%s: repo_type: expected \"model\" or \"dataset\", found %s", where, tostring(given.repo_type))
  end
  return hub.place(given, given.repo_type or "model"), given
end

--- hf_hub_download(name, file[, { repo_type, revision, subfolder, cache_dir, token, force_download, local_files_only }]): the path
-- of one file in the cache, fetched if need be.
function hub.hf_hub_download(name, file, given)
  local place, o = read_options("hf_hub_download", given, { "subfolder" })
  if type(file) ~= "string" then errors.raise("hf_hub_download: expected the name of a repository, then of a file, found %s", type(file)) end
  return hub.open(name, place):need(o.subfolder and o.subfolder .. "/" .. file or file)
end

-- A pattern, a list of them or nil, as a function of a file's name.
local function matcher(patterns, default)
  if patterns == nil then return function() return default end end
  local glob, list = require "hflua.hub.glob", type(patterns) == "table" and patterns or { patterns }
  return function(name)
    for _, pattern in ipairs(list) do
      if glob.matches_text(pattern, name) then return true end
    end
    return false
  end
end

--- snapshot_download(name[, { allow_patterns, ignore_patterns, repo_type, revision, ... }]): the folder that holds all files of a
-- revision, or those whose names match.
function hub.snapshot_download(name, given)
  local place, o = read_options("snapshot_download", given, { "allow_patterns", "ignore_patterns" })
  local source, allowed, ignored = hub.open(name, place), matcher(o.allow_patterns, true), matcher(o.ignore_patterns, false)
  for _, file in ipairs((source:list())) do
    if allowed(file) and not ignored(file) then source:need(file) end
  end
  return source.folder
end

--- list_repo_files(name[, { repo_type, revision, ... }]): the names of all files, sorted.
function hub.list_repo_files(name, given)
  local place = read_options("list_repo_files", given)
  return (hub.open(name, place):list())
end

local function info(where, name, given)
  local place = read_options(where, given)
  local source = hub.open(name, place)
  local list, card = source:list()
  local siblings = {}
  for i, file in ipairs(list) do siblings[i] = { rfilename = file } end
  return { id = name, sha = source.commit, siblings = siblings, card_data = card }
end

--- model_info(name[, { revision, ... }]): { id, sha, siblings = { { rfilename }, ... }, card_data }.
function hub.model_info(name, given) return info("model_info", name, given) end

--- As model_info, for a dataset.
function hub.dataset_info(name, given)
  given = options.check("dataset_info", given, { "repo_type", table.unpack(hub.place_options) })
  local own = { repo_type = "dataset" }
  for key, value in pairs(given) do own[key] = value end
  return info("dataset_info", name, own)
end

--- Is a file in the cache? Its path, false when the revision is known to have none, nil when nothing is known.
function hub.try_to_load_from_cache(name, file, given)
  local place = read_options("try_to_load_from_cache", given)
  if not hub.find(name, { kind = place.kind, revision = place.revision, cache_dir = place.cache_dir }) then return nil end
  place.local_files_only = true
  local source = hub.open(name, place)
  return source:file(file) or source.cached and cache.is_absent(source.cached, source.commit, file) and false or nil
end

return hub
