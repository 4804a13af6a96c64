--- Configurations: config.json with defaults, checks and Hugging Face's names.
--
-- A class of configurations is a table of fields: `BertConfig{hidden_size = 128}`, `BertConfig.from_pretrained(folder)`. Fields that
-- are not known are kept and saved again; known ones are checked for type and range.
local json = require "hflua.core.json"
local errors = require "hflua.errors"
local hub = require "hflua.hub"

local Config = { __name = "PretrainedConfig" }

local LARGEST = 2 ^ 31 - 1
local MOST_LABELS = 1000000 -- each has a name

local problem_types = { regression = true, single_label_classification = true, multi_label_classification = true }

-- kind -> function(value) -> true when it is acceptable; and what is expected, in words
local kinds = {
  size = { function(v) return math.type(v) == "integer" and v >= 1 and v <= LARGEST end, "a whole number of at least 1" },
  count = { function(v) return math.type(v) == "integer" and v >= 0 and v <= LARGEST end, "a whole number of at least 0" },
  probability = { function(v) return type(v) == "number" and v >= 0 and v <= 1 end, "a number in 0 .. 1" },
  positive = { function(v) return type(v) == "number" and v > 0 and v < math.huge end, "a positive number" },
  number = { function(v) return type(v) == "number" and v == v end, "a number" },
  string = { function(v) return type(v) == "string" end, "a string" },
  boolean = { function(v) return type(v) == "boolean" end, "true or false" },
  labels = { function(v) return math.type(v) == "integer" and v >= 1 and v <= MOST_LABELS end, ("a whole number in 1 .. %d"):format(MOST_LABELS) },
  problem = { function(v) return problem_types[v] == true end, "regression, single_label_classification or multi_label_classification" },
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
    { "problem_type", "optional problem" }, { "num_labels", "labels", 2 }, { "pack", "boolean", true },
  },
}

-- Label names are kept as config.json has them, { ["0"] = "LABEL_0", ... }; a number finds its name too: id2label[0].
local label_names_meta = { __index = function(names, id) return math.type(id) == "integer" and rawget(names, tostring(id)) or nil end }

local function default_names(count)
  local id2label = setmetatable({}, label_names_meta)
  for i = 0, count - 1 do id2label[tostring(i)] = "LABEL_" .. i end
  return id2label
end

local function has_default_names(id2label)
  for id, label in pairs(id2label) do
    if label ~= "LABEL_" .. id then return false end
  end
  return true
end

local function count_entries(map)
  local n = 0
  for _ in pairs(map) do n = n + 1 end
  return n
end

-- id2label as a user or a file gives it: a sequence of names (the first is label 0), or names by id, numbers or texts.
local function read_names(given, where)
  if type(given) ~= "table" then errors.raise("%s: id2label: expected names by id, found %s", where, type(given)) end
  local shift, count = given[0] == nil and given["0"] == nil and 1 or 0, count_entries(given)
  local names = setmetatable({}, label_names_meta)
  for i = 0, count - 1 do
    local name = given[i + shift]
    if name == nil then name = given[tostring(i)] end
    if type(name) ~= "string" then errors.raise("%s: id2label: expected a name for each of 0 .. %d, found %s for %d", where, count - 1, tostring(name), i) end
    names[tostring(i)] = name
  end
  return names
end

local function ids_by_name(id2label)
  local label2id = {}
  for id, label in pairs(id2label) do label2id[label] = math.tointeger(id) end
  return label2id
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

-- Brings num_labels, id2label and label2id together after `values` were set: given names win over a given number.
local function settle_labels(self, values, where)
  if values.id2label ~= nil and values.id2label ~= json.null then
    local names = read_names(values.id2label, where)
    rawset(self, "id2label", names)
    rawset(self, "num_labels", count_entries(names))
    if type(values.label2id) ~= "table" then rawset(self, "label2id", ids_by_name(names)) end
    return
  end
  local count, old = rawget(self, "num_labels"), rawget(self, "id2label")
  if count == nil then return end
  check_field(where, "num_labels", "labels", count)
  if type(old) ~= "table" or count_entries(old) ~= count then
    rawset(self, "id2label", default_names(count))
    rawset(self, "label2id", ids_by_name(self.id2label))
  end
end

--- Overwrites fields; num_labels also renames the labels when their number changes.
function methods:update(values)
  for name, value in pairs(values or {}) do self[name] = value end
  settle_labels(self, values or {}, getmetatable(self).class.__name)
  return self
end

--- A plain table with the fields that config.json holds.
function methods:to_dict()
  local out = {}
  for name, value in pairs(self) do
    if name ~= "num_labels" and name ~= "pack" and name ~= "name_or_path" then out[name] = value end
  end
  if out.id2label and self.num_labels == 2 and has_default_names(out.id2label) then out.id2label, out.label2id = nil, nil end
  return out
end

--- The padding id, or nil where the configuration has none.
function methods:padding_id() return math.type(self.pad_token_id) == "integer" and self.pad_token_id or nil end

--- Writes config.json into the folder.
function methods:save_pretrained(folder)
  require("hflua.core.system").makedirs(folder)
  json.save_file(self:to_dict(), folder .. "/config.json", { indent = 2, sort_keys = true })
end

--- A copy.
methods.clone = require "hflua.copy"

local function render(self) return getmetatable(self).class.__name .. " " .. json.encode(self:to_dict(), { indent = 2, sort_keys = true }) end

--- A class of configurations. fields: list of { name, kind, default }; aliases: other spellings of a field (read and written
-- through to it); check(config, where): what fields must fulfil together.
function Config.define(name, model_type, definition)
  local class = { __name = name, model_type = model_type, fields = definition.fields, check = definition.check }
  local aliases = definition.aliases or {}
  local meta = { class = class, __tostring = render }
  local defaults, may_be_null = {}, {}
  for field, kind, default in each_field(class) do
    defaults[field] = default
    may_be_null[field] = kind ~= nil and kind:find "^optional" ~= nil
  end
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
    if type(values) ~= "table" then errors.raise("%s: expected an object, found %s", where or name, type(values)) end
    local kind = values.model_type
    if kind ~= nil and kind ~= json.null and kind ~= model_type then
      errors.raise("%s: model_type: expected %s for %s, found %s; the Auto classes choose by it", where or name, model_type, name, tostring(kind))
    end
    for key, value in pairs(values) do
      if value ~= json.null or defaults[key] == nil or may_be_null[key] then config[key] = value end
    end
    settle_labels(config, values, where or name)
    for field, _, default in each_field(class) do
      if rawget(config, field) == nil and default ~= nil and field ~= "num_labels" and field ~= "pack" then rawset(config, field, default) end
    end
    config.model_type = model_type
    return config:check(where or name)
  end

  --- A configuration from a folder or a name; options overwrite its fields.
  function class.from_pretrained(source, options)
    local fields = {}
    for key, value in pairs(options or {}) do fields[key] = value end
    for _, key in ipairs(hub.place_options) do fields[key] = nil end
    local path = hub.open(source, hub.place(options, "model")):need("config.json")
    return class.from_dict(json.load_file(path), path):update(fields):check(name)
  end

  return setmetatable(class, {
    __call = function(_, values) return class.from_dict({}, name):update(values):check(name) end,
    __tostring = function() return "class " .. name end,
  })
end

return { PretrainedConfig = Config, PreTrainedConfig = Config, define = Config.define }
