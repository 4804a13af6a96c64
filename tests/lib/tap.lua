--- A small TAP harness: `local t = require "tap"`, then `t.test(name, function() ... end)` and `t.finish()`.
-- After each case two full collections run; `t.leaks` (set by tests that count C objects) may add a check.
-- Put `package.path = os.getenv("HFLUA_TESTS") .. "/lib/?.lua;" .. package.path` before requiring it.
local t = { count = 0, failed = 0, skipped = 0 }

t.shared = os.getenv("HFLUA_SHARED")
t.dir = os.getenv("HFLUA_TESTS") or "."

-- Names that os.tmpname gave: what was made under them, or with something behind them, goes when the file ends.
local tmpname, made = os.tmpname, {}
function os.tmpname()
  made[#made + 1] = tmpname()
  return made[#made]
end

local function clean()
  if #made > 0 then os.execute("chmod -R u+w '" .. table.concat(made, "'* '") .. "'* 2>/dev/null; rm -rf '" .. table.concat(made, "'* '") .. "'*") end
end

--- True when the file can be opened.
function t.exists(path)
  local f = io.open(path, "rb")
  if f then f:close() end
  return f ~= nil
end

local function report(ok, name, note)
  t.count = t.count + 1
  if not ok then t.failed = t.failed + 1 end
  print(("%s %d - %s%s"):format(ok and "ok" or "not ok", t.count, name, note and (" # " .. note) or ""))
end

--- Runs one case; an error in fn fails it.
function t.test(name, fn)
  local ok, message = xpcall(fn, debug.traceback)
  collectgarbage() collectgarbage()
  report(ok, name)
  if not ok then print("  " .. tostring(message):gsub("\n", "\n  ")) end
end

--- Counts a case as skipped, with the reason.
function t.skip(name, why)
  t.skipped = t.skipped + 1
  report(true, name, "skip " .. why)
end

--- Ends the file: exit status 1 after a failure, 77 when everything was skipped.
function t.finish()
  print("1.." .. t.count)
  clean()
  if t.failed > 0 then os.exit(1, true) end
  if t.count > 0 and t.skipped == t.count then os.exit(77, true) end
end

local function show(v) return type(v) == "string" and ("%q"):format(v) or tostring(v) end

--- Deep equality of plain values; the message names the first difference.
function t.same(actual, expected, path)
  path = path or "value"
  if type(actual) == "table" and type(expected) == "table" and not (getmetatable(expected) or {}).__eq then
    for k, v in pairs(expected) do t.same(actual[k], v, path .. "." .. tostring(k)) end
    for k in pairs(actual) do
      if expected[k] == nil then error(("%s.%s: unexpected %s"):format(path, tostring(k), show(actual[k])), 2) end
    end
  elseif actual ~= expected then
    error(("%s: expected %s, found %s"):format(path, show(expected), show(actual)), 2)
  end
end

--- |actual - expected| <= absolute + relative * |expected|
function t.near(actual, expected, absolute, relative, what)
  local limit = (absolute or 0) + (relative or 0) * math.abs(expected)
  if not (math.abs(actual - expected) <= limit) then
    error(("%s: expected %.9g, found %.9g (limit %.3g)"):format(what or "value", expected, actual, limit), 2)
  end
end

--- fn must raise an error whose message holds every given plain text.
function t.raises(fn, ...)
  local ok, message = pcall(fn)
  if ok then error("expected an error", 2) end
  for _, text in ipairs { ... } do
    if not tostring(message):find(text, 1, true) then
      error(("error message: expected %q in it, found %q"):format(text, tostring(message)), 2)
    end
  end
end

--- The text must hold every given plain text.
function t.says(text, ...)
  for _, part in ipairs { ... } do
    if not text:find(part, 1, true) then error(("expected %q in %q"):format(part, text), 2) end
  end
end

return t
