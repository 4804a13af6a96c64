--- Command lines of recipes: hf.parse_args(config[, training]) merges `--name=value` into a table of settings.
--
--     local config, training = hf.parse_args({
--       model = "bert-base-uncased", -- a folder, or a name in the local Hub cache
--       lower_case = true,           -- --lower_case, --no-lower_case
--     }, hf.TrainingArguments("out", { num_train_epochs = 3 }))
--
-- `--name=value`, `--name value`, `--flag`, `--no-flag`; `-` and `_` are the same in a name; `--a.b=value` sets a field of
-- the table `a`; a list takes `x,y,z`. The type of a value is that of the default. Every option of TrainingArguments is
-- taken too where such an object is given. `--help` prints the settings with the comments that follow them in the
-- recipe and ends the program.
local errors = require "hflua.errors"
local options = require "hflua.options"

local function is_list(value) return type(value) == "table" and #value > 0 end

local function copy(value)
  if type(value) ~= "table" or value == options.none then return value end
  local new = {}
  for k, v in pairs(value) do new[k] = copy(v) end
  return new
end

-- Takes out the settings that were left at options.none.
local function drop_unset(config)
  for name, value in pairs(config) do
    if value == options.none then config[name] = nil
    elseif type(value) == "table" then drop_unset(value) end
  end
  return config
end

-- Text as the kind of value it looks like.
local function guess(text)
  if text == "true" then return true end
  if text == "false" then return false end
  if text == "nil" or text == "none" or text == "null" then return nil end
  return tonumber(text) or text
end

local from_text = {
  string = function(_, text) return text end,
  number = function(default, text) return options.convert(default, tonumber(text)) end,
  boolean = function(_, text)
    if text == "true" or text == "false" then return text == "true" end
  end,
}

function from_text.table(default, text)
  if default == options.none then return guess(text) end
  if not is_list(default) then return nil end
  local list = {}
  for item in (text .. ","):gmatch("([^,]*),") do
    list[#list + 1] = from_text[type(default[1])](default[1], item)
    if list[#list] == nil then return nil end
  end
  return list
end

-- Where settings may go: name -> { table that holds it, key, default }. Names hold "_", nested ones a dot.
local function targets_of(config, prefix, targets)
  for name, default in pairs(config) do
    if type(default) == "table" and default ~= options.none and not is_list(default) then
      targets_of(default, prefix .. name .. ".", targets)
    elseif from_text[type(default)] then
      targets[prefix .. name] = { config, name, default }
    end
  end
  return targets
end

local text_kinds = { string = "", choice = "", boolean = false, strings = { "" } }

-- Adds the options of TrainingArguments, old spellings too; they go into `changes`.
local function add_training_arguments(targets, changes)
  local fields = require "hflua.trainer.argument_fields"
  for _, field in ipairs(fields.list) do
    local default = text_kinds[field[2]]
    if default == nil then default = options.none end
    targets[field[1]] = targets[field[1]] or { changes, field[1], default }
  end
  for name in pairs(fields.renamed) do targets[name] = targets[name] or { changes, name, options.none } end
end

local function unknown(word, name, targets)
  errors.raise("%s: %s; --help lists them", word, options.unknown("option", name, targets))
end

-- The target of an option name and the value a flag gives: true, or false for "no-NAME"; nil when unknown.
local function find_target(name, targets)
  if targets[name] then return targets[name], true end
  local positive = name:match("^no_(.+)$")
  if positive and targets[positive] and type(targets[positive][3]) == "boolean" then return targets[positive], false end
end

-- Sets the option of arguments[i] and returns how many arguments that took.
local function take(arguments, i, targets)
  local word = arguments[i]
  local spelled, text = word:match("^%-%-([^=]+)=(.*)$")
  local name = (spelled or word:match("^%-%-(.+)$") or ""):gsub("-", "_")
  if name == "" then errors.raise("unexpected argument '%s'; settings are given as --name=value, --help lists them", word) end
  local target, flag = find_target(name, targets)
  if not target then unknown(word:match("^[^=]+"), name, targets) end
  local default, used, value = target[3], 1, nil
  local following = arguments[i + 1]
  if text or type(default) ~= "boolean" then
    if not text then text, used = following, 2 end
    if not text then errors.raise("--%s: needs a value: %s", name, options.kind(default)) end
    value = from_text[type(default)](default, text)
    if value == nil and default ~= options.none then errors.raise("--%s: expected %s, found '%s'", name, options.kind(default), text) end
  elseif flag and (following == "true" or following == "false") then
    value, used = following == "true", 2
  else
    value = flag
  end
  target[1][target[2]] = value
  return used
end

-- The comment at the head of the recipe, and the comment behind each setting, with its place: name -> { line, text }.
local function read_recipe(path)
  local head, notes, in_head, number = {}, {}, true, 0
  local file = path and io.open(path, "r")
  if not file then return "", notes end
  for line in file:lines() do
    number = number + 1
    local comment = line:match("^%-%-+%s?(.*)$")
    in_head = in_head and (comment ~= nil or line:sub(1, 2) == "#!")
    if in_head and comment then head[#head + 1] = comment end
    local name, note = line:match("^%s+([%a_][%w_]*)%s*=[^\n]-%s%-%-%s*(.+)$")
    name = name or line:match("^%s+([%a_][%w_]*)%s*=")
    if name and not notes[name] then notes[name] = { number, note or "" } end
  end
  file:close()
  return table.concat(head, "\n"), notes
end

local function default_text(default)
  if default == options.none then return "" end
  return is_list(default) and table.concat(default, ",") or tostring(default)
end

local function print_help(path, targets, has_training)
  local head, notes = read_recipe(path)
  local names = {}
  for name in pairs(targets) do names[#names + 1] = name end
  local function place(name) return notes[name:match("[^.]+$")] and notes[name:match("[^.]+$")][1] or math.huge end
  table.sort(names, function(a, b)
    if place(a) ~= place(b) then return place(a) < place(b) end
    return a < b
  end)
  if head ~= "" then print(head .. "\n") end
  print("settings:")
  for _, name in ipairs(names) do
    local note = (notes[name:match("[^.]+$")] or {})[2] or ""
    local line = ("  --%-40s %s"):format(name .. "=" .. default_text(targets[name][3]), note)
    print((line:gsub("%s+$", "")))
  end
  if has_training then print("and every option of TrainingArguments, as --name=value") end
end

--- A copy of `config` changed by the command line, one of `training`, and a table of the training options it named.
-- `arguments` stands in for the global `arg`.
return function(config, training, arguments)
  if type(config) ~= "table" then errors.raise("parse_args: expected a table of settings, found %s", type(config)) end
  arguments = arguments or arg or {}
  local merged, changes = copy(config), {}
  local targets = targets_of(merged, "", {})
  for _, word in ipairs(arguments) do
    if word == "--help" or word == "-h" then
      print_help(arguments[0], targets, training ~= nil)
      os.exit(0, true)
    end
  end
  if training then add_training_arguments(targets, changes) end
  local i = 1
  while i <= #arguments do i = i + take(arguments, i, targets) end
  return drop_unset(merged), training and training:with(changes), changes
end
