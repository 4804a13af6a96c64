--- hflua --sandbox: what a recipe tries to reach outside its working folder fails, names what is not allowed, and leaves the rest untouched.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local program = dofile(os.getenv("HFLUA_TESTS") .. "/lib/program.lua")
local quote = program.quote

local base = os.tmpname()
os.remove(base)
local work, outside = base .. "/work", base .. "/outside"
local root = io.popen("cd " .. quote(t.dir .. "/..") .. " && pwd"):read "l"
local SECRET = "the secret\n"

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

program.shell(("mkdir -p %s %s/folder %s/data"):format(work, outside, work))
write(outside .. "/secret.txt", SECRET)
write(outside .. "/rows.jsonl", '{"text": "secret"}\n')
write(outside .. "/module.lua", "return 'outside'")
write(work .. "/data/rows.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n')
write(work .. "/inner.lua", "return { value = 42, sees_io = io.popen }")
write(work .. "/binary.lua", string.dump(function() return 1 end))
program.shell(("cd %s && ln -s %s/secret.txt link && ln -s %s folder_link && ln -s data/rows.jsonl inner_link && ln -s ../outside/secret.txt up_link")
  :format(work, outside, outside))
program.shell(("ln %s/secret.txt %s/hard && mkfifo %s/pipe"):format(outside, work, work))

-- Runs a script (its text) in the working folder; `options` and `environment` are put in front.
local function sandbox(text, options, environment)
  write(base .. "/recipe.lua", text)
  return program.shell(("cd %s && env %s %s --sandbox %s %s/recipe.lua"):format(work, environment or "", quote(program.path), options or "", base))
end

local preamble = ([[
local hf = require "hflua"
local outside = %q
local function attempt(name, fn)
  local ok, message = pcall(fn)
  print(name .. "|" .. tostring(ok) .. "|" .. tostring(message):gsub("\n", " "))
end
]]):format(outside)

-- Every attempt is { name, code, text that the error must hold }: all of a list run in one process.
local function check_attempts(list, options)
  local script = { preamble }
  for i, each in ipairs(list) do script[#script + 1] = ("attempt(%q, function() %s\nend)\n"):format(each[1], each[2]) end
  local result = sandbox(table.concat(script), options)
  assert(result.status == 0, result.err .. result.out)
  for _, each in ipairs(list) do
    local ok, message = ("\n" .. result.out):match("\n" .. each[1]:gsub("%p", "%%%0") .. "|(%a+)|([^\n]*)")
    assert(ok == "false", each[1] .. " was not refused: " .. result.out)
    assert(message:find(each[3], 1, true), ("%s: expected %q in %q"):format(each[1], each[3], message))
  end
  t.same(read(outside .. "/secret.txt"), SECRET)
  local found = program.shell(("cd %s && find . | sort"):format(outside)).out
  t.same(found, ".\n./folder\n./module.lua\n./rows.jsonl\n./secret.txt\n")
end

local closed = "--sandbox opens files beneath the working folder only"

t.test("what is not in the environment", function()
  local result = sandbox [[
    for _, name in ipairs { "dofile", "loadfile", "debug" } do print(name, _G[name]) end
    for _, name in ipairs { "execute", "exit", "getenv", "remove", "rename", "tmpname", "setlocale" } do print(name, os[name]) end
    for _, name in ipairs { "popen", "tmpfile", "input", "output", "stdout" } do print(name, io[name]) end
    for _, name in ipairs { "loadlib", "cpath", "searchers", "preload", "loaded", "searchpath" } do print(name, package[name]) end
    print("dump", string.dump) print("method", ("").dump)
  ]]
  assert(result.status == 0, result.err)
  for line in result.out:gmatch "[^\n]+" do assert(line:match "\tnil$", line) end
  assert(select(2, result.out:gsub("\n", "")) == 23, result.out)
end)

t.test("what is in it works: libraries, files, modules, threads of Lua", function()
  local result = sandbox [[
    assert(require("inner").value == 42 and require("inner") == require("inner") and not require("inner").sees_io)
    assert(require "hflua" == require "hflua" and require "hflua.tensor" == require("hflua").tensor)
    local file = assert(io.open("made.txt", "w"))
    file:write("one\ntwo\n"):close()
    local lines = {}
    for line in io.lines "made.txt" do lines[#lines + 1] = line end
    assert(#lines == 2 and io.open("made.txt"):read "a" == "one\ntwo\n" and io.open("./data/../made.txt"):read "l" == "one")
    assert(io.open("inner_link"):read "l" == '{"text": "a", "label": 0}')
    assert(load("x = 1; return _G")() == _G and x == 1)
    assert(load("return y", "c", "t", { y = 2 })() == 2)
    assert(coroutine.wrap(function() coroutine.yield(pcall(coroutine.yield, 1)) end)() == 1)
    assert(setmetatable({}, { __index = { z = 3 } }).z == 3 and getmetatable(setmetatable({}, {})) ~= nil)
    assert(os.time() > 0 and os.clock() and os.date() and ("x"):rep(3) == "xxx" and utf8.char(65) == "A")
    print(arg[1], ..., type(arg[0]))
  ]]
  t.same(result.out, "nil\tnil\tstring\n")
  assert(result.err:match "^hflua: sandbox: files beneath .+; Landlock %a+.*, seccomp %a+.*; network: the Hub's endpoint, without the token\n$", result.err)
end)

t.test("io: files outside", function()
  check_attempts {
    { "absolute", "assert(io.open(outside .. '/secret.txt'))", closed },
    { "parent", "assert(io.open '../outside/secret.txt')", closed },
    { "deep parent", "assert(io.open 'data/../../outside/secret.txt')", closed },
    { "write", "assert(io.open(outside .. '/new.txt', 'w'))", closed },
    { "append", "assert(io.open(outside .. '/secret.txt', 'a'))", closed },
    { "lines", "io.lines '/etc/passwd'", closed },
    { "link", "assert(io.open 'link')", closed },
    { "link with up", "assert(io.open 'up_link')", closed },
    { "folder behind a link", "assert(io.open 'folder_link/secret.txt')", closed },
    { "write through a link", "assert(io.open('folder_link/new.txt', 'w'))", closed },
    { "hard link", "assert(io.open('hard', 'a'))", "hard links" },
    { "pipe", "assert(io.open 'pipe')", "regular files and folders only" },
    { "pipe to write", "assert(io.open('pipe', 'w'))", "" },
    { "proc root", "assert(io.open('/proc/self/root' .. outside .. '/secret.txt'))", closed },
    { "proc cwd", "assert(io.open '/proc/self/cwd/../outside/secret.txt')", closed },
    { "environment", "assert(io.open '/proc/self/environ')", closed },
    { "memory", "assert(io.open('/proc/self/mem', 'r+'))", closed },
    { "descriptor", "assert(io.open '/dev/fd/0')", closed },
    { "device", "assert(io.open '/dev/zero')", closed },
    { "terminal", "assert(io.open('/dev/tty', 'w'))", closed },
    { "zero byte", "assert(io.open('inner.lua\\0x'))", "zero byte" },
    { "long name", "assert(io.open(('a/'):rep(5000)))", "File name too long" },
    { "meminfo to write", "assert(io.open('/proc/meminfo', 'r+'))", "not allowed" },
  }
end)

t.test("io: a link that changes under an open never leads out", function()
  local swap = program.file("cd " .. work .. "\nend=$((SECONDS+1))\nwhile [ $SECONDS -le $end ]; do ln -sfn ../outside race; ln -sfn data race; done\n")
  local result = program.shell(("bash %s & cd %s && %s --sandbox --max-time=20 %s; wait"):format(swap, work, quote(program.path), program.file [[
    local opened, stop = 0, os.time() + 1
    while os.time() < stop do
      local file = io.open "race/secret.txt"
      if file then opened = opened + 1 file:close() end
    end
    print(opened)]]))
  t.same(result.out, "0\n")
end)

t.test("code that is not Lua text, and modules outside", function()
  check_attempts {
    { "bytecode in load", "assert(load('\\27Lua'))", "attempt to load a binary chunk" },
    { "bytecode, mode b", "assert(load('\\27Lua', 'x', 'b'))", "attempt to load a binary chunk" },
    { "bytecode in pieces", "local n = 0 assert(load(function() n = n + 1 return n == 1 and '\\27L' or nil end))", "attempt to load a binary chunk" },
    { "bytecode in a file", "require 'binary'", "attempt to load a binary chunk" },
    { "string.dump", "string.dump(print)", "nil value" },
    { "loadfile", "loadfile 'inner.lua'", "nil value" },
    { "dofile", "dofile 'inner.lua'", "nil value" },
    { "loadlib", "package.loadlib('libc.so.6', '*')", "nil value" },
    { "C module", "package.path = '/usr/lib/?.so;/lib/x86_64-linux-gnu/?.so.6' require 'libc'", closed },
    { "module outside", "package.path = outside .. '/?.lua' require 'module'", closed },
    { "module above", "package.path = '../outside/?.lua' require 'module'", closed },
    { "name with dots", "require '....outside.module'", "not found" },
    { "inner modules", "require 'hflua.core.files'", "not allowed in the sandbox" },
    { "the REPL", "require 'hflua.repl'", "not allowed in the sandbox" },
    { "the sandbox", "require 'hflua.sandbox'", "not allowed in the sandbox" },
    { "io by name", "require 'io'", "not found" },
  }
end)

t.test("metatables, and what hflua calls", function()
  check_attempts {
    { "string", "getmetatable('').__index = print", "attempt to index a string value" },
    { "string method", "string.format = nil ('').format.x = 1 error 'kept'", "attempt to index a function" },
    { "file", "getmetatable(io.write()).__gc = print", "attempt" },
    { "tensor", "getmetatable(hf.tensor.zeros{1}).__index = print", "attempt" },
    { "tensor class", "hf.tensor.core.class.__gc = print", "nil value" },
    { "tensor methods", "hf.tensor.core.methods.add = print", "nil value" },
    { "module", "setmetatable(hf.json, {})", "protected metatable" },
    { "object", "setmetatable(hf.nn.Linear(2, 2), {})", "protected metatable" },
    { "function", "hf.json.encode = print", "hf.json.encode belongs to hflua" },
    { "function by rawset", "rawset(hf.json, 'encode', print)", "cannot be changed" },
    { "method", "hf.nn.Linear.forward = print", "belongs to hflua" },
    { "inherited method", "hf.nn.Module.state_dict = print", "belongs to hflua" },
    { "class", "hf.nn.Linear = {}", "hf.nn.Linear belongs to hflua" },
    { "data set", "hf.Dataset.map = print", "belongs to hflua" },
    { "function by a metamethod", "local C = hf.nn.Module:extend 'C' C.__newindex(hf.json, 'encode', print)", "cannot be changed" },
    { "function by nil", "hf.json.encode = nil", "belongs to hflua" },
    { "the globals by load", "load('return string', 'x', 't', nil)()", "attempt to index a nil value (upvalue '_ENV')" },
    { "finalizer", "setmetatable({}, { __gc = function() error 'late' end })", "__gc is not allowed" },
    { "finalizer of a class", "local C = hf.nn.Module:extend 'C' C.__gc = print C()", "__gc is not allowed" },
    { "finalizer of a subclass", "local C = hf.TrainerCallback:extend 'C' C.__gc = print C:extend 'D'()", "__gc is not allowed" },
  }
  local result = sandbox [[
    local hf = require "hflua"
    string.format, table.concat, math.floor, table.unpack, os.time = nil, nil, nil, nil, nil
    print, pairs = nil, nil
    io.write(hf.json.encode({ a = { 1, 2.5, "x" } }), "\n", tostring(hf.tensor.tensor { 1, 2 }), ("%d"):format(3), "\n")
    local real = getmetatable
    local co = coroutine.wrap(function() return real("") end)
    io.write(tostring(co()), " ", tostring(real(hf)), " ", tostring(real(io.write())), "\n")
    hf.nn.functional.dropout_rng = "counter" -- a setting
    hf.my_helper = 1                         -- a new name
    io.write(hf.my_helper, "\n")]]
  assert(result.status == 0, result.err)
  assert(result.out:find('{"a": [1, 2.5, "x"]}', 1, true) and result.out:find("3\nlocked locked locked\n1\n", 1, true), result.out)
end)

t.test("hflua's own readers, writers and listings", function()
  check_attempts {
    { "data file", "hf.datasets.load_dataset('json', { data_files = outside .. '/rows.jsonl' })", closed },
    { "data file above", "hf.datasets.load_dataset('json', { data_files = '../outside/rows.jsonl' })", closed },
    { "data by link", "hf.datasets.load_dataset('json', { data_files = 'folder_link/rows.jsonl' })", closed },
    { "data folder", "hf.datasets.load_dataset(outside)", closed },
    { "data from disk", "hf.datasets.load_from_disk(outside)", closed },
    { "data to disk", "hf.Dataset.from_dict({ a = { 1 } }):save_to_disk(outside .. '/folder')", closed },
    { "csv out", "hf.Dataset.from_dict({ a = { 1 } }):to_csv(outside .. '/a.csv')", closed },
    { "map cache", "hf.Dataset.from_dict({ a = { 1 } }):map(function(r) return r end, { cache_file_name = outside .. '/c' }):save_to_disk(outside)", closed },
    { "plot", "hf.plot({ 1, 2 }, { file = outside .. '/p.svg' })", closed },
    { "folders", "hf.makedirs(outside .. '/new/folder')", closed },
    { "folders by link", "hf.makedirs 'folder_link/new'", closed },
    { "json", "hf.json.load_file(outside .. '/rows.jsonl')", closed },
    { "json out", "hf.json.save_file({}, outside .. '/x.json')", closed },
    { "safetensors", "hf.safetensors.open(outside .. '/secret.txt')", closed },
    { "safetensors out", "hf.safetensors.save_file({ a = hf.tensor.zeros{1} }, outside .. '/x.safetensors')", closed },
    { "torch", "hf.torch.load 'hard'", "does not read pickled" },
    { "tokenizer", "hf.AutoTokenizer.from_pretrained(outside)", closed },
    { "tokenizer file", "hf.Tokenizer.from_file(outside .. '/rows.jsonl')", closed },
    { "vocabulary", "hf.BertTokenizer(outside .. '/secret.txt')", closed },
    { "model", "hf.AutoModel.from_pretrained(outside)", closed },
    { "config", "hf.AutoConfig.from_pretrained '../outside'", closed },
    { "model out", "hf.AutoModel.from_pretrained(hf.builtin 'bert'):save_pretrained(outside)", closed },
    { "tokenizer out", "hf.AutoTokenizer.from_pretrained(hf.builtin 'bert'):save_pretrained '../outside'", closed },
    { "built-in data", "hf.Dataset.from_dict({ a = { 1 } }):to_csv(hf.builtin 'bert' .. '/x.csv')", "not written" },
    { "trainer", [[local data = hf.Dataset.from_dict { input_ids = { { 1, 2 } }, labels = { 0 } }
      local model = hf.AutoModelForSequenceClassification.from_pretrained(hf.builtin 'bert')
      hf.Trainer(model, hf.TrainingArguments(outside .. '/out', { max_steps = 1, save_steps = 1 }), { train_dataset = data }):train()]], closed },
    { "resume", [[local data = hf.Dataset.from_dict { input_ids = { { 1, 2 } }, labels = { 0 } }
      local model = hf.AutoModelForSequenceClassification.from_pretrained(hf.builtin 'bert')
      hf.Trainer(model, hf.TrainingArguments('out', { max_steps = 1 }), { train_dataset = data }):train { resume_from_checkpoint = outside }]], "" },
  }
end)

t.test("the token and the environment are out of reach", function()
  local token = "hf_" .. ("x"):rep(30)
  local text = [[
    local hf = require "hflua"
    local found = {}
    local function look(value, depth)
      if type(value) == "string" then if value:find("xxxxxxxx", 1, true) then found[1] = value end return end
      if type(value) ~= "table" or found[value] or depth > 6 then return end
      found[value] = true
      for k, v in pairs(value) do look(k, depth + 1) look(v, depth + 1) end
    end
    look(_G, 1)
    look(hf, 1)
    print(found[1], pcall(os.getenv, "HF_TOKEN"))]]
  for _, options in ipairs { "", "--with-token" } do
    local result = sandbox(text, options, "HF_TOKEN=" .. token .. " AWS_SECRET=" .. token)
    t.same(result.out, "nil\tfalse\tattempt to call a nil value\n")
    assert(not result.err:find(token, 1, true))
    assert(result.err:find(options == "" and "without the token" or "with the token", 1, true), result.err)
  end
  -- What the kernel shows of the environment while the recipe runs.
  write(base .. "/wait.lua", "io.write('running\\n') while not io.open 'stop' do end")
  local shown = program.shell(([[cd %s && HF_TOKEN=%s OTHER=%s HFLUA_KEPT=1 exec %s --sandbox --max-time=60 %s >%s/running &
    until grep -q running %s/running; do sleep 0.05; done; tr '\0' '\n' </proc/$!/environ; touch %s/stop; wait]])
    :format(work, token, token, quote(program.path), base .. "/wait.lua", base, base, work))
  assert(shown.out:find("HFLUA_KEPT=1", 1, true) and not shown.out:find(token, 1, true), shown.out .. shown.err)
end)

t.test("--max-time ends what no hook of Lua can: one call of string.find", function()
  local start = os.time()
  local result = sandbox("print 'begun' string.find(('a'):rep(1e5), ('.-'):rep(12) .. 'b')", "--max-time=0.5")
  t.same(result.status, 124)
  t.same(result.out, "begun\n")
  t.same(result.err:match "[^\n]*\n$", "hflua: --max-time=0.5: the time is over\n")
  assert(os.time() - start <= 20)
  t.same(sandbox("while true do pcall(error) end", "--max-time=0.5").status, 124)
  t.same(sandbox("print 'in time'", "--max-time=60").status, 0)
end)

t.test("--max-memory: an error that pcall catches and that names the limit", function()
  local result = sandbox([[
    local hf = require "hflua"
    local function tables() local all = {} for i = 1, 1e9 do all[i] = { i } end end
    local function text() return ("x"):rep(1e9) end
    local function pieces() local s = "x" while true do s = s .. s end end
    local function tensors() local all = {} for i = 1, 1e6 do all[i] = hf.tensor.zeros { 1000, 1000 } end end
    for _, fn in ipairs { tables, text, pieces, tensors } do
      print(pcall(fn))
      collectgarbage()
      print(coroutine.resume(coroutine.create(fn)))
    end
    print(hf.tensor.ones { 10 }:sum():item(), #("y"):rep(1e6))]], "--max-memory=64M")
  assert(result.status == 0, result.err .. result.out)
  local named = 0
  for line in result.out:gmatch "false\t[^\n]+" do
    assert(line:find("the limit is --max-memory=64M", 1, true), line)
    named = named + 1
  end
  t.same(named, 8)
  assert(result.out:match "\n10.0\t1000000\n$", result.out)
end)

t.test("an error for want of memory that nobody catches is status 124", function()
  for _, text in ipairs { "local s = ('x'):rep(1e9)", "require 'hflua'.tensor.zeros { 10000, 10000 }" } do
    local result = sandbox(text, "--max-memory=64M")
    t.same(result.status, 124)
    assert(result.err:find("the limit is --max-memory=64M", 1, true), result.err)
  end
  t.same(sandbox("error 'other'", "--max-memory=64M").status, 1)
end)

t.test("a wrong or misplaced option is status 2 and says why", function()
  local file = program.file "print(...)"
  for _, case in ipairs {
    { "--sandbox", "needs a script" }, { "--sandbox -i " .. file, "is not for --sandbox" }, { "--sandbox -e x=1 " .. file, "is not for --sandbox" },
    { "--sandbox -l math " .. file, "is not for --sandbox" }, { "--max-time=3 " .. file, "is for --sandbox" }, { "--max-memory 3G " .. file, "is for --sandbox" },
    { "--with-token " .. file, "is for --sandbox" }, { "--network=none " .. file, "is for --sandbox" }, { file .. " --sandbox", "comes before the script" },
    { "--sandbox --max-time=soon " .. file, "needs a number of seconds" }, { "--sandbox --max-time=0 " .. file, "needs a number of seconds" },
    { "--sandbox --max-memory=3X " .. file, "needs a size" }, { "--sandbox --max-memory=-1 " .. file, "needs a size" }, { "--sandbox --max-memory", "needs a size" },
    { "--sandbox --network=all " .. file, "needs one of" }, { "--sandbox --network=none --with-token " .. file, "needs --network=endpoint" },
    { "--sandboxed " .. file, "is not an option" }, { "--max-times=3 " .. file, "is not an option" } } do
    local result = program.shell(("cd %s && %s %s"):format(work, quote(program.path), case[1]))
    t.same(result.status, 2, case[1])
    assert(result.err:find(case[2], 1, true), case[1] .. ": " .. result.err)
    t.same(result.out, "")
  end
  assert(program.hflua({ "--help" }).out:find("--sandbox", 1, true))
end)

t.test("a working folder that holds the home folder, hflua or its libraries is refused", function()
  local file = program.file "print 'ran'"
  for _, case in ipairs { { "cd / && ", "holds your home folder" }, { ("cd %s && HOME=%s/data "):format(work, work), "holds your home folder" },
    { ("cd %s && HOME=%s "):format(work, work), "holds your home folder" }, { ("cd %s && LD_LIBRARY_PATH=/usr/lib: "):format(work), "LD_LIBRARY_PATH" },
    { ("cd %s && LD_LIBRARY_PATH=%s "):format(work, work), "LD_LIBRARY_PATH" }, { ("cd %s && HFLUA_CUDA_BACKEND=./inner.lua "):format(work), "hflua itself" } } do
    local result = program.shell(case[1] .. quote(program.path) .. " --sandbox " .. file)
    t.same(result.status, 2, case[1])
    assert(result.err:find(case[2], 1, true), result.err)
  end
end)

t.test("the Hub cache is read, not written; downloads are off where a network is not allowed", function()
  local cache = base .. "/hub"
  local snapshot = cache .. "/models--me--tiny/snapshots/" .. ("a"):rep(40)
  program.shell(("mkdir -p %s %s/models--me--tiny/refs %s/models--me--tiny/blobs && cp %s/recipes/builtin/bert/* %s/models--me--tiny/blobs"):format(snapshot, cache, cache, root, cache))
  for name in ("config.json model.safetensors tokenizer.json tokenizer_config.json"):gmatch "%S+" do program.shell(("ln -s ../../blobs/%s %s/%s"):format(name, snapshot, name)) end
  write(cache .. "/models--me--tiny/refs/main", ("a"):rep(40))
  for _, network in ipairs { "none", "endpoint" } do
    local result = sandbox(([[
      local hf = require "hflua"
      print(hf.AutoModel.from_pretrained("me/tiny").config.model_type, #hf.AutoTokenizer.from_pretrained("me/tiny")("a word").input_ids > 2)
      print(io.open(%q .. "/models--me--tiny/refs/main", "w"))
      print(pcall(hf.json.save_file, {}, %q .. "/new.json"))]]):format(cache, cache), "--network=" .. network, "HF_HUB_CACHE=" .. cache)
    assert(result.out:match "^bert\ttrue\nnil\t[^\n]+lets this folder be read, not written[^\n]*\nfalse\t[^\n]+lets this folder be read, not written\n$", result.out .. result.err)
  end
  t.same(read(cache .. "/models--me--tiny/refs/main"), ("a"):rep(40))
end)

-- Runs a recipe of recipes/ in a new folder, with and without --sandbox: what it printed and the hash of the weights it saved.
local function run_recipe(options, recipe)
  local folder = base .. "/" .. (options == "" and "free" or "closed")
  local result = program.shell(("mkdir -p %s && cd %s && %s %s %s"):format(folder, folder, quote(program.path), options, recipe:gsub("@", root .. "/recipes")))
  assert(result.status == 0, result.err)
  local weights = program.shell(("cd %s && find . -name '*.safetensors' | sort | xargs -r sha256sum"):format(folder)).out
  program.shell("rm -rf " .. folder)
  return result.out:gsub("'train_runtime'[^\n]*", ""):gsub("'eval_runtime'[^\n]*", ""), weights
end

t.test("recipes give the same numbers inside as outside", function()
  write(base .. "/loop.lua", [=[
    local hf = require "hflua"
    local Net = hf.nn.Module:extend "Net"
    function Net:init() self.first, self.second = hf.nn.Linear(4, 8), hf.nn.Linear(8, 2) end
    function Net:forward(x) return self.second(hf.tensor.relu(self.first(x))) end
    hf.set_seed(3)
    local net = Net()
    local optimizer = hf.AdamW(net:parameters(), { lr = 0.1 })
    local x, y = hf.tensor.randn { 16, 4 }, hf.tensor.tensor({ 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1 })
    for step = 1, 5 do
      optimizer:zero_grad()
      local loss = hf.tensor.cross_entropy(net(x), y)
      loss:backward()
      optimizer:step()
      print(("%.9g"):format(loss:item()))
    end
    hf.makedirs "out"
    hf.safetensors.save_file(net:state_dict(), "out/net.safetensors")]=])
  for _, recipe in ipairs { "@/mrpc.lua --builtin --max_steps=4 --save_steps=2 --save_total_limit=1 --eval_strategy=no --logging_steps=1 --per_device_train_batch_size=4",
    "@/sonnets.lua --builtin --max_steps=2", base .. "/loop.lua" } do
    local free, free_weights = run_recipe("", recipe)
    local closed_in, closed_weights = run_recipe("--sandbox --network=none --max-memory=4G --max-time=600", recipe)
    t.same(closed_in, free)
    t.same(closed_weights, free_weights)
    assert(closed_weights:find("safetensors", 1, true), closed_weights)
  end
end)

program.shell("rm -rf " .. base)
t.finish()
