--- Downloads from a Hub on loopback, of good and of bad manners: what lands in the cache, and what is said.
local t = dofile(os.getenv "HFLUA_TESTS" .. "/lib/tap.lua")
local hub_server = dofile(os.getenv "HFLUA_TESTS" .. "/lib/hub_server.lua")
local program = dofile(os.getenv "HFLUA_TESTS" .. "/lib/program.lua")
local files = require "hflua.core.files"
local system = require "hflua.core.system"

local _, why = require("hflua.core.hub").request { url = "http://127.0.0.1:1/" }
if why:find "libcurl" then
  t.skip("downloads", why)
  t.finish()
end

local commit = hub_server.commit
local http = hub_server.http

-- A test with a server of its own.
local function test(name, fn)
  t.test(name, function()
    local server = hub_server.start()
    local ok, message = xpcall(fn, debug.traceback, server)
    server:stop()
    hub_server.clean()
    if not ok then error(message, 0) end
  end)
end

local function has(text, part) if not text:find(part, 1, true) then error(("expected %q in %q"):format(part, text), 2) end end
local function lacks(text, part) if text:find(part, 1, true) then error(("unexpected %q in %q"):format(part, text), 2) end end

-- The folder of a repository in the server's cache.
local function cache_of(server, repository, kind) return ("%s/hub/%ss--%s"):format(server.home, kind or "model", (repository:gsub("/", "--"))) end

-- Fails unless the cache holds no unfinished file.
local function no_incomplete(folder)
  local found = program.shell(("find %s -name '*.incomplete' -o -name '*.tmp'"):format(folder)).out
  if found ~= "" then error("left behind: " .. found, 2) end
end

local function count(text, part) return select(2, text:gsub(part:gsub("%p", "%%%0"), "")) end

local download = [[print(hub.hf_hub_download("org/model", "config.json"))]]

-- ---- the cache

test("a small file: blob, relative link, reference; the second time nothing is asked of a pinned commit", function(server)
  local file = server:add("org/model", "config.json", "{}\n")
  local folder = cache_of(server, "org/model")
  local path = folder .. "/snapshots/" .. commit .. "/config.json"
  t.same(server:ask(download), path)
  t.same(files.read(path), "{}\n")
  t.same(files.link_target(path), "../../blobs/" .. file.etag)
  t.same(files.read(folder .. "/refs/main"), commit)
  t.same(files.type(("%s/hub/.locks/models--org--model/%s.lock"):format(server.home, file.etag)), "file")
  no_incomplete(server.home)
  t.same(server:requests(), ("HEAD %s\nGET %s\n"):format(file.main, file.path))
  server:ask(download)
  t.same(server:requests(), "HEAD " .. file.main .. "\n")
  t.same(server:ask(([[print(hub.hf_hub_download("org/model", "config.json", { revision = %q }))]]):format(commit)), path)
  t.same(server:requests(), "")
end)

