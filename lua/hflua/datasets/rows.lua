--- Rows and batches as Lua sees them: plain tables of values whose columns keep their order for pairs, printing and
-- keys(). A batch makes a column's list when it is first asked for.
local rows = {}

-- Names of the columns that have a value according to `get`, in order; then names added since, sorted.
local function names_of(self, get)
  local meta = getmetatable(self)
  local names, added = {}, {}
  for _, name in ipairs(meta.names) do
    if get(self, name) ~= nil then names[#names + 1] = name end
  end
  for name in next, self do
    if not meta.place[name] then added[#added + 1] = name end
  end
  table.sort(added, function(a, b) return tostring(a) < tostring(b) end)
  return table.move(added, 1, #added, #names + 1, names)
end

local function get(self, name) return self[name] end

--- The names of the columns, in order.
local function keys(self) return names_of(self, get) end

local function pairs_in_order(self)
  local names, i = keys(self), 0
  return function()
    i = i + 1
    if names[i] ~= nil then return names[i], self[names[i]] end
  end
end

local function to_text(self) return require("hflua.repr")(self) end

local methods = { keys = keys }

--- The metatable of rows with these columns.
function rows.row_meta(names)
  local place = {}
  for i, name in ipairs(names) do place[name] = i end
  return { __name = "row", names = names, place = place, __index = methods, __pairs = pairs_in_order, __tostring = to_text }
end

--- A batch with these columns; `fetch(name)` makes the list of a column.
function rows.batch(names, fetch)
  local meta, fetched = rows.row_meta(names), {}
  meta.__name = "batch"
  function meta.__index(self, name)
    if not meta.place[name] or fetched[name] then return methods[name] end
    fetched[name] = true -- so that batch[name] = nil removes it
    local list = fetch(name)
    rawset(self, name, list)
    return list
  end
  return setmetatable({}, meta)
end

--- The keys of what a mapped function returned, in an order that never varies: their own where they have one (rows,
-- batches, encodings), else alphabetical. Columns of a batch that were never touched are left out.
function rows.returned_keys(value)
  local meta, names = getmetatable(value), {}
  if type(meta) == "table" and meta.__pairs == pairs_in_order then return names_of(value, rawget) end
  if type(meta) == "table" and meta.__pairs and rawget(value, "keys") == nil and type(value.keys) == "function" then
    return value:keys() -- makes no lists, unlike pairs
  end
  for name in pairs(value) do names[#names + 1] = name end
  if not (type(meta) == "table" and meta.__pairs) then
    table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  end
  return names
end

return rows
