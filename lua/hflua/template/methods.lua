--- Methods of texts and dicts that templates may call: those of Python that change nothing.
-- Each is f(value, arguments, named, fail) -> value; fail(format, ...) raises at the template's line.
local text = require "hflua.core.text"
local values = require "hflua.template.values"

local null = values.null
local strings, dicts, lists = {}, {}, {}
local methods = { strings = strings, dicts = dicts, lists = lists }

local function string_argument(arguments, i, fail)
  local value = arguments[i]
  if type(value) ~= "string" then fail("argument %d: expected text, found %s", i, values.kind(value)) end
  return value
end

-- ---- stripping

local function characters(value)
  local list = {}
  for c in value:gmatch(utf8.charpattern) do list[#list + 1] = c end
  return list
end

local function is_space(c) return text.strip(c) == "" end

-- `value` without white space, or the characters of `set`, at the left or right end. A guard of another character keeps the other end.
local function strip(value, set, left, right)
  if left and right then return text.strip(value, set) end
  local guard = (set or ""):find("x", 1, true) and "y" or "x"
  if (set or ""):find(guard, 1, true) then guard = "\1" end
  if left then return text.strip(value .. guard, set):sub(1, -2) end
  return text.strip(guard .. value, set):sub(2)
end

methods.strip = strip

local function stripper(left, right)
  return function(value, arguments, _, fail)
    local set = arguments[1]
    if set == null then set = nil end
    if set ~= nil then set = string_argument(arguments, 1, fail) end
    return strip(value, set, left, right)
  end
end

strings.strip, strings.lstrip, strings.rstrip = stripper(true, true), stripper(true, false), stripper(false, true)

-- ---- splitting

local function split_limit(arguments, named)
  local limit = arguments[2] or named.maxsplit
  return math.type(limit) == "integer" and limit >= 0 and limit or math.huge
end

local function split_spaces(value, limit)
  if limit == math.huge then return text.split(value) end
  local parts, rest = {}, strip(value, nil, true, false)
  while rest ~= "" and #parts < limit do
    local word, behind = rest:match("^(%S+)%s*()")
    parts[#parts + 1], rest = word, rest:sub(behind)
  end
  if rest ~= "" then parts[#parts + 1] = rest end
  return parts
end

local function split_at(value, separator, limit) return text.split(value, separator, limit ~= math.huge and limit or -1) end

function strings.split(value, arguments, named, fail)
  local separator, limit = arguments[1] or named.sep, split_limit(arguments, named)
  if separator == nil or separator == null then return values.list(split_spaces(value, limit)) end
  if type(separator) ~= "string" or separator == "" then fail("split: expected a separator, found %s", values.repr(separator)) end
  return values.list(split_at(value, separator, limit))
end

function strings.rsplit(value, arguments, named, fail)
  local separator, limit = arguments[1] or named.sep, split_limit(arguments, named)
  if separator == nil or separator == null then
    if limit ~= math.huge then fail "rsplit: a limit needs a separator here" end
    return values.list(split_spaces(value, limit))
  end
  if type(separator) ~= "string" or separator == "" then fail("rsplit: expected a separator, found %s", values.repr(separator)) end
  local parts = split_at(value, separator, math.huge)
  while #parts - 1 > limit do
    parts[1] = parts[1] .. separator .. parts[2]
    table.remove(parts, 2)
  end
  return values.list(parts)
end

function strings.splitlines(value)
  local parts = split_at((value:gsub("\r\n?", "\n")), "\n", math.huge)
  if parts[#parts] == "" then parts[#parts] = nil end
  return values.list(parts)
end

function strings.partition(value, arguments, _, fail)
  local separator = string_argument(arguments, 1, fail)
  local first, last = value:find(separator, 1, true)
  if not first then return values.list({ value, "", "" }, true) end
  return values.list({ value:sub(1, first - 1), separator, value:sub(last + 1) }, true)
end

-- ---- tests and searching

local function matcher(matches)
  return function(value, arguments, _, fail)
    local given = arguments[1]
    for i, part in ipairs(values.is_list(given) and given or { string_argument(arguments, 1, fail) }) do
      if type(part) ~= "string" then fail("item %d: expected text, found %s", i, values.kind(part)) end
      if matches(value, part) then return true end
    end
    return false
  end
end

strings.startswith = matcher(function(value, part) return value:sub(1, #part) == part end)
strings.endswith = matcher(function(value, part) return part == "" or value:sub(-#part) == part end)

function strings.find(value, arguments, _, fail)
  local first = value:find(string_argument(arguments, 1, fail), 1, true)
  return first and values.length(value:sub(1, first - 1)) or -1
end

function strings.rfind(value, arguments, _, fail)
  local part, found, from = string_argument(arguments, 1, fail), nil, 1
  repeat
    local first = value:find(part, from, true)
    found, from = first or found, first and first + 1
  until not first or part == ""
  return found and values.length(value:sub(1, found - 1)) or -1
end

function strings.index(value, arguments, _, fail)
  local place = strings.find(value, arguments, nil, fail)
  return place >= 0 and place or fail("index: substring not found")
end

function strings.count(value, arguments, _, fail)
  local part = string_argument(arguments, 1, fail)
  return part == "" and values.length(value) + 1 or #split_at(value, part, math.huge) - 1
end

-- Do all characters satisfy this, and is there one?
local function all_of(test)
  return function(value)
    if value == "" then return false end
    for c in value:gmatch(utf8.charpattern) do
      if not test(c) then return false end
    end
    return true
  end
end

strings.isdigit = all_of(function(c) return c:find("^%d$") ~= nil end)
strings.isnumeric, strings.isdecimal = strings.isdigit, strings.isdigit
strings.isspace = all_of(is_space)
strings.isalpha = all_of(function(c) return text.lower(c) ~= text.upper(c) or c:find("^%a$") ~= nil end)
strings.isalnum = all_of(function(c) return strings.isalpha(c) or c:find("^%d$") ~= nil end)
function strings.isupper(value) return text.upper(value) == value and text.lower(value) ~= value end
function strings.islower(value) return text.lower(value) == value and text.upper(value) ~= value end

-- ---- making text

function strings.upper(value) return text.upper(value) end
function strings.lower(value) return text.lower(value) end

function strings.capitalize(value)
  local list = characters(value)
  if #list == 0 then return "" end
  return text.upper(list[1]) .. text.lower(table.concat(list, "", 2))
end

-- A capital behind every character that is no letter.
function strings.title(value)
  local out, inside = {}, false
  for _, c in ipairs(characters(value)) do
    out[#out + 1] = inside and text.lower(c) or text.upper(c)
    inside = strings.isalpha(c)
  end
  return table.concat(out)
end

local function checked(size, fail)
  local message = values.too_long(size)
  if message then fail("%s", message) end
end

function strings.replace(value, arguments, named, fail)
  local old, new = string_argument(arguments, 1, fail), string_argument(arguments, 2, fail)
  local limit = arguments[3] or named.count
  limit = math.type(limit) == "integer" and limit >= 0 and limit or math.huge
  local parts = split_at(value, old, old == "" and 0 or limit)
  if old == "" then
    parts = characters(value)
    table.insert(parts, 1, "")
    if #parts - 1 < limit then parts[#parts + 1] = "" end
  end
  checked(#value + #parts * #new, fail)
  return table.concat(parts, new)
end

function strings.join(value, arguments, _, fail)
  local items, parts = values.items(arguments[1]), {}
  if not items then fail("join: expected a list, found %s", values.kind(arguments[1])) end
  local size = 0
  for i, item in ipairs(items) do
    if type(item) ~= "string" then fail("join: item %d: expected text, found %s", i - 1, values.kind(item)) end
    parts[i], size = item, size + #item + #value
  end
  checked(size, fail)
  return table.concat(parts, value)
end

function strings.removeprefix(value, arguments, _, fail)
  local part = string_argument(arguments, 1, fail)
  return value:sub(1, #part) == part and value:sub(#part + 1) or value
end

function strings.removesuffix(value, arguments, _, fail)
  local part = string_argument(arguments, 1, fail)
  return part ~= "" and value:sub(-#part) == part and value:sub(1, -#part - 1) or value
end

local function padder(left)
  return function(value, arguments, _, fail)
    local width, fill = arguments[1], arguments[2] or " "
    if math.type(width) ~= "integer" then fail("expected a whole number, found %s", values.kind(width)) end
    checked(width, fail)
    local gap = fill:rep(width - values.length(value))
    return left and gap .. value or value .. gap
  end
end

strings.rjust, strings.ljust = padder(true), padder(false)

function strings.zfill(value, arguments, _, fail) return strings.rjust(value, { arguments[1], "0" }, nil, fail) end

-- "{} and {name}" with plain fields only.
function strings.format(value, arguments, named, fail)
  local place = 0
  local out = value:gsub("{{", "\1"):gsub("}}", "\2"):gsub("{([^{}]*)}", function(field)
    if field == "" then place, field = place + 1, place end
    local found = math.type(tonumber(field)) == "integer" and arguments[tonumber(field) + 1] or named[field]
    if found == nil then fail("format: there is no value for '{%s}'", tostring(field)) end
    return (values.text(found):gsub("[\1\2]", " "))
  end)
  checked(#out, fail)
  return (out:gsub("\1", "{"):gsub("\2", "}"))
end

-- ---- dicts and lists

function dicts.keys(value) return values.list(table.move(value.keys, 1, #value.keys, 1, {})) end

function dicts.values(value)
  local out = {}
  for i, key in ipairs(value.keys) do out[i] = value.map[key] end
  return values.list(out)
end

function dicts.items(value)
  local out = {}
  for i, key in ipairs(value.keys) do out[i] = values.list({ key, value.map[key] }, true) end
  return values.list(out)
end

function dicts.get(value, arguments)
  local found = arguments[1] ~= nil and value.map[arguments[1]]
  if found == nil or arguments[1] == nil then return arguments[2] == nil and null or arguments[2] end
  return found
end

function dicts.copy(value)
  local copy = values.dict()
  for _, key in ipairs(value.keys) do values.put(copy, key, value.map[key]) end
  return copy
end

function lists.count(value, arguments)
  local count = 0
  for i = 1, #value do count = count + (values.equal(value[i], arguments[1]) and 1 or 0) end
  return count
end

function lists.index(value, arguments, _, fail)
  for i = 1, #value do
    if values.equal(value[i], arguments[1]) then return i - 1 end
  end
  fail("index: %s is not in the list", values.repr(arguments[1]))
end

function lists.copy(value) return values.list(table.move(value, 1, #value, 1, {})) end

local changing = {}
for _, name in ipairs { "append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "update", "setdefault", "popitem" } do
  changing[name] = true
end

--- The method `name` of a value, or nil; a second result tells that it exists in Python but would change the value.
function methods.find(value, name)
  local own = type(value) == "string" and strings or values.is_dict(value) and dicts or values.is_list(value) and lists
  if not own then return nil, false end
  return own[name], own ~= strings and changing[name] or false
end

return methods
