--- The files that hold a model's weights: model.safetensors, its shards with model.safetensors.index.json, or pytorch_model.bin.
local errors = require "hflua.errors"
local files = require "hflua.core.files"
local hub = require "hflua.hub"
local json = require "hflua.core.json"
local safetensors = require "hflua.core.safetensors"
local tensor = require "hflua.tensor"
local torch = require "hflua.core.torch"

local weight_files = {}

-- The shards of an index.json, each a plain file name inside the folder. fetch(name): brings a shard into the folder.
local function indexed_shards(folder, index, fetch)
  local content = json.load_file(index)
  local map = type(content) == "table" and content.weight_map
  if type(map) ~= "table" then errors.raise("%s: weight_map: expected an object, found %s", index, type(map)) end
  local shards, by_file = {}, {}
  for name, file in pairs(map) do
    if type(file) ~= "string" or file:find "[/\\%z]" or file == "" or file:find "^%.%.?$" then
      errors.raise("%s: weight_map: %q: expected a plain file name, found %q", index, tostring(name), tostring(file))
    end
    if not by_file[file] then
      by_file[file] = { path = folder .. "/" .. file, promised = {} }
      shards[#shards + 1] = by_file[file]
      fetch(file)
      if not hub.is_file(by_file[file].path) then errors.raise("%s: weight_map: %q: %s: no such file in the folder", index, tostring(name), file) end
    end
    table.insert(by_file[file].promised, name)
  end
  table.sort(shards, function(a, b) return a.path < b.path end)
  return shards
end

-- The tensors of a pytorch_model.bin. Its reader runs nothing of the pickle (docs/internals/formats.md).
local function read_torch(path)
  local state = torch.load(path)
  if type(state) ~= "table" then errors.raise("%s: expected tensors by name, found %s", path, type(state)) end
  for name, value in pairs(state) do
    if type(name) ~= "string" or not tensor.is_tensor(value) then
      errors.raise("%s: expected tensors by name, found %s under %q; hf.torch.load reads it", path, tensor.is_tensor(value) and "a tensor" or type(value), tostring(name))
    end
  end
  return state
end

-- The files of weights, the first one found is read.
local forms = { { name = "model.safetensors", read = safetensors.load_file }, { name = "pytorch_model.bin", read = read_torch } }

-- The files that hold the weights, in order: { path =, promised = names that an index says are in it }; the name of the index, and
-- the function that reads one of them. source: a folder or a repository (hub.open).
local function shards_of(source)
  for _, form in ipairs(forms) do
    local single, index = source:file(form.name), form.name .. ".index.json"
    if single then return { { path = single, promised = {} } }, index, form.read end
    local index_path = source:file(index)
    if index_path then return indexed_shards(source.folder, index_path, function(name) source:file(name) end), index, form.read end
  end
  errors.raise("%s: model.safetensors: not found; expected a folder written by save_pretrained", source.folder)
end

--- name -> tensor of all weights; the files stay mapped. source: a folder or a repository, as hub.open gives it.
function weight_files.load(source)
  local state = {}
  local shards, index, read = shards_of(source)
  for _, shard in ipairs(shards) do
    local tensors = read(shard.path)
    for name, value in pairs(tensors) do
      if state[name] then errors.raise("%s: tensor %q: found in two files", shard.path, name) end
      state[name] = value
    end
    for _, name in ipairs(shard.promised) do
      if not tensors[name] then errors.raise("%s: tensor %q: not found, but %s says it is here", shard.path, name, index) end
    end
  end
  return state
end

-- ---- saving

local units = { [""] = 1, KB = 10 ^ 3, MB = 10 ^ 6, GB = 10 ^ 9, TB = 10 ^ 12, KIB = 2 ^ 10, MIB = 2 ^ 20, GIB = 2 ^ 30, TIB = 2 ^ 40 }

-- "5GB", "300MiB" or a number of bytes
local function bytes_of(size)
  local number, unit = tostring(size):match "^%s*(%d+%.?%d*)%s*(%a*)%s*$"
  local factor = unit and units[unit:upper()]
  if not factor or tonumber(number) <= 0 then errors.raise("save_pretrained: max_shard_size: expected a size as \"5GB\" or a number of bytes, found %s", tostring(size)) end
  return tonumber(number) * factor
end

local function tensor_bytes(value) return value:numel() * value:element_size() end

-- The tensors in order, cut into shards of at most `limit` bytes; a larger tensor is a shard of its own.
local function cut(entries, limit)
  local shards, current, size = {}, {}, 0
  for _, entry in ipairs(entries) do
    local bytes = tensor_bytes(entry.tensor)
    if bytes > limit then
      shards[#shards + 1] = { entry }
    else
      if size + bytes > limit then shards[#shards + 1], current, size = current, {}, 0 end
      current[#current + 1] = entry
      size = size + bytes
    end
  end
  if #current > 0 then shards[#shards + 1] = current end
  return shards
end

local function save_shard(shard, path)
  local tensors = {}
  for _, entry in ipairs(shard) do tensors[entry.name] = entry.tensor end
  safetensors.save_file(tensors, path, { format = "pt" })
end

-- Removes weights that an earlier save left under names that are not written again.
local function remove_old(folder, written)
  for _, name in ipairs(files.list(folder)) do
    local is_ours = name == "model.safetensors" or name == "model.safetensors.index.json" or name:find "^model%-%d+%-of%-%d+%.safetensors$"
    if is_ours and not written[name] then files.remove(folder .. "/" .. name) end
  end
end

--- Writes entries { name =, tensor = } in order: one model.safetensors, or shards with an index where they take more than
-- `max_shard_size` ("50GB" by default, as in transformers).
function weight_files.save(entries, folder, max_shard_size)
  local shards, written, map, bytes, numbers = cut(entries, bytes_of(max_shard_size or "50GB")), {}, {}, 0, 0
  for i, shard in ipairs(shards) do
    local name = #shards == 1 and "model.safetensors" or ("model-%05d-of-%05d.safetensors"):format(i, #shards)
    save_shard(shard, folder .. "/" .. name)
    written[name] = true
    for _, entry in ipairs(shard) do
      map[entry.name], bytes, numbers = name, bytes + tensor_bytes(entry.tensor), numbers + entry.tensor:numel()
    end
  end
  if #shards > 1 then
    written["model.safetensors.index.json"] = true
    json.save_file({ metadata = { total_parameters = numbers, total_size = bytes }, weight_map = map }, folder .. "/model.safetensors.index.json", { indent = 2, sort_keys = true })
  end
  remove_old(folder, written)
end

return weight_files
