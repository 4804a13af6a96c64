--- The pages do what they say: their Lua blocks run, their sessions answer as printed, their links lead somewhere.
--
-- The blocks of a page run in order as one script, in a folder that holds what they name: a tiny `bert-base-uncased`, `glue/mrpc`
-- with few rows, and the same as built-in data. A block that opens with "lua skip" is compiled only.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local program = dofile(os.getenv("HFLUA_TESTS") .. "/lib/program.lua")
local hf = require "hflua"

local root = t.dir .. "/.."
local folder = os.tmpname()
os.remove(folder)
local quoted = program.quote(folder)

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

local function list(command)
  local lines = {}
  for line in program.shell(command).out:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return lines
end

-- ---- what the pages find

local function first_lines(text, count)
  local lines = {}
  for line in text:gmatch "[^\n]*\n" do
    lines[#lines + 1] = line
    if #lines == count then break end
  end
  return table.concat(lines)
end

local function make_model(path)
  local tok = hf.BertTokenizer(root .. "/recipes/builtin/bert/vocab.txt", { model_max_length = 64 })
  tok:save_pretrained(path)
  write(path .. "/vocab.txt", read(root .. "/recipes/builtin/bert/vocab.txt"))
  hf.set_seed(1)
  hf.BertForMaskedLM.from_config(hf.BertConfig {
    vocab_size = #tok, hidden_size = 16, num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 32, max_position_embeddings = 64,
  }):save_pretrained(path)
end

local function make_pairs(path)
  hf.makedirs(path)
  for name, rows in pairs { train = 64, dev = 24, test = 16 } do
    write(("%s/%s.tsv"):format(path, name), first_lines(read(("%s/recipes/builtin/paraphrases/%s.tsv"):format(root, name)), rows + 1))
  end
end

local function make_folder()
  for _, path in ipairs { folder .. "/bert-base-uncased", folder .. "/builtin/bert" } do
    hf.makedirs(path)
    make_model(path)
  end
  make_pairs(folder .. "/glue/mrpc")
  make_pairs(folder .. "/builtin/paraphrases")
  hf.makedirs(folder .. "/builtin/verse")
  write(folder .. "/builtin/verse/verse.txt", first_lines(read(root .. "/recipes/builtin/verse/verse.txt"), 360))
end

-- ---- blocks

-- { info =, text =, line = } of each fenced block; `line` is the number of its first line.
local function blocks_of(path)
  local blocks, open, number = {}, nil, 0
  for line in (read(path) .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    local fence = line:match "^```(.*)$"
    if fence and not open then open = { info = fence, line = number + 1, lines = {} }
    elseif fence then
      open.text = table.concat(open.lines, "\n")
      blocks[#blocks + 1], open = open, nil
    elseif open then open.lines[#open.lines + 1] = line end
  end
  assert(not open, path .. ": a block is not closed")
  return blocks
end

-- The blocks of a page as one script whose lines are numbered as in the page.
local function script_of(path)
  local parts, line = {}, 1
  for _, block in ipairs(blocks_of(path)) do
    if block.info == "lua" then
      parts[#parts + 1] = ("\n"):rep(block.line - line) .. block.text .. "\n"
      line = block.line + #block.lines + 1
    end
  end
  return table.concat(parts)
end

local function in_folder(command, input)
  return program.shell(("cd %s && env HF_HOME=%s/cache HFLUA_BUILTIN=%s/builtin HFLUA_HISTORY= OMP_NUM_THREADS=1 %s"):format(quoted, quoted, quoted, command), input)
end

-- Names that a page speaks of without making them.
local preludes = {
  ["docs/from_transformers.md"] = [[local model, tok, dataloader, n = (function(hf) local tok = hf.AutoTokenizer.from_pretrained "bert-base-uncased" ]]
    .. [[local rows = hf.Dataset.from_list { { input_ids = tok("a b").input_ids, label = 1 }, { input_ids = tok("c d").input_ids, label = 0 } } ]]
    .. [[return hf.AutoModelForSequenceClassification.from_pretrained "bert-base-uncased", tok, hf.DataLoader(rows, { collate_fn = hf.DataCollatorWithPadding { tokenizer = tok } }), 2 end)(require "hflua") ]],
}

local function test_page(page)
  t.test(page .. ": the Lua blocks run", function()
    write(folder .. "/" .. page:gsub("/", "_") .. ".lua", (preludes[page] or "") .. script_of(root .. "/" .. page))
    local result = in_folder(program.quote(program.path) .. " " .. page:gsub("/", "_") .. ".lua")
    if result.status ~= 0 then error(("%s: exit status %s\n%s"):format(page, result.status, result.err), 0) end
  end)
end

-- ---- sessions: blocks without a language whose first line is a prompt

-- What the page shows, as it looks when the input comes from a pipe and is not echoed.
local function split_session(text)
  local input, shown = {}, {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local prompt, typed = line:match "^(>>? )(.*)$"
    if prompt then
      input[#input + 1] = typed .. "\n"
      shown[#shown + 1] = prompt
    else
      shown[#shown + 1] = line .. "\n"
    end
  end
  return table.concat(input), table.concat(shown)
end

local function test_session(page)
  t.test(page .. ": the session answers as printed", function()
    local inputs, shown = {}, {}
    for _, block in ipairs(blocks_of(root .. "/" .. page)) do
      if block.info == "" and block.text:find "^> " then
        local input, output = split_session(block.text)
        inputs[#inputs + 1], shown[#shown + 1] = input, output
      end
    end
    assert(#inputs > 0, "no session found")
    local result = in_folder(program.quote(program.path) .. " -i 2>&1", table.concat(inputs))
    local found = result.out:gsub("^hflua [^\n]*\n", "", 1):gsub("> \n?$", "")
    t.same(found, table.concat(shown))
  end)
end

-- ---- links

local function anchors_of(path)
  local anchors = {}
  for line in read(path):gmatch "[^\n]+" do
    local title = line:match "^#+ (.+)$"
    if title then anchors[title:lower():gsub("[^%w%- _]", ""):gsub(" ", "-")] = true end
  end
  return anchors
end

local function check_link(page, target)
  if target:find "^%a+:" then return end
  local path, anchor = target:match "^([^#]*)#?(.*)$"
  local full = path == "" and root .. "/" .. page or root .. "/" .. (page:match "^(.*/)" or "") .. path
  if not t.exists(full) then error(("%s: link to %s: no such file"):format(page, target), 0) end
  if anchor ~= "" and not anchors_of(full)[anchor] then error(("%s: link to %s: no such title"):format(page, target), 0) end
end

local function pages()
  return list(("cd %s && find README.md docs recipes -name '*.md' | LC_ALL=C sort"):format(program.quote(root)))
end

t.test("every link leads to a file, and to a title in it", function()
  for _, page in ipairs(pages()) do
    local text = read(root .. "/" .. page):gsub("```.-\n```", ""):gsub("`[^`\n]*`", "")
    for target in text:gmatch "%]%(([^)%s]+)%)" do check_link(page, target) end
  end
end)

t.test("the index lists every page", function()
  local index = read(root .. "/docs/index.md")
  for _, page in ipairs(pages()) do
    local path = page:match "^docs/(.*)$"
    if path and path ~= "index.md" and not index:find("(" .. path .. ")", 1, true) then error("docs/index.md: no link to " .. path, 0) end
  end
end)

t.test("every Lua block compiles", function()
  for _, page in ipairs(pages()) do
    for _, block in ipairs(blocks_of(root .. "/" .. page)) do
      if block.info:find "^lua" then assert(load(block.text, ("=%s:%d"):format(page, block.line))) end
    end
  end
end)

make_folder()
test_page "README.md"
test_page "docs/api/models.md"
test_page "docs/api/pipelines.md"
test_page "docs/quickstart.md"
test_page "docs/from_transformers.md"
for _, page in ipairs(list(("cd %s && ls docs/tutorials/*.md"):format(program.quote(root)))) do test_page(page) end
if t.exists(root .. "/docs/tutorials/repl.md") then test_session "docs/tutorials/repl.md" end
os.execute("rm -rf " .. quoted)
t.finish()
