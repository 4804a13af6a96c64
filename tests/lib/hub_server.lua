--- A Hub on loopback for tests (tests/cli/hub_server.c), and programs that ask it.
--
--     local server = hub_server.start()
--     local file = server:add("org/model", "config.json", "{}")
--     local result = server:run [[print(require("hflua").hub.hf_hub_download("org/model", "config.json"))]]
--     server:stop()
local program = dofile(os.getenv "HFLUA_TESTS" .. "/lib/program.lua")
local files = require "hflua.core.files"
local system = require "hflua.core.system"

local hub_server = { commit = ("0123456789"):rep(4) }
hub_server.__index = hub_server

--- A new folder for the test; hub_server.clean removes all of them.
local folders = {}
function hub_server.folder()
  local path = os.tmpname()
  os.remove(path)
  system.makedirs(path)
  folders[#folders + 1] = path
  return path
end

function hub_server.clean()
  for _, path in ipairs(folders) do os.execute(("chmod -R u+w '%s'; rm -rf '%s'"):format(path, path)) end
  folders = {}
end

function hub_server.start()
  local self = setmetatable({ root = hub_server.folder(), home = hub_server.folder() }, hub_server)
  self.pipe = assert(io.popen("exec " .. program.quote(assert(os.getenv "HFLUA_HUB_SERVER")) .. " " .. self.root))
  self.port = assert(tonumber(self.pipe:read "l"), "the test server does not start")
  self.url = "http://127.0.0.1:" .. self.port
  files.write(self.root .. "/default", self.http(404, { ["X-Error-Code"] = "EntryNotFound", ["X-Repo-Commit"] = self.commit }))
  return self
end

function hub_server:stop()
  files.write(self.root .. "/stop", "")
  self.pipe:close()
end

--- The text of an answer. length: what it says of its body's length, when that is not the truth.
function hub_server.http(status, headers, body, length)
  local lines = { ("HTTP/1.1 %d Answer"):format(status), "Connection: close", "Content-Length: " .. (length or #(body or "")) }
  for name, value in pairs(headers or {}) do lines[#lines + 1] = name .. ": " .. value end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

--- What the server says to METHOD path; number: to the first, second, ... request only.
function hub_server:answer(method, path, text, number)
  local name = self.root .. "/" .. method .. path .. (number and "." .. number or "")
  system.makedirs(name:match "^(.*)/")
  files.write(name, text)
end

local function digest(text, of)
  local path = program.file(text)
  local hex = of(path)
  program.clean()
  return hex
end

--- Git's name of a text, and its SHA-256.
function hub_server.git(text) return digest(text, files.git_digest) end
function hub_server.sha256(text) return digest(text, files.sha256) end

--- A file of a repository, as the Hub serves small ones; large: as it serves those of LFS, by a redirect to `cdn` (a server). Returns
-- { etag, head, get } with the answers' paths.
function hub_server:add(repository, name, text, o)
  o = o or {}
  local etag = o.etag or (o.large and self.sha256(text) or self.git(text))
  local paths, commit = {}, o.commit or self.commit
  for i, revision in ipairs { "main", commit } do
    local path = ("/%s/resolve/%s/%s"):format(repository, revision, name)
    paths[i] = path
    if o.large then
      local cdn = o.cdn or self
      local place = "/cdn/" .. etag
      local head = self.http(302, { Location = cdn.url .. place .. "?Signature=secret", ["X-Repo-Commit"] = commit, ["X-Linked-Etag"] = '"' .. etag .. '"',
        ["X-Linked-Size"] = #text })
      self:answer("HEAD", path, head)
      self:answer("GET", path, head)
      cdn:answer("GET", place, self.http(200, { ETag = '"cdn"' }, text))
    else
      local headers = { ETag = '"' .. etag .. '"', ["X-Repo-Commit"] = commit }
      self:answer("HEAD", path, self.http(200, headers, nil, #text))
      self:answer("GET", path, self.http(200, headers, text))
    end
  end
  return { etag = etag, main = paths[1], path = paths[2], cdn = "/cdn/" .. etag }
end

--- What the API says of a repository. path: "models/org/name" or "datasets/org/name"; card: JSON text.
function hub_server:describe(path, list, card, revision)
  local siblings = {}
  for i, name in ipairs(list) do siblings[i] = ('{"rfilename": %q}'):format(name) end
  self:answer("GET", ("/api/%s/revision/%s"):format(path, revision or "main"), self.http(200, { ["Content-Type"] = "application/json" },
    ('{"sha": "%s", "siblings": [%s], "cardData": %s}'):format(self.commit, table.concat(siblings, ", "), card or "{}")))
end

--- The requests so far; then none.
function hub_server:requests()
  local path = self.root .. "/log"
  local text = files.type(path) and files.read(path) or ""
  os.remove(path)
  return text
end

--- The command of a program that asks this server. environment: "A=b C=d" in front; waits between tries are short.
function hub_server:command(code, environment)
  local quick = "local client = require 'hflua.hub.client' client.waits = { 0.01, 0.01, 0.01, 0.01 } client.stall_seconds = 1 "
  return ("env -u HF_HUB_OFFLINE -u HF_TOKEN -u HF_HUB_CACHE no_proxy='*' HF_HOME=%s HF_ENDPOINT=%s %s %s -e %s"):format(self.home, self.url, environment or "",
    program.quote(program.path), program.quote(quick .. "hf = require 'hflua' hub = hf.hub " .. code))
end

--- Runs it: { status =, out =, err = }.
function hub_server:run(code, environment) return program.shell(self:command(code, environment)) end

--- As run; the output, without its last line end. An error when the program fails.
function hub_server:ask(code, environment)
  local result = self:run(code, environment)
  if result.status ~= 0 then error(result.err, 2) end
  return (result.out:gsub("\n$", ""))
end

return hub_server
