--- The values of chat templates: text, numbers, true, false, null (None), lists, dicts and functions; nil is an undefined value.
--
-- Tables that come in are copied into lists and dicts of this file, so that a template can neither change nor call what is the
-- recipe's. A dict keeps its keys in order.
local errors = require "hflua.errors"
local json = require "hflua.core.json"
local ordered = require "hflua.ordered"
local repr = require "hflua.repr"

local null = json.null
local values = { null = null }

local MAX_DEPTH, MAX_TEXT = 100, 1 << 24 -- levels of a value; bytes of a text that a template makes

local List, Dict, Function = { __name = "list" }, { __name = "dict" }, { __name = "function" }

--- A list of these items; `tuple` only changes how it is printed.
function values.list(items, tuple)
  items.tuple = tuple or nil
  return setmetatable(items, List)
end

--- An empty dict: { keys = in order, map = key -> value }.
function values.dict() return setmetatable({ keys = {}, map = {} }, Dict) end

--- Sets a key of a dict.
function values.put(dict, key, value)
  if dict.map[key] == nil then dict.keys[#dict.keys + 1] = key end
  dict.map[key] = value
end

--- A function of a template: call(run, arguments, named, line) -> value.
function values.callable(call) return setmetatable({ call = call }, Function) end

function values.is_list(value) return getmetatable(value) == List end
function values.is_dict(value) return getmetatable(value) == Dict end
function values.is_callable(value) return getmetatable(value) == Function end

--- The kind of a value in Python's words.
function values.kind(value)
  if value == nil then return "undefined" end
  if value == null then return "None" end
  local kind = math.type(value) or type(value)
  local names = { string = "str", integer = "int", float = "float", boolean = "bool" }
  return names[kind] or (getmetatable(value) or {}).__name or kind
end

-- ---- from Lua

-- A plain Lua table has no order: the fields of messages and tools come in the order in which they are usually written.
local usual = {}
for place, name in ipairs { "role", "type", "id", "function", "name", "description", "content", "arguments", "parameters", "properties", "required", "items", "enum", "return" } do
  usual[name] = place
end

local function sorted_keys(source)
  local keys = {}
  for key in pairs(source) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    local x, y = usual[a] or math.huge, usual[b] or math.huge
    if x ~= y then return x < y end
    return tostring(a) < tostring(b)
  end)
  return keys
end

