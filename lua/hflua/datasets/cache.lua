--- Results of map and filter on disk, by content: the fingerprint of the dataset, the function with all it holds, and
-- the options. Only datasets that came from files are kept; what was made of Lua values stays in memory.
local core = require "hflua.core.datasets"
local fingerprint = require "hflua.datasets.fingerprint"

local cache = {}

local enabled = true

--- Turns the keeping of results off or on, as HF's disable_caching and enable_caching do.
function cache.disable_caching() enabled = false end
function cache.enable_caching() enabled = true end
function cache.is_caching_enabled() return enabled end

--- The folder of datasets: HF_DATASETS_CACHE, else HF_HOME/datasets, else ~/.cache/huggingface/datasets.
function cache.folder()
  local folder = os.getenv("HF_DATASETS_CACHE")
  if folder and folder ~= "" then return folder end
  local home = os.getenv("HF_HOME")
  if home and home ~= "" then return home .. "/datasets" end
  local base = os.getenv("XDG_CACHE_HOME")
  if not base or base == "" then base = (os.getenv("HOME") or ".") .. "/.cache" end
  return base .. "/huggingface/datasets"
end

local told = {}

local function tell_once(name, reason)
  local line = ("Dataset:%s: the result is not cached: %s"):format(name, reason)
  if told[line] or not require("hflua.process_group").is_main() then return end
  told[line] = true
  io.stderr:write(line, "\n")
end

-- The part of the options that decides the result.
local function deciding(opts, names)
  local chosen = {}
  for _, name in ipairs(names) do chosen[name] = opts[name] end
  return chosen
end

local function file_of(ds, content, opts)
  if opts.cache_file_name then return opts.cache_file_name end
  if not enabled or not ds._cached or opts.keep_in_memory then return nil end
  return ("%s/hflua-%s/%s.table"):format(cache.folder(), core.table_format, content)
end

--- The table for this transform and its fingerprint: from disk where it is there and whole, else made by compute().
function cache.get(ds, name, fn, opts, option_names, compute)
  local content, reason = fingerprint.of(ds._fingerprint, name, fn, deciding(opts, option_names))
  if not content then
    if enabled and ds._cached then tell_once(name, reason) end
    return compute(), fingerprint.unique()
  end
  local path = file_of(ds, content, opts)
  local kept = path and opts.load_from_cache_file ~= false and core.load_table(path)
  if kept then return kept, content end
  local made = compute()
  if path then
    local saved, failure = core.save_table(made, path)
    if not saved then tell_once(name, failure) end
  end
  return made, content
end

return cache
