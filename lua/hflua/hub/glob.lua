--- Patterns of file names: * ? [abc] [!a-z], and ** for any folders. They may come from a server: no pattern takes long.
local glob = {}

-- The elements of a pattern: a byte, "?" (true), a set of bytes (a table), or "*" (false).
local function parse(pattern)
  local elements, at = {}, 1
  while at <= #pattern do
    local c = pattern:sub(at, at)
    local close = c == "[" and pattern:find("]", at + 2, true)
    if close then
      local set = { negated = pattern:sub(at + 1, at + 1) == "!" }
      local inner = pattern:sub(at + (set.negated and 2 or 1), close - 1)
      for first, last in inner:gmatch("(.)%-(.)") do for code = first:byte(), last:byte() do set[code] = true end end
      for one in inner:gsub(".%-.", ""):gmatch(".") do set[one:byte()] = true end
      elements[#elements + 1], at = set, close
    else
      elements[#elements + 1] = c == "?" or c ~= "*" and c:byte()
    end
    at = at + 1
  end
  return elements
end

local function fits(element, code)
  if element == true then return true end
  if type(element) == "table" then return (element[code] or false) ~= element.negated end
  return element == code
end

-- Does a sequence match? is_star(i): the pattern's element matches any number of items. Only the last star is gone back to.
local function matches(count, is_star, size, fits_at)
  local i, j, star, kept = 1, 1, nil, nil
  while j <= size do
    if i <= count and is_star(i) then
      star, kept, i = i, j, i + 1
    elseif i <= count and fits_at(i, j) then
      i, j = i + 1, j + 1
    elseif star then
      kept = kept + 1
      i, j = star + 1, kept
    else
      return false
    end
  end
  while i <= count and is_star(i) do i = i + 1 end
  return i > count
end

--- Python's fnmatch: a star passes slashes too.
function glob.matches_text(pattern, text)
  local elements = parse(pattern)
  return matches(#elements, function(i) return elements[i] == false end, #text, function(i, j) return fits(elements[i], text:byte(j)) end)
end

local function parts(text)
  local list = {}
  for part in text:gmatch("[^/]+") do list[#list + 1] = part end
  return list
end

--- A path pattern: a star stays within a name, ** stands for any number of folders.
function glob.matches_path(pattern, path)
  local wanted, found = parts(pattern), parts(path)
  return matches(#wanted, function(i) return wanted[i] == "**" end, #found, function(i, j) return glob.matches_text(wanted[i], found[j]) end)
end

return glob
