--- The filters of chat templates: f(value, arguments, named, fail, run) -> value. Names, arguments and results are Jinja's; tojson
-- is that of transformers (nothing escaped for HTML, ensure_ascii off).
local methods = require "hflua.template.methods"
local options = require "hflua.options"
local tests = require "hflua.template.tests"
local values = require "hflua.template.values"

local null = values.null
local filters = {}

local function items_of(value, fail)
  return values.items(value) or fail("expected a list, found %s", values.kind(value))
end

-- The argument at place i or of this name, else the default.
local function argument(arguments, named, i, name, default)
  local value = arguments[i]
  if value == nil then value = named[name] end
  if value == nil then return default end
  return value
end

local function text_of(value) return values.text(value) end

-- ---- texts

for _, name in ipairs { "upper", "lower", "capitalize" } do
  filters[name] = function(value) return methods.strings[name](text_of(value)) end
end

-- Jinja begins words only at the start and behind spaces, hyphens and brackets.
function filters.title(value)
  local out, begins = {}, true
  for _, c in ipairs(values.items(text_of(value))) do
    out[#out + 1] = begins and methods.strings.upper(c) or methods.strings.lower(c)
    begins = c:find("^[-%s({%[<]$") ~= nil
  end
  return table.concat(out)
end

function filters.trim(value, arguments, named)
  local set = argument(arguments, named, 1, "chars", nil)
  return methods.strip(text_of(value), set ~= null and set or nil, true, true)
end

function filters.replace(value, arguments, named, fail)
  return methods.strings.replace(text_of(value), { text_of(arguments[1]), text_of(arguments[2]), arguments[3] or named.count }, {}, fail)
end

function filters.string(value) return text_of(value) end
function filters.safe(value) return text_of(value) end

local html = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&#34;", ["'"] = "&#39;" }
function filters.escape(value) return (text_of(value):gsub("[&<>\"']", html)) end
filters.e = filters.escape

local function check_size(size, fail)
  local message = values.too_long(size)
  if message then fail("%s", message) end
end

-- What a line is indented with: a number of spaces or a text.
local function indent_text(width, fail)
  if type(width) == "string" then return width end
  if math.type(width) ~= "integer" then fail("indent: expected a whole number, found %s", values.kind(width)) end
  check_size(width, fail)
  return (" "):rep(width)
end

function filters.indent(value, arguments, named, fail)
  local prefix = indent_text(argument(arguments, named, 1, "width", 4), fail)
  local first, blank = argument(arguments, named, 2, "first", false), argument(arguments, named, 3, "blank", false)
  local text, lines = text_of(value), {}
  for line in (text .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  check_size(#text + #lines * #prefix, fail)
  for i = 2, #lines do
    if values.truth(blank) or lines[i] ~= "" then lines[i] = prefix .. lines[i] end
  end
  return (values.truth(first) and prefix or "") .. table.concat(lines, "\n")
end

function filters.center(value, arguments, named, fail)
  local width, text = argument(arguments, named, 1, "width", 80), text_of(value)
  check_size(width, fail)
  local gap = math.max(0, width - values.length(text))
  local left = gap // 2 + (gap & width & 1)
  return (" "):rep(left) .. text .. (" "):rep(gap - left)
end

function filters.wordcount(value)
  local count = 0
  for _ in text_of(value):gmatch("[%w_\x80-\xff]+") do count = count + 1 end
  return count
end

function filters.format(value, arguments, _, fail, run) return run.format(text_of(value), arguments, fail) end

-- ---- numbers

local function number(value, fail)
  return values.as_number(value) or fail("expected a number, found %s", values.kind(value))
end

function filters.abs(value, _, _, fail) return math.abs(number(value, fail)) end

filters["int"] = function(value, arguments, named)
  local read = values.as_number(value) or type(value) == "string" and value:find("^%s*[-+]?[%d.]+%s*$") and tonumber((value:gsub("^%s*%+", "")))
  if not read or read ~= read or math.abs(read) >= 2 ^ 63 then return argument(arguments, named, 1, "default", 0) end
  return math.tointeger(read >= 0 and math.floor(read) or math.ceil(read))
end

filters["float"] = function(value, arguments, named)
  local read = values.as_number(value) or type(value) == "string" and tonumber(value)
  return read and read + 0.0 or argument(arguments, named, 1, "default", 0.0)
end

-- To the nearest even digit, as Python rounds.
local function half_even(x)
  local low = math.floor(x)
  if x - low ~= 0.5 then return math.floor(x + 0.5) + 0.0 end
  return (low % 2 == 0 and low or low + 1) + 0.0
end

function filters.round(value, arguments, named, fail)
  local precision, method = argument(arguments, named, 1, "precision", 0), argument(arguments, named, 2, "method", "common")
  local x, scale = number(value, fail), 10.0 ^ number(precision, fail)
  if method == "ceil" then return math.ceil(x * scale) / scale end
  if method == "floor" then return math.floor(x * scale) / scale end
  if method ~= "common" then fail("round: method: expected common, ceil or floor, found %s", values.repr(method)) end
  if precision > 0 then return tonumber(("%." .. math.min(precision, 99) .. "f"):format(x)) + 0.0 end
  return half_even(x * scale) / scale
end

-- ---- defaults and JSON

function filters.default(value, arguments, named)
  local other = argument(arguments, named, 1, "default_value", "")
  local by_truth = values.truth(argument(arguments, named, 2, "boolean", false))
  if value == nil or by_truth and not values.truth(value) then return other end
  return value
end
filters.d = filters.default

local function separators(given, indent)
  if values.is_list(given) and #given == 2 then return values.text(given[1]), values.text(given[2]) end
  return indent and "," or ", ", ": "
end

function filters.tojson(value, arguments, named, fail)
  local indent = argument(arguments, named, 2, "indent", null)
  if value == nil then fail "tojson: the value is undefined" end
  if indent == null then indent = nil else indent = indent_text(indent, fail) end
  local item, key = separators(argument(arguments, named, 3, "separators", null), indent)
  return values.to_json(value, { indent = indent, item_separator = item, key_separator = key,
    ensure_ascii = values.truth(argument(arguments, named, 1, "ensure_ascii", false)),
    sort_keys = values.truth(argument(arguments, named, 4, "sort_keys", false)) })
end

-- ---- lists

function filters.length(value, _, _, fail) return values.length(value) or fail("length: %s has no length", values.kind(value)) end
filters.count = filters.length

function filters.first(value, _, _, fail) return items_of(value, fail)[1] end

function filters.last(value, _, _, fail)
  local items = items_of(value, fail)
  return items[#items]
end

function filters.list(value, _, _, fail)
  local items = items_of(value, fail)
  return values.list(table.move(items, 1, #items, 1, {}))
end

function filters.reverse(value, _, _, fail)
  local items, out = items_of(value, fail), {}
  for i = #items, 1, -1 do out[#out + 1] = items[i] end
  return type(value) == "string" and table.concat(out) or values.list(out)
end

function filters.items(value, _, _, fail)
  if value == nil then return values.list {} end
  if not values.is_dict(value) then fail("items: expected a dict, found %s", values.kind(value)) end
  return methods.dicts.items(value)
end

-- A field of an item by a path such as "function.name" or 0.
local function field(item, path)
  if math.type(path) == "integer" then return values.is_list(item) and item[path + 1] or nil end
  for name in tostring(path):gmatch("[^.]+") do
    local place = math.tointeger(tonumber(name))
    if values.is_dict(item) then item = item.map[name]
    elseif values.is_list(item) and place then item = item[place + 1]
    else return nil end
  end
  return item
end

-- The item, or the field that `attribute` names.
local function key_function(attribute)
  if attribute == nil or attribute == null then return function(item) return item end end
  return function(item) return field(item, attribute) end
end

function filters.join(value, arguments, named, fail)
  local key, parts, size = key_function(argument(arguments, named, 2, "attribute", nil)), {}, 0
  local separator = text_of(argument(arguments, named, 1, "d", ""))
  for i, item in ipairs(items_of(value, fail)) do
    parts[i] = text_of(key(item))
    size = size + #parts[i] + #separator
  end
  check_size(size, fail)
  return table.concat(parts, separator)
end

local function find_test(name, fail)
  if type(name) ~= "string" or not tests[name] then fail("%s", options.unknown("test", tostring(name), tests)) end
  return tests[name]
end

-- Keeps the items whose value (the item, or a field of it) passes a test, or fails it.
local function selector(by_field, wanted)
  return function(value, arguments, _, fail)
    local place = by_field and 2 or 1
    local key = by_field and key_function(arguments[1]) or key_function(nil)
    local test = arguments[place] ~= nil and find_test(arguments[place], fail) or values.truth
    local out = {}
    for _, item in ipairs(items_of(value, fail)) do
      if test(key(item), arguments[place + 1], fail) == wanted then out[#out + 1] = item end
    end
    return values.list(out)
  end
end

filters.select, filters.reject = selector(false, true), selector(false, false)
filters.selectattr, filters.rejectattr = selector(true, true), selector(true, false)

-- A field that an item lacks is "": lists hold no undefined values.
local function map_field(value, named, fail)
  local key, out = key_function(named.attribute), {}
  for i, item in ipairs(items_of(value, fail)) do
    local found = key(item)
    if found == nil then found = named.default end
    out[i] = found == nil and "" or found
  end
  return values.list(out)
end

function filters.map(value, arguments, named, fail, run)
  if named.attribute ~= nil then return map_field(value, named, fail) end
  local name, out = arguments[1], {}
  local filter = type(name) == "string" and filters[name] or fail("%s", options.unknown("filter", tostring(name), filters))
  local rest = table.move(arguments, 2, #arguments, 1, {})
  for i, item in ipairs(items_of(value, fail)) do
    local result = filter(item, rest, named, fail, run)
    out[i] = result == nil and null or result
  end
  return values.list(out)
end

-- Items in order of their keys; texts without regard to case unless asked.
local function sorted(value, key, case_sensitive, descending, fail)
  local entries = {}
  for i, item in ipairs(items_of(value, fail)) do
    local by = key(item)
    if type(by) == "string" and not case_sensitive then by = methods.strings.lower(by) end
    entries[i] = { item, by, i }
  end
  local function before(a, b)
    local less, greater = values.less(a[2], b[2]), values.less(b[2], a[2])
    if less == nil then fail("sort: %s and %s cannot be compared", values.kind(a[2]), values.kind(b[2])) end
    if descending then less, greater = greater, less end
    if less or greater then return less end
    return a[3] < b[3]
  end
  table.sort(entries, before)
  for i, entry in ipairs(entries) do entries[i] = entry[1] end
  return values.list(entries)
end

function filters.sort(value, arguments, named, fail)
  local descending = values.truth(argument(arguments, named, 1, "reverse", false))
  local key = key_function(argument(arguments, named, 3, "attribute", nil))
  return sorted(value, key, values.truth(argument(arguments, named, 2, "case_sensitive", false)), descending, fail)
end

function filters.dictsort(value, arguments, named, fail)
  if not values.is_dict(value) then fail("dictsort: expected a dict, found %s", values.kind(value)) end
  local by = argument(arguments, named, 2, "by", "key") == "value" and 1 or 0
  local descending = values.truth(argument(arguments, named, 3, "reverse", false))
  return sorted(methods.dicts.items(value), key_function(by), values.truth(argument(arguments, named, 1, "case_sensitive", false)), descending, fail)
end

function filters.unique(value, arguments, named, fail)
  local key, out, seen = key_function(named.attribute), {}, values.list {}
  local case_sensitive = values.truth(argument(arguments, named, 1, "case_sensitive", false))
  for _, item in ipairs(items_of(value, fail)) do
    local by = key(item)
    if type(by) == "string" and not case_sensitive then by = methods.strings.lower(by) end
    if not values.contains(seen, by) then
      seen[#seen + 1] = by == nil and null or by
      out[#out + 1] = item
    end
  end
  return values.list(out)
end

local function extreme(picks_last)
  return function(value, _, named, fail)
    local list = sorted(value, key_function(named.attribute), false, false, fail)
    return list[picks_last and #list or 1]
  end
end

filters.min, filters.max = extreme(false), extreme(true)

function filters.sum(value, arguments, named, fail)
  local key, total = key_function(argument(arguments, named, 1, "attribute", nil)), argument(arguments, named, 2, "start", 0)
  for _, item in ipairs(items_of(value, fail)) do total = total + number(key(item), fail) end
  return total
end

function filters.attr(value, arguments) return values.is_dict(value) and value.map[arguments[1]] or nil end

return filters
