--- The side of hflua of tokenizer_components.py: reads cases from a JSON file and writes what the engine makes of them.
--   hflua tokenizer_components.lua CASES.json RESULTS.json
local core = require "hflua.core.tokenizer"
local json = require "hflua.core.json"

local DETAILED, SPECIAL = 4, 1

local function pre_tokenized(engine, text)
  local pieces = json.array {}
  for i, piece in ipairs(engine:pre_tokenize(text)) do pieces[i] = piece end
  return pieces
end

local function encoded(engine, text)
  local ok, encoding = pcall(engine.encode, engine, text, nil, DETAILED | SPECIAL, 0, 0, 0, 0, 0, 0, 0, 0)
  if not ok then return { error = tostring(encoding) } end
  local ok_plain, plain = pcall(engine.encode, engine, text, nil, SPECIAL, 0, 0, 0, 0, 0, 0, 0, 0)
  assert(ok_plain, plain)
  local ids, bare = encoding:row("input_ids", 1), plain:row("input_ids", 1)
  assert(#ids == #bare, "ids with and without offsets differ")
  for i, id in ipairs(ids) do assert(id == bare[i], "ids with and without offsets differ") end
  return { ids = json.array(ids), offsets = json.array(encoding:row("offset_mapping", 1)) }
end

local results = json.array {}
for i, case in ipairs(json.load_file(arg[1])) do
  local ok, engine = pcall(core.from_json, case.document, "case " .. i)
  local result = { texts = json.array {} }
  if not ok then result.error = tostring(engine) end
  for j, text in ipairs(ok and case.texts or {}) do
    result.texts[j] = { normalized = engine:normalize(text), pieces = pre_tokenized(engine, text), encoding = encoded(engine, text) }
  end
  if ok then
    result.decoded = json.array {}
    for j, ids in ipairs(case.ids) do result.decoded[j] = engine:decode(ids, false) end
  end
  results[i] = result
end
json.save_file(results, arg[2])
