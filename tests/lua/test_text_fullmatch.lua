-- Regular expressions over whole texts: what matches, and that hostile expressions end with an error.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local fullmatch = require("hflua.core.text").fullmatch

t.test("the whole text, from its beginning to its end", function()
  assert(fullmatch("a|ab", "ab") and fullmatch("", "") and not fullmatch("a", "ab") and not fullmatch("b", "ab"))
  assert(fullmatch("a\0b", "a\0b") and not fullmatch("a\0b", "a"))
end)

t.test("expressions that cannot stand by themselves", function()
  t.raises(function() fullmatch("a)|(b", "a") end, "unmatched closing parenthesis")
  t.raises(function() fullmatch("[", "a") end, "a class in brackets has no end")
  t.raises(function() fullmatch("\\", "a") end, "a backslash stands at the end")
  t.raises(function() fullmatch(("("):rep(100000), "a") end, "groups are open")
end)

t.test("backtracking ends at the limits", function()
  local text = ("a"):rep(40)
  for _, pattern in ipairs { "(a+)+", "(a|aa)+$" } do
    t.raises(function() fullmatch(pattern, text .. "b") end, "match limit exceeded")
  end
  t.raises(function() fullmatch("(?:a?){40}a{40}", text) end, "match limit exceeded")
end)

t.finish()
