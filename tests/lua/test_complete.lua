--- Names that Tab offers.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local complete = require "hflua.complete"
local hf = require "hflua"

local function has(before, env, ...)
  local names = {}
  for _, name in ipairs((complete.candidates(before, env))) do names[name] = true end
  for _, name in ipairs { ... } do assert(names[name], before .. ": " .. name .. " is missing") end
  return names
end

t.test("names, fields, chains and indices", function()
  local env = { word = "abc", tree = { left = { leaf = 1 }, [1] = { first = 1 }, ["a b"] = { second = 1 } } }
  t.same({ complete.tab("print(wo", env) }, { "rd" })
  t.same({ complete.tab("tree.left.l", env) }, { "eaf" })
  t.same({ complete.tab("tree[1].", env) }, { "first" })
  t.same({ complete.tab('tree["a b"].', env) }, { "second" })
  t.same({ complete.tab("x = word:up", env) }, { "per" })
  t.same({ complete.tab("word:zz", env) }, {})
  t.same({ complete.tab("none.x", env) }, {})
  t.same({ complete.tab("fun", env) }, { "ction" })
  t.same({ complete.tab("  ", env) }, { "  " })
  t.same({ complete.tab("", env) }, { "  " })
end)

t.test("several names: the common start, then the list", function()
  local env = { alpha = 1, alphabet = 2 }
  t.same({ complete.tab("al", env) }, { "pha" })
  t.same({ complete.tab("alpha", env) }, { nil, "alpha     alphabet" })
  t.same(complete.columns({ "a", "bb", "c" }, 8), "a   bb\nc")
end)

t.test("private names only when asked for; an __index that raises is no error", function()
  local env = { o = setmetatable({ _hidden = 1, shown = 2 }, { __index = function() error "no" end }) }
  t.same((complete.candidates("o.", env)), { "shown" })
  t.same((complete.candidates("o._", env)), { "_hidden" })
  t.same((complete.candidates("o.none.x", env)), {})
end)

t.test("methods of hflua's objects", function()
  local env = { hf = hf, x = hf.tensor.tensor { 1.0 }, ds = hf.datasets.Dataset.from_list { { a = 1 } } }
  has("hf.", env, "Trainer", "AutoTokenizer", "BertModel", "load_dataset", "range", "tensor")
  has("hf.trainer.Tr", env, "TrainingArguments")
  has("hf.models.Bert", env, "BertForMaskedLM")
  has("x:", env, "backward", "softmax")
  has("x.", env, "shape", "backward")
  local methods = has("ds:", env, "map", "shuffle")
  assert(not methods.__index)
end)

t.finish()
