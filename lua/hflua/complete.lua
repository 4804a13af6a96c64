--- Completion of names for the REPL: globals, fields and methods, through __index and the metafield `__names`.
--
-- `__names`, in a table or in its metatable, gives names that neither `pairs` nor a table `__index` shows: a list of
-- strings, or a function(object) that returns one.
local complete = {}

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%a+") do keywords[#keywords + 1] = word end

local function add(names, list)
  for _, name in ipairs(list) do names[name] = true end
end

-- Adds the string keys of one table (those of its __pairs where it has one) and what its `__names` gives.
local function add_own(object, meta, names)
  if type(object) == "table" then
    for key in next, object do if type(key) == "string" then names[key] = true end end
    if meta and meta.__pairs then
      for key in pairs(object) do if type(key) == "string" then names[key] = true end end
    end
    local own = rawget(object, "__names")
    if type(own) == "function" then add(names, own(object)) end
  end
  local list = meta and meta.__names
  if type(list) == "function" then list = list(object) end
  if type(list) == "table" then add(names, list) end
end

--- The names that indexing `object` may find: its own keys, those of its __index tables and `__names`. A metatable whose
-- __index is a function is taken as the class that holds the methods.
function complete.names(object)
  local names = {}
  for _ = 1, 20 do -- as deep as inheritance goes in practice; ends an __index cycle
    local meta = debug.getmetatable(object)
    add_own(object, meta, names)
    local index = meta and meta.__index
    object = type(index) == "table" and index or type(index) == "function" and meta
    if not object then break end
  end
  return names
end

local function get(object, key)
  local ok, value = pcall(function() return object[key] end)
  if ok then return value end
end

-- The object named by a chain like `a.b["c"][1]`: only indexing, nothing is called. nil when there is none.
local function resolve(chain, env)
  local object = get(env, chain:match("^[%a_][%w_]*"))
  local position = #chain:match("^[%a_][%w_]*") + 1
  while object ~= nil and position <= #chain do
    local name = chain:match("^[.:]([%a_][%w_]*)", position)
    local index = chain:match("^%b[]", position)
    if name then
      object, position = get(object, name), position + #name + 1
    elseif index then
      local key = index:match('^%["([^"]*)"%]$') or index:match("^%['([^']*)'%]$") or math.tointeger(index:match("^%[(%-?%d+)%]$"))
      object, position = key ~= nil and get(object, key) or nil, position + #index
    else
      return nil
    end
  end
  return object
end

-- Splits "... x.y:pre" into the chain "x.y", the separator ":" and the prefix "pre"; a plain name has no chain.
local function split(before)
  local prefix = before:match("[%a_][%w_]*$") or ""
  local rest = before:sub(1, #before - #prefix)
  local separator = rest:match("[.:]$")
  if not separator or rest:match("%.%.$") then return nil, nil, prefix end
  rest = rest:sub(1, -2)
  local start = #rest + 1
  repeat -- backwards over names, dots and brackets
    local previous = start
    local bracket = rest:sub(1, start - 1):match("%b[]$")
    local name = rest:sub(1, start - 1):match("[.:]?[%a_][%w_]*$")
    start = start - #(bracket or name or "")
  until start == previous or (name and not name:match("^[.:]"))
  return rest:sub(start), separator, prefix
end

--- The names that may stand in place of the one that ends `before`, sorted, and the prefix they share with it.
function complete.candidates(before, env)
  local chain, separator, prefix = split(before)
  local found, object = {}, env
  if chain then
    object = chain:match("^[%a_]") and resolve(chain, env)
    if object == nil then return found, prefix end
  end
  local names = complete.names(object)
  if not chain then add(names, keywords) end
  for name in pairs(names) do
    local wanted = name:sub(1, #prefix) == prefix and #name:match("^_*") <= #prefix:match("^_*")
    if wanted and name:match("^[%a_][%w_]*$") and (separator ~= ":" or type(get(object, name)) == "function") then
      found[#found + 1] = name
    end
  end
  table.sort(found)
  return found, prefix
end

-- The longest text with which all names begin.
local function common_start(names)
  local first, last = names[1], names[#names] -- sorted: these two differ most
  local length = 0
  while length < #first and first:byte(length + 1) == last:byte(length + 1) do length = length + 1 end
  return first:sub(1, length)
end

--- Names in columns that fit `width` characters; at most 200 of them.
function complete.columns(names, width)
  local longest, shown = 0, math.min(#names, 200)
  for i = 1, shown do longest = math.max(longest, #names[i]) end
  local per_line = math.max(1, (width or 80) // (longest + 2))
  local lines, line = {}, {}
  for i = 1, shown do
    line[#line + 1] = ("%-" .. longest + 2 .. "s"):format(names[i])
    if #line == per_line or i == shown then
      lines[#lines + 1] = table.concat(line):gsub("%s+$", "")
      line = {}
    end
  end
  if #names > shown then lines[#lines + 1] = ("... (%d in all)"):format(#names) end
  return table.concat(lines, "\n")
end

--- What Tab does behind `before`: text to insert, or else a list to show, or neither.
function complete.tab(before, env, width)
  if not before:find("%S") then return "  " end
  local names, prefix = complete.candidates(before, env)
  if #names == 0 then return nil end
  local insert = common_start(names):sub(#prefix + 1)
  if insert ~= "" then return insert end
  return nil, #names > 1 and complete.columns(names, width) or nil
end

return complete
