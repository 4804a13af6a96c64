--- hflua cache: what the Hub cache holds.
local cache = require "hflua.hub.cache"
local files = require "hflua.core.files"
local names = require "hflua.hub.names"

local usage = "usage: hflua cache ls       lists the repositories in the Hub cache\n"
  .. "       hflua cache verify   compares every file with its digest\n"

-- Calls visit(kind, name, folder) for each repository of the cache.
local function each_repository(visit)
  local root = cache.folder()
  for _, entry in ipairs(files.type(root) == "folder" and files.list(root) or {}) do
    local kind, name = names.of_folder(entry)
    if kind and files.type(root .. "/" .. entry) == "folder" then visit(kind, name, root .. "/" .. entry) end
  end
end

local function list_of(folder) return files.type(folder) == "folder" and files.list(folder) or {} end

-- Names of a repository's blobs that are complete.
local function blobs_of(folder)
  local list = {}
  for _, name in ipairs(list_of(folder .. "/blobs")) do
    if name:match("^%x+$") and (#name == 40 or #name == 64) and files.type(cache.blob(folder, name)) == "file" then list[#list + 1] = name end
  end
  return list
end

local function size_text(bytes)
  for _, unit in ipairs { "B", "kB", "MB", "GB" } do
    if bytes < 1000 then return (unit == "B" and "%d %s" or "%.1f %s"):format(bytes, unit) end
    bytes = bytes / 1000
  end
  return ("%.1f TB"):format(bytes)
end

local commands = {}

--- One line for each repository: its kind and name, bytes, number of files and revisions.
function commands.ls()
  local total = 0
  each_repository(function(kind, name, folder)
    local bytes, blobs, refs = 0, blobs_of(folder), files.type(folder .. "/refs") == "folder" and cache.walk(folder .. "/refs") or {}
    for _, blob in ipairs(blobs) do bytes = bytes + files.size(cache.blob(folder, blob)) end
    total = total + bytes
    print(("%-8s %-48s %10s  %d files  %s"):format(kind, name, size_text(bytes), #blobs, table.concat(refs, ", ")))
  end)
  print(("%s in %s"):format(size_text(total), cache.folder()))
  return true
end

--- Compares every blob with its name, and names those that differ and what downloads left behind.
function commands.verify()
  local checked, wrong = 0, 0
  each_repository(function(kind, name, folder)
    for _, blob in ipairs(blobs_of(folder)) do
      checked = checked + 1
      if not cache.is_sound(cache.blob(folder, blob)) then
        wrong = wrong + 1
        print(("%s '%s': %s does not hold what its name stands for; remove it, and it is fetched again"):format(kind, name, cache.blob(folder, blob)))
      end
    end
    for _, entry in ipairs(list_of(folder .. "/blobs")) do
      if entry:match("%.incomplete$") then print(("%s '%s': %s/blobs/%s is left of a download; remove it unless one runs"):format(kind, name, folder, entry)) end
    end
  end)
  print(("%d files checked in %s, %d damaged"):format(checked, cache.folder(), wrong))
  return wrong == 0
end

--- hflua cache COMMAND: exit status 0, 1 when something is damaged, 2 for a wrong call.
return function(command, ...)
  local known = commands[command] and select("#", ...) == 0
  if not known then io.stderr:write(usage) end
  if not known or not commands[command]() then os.exit(known and 1 or 2, true) end
end
