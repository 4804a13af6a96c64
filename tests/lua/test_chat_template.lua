-- Chat templates: transformers' text for templates of many families, errors, limits, and apply_chat_template.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local chat = require "hflua.tokenizer.chat"
local files = require "hflua.core.files"

local data = hf.json.load_file(t.dir .. "/golden/chat/expected.json")

-- A stand-in for a tokenizer: the template and the special tokens are all that matters without tokenizing.
local function stub(template) return { chat_template = template, special_tokens_map = { bos_token = "<s>", eos_token = "</s>" } } end

local function render(case, messages)
  local o = { tokenize = false }
  for name, value in pairs(data.options[case.options + 1]) do o[name] = value end
  o.return_assistant_tokens_mask = nil
  return chat.apply(stub(data.templates[case.template]), messages or data.conversations[case.messages], o)
end

local function check(case)
  local where = ("%s, %s, options %d"):format(case.template, case.messages, case.options)
  local ok, text = pcall(render, case)
  if case.error then
    assert(not ok, where .. ": expected an error (" .. case.error .. "), found " .. tostring(text))
  else
    assert(ok, where .. ": " .. tostring(text))
    if text ~= case.text then error(("%s:\nexpected %q\nfound    %q"):format(where, case.text, text), 0) end
  end
end

local by_template = {}
for _, case in ipairs(data.cases) do
  by_template[case.template] = by_template[case.template] or {}
  table.insert(by_template[case.template], case)
end

