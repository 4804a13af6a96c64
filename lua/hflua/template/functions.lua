--- Functions that every chat template may call, and the % of texts.
local fail = require "hflua.template.failure"
local values = require "hflua.template.values"

local functions = {}

local MAX_RANGE = 100000

local function whole(value, name, line)
  if math.type(value) ~= "integer" then fail(line, "%s: expected a whole number, found %s", name, values.kind(value)) end
  return value
end

local globals = {}

--- raise_exception(message): the template refuses this conversation.
function globals.raise_exception(_, arguments, _, line) fail(line, "%s", values.text(arguments[1])) end

--- range([start,] stop[, step])
function globals.range(_, arguments, _, line)
  local start, stop, step = 0, arguments[1], arguments[3] or 1
  if arguments[2] ~= nil then start, stop = arguments[1], arguments[2] end
  start, stop, step = whole(start, "range", line), whole(stop, "range", line), whole(step, "range", line)
  if step == 0 then fail(line, "range: the step is 0") end
  if (stop - start) // step > MAX_RANGE then fail(line, "range: more than %d numbers", MAX_RANGE) end
  local out = {}
  for i = start, stop + (step > 0 and -1 or 1), step do out[#out + 1] = i end
  return values.list(out)
end

local function sorted_pairs(named)
  local keys = {}
  for key in pairs(named) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

-- dict(a=1) and namespace(a=1), or of a dict.
local function make_dict(arguments, named)
  local dict = values.dict()
  if values.is_dict(arguments[1]) then
    for _, key in ipairs(arguments[1].keys) do values.put(dict, key, arguments[1].map[key]) end
  end
  for _, key in ipairs(sorted_pairs(named)) do values.put(dict, key, named[key]) end
  return dict
end

function globals.dict(_, arguments, named) return make_dict(arguments, named) end

--- namespace(a=1): fields that {% set ns.a = 2 %} may change, also inside a loop.
function globals.namespace(_, arguments, named)
  local dict = make_dict(arguments, named)
  dict.is_namespace = true
  return dict
end

-- %-d and its like: without zeros in front.
local function date(format, time)
  format = format:gsub("%%%-(%a)", function(letter) return (os.date("%" .. letter, time):gsub("^0+(.)", "%1")) end)
  return os.date(format, time)
end

--- strftime_now(format): the local time.
function globals.strftime_now(run, arguments, _, line)
  local format = arguments[1]
  if type(format) ~= "string" then fail(line, "strftime_now: expected text, found %s", values.kind(format)) end
  if format:find("^[!*]") then format = "%%" .. format end
  local ok, text = pcall(date, format, run.now)
  if not ok or type(text) ~= "string" then fail(line, "strftime_now: '%s' is no format of a date", format) end
  return text
end

--- The variables that are there before those of the caller.
function functions.globals()
  local vars = {}
  for name, call in pairs(globals) do vars[name] = values.callable(call) end
  return vars
end

local function format_one(flags, kind, value, error_of)
  if kind == "s" then return ("%" .. flags .. "s"):format(values.text(value)) end
  if kind == "r" then return values.repr(value) end
  local number = values.as_number(value)
  if not number then error_of("'%%%s' needs a number, found %s", kind, values.kind(value)) end
  if kind == "d" or kind == "i" then
    return ("%" .. flags .. "d"):format(math.tointeger(number >= 0 and math.floor(number) or math.ceil(number)))
  end
  return ("%" .. flags .. kind):format(number)
end

--- Python's `text % arguments`.
function functions.format(text, arguments, error_of)
  local place = 0
  return (text:gsub("%%([-+ 0#]*%d?%d?%.?%d?%d?)(.)", function(flags, kind)
    if kind == "%" then return "%" end
    if not kind:find("[sdirfeg]") then error_of("'%%%s%s' is not supported in texts", flags, kind) end
    place = place + 1
    if arguments[place] == nil then error_of "there are too few values for the '%' of a text" end
    return format_one(flags, kind, arguments[place], error_of)
  end))
end

return functions
