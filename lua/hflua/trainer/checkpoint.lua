--- Checkpoint folders: written whole or not at all, verified when read, rotated.
--
-- A checkpoint is made in `.tmp-checkpoint-STEP-...`; every file is synced, `checkpoint.json` is written last with the size
-- and SHA-256 of each, then the folder is renamed to `checkpoint-STEP`. What is deleted is first renamed to `.trash-...`, so that
-- a folder named checkpoint-STEP is complete at every moment. Nothing here knows models.
local errors = require "hflua.errors"

local checkpoint = {}

local MANIFEST, FORMAT, VERSION = "checkpoint.json", "hflua checkpoint", 1

local function files() return require "hflua.core.files" end
local function json() return require "hflua.core.json" end

-- A name that no other running process uses.
local function unique() return ("%d-%x"):format(files().process_id(), math.floor(require("hflua.core.system").clock() * 1e9)) end

--- The folder of a step.
function checkpoint.path(output_dir, step) return ("%s/checkpoint-%d"):format(output_dir, step) end

--- The step in the name of a checkpoint folder, or nil.
function checkpoint.step_of(path)
  local digits = path:match("checkpoint%-(%d+)/*$")
  return digits and math.tointeger(tonumber(digits))
end

-- Names of all files below a folder, relative to it.
local function walk(folder, prefix, out)
  for _, name in ipairs(files().list(folder)) do
    local path = folder .. "/" .. name
    if files().type(path) == "folder" then walk(path, prefix .. name .. "/", out) else out[#out + 1] = prefix .. name end
  end
  return out
end

local function write_manifest(folder, step)
  local entries, folders = {}, { [folder] = true }
  for _, name in ipairs(walk(folder, "", {})) do
    local path = folder .. "/" .. name
    files().sync(path)
    folders[path:match("^(.*)/")] = true
    entries[name] = { size = files().size(path), sha256 = files().sha256(path) }
  end
  local manifest = { format = FORMAT, version = VERSION, step = step, files = entries }
  files().write(folder .. "/" .. MANIFEST, json().encode(manifest, { indent = 2, sort_keys = true }) .. "\n")
  for path in pairs(folders) do files().sync(path) end
end

--- Removes a folder so that it never looks like a complete checkpoint on the way.
function checkpoint.discard(folder)
  local parent, name = folder:match("^(.*)/([^/]+)$")
  local trash = ("%s/.trash-%s-%s"):format(parent, name, unique())
  files().rename(folder, trash)
  files().remove(trash)
end

-- Puts a finished folder into place; an older one of the same step gives way.
local function publish(output_dir, temporary, step)
  local final = checkpoint.path(output_dir, step)
  if files().type(final) then
    local old = ("%s/.trash-checkpoint-%d-%s"):format(output_dir, step, unique())
    files().rename(final, old)
    files().rename(temporary, final)
    files().remove(old)
  else
    files().rename(temporary, final)
  end
  files().write(output_dir .. "/latest", ("checkpoint-%d\n"):format(step))
  return final
end

--- Writes the checkpoint of a step: fill(folder) writes its files. Returns the folder. An error leaves nothing behind.
function checkpoint.write(output_dir, step, fill)
  local temporary = ("%s/.tmp-checkpoint-%d-%s"):format(output_dir, step, unique())
  require("hflua.core.system").makedirs(temporary)
  local ok, result = pcall(function()
    fill(temporary)
    write_manifest(temporary, step)
    return publish(output_dir, temporary, step)
  end)
  if ok then return result end
  if files().type(temporary) then pcall(files().remove, temporary) end
  error(result, 0)
end

--- The checkpoint folders in output_dir as { step =, path = }, oldest first.
function checkpoint.list(output_dir)
  local found = {}
  if files().type(output_dir) ~= "folder" then return found end
  for _, name in ipairs(files().list(output_dir)) do
    local digits = name:match("^checkpoint%-(%d+)$")
    if digits then found[#found + 1] = { step = math.tointeger(tonumber(digits)), path = output_dir .. "/" .. name } end
  end
  table.sort(found, function(a, b) return a.step < b.step end)
  return found
end

local function read_manifest(folder)
  local manifest = json().load_file(folder .. "/" .. MANIFEST)
  if type(manifest) ~= "table" or manifest.format ~= FORMAT then return nil, MANIFEST .. " is not that of a checkpoint" end
  if manifest.version ~= VERSION then return nil, ("%s: version %s, this program reads %d"):format(MANIFEST, tostring(manifest.version), VERSION) end
  if type(manifest.files) ~= "table" then return nil, MANIFEST .. " lists no files" end
  return manifest
end

-- Why a file is not what the manifest says, or nil.
local function fault_of(folder, name, entry)
  local path = folder .. "/" .. name
  if name:find("%.%.") or name:sub(1, 1) == "/" then return name .. ": not a plain name" end
  if files().type(path) ~= "file" then return name .. " is missing" end
  if files().size(path) ~= entry.size then return ("%s: expected %s bytes, found %d"):format(name, tostring(entry.size), files().size(path)) end
  if files().sha256(path) ~= entry.sha256 then return name .. ": its SHA-256 is not the one it was saved with" end
end

--- Is the folder a complete checkpoint of ours? Returns true, or false and why not.
function checkpoint.verify(folder)
  if files().type(folder .. "/" .. MANIFEST) ~= "file" then return false, MANIFEST .. " is missing" end
  local ok, manifest, reason = pcall(read_manifest, folder)
  if not ok then return false, manifest end
  if not manifest then return false, reason end
  for name, entry in pairs(manifest.files) do
    local fault = fault_of(folder, name, entry)
    if fault then return false, fault end
  end
  return true
end

--- A folder that transformers wrote: no manifest, but a state and weights.
function checkpoint.is_foreign(folder)
  return files().type(folder .. "/" .. MANIFEST) == nil and files().type(folder .. "/trainer_state.json") == "file"
    and (files().type(folder .. "/model.safetensors") == "file" or files().type(folder .. "/model.safetensors.index.json") == "file")
end

--- The newest checkpoint that can be resumed from, or nil; told(path, reason) hears of each newer one that is passed over.
function checkpoint.newest(output_dir, told)
  local found = checkpoint.list(output_dir)
  for i = #found, 1, -1 do
    local path = found[i].path
    if checkpoint.is_foreign(path) then return path end
    local ok, reason = checkpoint.verify(path)
    if ok then return path end
    told(path, reason)
  end
end

--- Removes what an interrupted process left behind.
function checkpoint.clean(output_dir)
  for _, name in ipairs(files().list(output_dir)) do
    if name:find("^%.tmp%-checkpoint%-") or name:find("^%.trash%-") then files().remove(output_dir .. "/" .. name) end
  end
end

--- Deletes the oldest checkpoints until `limit` are left; never the newest one, nor a path that `protected` maps to true.
function checkpoint.rotate(output_dir, limit, protected)
  if not limit or limit <= 0 then return end
  local found = checkpoint.list(output_dir)
  local left = #found
  for i = 1, #found - 1 do
    if left <= limit then return end
    if not protected[found[i].path] then
      checkpoint.discard(found[i].path)
      left = left - 1
    end
  end
end

--- Error unless `bytes` more may be written to output_dir; `what` begins the message.
function checkpoint.check_space(output_dir, bytes, what)
  local free = files().free_space(output_dir)
  if free < bytes then
    errors.raise("%s: %s: needs %d bytes, only %d are free", output_dir, what, bytes, free)
  end
end

return checkpoint
