--- hf.json: exact values both ways, order of names, Python's form of numbers, errors that say where.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local json = require("hflua").json

local function round_trip(text) return json.encode(json.decode(text)) end

t.test("a document comes back as it was", function()
  for _, text in ipairs {
    '{"z": 1, "a": [1, 2.0, "x", null, true, false, [], {}], "m": {"q": 1e-05, "b": ""}}',
    "[0, -1, 9223372036854775807, -9223372036854775808, 0.1, 1e+16, 1234567.0, -0.0, 5e-324]",
    '["é", "😀", "\\"\\\\\\n\\u0001", "a/b", "\127"]', '"text"', "null", "{}", "[]", '{"": {"": []}}',
  } do t.same(round_trip(text), text) end
end)

t.test("integers and floats stay what they are", function()
  t.same(math.type(json.decode("1")), "integer")
  t.same(math.type(json.decode("1.0")), "float")
  t.same(math.type(json.decode("1e3")), "float")
  t.same(math.type(json.decode("9007199254740993")), "integer")
  t.same(json.decode("9007199254740993"), 9007199254740993)
  t.same(json.decode("1000000000000000019884624838656"), 1e30)
end)

t.test("floats are written as Python writes them", function()
  local numbers = { 0.1, 1.0, 1e-5, 5e-5, 0.0001, 1e16, 1e15, 1 / 3, 2 ^ -44, 1e22, 123456789012345680.0, 1.7976931348623157e308, 2.5e-8, -1.5, 100.0 }
  local texts = { "0.1", "1.0", "1e-05", "5e-05", "0.0001", "1e+16", "1000000000000000.0", "0.3333333333333333", "5.684341886080802e-14",
    "1e+22", "1.2345678901234568e+17", "1.7976931348623157e+308", "2.5e-08", "-1.5", "100.0" }
  for i, number in ipairs(numbers) do t.same(json.encode(number), texts[i]) end
end)

t.test("names keep their order, new ones follow sorted", function()
  local object = json.decode('{"b": 1, "a": 2, "c": 3}')
  object.z, object.y, object.a = 1, 2, nil
  local names = {}
  for name in pairs(object) do names[#names + 1] = name end
  t.same(table.concat(names, " ", 1, 2), "b c")
  t.same(#names, 4)
  t.same(json.encode(object), '{"b": 1, "c": 3, "y": 2, "z": 1}')
  t.same(json.encode(object, { sort_keys = true }), '{"b": 1, "c": 3, "y": 2, "z": 1}')
  t.same(json.encode { b = 1, a = { d = 1, c = 2 } }, '{"a": {"c": 2, "d": 1}, "b": 1}')
  t.same(json.encode(require("hflua.ordered").new("f1", 0.5, "accuracy", 1)), '{"f1": 0.5, "accuracy": 1}')
  t.same(json.encode(json.ordered({ a = 1, b = 2, c = 3 }, { "c", "missing", "a" })), '{"c": 3, "a": 1, "b": 2}')
end)

t.test("objects of one shape and large objects keep their own values", function()
  local rows = json.decode('[{"b":1,"a":2},{"b":3,"a":4},{"a":5,"b":6}]')
  t.same(json.encode(rows), '[{"b": 1, "a": 2}, {"b": 3, "a": 4}, {"a": 5, "b": 6}]')
  local parts = {}
  for i = 100, 1, -1 do parts[#parts + 1] = ('"name%d": %d'):format(i, i) end
  local text = "{" .. table.concat(parts, ", ") .. "}"
  t.same(round_trip(text), text)
end)

t.test("null, arrays and number keys", function()
  local hf = require "hflua"
  t.same(hf.null, json.null)
  assert(json.decode("[null, 1]")[1] == hf.null and json.decode('{"a": null}').a == hf.null)
  t.same(json.encode { 1, json.null, 3 }, "[1, null, 3]")
  t.same(json.encode(json.array {}), "[]")
  t.same(json.encode {}, "{}")
  t.same(json.encode { [0] = "NEGATIVE", "POSITIVE", [10] = "x" }, '{"0": "NEGATIVE", "1": "POSITIVE", "10": "x"}')
end)

t.test("options: indent, ensure_ascii, separators", function()
  t.same(json.encode({ a = { 1, 2 }, b = {}, c = json.array {} }, { indent = 2 }), '{\n  "a": [\n    1,\n    2\n  ],\n  "b": {},\n  "c": []\n}')
  t.same(json.encode("é😀\127", { ensure_ascii = true }), '"\\u00e9\\ud83d\\ude00\\u007f"')
  t.same(json.encode({ 1, { a = 2 } }, { separators = { ",", ":" } }), '[1,{"a":2}]')
  t.raises(function() json.encode(1, { sort_key = true }) end, "unknown option 'sort_key' (did you mean 'sort_keys'?)")
  t.raises(function() json.encode(1, { indent = 99 }) end, "option 'indent': expected 0 to 16, found 99")
end)

t.test("a string may hold U+0000", function()
  t.same(json.decode('"a\\u0000b"'), "a\0b")
  t.same(json.encode("a\0b"), '"a\\u0000b"')
end)

t.test("malformed text: line and column", function()
  t.raises(function() json.decode('{"a": 1,\n "a": 2}') end, 'json.decode: line 2, column 2: duplicate name "a"')
  t.raises(function() json.decode("[1] x") end, "line 1, column 5: expected nothing after the value, found 'x'")
  t.raises(function() json.decode(("["):rep(200)) end, "nested more than 128 deep")
  t.raises(function() json.decode("") end, "expected a value, found the end of the text")
end)

t.test("values that are not JSON: the place is named", function()
  local holder = {}
  holder.self = holder
  for message, value in pairs {
    ["value.x.y[1]: a function cannot be written"] = { x = { y = { print } } },
    ["value[2].loss: NaN is not JSON (use null)"] = { 1, { loss = 0 / 0 } },
    ["-Infinity is not JSON"] = -1 / 0,
    ["a sequence with holes (use null) cannot be written"] = { 1, nil, 3 },
    ["both positions and names"] = { 1, a = 2 },
    ["invalid UTF-8: byte 0xff at byte 2"] = "a\xff",
    ["does it hold itself?"] = holder,
    ["keys are strings or whole numbers"] = { [1.5] = 1 },
  } do t.raises(function() json.encode(value) end, "json.encode: value", message) end
end)

t.test("files", function()
  local path = os.tmpname()
  json.save_file({ b = { 1.5 }, a = "é" }, path)
  local file = io.open(path, "rb")
  t.same(file:read("a"), '{\n  "a": "é",\n  "b": [\n    1.5\n  ]\n}\n')
  file:close()
  t.same(json.load_file(path).b[1], 1.5)
  for content, message in pairs {
    [""] = "expected JSON, found an empty file",
    ["version https://git-lfs.github.com/spec/v1\noid sha256:0\n"] = "found a Git LFS pointer",
    ["\n<!DOCTYPE html><html>"] = "found an HTML page",
    ["PK\3\4rest"] = "found a zip archive",
    [("\0"):rep(100)] = "found a file of zero bytes only",
    ["\xff\xfe{\0"] = "found UTF-16 text",
    ['{"a": tru}'] = path .. ": line 1, column 7: expected a value, found 'tru'",
  } do
    file = io.open(path, "wb")
    file:write(content)
    file:close()
    t.raises(function() json.load_file(path) end, path, message)
  end
  os.remove(path)
  t.raises(function() json.load_file(path) end, "cannot be opened: No such file or directory")
  t.raises(function() json.save_file({}, path .. "/no/folder.json") end, "cannot be written")
end)

t.finish()
