--- How the REPL shows values.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local show = require("hflua.show").value

t.test("strings are quoted, controls escaped, long ones cut between characters", function()
  t.same(show "a\n\"b\"\1", [["a\n\"b\"\x01"]])
  local text = show(("ä"):rep(300))
  t.same(text, '"' .. ("ä"):rep(200) .. '"... (600 bytes)')
end)

t.test("tables: the sequence first, names in order, nested, cut", function()
  t.same(show {}, "{}")
  t.same(show { 1, "x", b = 2, a = { true } }, '{ 1, "x", a = { true }, b = 2 }')
  t.same(show { [0] = 1, ["a b"] = 2, ["end"] = 3 }, '{ ["a b"] = 2, ["end"] = 3, [0] = 1 }')
  t.same(show { { { { 1 } } } }, "{ { { {...} } } }")
  local numbers = {}
  for i = 1, 30 do numbers[i] = i end
  assert(show(numbers):match("19, 20, %.%.%. %(30 in all%) }$"))
  local cycle = {}
  cycle.self = cycle
  t.same(show(cycle), "{ self = <cycle> }")
end)

t.test("what does not fit on a line gets one line an entry", function()
  t.same(show { ("x"):rep(60), { ("y"):rep(60) } }, '{\n  "' .. ("x"):rep(60) .. '",\n  { "' .. ("y"):rep(60) .. '" }\n}')
end)

t.test("functions say where they are from", function()
  t.same(show(print), "function: built in")
  assert(show(function() end):match("test_show.lua:%d+$"))
end)

t.test("a data set shows its first rows", function()
  local hf = require "hflua"
  local rows = {}
  for i = 1, 7 do rows[i] = { text = i == 2 and ("long "):rep(20) or "row " .. i, ids = { i, i } } end
  local dataset = hf.datasets.Dataset.from_list(rows)
  local text = show(dataset)
  assert(text:find(tostring(dataset), 1, true) == 1)
  assert(text:find("\n[1, 1]  row 1\n", 1, true) or text:find("\nrow 1" .. (" "):rep(45) .. "[1, 1]\n", 1, true), text)
  assert(text:find("long long long long long long long long long ...", 1, true), text)
  assert(text:match("%.%.%. %(7 rows in all%)$"), text)
  t.same(show { dataset }:find("7 rows in all"), nil)
  t.same(show(hf.datasets.Dataset.from_dict {}), tostring(hf.datasets.Dataset.from_dict {}))
end)

t.finish()