-- Keys in their order.
local function keys_of(source)
  local meta, keys = getmetatable(source), {}
  if not meta or not meta.__pairs then return sorted_keys(source) end
  for key in ordered.pairs(source) do keys[#keys + 1] = key end
  return keys
end

values.keys_of = keys_of

local function is_sequence(source)
  if #source > 0 then return true end
  return next(source) == nil and (getmetatable(source) == nil or getmetatable(source).__name == "json array")
end

local from_lua

local function copy_table(source, depth, where)
  if depth > MAX_DEPTH then errors.raise("chat template: %s: more than %d levels of tables", where, MAX_DEPTH) end
  if is_sequence(source) then
    local list = values.list {}
    for i = 1, #source do list[i] = from_lua(source[i], depth + 1, where) end
    return list
  end
  local dict = values.dict()
  for _, key in ipairs(keys_of(source)) do
    if type(key) ~= "string" and type(key) ~= "number" then errors.raise("chat template: %s: a key is a %s", where, type(key)) end
    values.put(dict, key, from_lua(source[key], depth + 1, where))
  end
  return dict
end

function from_lua(value, depth, where)
  local kind = type(value)
  if value == null or value == nil then return null end
  if kind == "string" or kind == "number" or kind == "boolean" then return value end
  if kind == "table" then return copy_table(value, depth, where) end
  errors.raise("chat template: %s: expected text, numbers, true or false and tables of them, found %s", where, kind)
end

--- A Lua value as the templates see it; `where` names it in errors.
function values.from_lua(value, where) return from_lua(value, 1, where) end

-- ---- truth and comparison

--- Does a value count as true? Undefined, None, 0, "" and empty lists and dicts do not.
function values.truth(value)
  if value == nil or value == null or value == false or value == 0 or value == "" then return false end
  if values.is_list(value) then return #value > 0 end
  if values.is_dict(value) then return #value.keys > 0 end
  return true
end

local function as_number(value)
  if type(value) == "boolean" then return value and 1 or 0 end
  return type(value) == "number" and value or nil
end

values.as_number = as_number

local function equal(a, b, depth)
  if a == b then return true end
  if depth > MAX_DEPTH then return false end
  local x, y = as_number(a), as_number(b)
  if x and y then return x == y end
  if values.is_list(a) and values.is_list(b) then
    for i = 1, math.max(#a, #b) do
      if not equal(a[i], b[i], depth + 1) then return false end
    end
    return true
  end
  if not (values.is_dict(a) and values.is_dict(b)) or #a.keys ~= #b.keys then return false end
  for _, key in ipairs(a.keys) do
    if not equal(a.map[key], b.map[key], depth + 1) then return false end
  end
  return true
end

--- Python's ==.
function values.equal(a, b) return equal(a, b, 1) end

--- a < b of two numbers or two texts; nil when they have no order.
function values.less(a, b)
  local x, y = as_number(a), as_number(b)
  if x and y then return x < y end
  if type(a) == "string" and type(b) == "string" then return a < b end
  if not (values.is_list(a) and values.is_list(b)) then return nil end
  for i = 1, math.min(#a, #b) do
    if not values.equal(a[i], b[i]) then return values.less(a[i], b[i]) end
  end
  return #a < #b
end

-- ---- as text

local function joined(parts, open, close) return open .. table.concat(parts, ", ") .. close end

local function text_repr(value, depth)
  if value == nil then return "Undefined" end
  if depth > MAX_DEPTH then return "..." end
  local parts = {}
  if values.is_list(value) then
    for i = 1, #value do parts[i] = text_repr(value[i], depth + 1) end
    if value.tuple then return joined(parts, "(", #parts == 1 and ",)" or ")") end
    return joined(parts, "[", "]")
  elseif values.is_dict(value) then
    for i, key in ipairs(value.keys) do parts[i] = text_repr(key, depth + 1) .. ": " .. text_repr(value.map[key], depth + 1) end
    return joined(parts, "{", "}")
  elseif values.is_callable(value) then return "<function>" end
  return repr(value)
end

--- Python's repr of a value.
function values.repr(value) return text_repr(value, 1) end

--- Python's str of a value; undefined is "".
function values.text(value)
  if value == nil then return "" end
  return type(value) == "string" and value or text_repr(value, 1)
end

--- An error text when `size` is more than a text may have.
function values.too_long(size) return size > MAX_TEXT and ("a text of %d bytes; at most %d are allowed"):format(size, MAX_TEXT) or nil end

-- ---- iteration

--- The items of a list, the keys of a dict, the characters of a text, nothing of an undefined value; nil for what has none.
function values.items(value)
  if value == nil then return {} end
  if values.is_list(value) then return value end
  if values.is_dict(value) then return value.keys end
  if type(value) ~= "string" then return nil end
  local characters = {}
  for c in value:gmatch(utf8.charpattern) do characters[#characters + 1] = c end
  return characters
end

--- Number of items or characters; nil for what has none.
function values.length(value)
  if type(value) == "string" then return utf8.len(value, 1, -1, true) or #value end
  local items = values.items(value)
  return items and #items
end

--- Python's `in`; nil when `container` can hold nothing.
function values.contains(container, item)
  if type(container) == "string" then
    if type(item) ~= "string" then return nil end
    return container:find(item, 1, true) ~= nil
  end
  if values.is_dict(container) then return container.map[item] ~= nil end
  local items = values.items(container)
  if not items then return nil end
  for i = 1, #items do
    if values.equal(items[i], item) then return true end
  end
  return false
end

-- The places first, first + step, ... of a slice over n items, counted from 0, as Python cuts them.
local function slice_range(n, start, stop, step)
  local low, high = step > 0 and 0 or -1, step > 0 and n or n - 1
  local function clip(place, default)
    if place == nil or place == null then return default end
    if place < 0 then place = place + n end
    return math.max(low, math.min(high, place))
  end
  return clip(start, step > 0 and low or high), clip(stop, step > 0 and high or low)
end

--- items[start:stop:step] of a list or a text; nil where a number is not a whole one or the step is 0.
function values.slice(value, start, stop, step)
  if step == nil or step == null then step = 1 end
  for _, place in ipairs { start or 0, stop or 0, step } do
    if place ~= null and math.type(place) ~= "integer" then return nil end
  end
  local items = values.items(value)
  if step == 0 or not items or values.is_dict(value) then return nil end
  local first, last = slice_range(#items, start, stop, step)
  local out = {}
  for i = first, last + (step > 0 and -1 or 1), step do out[#out + 1] = items[i + 1] end
  return type(value) == "string" and table.concat(out) or values.list(out, value and value.tuple)
end

-- ---- JSON

local function json_scalar(value, ascii)
  if type(value) == "string" then return json.encode(value, { ensure_ascii = ascii }) end
  if value == null or value == nil then return "null" end
  if math.type(value) == "float" then
    local text = repr(value)
    return ({ nan = "NaN", inf = "Infinity", ["-inf"] = "-Infinity" })[text] or text
  end
  return tostring(value)
end

local to_json

local function json_items(value, o, depth)
  local parts = {}
  if values.is_list(value) then
    for i = 1, #value do parts[i] = to_json(value[i], o, depth + 1) end
    return parts, "[", "]"
  end
  local keys = table.move(value.keys, 1, #value.keys, 1, {})
  if o.sort_keys then table.sort(keys, function(a, b) return tostring(a) < tostring(b) end) end
  for i, key in ipairs(keys) do
    parts[i] = json_scalar(tostring(key), o.ensure_ascii) .. o.key_separator .. to_json(value.map[key], o, depth + 1)
  end
  return parts, "{", "}"
end

function to_json(value, o, depth)
  if not (values.is_list(value) or values.is_dict(value)) then return json_scalar(value, o.ensure_ascii) end
  local parts, open, close = json_items(value, o, depth)
  if #parts == 0 then return open .. close end
  if not o.indent then return open .. table.concat(parts, o.item_separator) .. close end
  local inner, outer = "\n" .. o.indent:rep(depth + 1), "\n" .. o.indent:rep(depth)
  return open .. inner .. table.concat(parts, o.item_separator .. inner) .. outer .. close
end

--- JSON as Python's json.dumps writes it. o: indent (a text, or nil), item_separator, key_separator, sort_keys, ensure_ascii.
function values.to_json(value, o) return to_json(value, o, 0) end

return values