test("files in folders, names with odd characters, revisions with slashes", function(server)
  local name = "onnx/a b/ü&?#%.bin"
  local escaped = "onnx/a%20b/%C3%BC%26%3F%23%25.bin"
  local text = "bytes"
  local headers = { ETag = '"' .. server.git(text) .. '"', ["X-Repo-Commit"] = commit }
  server:answer("HEAD", "/org/model/resolve/refs%2Fpr%2F1/" .. escaped, http(200, headers, nil, #text))
  server:answer("GET", "/org/model/resolve/" .. commit .. "/" .. escaped, http(200, headers, text))
  local path = server:ask(([[print(hub.hf_hub_download("org/model", %q, { revision = "refs/pr/1" }))]]):format(name))
  t.same(path, ("%s/snapshots/%s/%s"):format(cache_of(server, "org/model"), commit, name))
  t.same(files.read(path), text)
  t.same(files.link_target(path), "../../../../blobs/" .. server.git(text))
  t.same(files.read(cache_of(server, "org/model") .. "/refs/refs/pr/1"), commit)
end)

test("a large file is fetched from where the Hub points to, and the token is not", function(server)
  local cdn = hub_server.start()
  local text = ("0123456789abcdef"):rep(70000)
  local file = server:add("org/model", "config.json", text, { large = true, cdn = cdn })
  local result = server:run(download, "HF_TOKEN=hf_secret")
  t.same(result.status, 0)
  t.same(files.read((result.out:gsub("\n", ""))), text)
  t.same(result.err, "")
  t.same(server:requests(), ("HEAD %s\nAuthorization: Bearer hf_secret\nGET %s\nAuthorization: Bearer hf_secret\n"):format(file.main, file.path))
  t.same(cdn:requests(), "GET " .. file.cdn .. "?Signature=secret\n")
  cdn:stop()
end)

test("a renamed repository is followed with the token", function(server)
  local file = server:add("new/model", "config.json", "{}")
  for _, method in ipairs { "HEAD", "GET" } do
    server:answer(method, "/org/model/resolve/main/config.json", http(307, { Location = file.main }))
    server:answer(method, "/org/model/resolve/" .. commit .. "/config.json", http(307, { Location = file.path }))
  end
  server:ask(download, "HF_TOKEN=hf_secret")
  t.same(count(server:requests(), "Authorization: Bearer hf_secret"), 4)
end)

test("a token once dropped is not sent again when a redirect comes back", function(server)
  local other = hub_server.start()
  local file = server:add("org/model", "config.json", "{}")
  server:answer("HEAD", file.main, http(302, { Location = other.url .. "/away" }))
  other:answer("HEAD", "/away", http(302, { Location = server.url .. "/back" }))
  server:answer("HEAD", "/back", http(200, { ETag = '"' .. file.etag .. '"', ["X-Repo-Commit"] = commit }, nil, 2))
  server:ask(download, "HF_TOKEN=hf_secret")
  has(server:requests(), ("HEAD %s\nAuthorization: Bearer hf_secret\nHEAD /back\nGET "):format(file.main))
  lacks(other:requests(), "secret")
  other:stop()
end)

test("where tokens come from", function(server)
  server:add("org/model", "config.json", "{}")
  local function sent(options, environment)
    server:ask(([[hub.hf_hub_download("org/model", "config.json", %s)]]):format(options), environment)
    return server:requests():match "Bearer (%S+)"
  end
  t.same(sent "{}", nil)
  files.write(server.home .. "/token", "hf_file\n")
  t.same(sent "{}", "hf_file")
  t.same(sent "{ token = true }", "hf_file")
  t.same(sent("{}", "HF_TOKEN=hf_environment"), "hf_environment")
  t.same(sent([[{ token = "hf_given" }]], "HF_TOKEN=hf_environment"), "hf_given")
  t.same(sent("{ token = false }", "HF_TOKEN=hf_environment"), nil)
  t.same(sent("{}", "HF_TOKEN=hf_environment HF_HUB_DISABLE_IMPLICIT_TOKEN=1"), nil)
  local result = server:run([[hub.hf_hub_download("org/model", "config.json", { token = "hf_a\r\nX: y" })]])
  has(result.err, "token: the token holds spaces")
  lacks(result.err, "hf_a")
end)

test("force_download, cache_dir, snapshot_download, list_repo_files, model_info", function(server)
  local file = server:add("org/model", "config.json", "{}")
  server:add("org/model", "sub/data.txt", "text")
  server:add("org/model", "pytorch_model.bin", "bin")
  server:describe("models/org/model", { "sub/data.txt", "config.json", "pytorch_model.bin" }, '{"license": "mit"}')
  server:ask(download)
  server:requests()
  server:ask [[hub.hf_hub_download("org/model", "config.json", { force_download = true })]]
  has(server:requests(), "GET " .. file.path)
  t.same(server:ask [[for _, name in ipairs(hub.list_repo_files "org/model") do print(name) end]], "config.json\npytorch_model.bin\nsub/data.txt")
  local folder = server:ask [[print(hub.snapshot_download("org/model", { ignore_patterns = { "*.bin" } }))]]
  t.same(folder, cache_of(server, "org/model") .. "/snapshots/" .. commit)
  t.same(files.read(folder .. "/sub/data.txt"), "text")
  t.same(files.type(folder .. "/pytorch_model.bin"), nil)
  t.same(server:ask [[local info = hub.model_info "org/model" print(info.sha, #info.siblings, info.card_data.license)]], commit .. "\t3\tmit")
  local other = hub_server.folder()
  has(server:ask(([[print(hub.hf_hub_download("org/model", "config.json", { cache_dir = %q }))]]):format(other)), other .. "/models--org--model/")
end)

-- ---- servers of bad manners

-- Runs the download of a file for which the server gives `answers` one after another, after the good metadata of `text`.
local function fetch_with(server, text, answers, o)
  local file = server:add("org/model", "config.json", text, o)
  for i, answer in ipairs(answers) do server:answer("GET", o and o.large and file.cdn or file.path, answer, i) end
  local result = server:run(download)
  no_incomplete(server.home)
  return result, file
end

test("500, then 429 with Retry-After, then the file", function(server)
  local result = fetch_with(server, "{}", { http(500), http(429, { ["Retry-After"] = "1" }) })
  t.same(result.status, 0)
  has(result.err, "note: the Hub answers 429; another try in 1 s")
  t.same(count(server:requests(), "GET "), 3)
end)

test("500 five times, and a pause that is too long", function(server)
  local result = fetch_with(server, "{}", { http(500), http(502), http(503), http(504), http(500) })
  t.same(result.status, 1)
  has(result.err, "model 'org/model'")
  has(result.err, "answers 500")
  t.same(count(server:requests(), "GET "), 5)
  result = fetch_with(server, "{}", { http(429, { ["Retry-After"] = "3600" }) })
  has(result.err, "wants a pause of 3600 s")
end)

local long = ("0123456789"):rep(1000)

test("a body cut short goes on where it was", function(server)
  local rest = { ["Content-Range"] = "bytes 4000-9999/10000", ETag = '"cdn"' }
  local result, file = fetch_with(server, long, { http(200, { ETag = '"cdn"' }, long:sub(1, 4000), 10000), http(206, rest, long:sub(4001)) }, { large = true })
  t.same(result.status, 0)
  t.same(files.read((result.out:gsub("\n", ""))), long)
  has(server:requests(), "GET " .. file.cdn .. "?Signature=secret\nRange: bytes=4000-\nIf-Range: \"cdn\"\n")
end)

test("a server that goes on at another byte, or starts again, or has no such range", function(server)
  local cut = http(200, { ETag = '"cdn"' }, long:sub(1, 4000), 10000)
  local function parts(range, body) return http(206, { ["Content-Range"] = range, ETag = '"cdn"' }, body) end
  for _, second in ipairs { parts("bytes 5000-9999/10000", long:sub(5001)), parts("bytes 4000-9999/20000", long:sub(4001)), parts("nonsense", long:sub(4001)),
    parts("bytes 4000-", long:sub(4001)), http(416), http(200, { ETag = '"other"' }, long) } do
    server.home = hub_server.folder()
    local result = fetch_with(server, long, { cut, second }, { large = true })
    if result.status ~= 0 then error(second:sub(1, 80) .. result.err) end
    t.same(files.read((result.out:gsub("\n", ""))), long)
  end
end)

test("a server that is silent is asked again", function(server)
  local result = fetch_with(server, long, { "!stall 0\n" .. http(200, { ETag = '"cdn"' }, long) }, { large = true })
  t.same(result.status, 0)
  t.same(count(server:requests(), "GET /cdn"), 2)
end)

test("a body that is always short, too long, or of the right size and wrong", function(server)
  local short = http(200, {}, long:sub(1, 4000))
  has(fetch_with(server, long, { short, short, short, short, short }).err, "config.json: the body was cut short: expected 10000 bytes, found 4000")
  has(fetch_with(server, long, { http(200, {}, long .. "x") }).err, "the body is longer than the 10000 bytes")
  local result, file = fetch_with(server, long, { http(200, {}, (long:gsub("9", "8"))) })
  t.same(result.status, 1)
  has(result.err, "model 'org/model': config.json: the bytes that came are not those of the file: digest: expected " .. file.etag)
  t.same(files.type(cache_of(server, "org/model") .. "/blobs/" .. file.etag), nil)
  t.same(server:run(download).status, 0)
  server.home = hub_server.folder()
  result = fetch_with(server, long, { http(200, {}, (long:gsub("9", "8"))) }, { large = true })
  has(result.err, "digest: expected " .. server.sha256(long))
end)

test("metadata that no Hub gives", function(server)
  local function with(headers, status, length)
    server:answer("HEAD", "/org/model/resolve/main/config.json", http(status or 200, headers, nil, length or 2))
    local result = server:run(download)
    t.same(result.status, 1)
    no_incomplete(server.home)
    return result.err
  end
  local good = '"' .. server.git "{}" .. '"'
  has(with { ETag = good }, "answers without X-Repo-Commit")
  has(with { ETag = good, ["X-Repo-Commit"] = "../../../x" }, "answers without X-Repo-Commit")
  for _, etag in ipairs { "../../../../tmp/evil", '"..%2f"', '"' .. ("g"):rep(40) .. '"', ("a"):rep(41), "", '"' .. ("a"):rep(40), ("A"):rep(40) } do
    has(with { ETag = etag, ["X-Repo-Commit"] = commit }, "answers without an ETag of 40 or 64 hexadecimal digits")
  end
  has(with({ ETag = good, ["X-Repo-Commit"] = commit }, 200, 10 ^ 18 // 1 | 0), "the file takes 1000000000000000000 bytes")
  server:answer("HEAD", "/org/model/resolve/" .. commit .. "/config.json", http(200, { ETag = good, ["X-Repo-Commit"] = ("f"):rep(40) }))
  has(server:run(([[hub.hf_hub_download("org/model", "config.json", { revision = %q })]]):format(commit)).err, "the Hub answers for commit ffff")
  has(with({ Location = "ftp://host/x" }, 302), "expected https://HOST/PATH")
  has(with({ Location = "http://user@host/x" }, 302), "user names and passwords are not taken")
  has(with({ Location = "/org/model/resolve/main/config.json" }, 302), "more than 5 redirects")
  has(with({ ["X-Filler"] = ("x"):rep(70000) }), "headers: more than 65536 bytes")
  server:answer("HEAD", "/org/model/resolve/main/config.json", "nonsense\r\n\r\n")
  t.same(server:run(download).status, 1)
end)

test("names that would leave the cache", function(server)
  for _, name in ipairs { "../x", "a/../../x", "/etc/passwd", "a//b", "a\\b", "a\nb", ".", "" } do
    has(server:run(([[hub.hf_hub_download("org/model", %q)]]):format(name)).err, "is no name of a file")
  end
  for _, name in ipairs { "a/b/c", "../x", "a--b", "a..b", "a b" } do has(server:run(([[hub.hf_hub_download(%q, "x")]]):format(name)).err, "not a name the Hub could have") end
  has(server:run([[hub.hf_hub_download("org/model", "x", { revision = "../x" })]]).err, "not a name the Hub could have")
  t.same(server:requests(), "")
  server:describe("models/org/model", { "config.json", "../../evil" })
  has(server:run([[hub.snapshot_download "org/model"]]).err, [[lists a file with the name "../../evil"]])
  server:answer("GET", "/api/models/org/model/revision/main", http(200, {}, "<html>"))
  has(server:run([[hub.snapshot_download "org/model"]]).err, "something else than the description")
end)

test("refusals: each with its own message", function(server)
  local path = "/org/model/resolve/main/config.json"
  local function refuse(status, headers, environment)
    server:answer("HEAD", path, http(status, headers))
    local result = server:run(download, environment)
    t.same(result.status, 1)
    lacks(result.err, "hf_secret")
    return result.err
  end
  has(refuse(401), "there is no such repository")
  has(refuse(401), "set HF_TOKEN")
  has(refuse(404, { ["X-Error-Code"] = "RepoNotFound" }, "HF_TOKEN=hf_secret"), "not open to the account of this token")
  has(refuse(401, { ["X-Error-Message"] = "Invalid credentials in Authorization header" }, "HF_TOKEN=hf_secret"), "the Hub refuses the token")
  has(refuse(401, { ["X-Error-Code"] = "GatedRepo" }), "is gated; ask for access at " .. server.url .. "/org/model, then set HF_TOKEN")
  has(refuse(403, { ["X-Error-Code"] = "GatedRepo" }, "HF_TOKEN=hf_secret"), "has no access yet")
  has(refuse(403, { ["X-Error-Message"] = "not \195\188" }), "access is refused (not ??)")
  has(refuse(404, { ["X-Error-Code"] = "RevisionNotFound" }), "there is no revision 'main'")
  has(refuse(404, { ["X-Error-Code"] = "EntryNotFound" }), "revision 'main' has no file 'config.json'")
end)

test("a file that a revision has not is remembered", function(server)
  server:add("org/model", "config.json", "{}")
  local code = [[local source = hub.open("org/model", { kind = "model" }) print(source:file "none.json", source:file "config.json" ~= nil)]]
  t.same(server:ask(code), "nil\ttrue")
  t.same(files.type(cache_of(server, "org/model") .. "/.no_exist/" .. commit .. "/none.json"), "file")
  server:requests()
  t.same(server:ask(([[local source = hub.open("org/model", { kind = "model", revision = %q }) print(source:file "none.json", source:file "config.json" ~= nil)]]):format(commit)), "nil\ttrue")
  t.same(server:requests(), "")
end)

-- ---- without a network

test("no network: what is cached is used, with one note; what is not, is said", function(server)
  server:add("org/model", "config.json", "{}")
  local path = server:ask(download)
  for _, endpoint in ipairs { "http://127.0.0.1:9", "http://hub.invalid" } do
    local result = server:run([[local source = hub.open("org/model") source:file "a" source:file "b" ]] .. download, "HF_ENDPOINT=" .. endpoint)
    t.same(result.out, path .. "\n")
    t.same(count(result.err, "is taken from the local cache"), 1)
    t.same(count(result.err, "\n"), 1)
  end
  has(server:run([[hub.hf_hub_download("org/other", "x")]], "HF_ENDPOINT=http://hub.invalid").err, "model 'org/other': http://hub.invalid: Could not resolve host")
  has(server:run([[hub.hf_hub_download("org/other", "x")]], "HF_ENDPOINT=http://127.0.0.1:9").err, "Failed to connect")
  server:answer("HEAD", "/org/model/resolve/main/config.json", http(503))
  has(server:run(download).err, "answers 503; try again later; model 'org/model' is taken from the local cache")
end)

test("HF_HUB_OFFLINE and local_files_only ask nobody", function(server)
  server:add("org/model", "config.json", "{}")
  local path = server:ask(download)
  server:requests()
  t.same(server:ask(download, "HF_HUB_OFFLINE=1"), path)
  t.same(server:ask(download, "TRANSFORMERS_OFFLINE=yes"), path)
  t.same(server:ask [[print(hub.try_to_load_from_cache("org/model", "config.json"), hub.try_to_load_from_cache("org/model", "x"), hub.try_to_load_from_cache("org/none", "x"))]], path .. "\tnil\tnil")
  t.same(server:ask [[print(hub.hf_hub_download("org/model", "config.json", { local_files_only = true }))]], path)
  has(server:run([[hub.hf_hub_download("org/model", "other")]], "HF_HUB_OFFLINE=1").err, "other: not in the local Hub cache")
  has(server:run([[hub.hf_hub_download("org/none", "other")]], "HF_HUB_OFFLINE=1").err, "HF_HUB_OFFLINE or local_files_only forbids")
  has(server:run([[hub.hf_hub_download("org/model", "config.json", { force_download = true })]], "HF_HUB_OFFLINE=1").err, "force_download needs the network")
  t.same(server:requests(), "")
end)

test("https that is no https, and a bad HF_ENDPOINT", function(server)
  local result = server:run(download, "HF_ENDPOINT=https://127.0.0.1:" .. server.port)
  t.same(result.status, 1)
  has(result.err, "https://127.0.0.1")
  has(server:run(download, "HF_ENDPOINT=file:///etc").err, "HF_ENDPOINT: URL 'file:///etc': expected https://HOST/PATH")
end)

-- ---- faults on this side

test("a cache that cannot be written serves what it has", function(server)
  server:add("org/model", "config.json", "{}")
  server:add("org/model", "other.json", "{ }")
  local path = server:ask(download)
  assert(os.execute("chmod -R a-w " .. server.home))
  if os.execute("test -w " .. server.home) then return end -- root writes anywhere
  t.same(server:ask(download), path)
  has(server:run([[hub.hf_hub_download("org/model", "other.json")]]).err, "Permission denied")
end)

test("a full disk leaves nothing behind", function(server)
  server:add("org/model", "config.json", ("x"):rep(100000))
  local result = program.shell("trap '' XFSZ; ulimit -f 40; " .. server:command(download))
  t.same(result.status, 1)
  has(result.err, "cannot be written: File too large")
  no_incomplete(server.home)
  t.same(files.type(cache_of(server, "org/model") .. "/blobs/" .. server.git(("x"):rep(100000))), nil)
end)

local slow_text = ("0123456789"):rep(20000)

-- Waits until something is on the disk of a download.
local function wait_for_incomplete(server)
  for _ = 1, 500 do
    if program.shell(("find %s -name '*.incomplete' -size +0 2>/dev/null"):format(server.home)).out ~= "" then return end
    system.sleep(0.01)
  end
  error "no download begins"
end

-- Starts the slow download of a file in the background and sends a signal in the middle of it: the exit status.
local function interrupted(server, signal)
  local file = server:add("org/model", "config.json", slow_text, { large = true })
  server:answer("GET", file.cdn, "!pause 20000 200\n" .. http(200, { ETag = '"cdn"' }, slow_text), 1)
  local status = server.root .. "/status"
  os.execute(("( exec %s >/dev/null 2>&1 & echo $! >%s.pid; wait $!; echo $? >%s ) &"):format(server:command(download), status, status))
  wait_for_incomplete(server)
  os.execute(("kill -%s $(cat %s.pid)"):format(signal, status))
  for _ = 1, 500 do
    local text = files.type(status) and files.read(status)
    if text and text ~= "" then return tonumber(text) end
    system.sleep(0.01)
  end
  error "the program does not end"
end

test("kill -9 in the middle of a download: the next one is right", function(server)
  t.same(interrupted(server, "KILL"), 137)
  t.same(files.type(cache_of(server, "org/model") .. "/blobs/" .. server.sha256(slow_text)), nil)
  t.same(files.read(server:ask(download)), slow_text)
end)

for signal, status in pairs { TERM = 143, INT = 130 } do
  test("SIG" .. signal .. " ends a download and leaves nothing behind", function(server)
    t.same(interrupted(server, signal), status)
    no_incomplete(server.home)
  end)
end

test("two programs at once: one fetches, both have the file", function(server)
  local file = server:add("org/model", "config.json", slow_text, { large = true })
  server:answer("GET", file.cdn, "!pause 50000 50\n" .. http(200, {}, slow_text))
  local command = server:command(download)
  local result = program.shell(("%s & %s; wait"):format(command, command))
  t.same(select(2, result.out:gsub("\n", "")), 2)
  t.same(count(server:requests(), "GET /cdn"), 1)
  t.same(files.read(result.out:match "^(.-)\n"), slow_text)
end)

test("a damaged file in the cache is set aside and fetched once more", function(server)
  local file = server:add("org/model", "generation_config.json", [[{"max_length": 33}]])
  local blob = cache_of(server, "org/model") .. "/blobs/" .. file.etag
  server:ask [[hub.hf_hub_download("org/model", "generation_config.json")]]
  files.write(blob, [[{"max_length": 3]])
  server:requests()
  local code = [[local source = hub.open "org/model"
    print(source:reading(function() return hf.json.load_file(source:need "generation_config.json").max_length end))]]
  local result = server:run(code)
  t.same(result.out, "33\n")
  has(result.err, "1 damaged file in the cache set aside")
  t.same(files.read(blob), [[{"max_length": 33}]])
  t.same(files.read(blob .. ".corrupt"), [[{"max_length": 3]])
  has(server:run([[local source = hub.open "org/model" source:need "generation_config.json" source:reading(function() error "other" end)]]).err, "other")
end)

if program.has_terminals() then
  test("on a terminal a bar counts the bytes", function(server)
    server:add("org/model", "model.safetensors", ("0123456789"):rep(200000), { large = true })
    local result = program.terminal("expect model.safetensors: 100%|\nexpect | 2.00M/2.00M [\neof\n", { "-e", "require 'hflua'.hub.hf_hub_download('org/model', 'model.safetensors')" },
      ("-u HF_HUB_OFFLINE no_proxy='*' HF_HOME=%s HF_ENDPOINT=%s"):format(server.home, server.url))
    if result.status ~= 0 then error(result.err) end
  end)
end

-- ---- the command

test("hflua cache ls and verify", function(server)
  server:add("org/model", "config.json", "{}")
  local file = server:add("org/model", "large.bin", "large", { large = true })
  server:ask(download .. [[ hub.hf_hub_download("org/model", "large.bin")]])
  local function cache(arguments) return program.shell(("env HF_HOME=%s %s cache %s"):format(server.home, program.path, arguments)) end
  local result = cache "ls"
  t.same(result.status, 0)
  has(result.out, "org/model")
  has(result.out, "7 B  2 files  main")
  t.same(cache("verify").out, ("2 files checked in %s/hub, 0 damaged\n"):format(server.home))
  files.write(cache_of(server, "org/model") .. "/blobs/" .. file.etag, "lArge")
  result = cache "verify"
  t.same(result.status, 1)
  has(result.out, file.etag .. " does not hold what its name stands for")
  t.same(cache("").status, 2)
  t.same(cache("verify x").status, 2)
end)

-- ---- in the sandbox

-- Runs `download` as a stranger's recipe in a folder of its own.
local function in_sandbox(server, options)
  local work = hub_server.folder()
  files.write(work .. "/recipe.lua", "local hub = require('hflua').hub " .. download)
  return program.shell(("cd %s && env -u HF_HUB_OFFLINE -u HF_HUB_CACHE no_proxy='*' HF_TOKEN=hf_secret HF_HOME=%s HF_ENDPOINT=%s %s --sandbox %s recipe.lua"):format(
    work, server.home, server.url, program.quote(program.path), options))
end

test("a sandboxed recipe downloads into the cache, without the token unless it may be sent", function(server)
  local file = server:add("org/model", "config.json", "{}\n")
  local result = in_sandbox(server, "")
  t.same(result.status, 0, result.err)
  t.same(files.read((result.out:gsub("\n", ""))), "{}\n")
  t.same(files.read(cache_of(server, "org/model") .. "/refs/main"), commit)
  lacks(server:requests(), "secret")
  no_incomplete(server.home)
  os.execute("rm -rf " .. cache_of(server, "org/model"))
  t.same(in_sandbox(server, "--with-token").status, 0)
  t.same(server:requests(), ("HEAD %s\nAuthorization: Bearer hf_secret\nGET %s\nAuthorization: Bearer hf_secret\n"):format(file.main, file.path))
end)

test("a sandbox without a network asks nobody", function(server)
  server:add("org/model", "config.json", "{}\n")
  local result = in_sandbox(server, "--network=none")
  t.same(result.status, 1)
  has(result.err, "--network=none")
  t.same(server:requests(), "")
end)

-- ---- models, tokenizers, data sets

-- All files of a folder as a repository; the files asked for later come from it.
local function add_folder(server, repository, folder, list)
  for _, name in ipairs(list) do server:add(repository, name, files.read(folder .. "/" .. name), { large = name:find "safetensors" ~= nil }) end
end

local bert = t.dir .. "/../recipes/builtin/bert"

test("from_pretrained fetches what a model and its tokenizer need, and no more", function(server)
  add_folder(server, "org/bert", bert, files.list(bert))
  server:add("org/bert", "pytorch_model.bin", "never asked for")
  local code = [[local model = hf.AutoModelForMaskedLM.from_pretrained("org/bert", { quiet = true })
    local tok = hf.AutoTokenizer.from_pretrained("org/bert")
    print(model.config.hidden_size, #tok("a test").input_ids)]]
  local first = server:ask(code)
  local requests = server:requests()
  lacks(requests, "pytorch_model")
  t.same(count(requests, "/resolve/main/"), 1)
  server:ask(code)
  t.same(count(server:requests(), "\n"), 1)
  t.same(server:ask(code, "HF_HUB_OFFLINE=1"), first)
end)

test("weights in shards, and a shard that the index invents", function(server)
  local folder = hub_server.folder()
  local hf = require "hflua"
  hf.AutoModelForMaskedLM.from_pretrained(bert, { quiet = true }):save_pretrained(folder, { max_shard_size = "1MB" })
  add_folder(server, "org/bert", folder, files.list(folder))
  local code = [[print(hf.AutoModelForMaskedLM.from_pretrained("org/bert", { quiet = true }).config.hidden_size)]]
  server:ask(code)
  t.same(count(server:requests(), "GET /cdn/"), #files.list(folder) - 1 - (files.type(folder .. "/generation_config.json") and 1 or 0))
  server:add("org/evil", "config.json", files.read(folder .. "/config.json"))
  server:add("org/evil", "model.safetensors.index.json", [[{"weight_map": {"a": "../../x.safetensors"}}]])
  has(server:run((code:gsub("org/bert", "org/evil"))).err, "expected a plain file name")
end)

test("a model that is damaged in the cache is fetched again", function(server)
  add_folder(server, "org/bert", bert, files.list(bert))
  local code = [[print(hf.AutoModelForMaskedLM.from_pretrained("org/bert", { quiet = true }).config.hidden_size)]]
  local size = server:ask(code)
  local path = cache_of(server, "org/bert") .. "/snapshots/" .. commit .. "/model.safetensors"
  local blob = cache_of(server, "org/bert") .. "/blobs/" .. files.sha256(path)
  files.write(blob, files.read(blob):sub(1, 1000))
  local result = server:run(code)
  t.same(result.out, size .. "\n")
  has(result.err, "set aside")
end)

test("a data set by the configurations of its card", function(server)
  local list = { "README.md", "mrpc/train-0.csv", "mrpc/train-1.csv", "mrpc/test-0.csv", "sst2/train.csv" }
  for i, name in ipairs(list) do server:add("datasets/glue", name, "a,b\n" .. i .. ",x\n") end
  server:describe("datasets/glue", list, [[{"configs": [{"config_name": "mrpc", "data_files": [{"split": "train", "path": "mrpc/train-*"}, {"split": "test", "path": ["mrpc/test-*"]}]},
    {"config_name": "sst2", "data_files": "sst2/*.csv"}]}]])
  t.same(server:ask [[local ds = hf.load_dataset("glue", "mrpc") print(#ds.train, #ds.test, ds.train[2].a)]], "2\t1\t3")
  lacks(server:requests(), "sst2")
  t.same(server:ask [[print(#hf.load_dataset("glue", "sst2", { split = "train" }))]], "1")
  has(server:run([[hf.load_dataset "glue"]]).err, "several configurations; give one of them: mrpc, sst2")
  has(server:run([[hf.load_dataset("glue", "mrcp")]]).err, "did you mean 'mrpc'?")
  t.same(server:ask [[print(#hf.load_dataset("glue", "mrpc").train)]], "2")
  t.same(server:ask([[print(#hf.load_dataset("glue", "mrpc").train)]], "HF_HUB_OFFLINE=1"), "2")
end)

test("a data set by the names of its files; only the splits that are asked for", function(server)
  local list = { "data/train.jsonl", "data/validation.jsonl", "data/deep/test.jsonl", "notes.txt" }
  for i, name in ipairs(list) do server:add("datasets/org/set", name, ('{"n": %d}\n'):format(i)) end
  server:describe("datasets/org/set", list)
  t.same(server:ask [[local ds = hf.load_dataset "org/set" print(ds.train[1].n, ds.validation[1].n, ds.test[1].n)]], "1\t2\t3")
  server.home = hub_server.folder()
  server:requests()
  t.same(server:ask [[print(hf.load_dataset("org/set", { split = "validation[:50%]+test" })[1].n)]], "3")
  lacks(server:requests(), "train")
end)

test("splits with names of their own, and repositories without data", function(server)
  server:add("datasets/org/set", "data/human-00000-of-00001.csv", "n\n7\n")
  server:describe("datasets/org/set", { "data/human-00000-of-00001.csv" })
  t.same(server:ask [[print(hf.load_dataset("org/set").human[1].n)]], "7")
  server:describe("datasets/org/none", { "README.md", "picture.png" })
  t.same(server:ask [[print(hf.load_dataset("org/set", { data_files = { test = "data/*.csv" } }).test[1].n)]], "7")
  has(server:run([[hf.load_dataset("org/set", { data_files = "none.csv" })]]).err, "'org/set': no files that can be read")
  has(server:run([[hf.load_dataset "org/none"]]).err, "load_dataset: 'org/none': no files that can be read; expected parquet, csv")
end)

test("a data set of a script is taken from the Hub's conversion", function(server)
  server:describe("datasets/org/set", { "set.py", "README.md" })
  server:describe("datasets/org/set", { "one/train/0000.parquet", "two/train/0000.parquet" }, nil, "refs%2Fconvert%2Fparquet")
  has(server:run([[hf.load_dataset "org/set"]]).err, "give one of them: one, two")
  server:add("datasets/org/set", "one/train/0000.parquet", "no parquet")
  local result = server:run([[hf.load_dataset("org/set", "one")]])
  t.same(result.status, 1)
  has(result.err, "0000.parquet")
  has(server:requests(), ("HEAD /datasets/org/set/resolve/%s/one/train/0000.parquet"):format(commit))
end)

t.finish()
