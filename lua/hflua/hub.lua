--- Names of models and datasets to local folders: a folder path as given, else Hugging Face's local cache
-- (what a Python program downloaded is used). Nothing here opens a connection.
--
--   local hub = require "hflua.hub"
--   local folder = hub.resolve("bert-base-uncased", { kind = "model" })
local errors = require "hflua.errors"
local options = require "hflua.options"

local hub = {}

local EXDEV, EISDIR = 18, 21

-- io.open for reading; a path that --sandbox keeps closed is an error rather than a file that is not there.
local function open(path)
  local file, reason, code = io.open(path, "r")
  if code == EXDEV then errors.raise("%s", reason) end
  return file
end

local known_options = { "kind", "revision", "cache_dir" }

-- Repositories that moved into an organisation; the cache may hold either spelling.
local organisations = {
  { "^bert%-base%-", "google-bert" }, { "^bert%-large%-", "google-bert" },
  { "^distilbert%-base%-", "distilbert" }, { "^distilroberta%-base$", "distilbert" }, { "^distilgpt2$", "distilbert" },
  { "^roberta%-base$", "FacebookAI" }, { "^roberta%-large", "FacebookAI" }, { "^xlm%-roberta%-", "FacebookAI" },
  { "^gpt2$", "openai-community" }, { "^gpt2%-", "openai-community" },
  { "^t5%-", "google-t5" }, { "^glue$", "nyu-mll" }, { "^imdb$", "stanfordnlp" },
  { "^cnn_dailymail$", "abisee" }, { "^yelp_review_full$", "Yelp" },
}

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

--- The Hub cache folder: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub.
function hub.cache_folder()
  local folder = os.getenv("HF_HUB_CACHE") or os.getenv("HUGGINGFACE_HUB_CACHE")
  if folder and folder ~= "" then return folder end
  local home = os.getenv("HF_HOME")
  if home and home ~= "" then return home .. "/hub" end
  local cache = os.getenv("XDG_CACHE_HOME")
  if not cache or cache == "" then cache = (os.getenv("HOME") or ".") .. "/.cache" end
  return cache .. "/huggingface/hub"
end

--- True for `name` and `organisation/name` as the Hub allows them.
function hub.is_repository_name(name)
  if #name == 0 or #name > 96 or name:find("--", 1, true) or name:find("..", 1, true) then return false end
  local first, second = name:match("^([%w._-]+)/?([%w._-]*)$")
  return first ~= nil and (second ~= "" or not name:find("/", 1, true))
end

local function read_line(path)
  local file = io.open(path, "r")
  if not file then return nil end
  local line = file:read("l")
  file:close()
  return line and line:match("^%s*(.-)%s*$")
end

-- The snapshot of one spelling of a repository, or nil.
local function snapshot(cache, kind, name, revision)
  local repository = ("%s/%ss--%s"):format(cache, kind, (name:gsub("/", "--")))
  local commit = read_line(repository .. "/refs/" .. revision) or revision
  if not commit:match("^[%w._-]+$") then return nil end
  local folder = repository .. "/snapshots/" .. commit
  return hub.is_folder(folder) and folder or nil
end

local function spellings(name)
  local list = { name }
  for _, entry in ipairs(organisations) do
    if name:find(entry[1]) then list[#list + 1] = entry[2] .. "/" .. name end
  end
  local short = name:match("^[^/]+/(.+)$")
  if short then
    for _, entry in ipairs(organisations) do
      if name == entry[2] .. "/" .. short and short:find(entry[1]) then list[#list + 1] = short end
    end
  end
  return list
end

--- The local folder of a model or dataset, or nil and the reason.
-- @param name folder path, or a name on the Hub that is in the local cache
-- @param opts kind ("model" or "dataset"), revision ("main"), cache_dir
function hub.find(name, opts)
  opts = options.check("hub", opts, known_options)
  if hub.is_folder(name) then return name end
  local kind, revision = opts.kind or "model", opts.revision or "main"
  local cache = opts.cache_dir or hub.cache_folder()
  if not hub.is_repository_name(name) or not revision:match("^[%w._/-]+$") or revision:find("..", 1, true) then
    return nil, ("%s '%s': no such folder, and not a name the Hub could have"):format(kind, name)
  end
  for _, spelling in ipairs(spellings(name)) do
    local folder = snapshot(cache, kind, spelling, revision)
    if folder then return folder end
  end
  return nil, ("%s '%s' is neither a folder nor in the local Hub cache (%s, revision %s); hflua works from local files: "
    .. "give the path of a folder that holds its files, or set HF_HOME or HF_HUB_CACHE to a cache that has it")
    :format(kind, name, cache, revision)
end

--- As hub.find, but raises the reason.
function hub.resolve(name, opts)
  if type(name) ~= "string" then errors.raise("hub: name: expected the path of a folder or a name on the Hub, found %s", type(name)) end
  local folder, reason = hub.find(name, opts)
  if not folder then errors.raise("%s", reason) end
  return folder
end

return hub
