--- Values as text for people: strings quoted, tables shallow and cut, objects through their __tostring.
local show = {}

local max_depth, max_entries, max_string, max_width = 3, 20, 400, 100

local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' }

local function quote(text)
  local cut = #text > max_string and text:sub(1, utf8.offset(text, 0, max_string + 1) - 1) or text
  local quoted = '"' .. cut:gsub('[%c\\"]', function(c) return escapes[c] or ("\\x%02x"):format(c:byte()) end) .. '"'
  return #text > #cut and ("%s... (%d bytes)"):format(quoted, #text) or quoted
end

local reserved = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%a+") do reserved[word] = true end

local function key_text(key, path)
  if type(key) == "string" and key:match("^[%a_][%w_]*$") and not reserved[key] then return key end
  return "[" .. show.value(key, path) .. "]"
end

-- Names first in alphabetical order, then other keys in the order of their text.
local function sorted_keys(keys)
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "string" or type(a) == "number") then return a < b end
    if type(a) ~= type(b) then return type(a) == "string" or (type(b) ~= "string" and type(a) < type(b)) end
    return tostring(a) < tostring(b)
  end)
  return keys
end

-- The entries of a table as texts: the sequence, then the other keys; "..." stands for what is cut.
local function entries(value, path)
  local texts, length, keys = {}, #value, {}
  for i = 1, math.min(length, max_entries) do texts[i] = show.value(value[i], path) end
  if length > max_entries then texts[#texts + 1] = ("... (%d in all)"):format(length) end
  for key in pairs(value) do
    if not (math.type(key) == "integer" and key >= 1 and key <= length) then keys[#keys + 1] = key end
  end
  if not (getmetatable(value) or {}).__pairs then sorted_keys(keys) end -- an own __pairs has an order of its own
  for i = 1, math.min(#keys, max_entries) do
    texts[#texts + 1] = key_text(keys[i], path) .. " = " .. show.value(value[keys[i]], path)
  end
  if #keys > max_entries then texts[#texts + 1] = ("... (%d fields in all)"):format(#keys) end
  return texts
end

-- On one line where that fits, else one entry a line.
local function layout(texts, depth)
  local line = "{ " .. table.concat(texts, ", ") .. " }"
  if #texts == 0 then return "{}" end
  if #line <= max_width and not line:find("\n") then return line end
  local indent = ("  "):rep(depth)
  return "{\n" .. indent .. "  " .. table.concat(texts, ",\n" .. indent .. "  ") .. "\n" .. indent .. "}"
end

local function show_table(value, path)
  if path[value] then return "<cycle>" end
  if #path >= max_depth then return next(value) == nil and "{}" or "{...}" end
  path[#path + 1], path[value] = value, true
  local text = layout(entries(value, path), #path - 1)
  path[#path], path[value] = nil, nil
  return text
end

local function show_function(value)
  local info = debug.getinfo(value, "S")
  if info.what == "C" then return "function: built in" end
  return ("function: %s:%d"):format(info.short_src, info.linedefined)
end

--- `value` as text; a metafield `__show` says more than `__tostring` where the value stands alone. `path` (internal)
-- holds the tables around it, for cycles and depth.
function show.value(value, path)
  if type(value) == "string" then return quote(value) end
  if type(value) == "function" then return show_function(value) end
  local meta = getmetatable(value)
  if not path and type(meta) == "table" and meta.__show then return meta.__show(value) end
  local has_text = type(meta) == "table" and (meta.__tostring or meta.__name)
  if type(value) == "table" and not has_text then return show_table(value, path or {}) end
  return tostring(value)
end

return show
