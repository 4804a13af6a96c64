--- Texts from templates: what the built-in verse, news, tales and reviews are made with.
--
-- A template holds slots {name}, filled from the list of that name, and choices [this|that|]. {name:k} remembers what it was filled
-- with, so that a second {name:k} says the same; {name} is another item than those used before, if there is one. "a(n)" becomes "a" or "an".
local grammar = {}

--- "a, b, c" as a list; items with commas inside are separated by semicolons.
function grammar.words(text)
  local list = {}
  for item in text:gmatch(text:find ";" and "[^;]+" or "[^,]+") do list[#list + 1] = item:match "^%s*(.-)%s*$" end
  return list
end

--- One item of a list.
function grammar.pick(list, random) return list[random(#list)] end

--- A copy of the list in random order.
function grammar.shuffled(list, random)
  local copy = table.move(list, 1, #list, 1, {})
  for i = #copy, 2, -1 do
    local j = random(i)
    copy[i], copy[j] = copy[j], copy[i]
  end
  return copy
end

local function choose(text, random)
  return (text:gsub("%b[]", function(group)
    local options = {}
    for option in (group:sub(2, -2) .. "|"):gmatch "([^|]*)|" do options[#options + 1] = option end
    return grammar.pick(options, random)
  end))
end

-- An item of the list that none of the remembered ones is.
local function fresh(list, kept, random)
  for _ = 1, 20 do
    local item, used = grammar.pick(list, random), false
    for _, other in pairs(kept) do used = used or other == item end
    if not used then return item end
  end
  return grammar.pick(list, random)
end

--- The template with everything filled in. kept: what keys stand for, { ["company:a"] = "Tarn" }, added to.
function grammar.fill(template, lists, random, kept)
  kept = kept or {}
  local text = choose(template, random)
  text = text:gsub("{([%a_%d]+):?(%a*)}", function(name, key)
    local list = assert(lists[name], name)
    if key == "" then
      kept[#kept + 1] = fresh(list, kept, random)
      return kept[#kept]
    end
    local full = name .. ":" .. key
    kept[full] = kept[full] or fresh(list, kept, random)
    return kept[full]
  end)
  text = text:gsub("(%f[%a][aA])%(n%) (%a)", function(article, letter)
    return (letter:lower():find "[aeiou]" and article .. "n " or article .. " ") .. letter
  end)
  return (text:gsub("  +", " "):gsub(" ([,.;!?])", "%1"))
end

--- The text with a capital at its beginning.
function grammar.capital(text) return (text:gsub("^%l", string.upper)) end

return grammar
