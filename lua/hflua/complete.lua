--- Completion of names for the REPL: globals, fields and methods, through __index and the metafield `__names`.
--
-- `__names` in a metatable lists names that neither `pairs` nor a table `__index` shows: a list of strings, or a
-- function(object) that returns one.
local complete = {}

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%a+") do keywords[#keywords + 1] = word end

-- Adds the string keys of `object`, of its __names and of its __index tables to the set `names`.
local function collect(object, names)
  for _ = 1, 20 do -- as deep as inheritance goes in practice; ends an __index cycle
    if type(object) == "table" then
      for key in next, object do if type(key) == "string" then names[key] = true end end
    end
    local meta = debug.getmetatable(object)
    if not meta then return end
    local list = meta.__names
    if type(list) == "function" then list = list(object) end
    for _, name in ipairs(list or {}) do names[name] = true end
    object = meta.__index
    if type(object) ~= "table" then return end
  end
end

-- The object named by a chain like `a.b["c"][1]`: only indexing, nothing is called. nil when there is none.
local function resolve(chain, env)
  local object = env[chain:match("^[%a_][%w_]*")]
  local position = #chain:match("^[%a_][%w_]*") + 1
  while object ~= nil and position <= #chain do
    local name = chain:match("^[.:]([%a_][%w_]*)", position)
    local index = chain:match("^%b[]", position)
    if name then
      object, position = object[name], position + #name + 1
    elseif index then
      local key = index:match('^%["([^"]*)"%]$') or index:match("^%['([^']*)'%]$") or math.tointeger(index:match("^%[(%-?%d+)%]$"))
      object, position = key ~= nil and object[key] or nil, position + #index
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
  local names, found = {}, {}
  local object = env
  if chain then
    object = chain:match("^[%a_]") and resolve(chain, env)
    if object == nil then return found, prefix end
  else
    for _, word in ipairs(keywords) do names[word] = true end
  end
  collect(object, names)
  for name in pairs(names) do
    local wanted = name:sub(1, #prefix) == prefix and (prefix ~= "" or name:sub(1, 1) ~= "_")
    if wanted and name:match("^[%a_][%w_]*$") and (separator ~= ":" or type(object[name]) == "function") then
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
