--- Configurations: config.json with defaults, checks and Hugging Face's names.
--
-- A class of configurations is a table of fields: `BertConfig{hidden_size = 128}`, `BertConfig.from_pretrained(folder)`. Fields that
-- are not known are kept and saved again; known ones are checked for type and range.
local json = require "hflua.core.json"
local errors = require "hflua.errors"
local hub = require "hflua.hub"

local Config = { __name = "PretrainedConfig" }

local LARGEST = 2 ^ 31 - 1

-- kind -> function(value) -> true when it is acceptable; and what is expected, in words
local kinds = {
  size = { function(v) return math.type(v) == "integer" and v >= 1 and v <= LARGEST end, "a whole number of at least 1" },
  count = { function(v) return math.type(v) == "integer" and v >= 0 and v <= LARGEST end, "a whole number of at least 0" },
  probability = { function(v) return type(v) == "number" and v >= 0 and v <= 1 end, "a number in 0 .. 1" },
  positive = { function(v) return type(v) == "number" and v > 0 and v < math.huge end, "a positive number" },
  number = { function(v) return type(v) == "number" and v == v end, "a number" },
  string = { function(v) return type(v) == "string" end, "a string" },
  boolean = { function(v) return type(v) == "boolean" end, "true or false" },
  id = { function(v) return math.type(v) == "integer" and v >= 0 and v <= LARGEST end, "a token id" },
}

--- kind "optional X": null or absent is fine too.
local function check_field(where, name, kind, value)
  local optional = kind:match "^optional (.*)"
  if value == nil or value == json.null then
    if not optional then errors.raise("%s: %s: expected %s, found %s", where, name, kinds[kind][2], tostring(value)) end
    return
  end
  local rule = kinds[optional or kind]
  if not rule[1](value) then errors.raise("%s: %s: expected %s, found %s", where, name, rule[2], tostring(value)) end
end

-- Fields every model has.
local common = {
  fields = {
    { "pad_token_id", "optional id" }, { "bos_token_id", "optional id" }, { "eos_token_id", nil },
    { "tie_word_embeddings", "boolean", true }, { "initializer_range", "positive", 0.02 },
    { "problem_type", "optional string" }, { "num_labels", "count", 2 }, { "pack", "boolean", true },
  },
}

-- num_labels is kept in config.json as id2label: { "0": "LABEL_0", ... }.
local function label_names(count)
  local id2label, label2id = {}, {}
  for i = 0, count - 1 do
    id2label[tostring(i)] = "LABEL_" .. i
    label2id["LABEL_" .. i] = i
  end
  return id2label, label2id
end

local function count_entries(map)
  local n = 0
  for _ in pairs(map) do n = n + 1 end
  return n
end

local methods = {}

-- Every field of a class, its own before the common ones: { name, kind, default }.
local function each_field(class)
  local lists, list, i = { class.fields, common.fields }, 1, 0
  return function()
    i = i + 1
    while lists[list] and not lists[list][i] do list, i = list + 1, 1 end
    local field = lists[list] and lists[list][i]
    if field then return field[1], field[2], field[3] end
  end
end

--- Checks every known field; `where` begins the message (a file name, or the class).
function methods:check(where)
  local class = getmetatable(self).class
  for name, kind in each_field(class) do
    if kind then check_field(where, name, kind, self[name]) end
  end
  if class.check then class.check(self, where) end
  local vocabulary = self.vocab_size
  if vocabulary and math.type(self.pad_token_id) == "integer" and self.pad_token_id >= vocabulary then
    errors.raise("%s: pad_token_id: expected an id below vocab_size %d, found %d", where, vocabulary, self.pad_token_id)
  end
  return self
end

--- Overwrites fields; num_labels also renames the labels when their number changes.
function methods:update(values)
  for name, value in pairs(values or {}) do self[name] = value end
  if values and values.id2label then rawset(self, "num_labels", count_entries(values.id2label)) end
  local old = rawget(self, "id2label")
  if rawget(self, "num_labels") and (not old or count_entries(old) ~= self.num_labels) then
    self.id2label, self.label2id = label_names(self.num_labels)
  end
  return self
end

--- A plain table with the fields that config.json holds.
function methods:to_dict()
  local out = {}
  for name, value in pairs(self) do
    if name ~= "num_labels" and name ~= "pack" and name ~= "name_or_path" then out[name] = value end
  end
  if self.num_labels == 2 and not getmetatable(self).named_labels then out.id2label, out.label2id = nil, nil end
  return out
end

--- Writes config.json into the folder.
function methods:save_pretrained(folder)
  require("hflua.core.system").makedirs(folder)
  json.save_file(self:to_dict(), folder .. "/config.json", { indent = 2, sort_keys = true })
end

--- A copy.
function methods:clone()
  local class = getmetatable(self).class
  local copy = setmetatable({}, getmetatable(self))
  for name, value in pairs(self) do rawset(copy, name, value) end
  return copy, class
end

local function render(self) return getmetatable(self).class.__name .. " " .. json.encode(self:to_dict(), { indent = 2, sort_keys = true }) end

--- A class of configurations. fields: list of { name, kind, default }; aliases: other spellings of a field (read and written
-- through to it); check(config, where): what fields must fulfil together.
function Config.define(name, model_type, definition)
  local class = { __name = name, model_type = model_type, fields = definition.fields, check = definition.check }
  local aliases = definition.aliases or {}
  local meta = { class = class, __tostring = render }
  local defaults = {}
  for field, _, default in each_field(class) do defaults[field] = default end
  function meta.__index(self, key)
    if aliases[key] then return self[aliases[key]] end
    if methods[key] then return methods[key] end
    if key == "model_type" then return model_type end
    return defaults[key]
  end
  function meta.__newindex(self, key, value) rawset(self, aliases[key] or key, value) end

  --- A configuration from a table as config.json holds it.
  function class.from_dict(values, where)
    local config = setmetatable({}, meta)
    for key, value in pairs(values) do
      if value ~= json.null or defaults[key] == nil then config[key] = value end
    end
    if type(values.id2label) == "table" then rawset(config, "num_labels", count_entries(values.id2label)) end
    for field, _, default in each_field(class) do
      if rawget(config, field) == nil and default ~= nil and field ~= "num_labels" and field ~= "pack" then rawset(config, field, default) end
    end
    config.model_type = model_type
    return config:check(where or name)
  end

  --- A configuration from a folder or a name; options overwrite its fields.
  function class.from_pretrained(source, options)
    local folder = hub.resolve(source, { kind = "model" })
    local path = folder .. "/config.json"
    return class.from_dict(json.load_file(path), path):update(options):check(name)
  end

  return setmetatable(class, {
    __call = function(_, values) return class.from_dict({}, name):update(values):check(name) end,
    __tostring = function() return "class " .. name end,
  })
end

return { PretrainedConfig = Config, PreTrainedConfig = Config, define = Config.define }