for name, cases in require("hflua.ordered").pairs(by_template) do
  t.test(("%s: %d renderings as transformers makes them"):format(name, #cases), function()
    for _, case in ipairs(cases) do check(case) end
  end)
end

local function text_of(source, variables) return hf.template.compile(source):render(variables or {}) end

t.test("errors name the construct and the line", function()
  local cases = {
    ["\n{{ x | lenght }}"] = "line 2: unknown filter 'lenght' (did you mean 'length'?)",
    ["{% for x in y %}"] = "line 1: 'for' is not closed by 'endfor'",
    ["{% include 'secrets' %}"] = "{% include %} is not supported",
    ["{{ a.b }}"] = "'a' is undefined",
    ["{{ 1 is strange }}"] = "unknown test 'strange'",
    ["a\nb{{ raise_exception('not this') }}"] = "line 2: not this",
    ["{{ [1].append(2) }}"] = "a template cannot change values",
    ["{{ 'open }}"] = "a string is not closed",
    ["{{ (1 }}"] = "unexpected '}', expected ')'",
    ["{{ 1 + 'a' }}"] = "'+' does not work with int and str",
    ["{{ 1 // 0 }}"] = "division by zero",
    ["{{ f(*x) }}"] = "'*' in arguments is not supported",
    ["{% set a.b = 1 %}"] = "only a namespace() has fields",
    ["{% endif %}"] = "unexpected 'endif'",
    ["{{ 'x'.foo() }}"] = "'the value.foo' is undefined",
    ["{{ '' | attr('x') | tojson }}"] = "tojson: the value is undefined",
  }
  for source, message in pairs(cases) do t.raises(function() text_of(source) end, "chat template", message) end
end)

t.test("templates end and stay small", function()
  t.raises(function() text_of("{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}") end, "steps")
  t.raises(function() text_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}") end, "calls in one another")
  t.raises(function() text_of("{{ 'a' * 999999999999 }}") end, "a text of")
  t.raises(function() text_of("{{ ([1] * 999999999)|length }}") end, "a list of more than")
  t.raises(function() text_of("{{ range(10 ** 9) }}") end, "range: more than")
  t.raises(function() text_of("{{ 'a' | indent(999999999) }}") end, "a text of")
  t.raises(function() text_of("{{ " .. ("("):rep(1000) .. "1" .. (")"):rep(1000) .. " }}") end, "levels of nesting")
  t.raises(function() text_of("{% for i in range(60) %}{% set ns = namespace(a='x') %}{% for j in range(40) %}{% set ns.a = ns.a + ns.a %}{% endfor %}{% endfor %}") end, "a text of")
end)

t.test("a template reaches neither Lua nor files", function()
  for _, name in ipairs { "os", "io", "require", "load", "_G", "string", "self" } do
    t.same(text_of("{{ " .. name .. " is defined }}"), "False")
  end
  t.same(text_of("{{ ''.__class__ is defined }}{{ {}.metatable is defined }}{{ [].tuple is defined }}"), "FalseFalseFalse")
  t.raises(function() text_of("{{ f() }}", { f = os.exit }) end, "expected text, numbers")
end)

t.test("messages of plain tables keep the usual order of fields", function()
  t.same(text_of("{{ m | tojson }}", { m = { content = "x", role = "user" } }), '{"role": "user", "content": "x"}')
end)

-- ---- with a tokenizer

local words = { "[PAD]", "[UNK]", "<u>", "<a>", "</s>", "hello", "there", "good", "day", "sir", "." }

local function small_tokenizer()
  local folder = os.tmpname() .. ".chat"
  hf.makedirs(folder)
  local vocab, added = {}, {}
  for id, word in ipairs(words) do vocab[word] = id - 1 end
  for id = 0, 4 do added[id + 1] = { id = id, content = words[id + 1], special = true, normalized = false, single_word = false, lstrip = false, rstrip = false } end
  hf.json.save_file({ version = "1.0", added_tokens = added, pre_tokenizer = { type = "Whitespace" },
    model = { type = "WordLevel", vocab = vocab, unk_token = "[UNK]" } }, folder .. "/tokenizer.json")
  hf.json.save_file({ tokenizer_class = "PreTrainedTokenizerFast", unk_token = "[UNK]", pad_token = "[PAD]", eos_token = "</s>",
    chat_template = "{% for m in messages %}{% if m.role == 'user' %}<u>{{ m.content }}{% else %}<a>{% generation %}{{ m.content + eos_token }}{% endgeneration %}{% endif %}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}" },
    folder .. "/tokenizer_config.json")
  return hf.tokenizer.AutoTokenizer.from_pretrained(folder), folder
end

local tok, folder = small_tokenizer()
local talk = { { role = "user", content = "hello sir" }, { role = "assistant", content = "good day ." } }

t.test("ids, masks of the assistant's tokens, batches, tensors", function()
  local out = tok:apply_chat_template(talk, { return_assistant_tokens_mask = true })
  t.same(out.input_ids, { 2, 5, 9, 3, 7, 8, 10, 4 })
  t.same(out.assistant_masks, { 0, 0, 0, 0, 1, 1, 1, 1 })
  t.same(out.offset_mapping, nil)
  t.same(tok:apply_chat_template({ talk[1] }, { add_generation_prompt = true, return_dict = false }), { 2, 5, 9, 3 })
  t.same(tok:apply_chat_template({ talk[1] }, { tokenize = false }), "<u>hello sir")
  local batch = tok:apply_chat_template({ talk, { talk[1] } }, { padding = true, return_tensors = "pt", return_assistant_tokens_mask = true })
  t.same(batch.input_ids:tolist(), { { 2, 5, 9, 3, 7, 8, 10, 4 }, { 2, 5, 9, 0, 0, 0, 0, 0 } })
  t.same(batch.assistant_masks:tolist()[1], { 0, 0, 0, 0, 1, 1, 1, 1 })
end)

t.test("the template is saved as transformers saves it, and read again", function()
  local other = folder .. "/saved"
  tok:save_pretrained(other)
  t.same(files.read(other .. "/chat_template.jinja"), tok.chat_template)
  t.same(hf.json.load_file(other .. "/tokenizer_config.json").chat_template, nil)
  t.same(hf.tokenizer.AutoTokenizer.from_pretrained(other).chat_template, tok.chat_template)
end)

t.test("several templates by name", function()
  tok.chat_template = { default = "d{{ messages|length }}", tool_use = "t{{ tools|length }}" }
  t.same(tok:apply_chat_template(talk, { tokenize = false }), "d2")
  t.same(tok:apply_chat_template(talk, { tokenize = false, tools = { { type = "function" } } }), "t1")
  t.same(tok:apply_chat_template(talk, { tokenize = false, chat_template = "x" }), "x")
  local other = folder .. "/named"
  tok:save_pretrained(other)
  t.same(hf.tokenizer.AutoTokenizer.from_pretrained(other).chat_template, { default = "d{{ messages|length }}", tool_use = "t{{ tools|length }}" })
end)

t.test("what cannot be asked for", function()
  t.raises(function() tok:apply_chat_template({}) end, "at least one message")
  t.raises(function() tok:apply_chat_template("hello") end, "expected a list of messages")
  t.raises(function() tok:apply_chat_template(talk, { continue_final_message = true, add_generation_prompt = true }) end, "give one of them")
  t.raises(function() tok:apply_chat_template(talk, { tokenize = false, return_assistant_tokens_mask = true }) end, "needs tokenize")
  tok.chat_template = nil
  t.raises(function() tok:apply_chat_template(talk) end, "this tokenizer has no chat template")
end)

files.remove(folder)
t.finish()
