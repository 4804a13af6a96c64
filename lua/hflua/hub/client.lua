--- Requests to the Hub: where it is, who asks, how often it is tried, and what its refusals mean.
local cache = require "hflua.hub.cache"
local core = require "hflua.core.hub"
local errors = require "hflua.errors"
local files = require "hflua.core.files"
local json = require "hflua.core.json"
local names = require "hflua.hub.names"
local system = require "hflua.core.system"

local client = {}

--- Seconds between the tries of a request, and how long a server may send nothing.
client.waits = { 1, 2, 4, 8 }
client.stall_seconds = 30

local LONGEST_WAIT = 300 -- seconds that a server may ask to wait

local worth_another_try = { [408] = true, [429] = true, [500] = true, [502] = true, [503] = true, [504] = true }

-- ---- settings

local function setting(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

local function is_on(name) return (({ ["1"] = true, ON = true, YES = true, TRUE = true })[(os.getenv(name) or ""):upper()]) end

--- Is the network to be left alone (HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE)?
function client.is_offline() return is_on(setting "HF_HUB_OFFLINE" and "HF_HUB_OFFLINE" or "TRANSFORMERS_OFFLINE") or false end

--- The Hub's address: HF_ENDPOINT, else https://huggingface.co.
function client.endpoint()
  local url = (setting "HF_ENDPOINT" or "https://huggingface.co"):gsub("/+$", "")
  local ok, message = pcall(core.check_url, url)
  if not ok then errors.raise("HF_ENDPOINT: %s", (message:gsub("^.-URL ", "URL "))) end
  return url
end

-- A token as a header may carry it. Its text is in no message.
local function checked_token(token, where)
  token = token:match("^%s*(.-)%s*$")
  if token == "" then return nil end
  if not token:match("^[!-~]+$") then errors.raise("%s: the token holds spaces, control bytes or bytes above 126; copy it again from the Hub's settings", where) end
  return token
end

-- The token of the environment, else that of `hf auth login`.
local function found_token()
  local _, given = core.may_send_token()
  if given then return checked_token(given, "HF_TOKEN") end
  local path = setting "HF_TOKEN_PATH" or cache.home() .. "/token"
  local ok, kind = pcall(files.type, path) -- a sandbox does not look there
  return ok and kind == "file" and checked_token(files.read(path), path) or nil
end

--- The token to send: `given` is text, false (none), true (there must be one) or nil (the one found, if any).
function client.token(given)
  if given == false then return nil end
  if type(given) == "string" then return checked_token(given, "token") end
  if given ~= nil and given ~= true then errors.raise("token: expected text, true or false, found %s", type(given)) end
  if given and not core.may_send_token() then errors.raise("token=true: the sandbox sends no token; start with --with-token") end
  if given == nil and (is_on "HF_HUB_DISABLE_IMPLICIT_TOKEN" or not core.may_send_token()) then return nil end
  local token = found_token()
  if given and not token then errors.raise("token=true: no token found; set HF_TOKEN, or give token = \"hf_...\"") end
  return token
end

-- What every request says.
local function common(url, token)
  return { url = url, token = token, user_agent = "hflua/" .. require "hflua.core.version", stall_seconds = client.stall_seconds,
    ca_file = setting "SSL_CERT_FILE" or setting "CURL_CA_BUNDLE" or setting "REQUESTS_CA_BUNDLE" }
end

-- ---- tries

-- In short steps: a signal ends it.
local function wait(seconds)
  local until_then = system.clock() + seconds
  while system.clock() < until_then do system.sleep(math.max(0, math.min(0.1, until_then - system.clock()))) end
end

-- Waits before another try; false when the server asks for too long a time.
local function wait_for_try(try, answer, message)
  local seconds = math.max(client.waits[try], answer and answer.retry_after or 0)
  if seconds > LONGEST_WAIT then return false end
  if answer and answer.retry_after > 0 or seconds >= 4 then
    io.stderr:write(("note: %s; another try in %g s\n"):format(message or ("the Hub answers %d"):format(answer.status), seconds))
  end
  wait(seconds)
  return true
end

-- Calls `attempt` until it is answered, or fails in a way that another try does not change: the answer, or nil, message, kind.
-- once: it is tried once.
local function try(attempt, once)
  for i = 1, #client.waits + 1 do
    local answer, message, kind = attempt()
    if kind == "stopped" then errors.raise(message) end
    local again = answer and worth_another_try[answer.status] or kind == "broken"
    if once or not again or i > #client.waits or not wait_for_try(i, answer, message) then return answer, message, kind end
  end
end

-- ---- refusals

local function title(place) return ("%s '%s'"):format(place.kind, place.name) end

local function page(place) return ("%s/%s%s"):format(client.endpoint(), place.kind == "dataset" and "datasets/" or "", place.name) end

local function no_repository(place)
  local private = place.token and "private and not open to the account of this token" or "private: then set HF_TOKEN to a token that may read it"
  return ("%s: there is no such repository at %s, or it is %s; check the spelling"):format(title(place), client.endpoint(), private)
end

local function gated(place)
  local step = place.token and "the account of this token has no access yet: ask for it at %s" or "ask for access at %s, then set HF_TOKEN to a token of that account"
  return ("%s is gated; " .. step):format(title(place), page(place))
end

local by_code = {
  EntryNotFound = function(place) return ("%s: revision '%s' has no file '%s'"):format(title(place), place.revision, place.file or "?"), "entry" end,
  RevisionNotFound = function(place) return ("%s: there is no revision '%s'; its branches and tags are listed at %s"):format(title(place), place.revision, page(place)), "revision" end,
  RepoNotFound = function(place) return no_repository(place), "refused" end,
  GatedRepo = function(place) return gated(place), "refused" end,
}

-- Text of a server for a message.
local function shown(text) return (text:sub(1, 80):gsub("[%c\128-\255]", "?")) end

-- The message and the kind ("entry", "revision", "refused", "trouble") of an answer that is no success. place: { kind, name, revision, file, token }.
local function explain(answer, place)
  local headers, status = answer.headers, answer.status
  local said = headers["x-error-message"] and " (" .. shown(headers["x-error-message"]) .. ")" or ""
  if by_code[headers["x-error-code"]] then return by_code[headers["x-error-code"]](place) end
  if status == 401 and said:find("Invalid credentials", 1, true) then
    return ("%s: the Hub refuses the token; make another one in its settings, or give token = false for public files"):format(title(place)), "refused"
  end
  if status == 401 then return no_repository(place), "refused" end
  if status == 403 then return ("%s: access is refused%s; may the account of the token read it?"):format(title(place), said), "refused" end
  if status == 404 then return place.file and by_code.EntryNotFound(place) or no_repository(place), place.file and "entry" or "refused" end
  if status == 429 then return ("%s: the Hub is asked too often%s; wait, or set HF_TOKEN, which allows more"):format(title(place), answer.retry_after > 0 and (" and wants a pause of %g s"):format(answer.retry_after) or ""), "trouble" end
  return ("%s: %s answers %d%s; try again later"):format(title(place), client.endpoint(), status, said), "trouble"
end

-- The message and the kind of a request that was not answered.
local function no_answer(place, message, kind)
  message = ("%s: %s"):format(title(place), message)
  if kind == "offline" then message = message .. " (no network?); without one, give a folder that holds the files, or a name that is in the local cache" end
  return message, kind == "failed" and "failed" or "trouble"
end

-- ---- what is asked

local kinds = { model = "models", dataset = "datasets" }

--- The address of a file.
function client.file_url(place)
  return ("%s/%s%s/resolve/%s/%s"):format(client.endpoint(), place.kind == "dataset" and "datasets/" or "", place.name,
    names.escape(place.revision), names.escape(place.file, true))
end

--- What the Hub says of a file: { commit, etag, size or nil }; else nil, message, kind and, for kind "entry", the commit without it.
-- once: a request that fails is not tried again.
function client.metadata(place, once)
  local request = common(client.file_url(place), place.token)
  request.head = true
  local answer, message, kind = try(function() return core.request(request) end, once)
  if not answer then return nil, no_answer(place, message, kind) end
  local headers, moved = answer.headers, answer.status >= 300 and answer.status < 400
  if not moved and answer.status ~= 200 then
    message, kind = explain(answer, place)
    return nil, message, kind, headers["x-error-code"] == "EntryNotFound" and answer.commit or nil
  end
  local etag = core.parse_etag(headers["x-linked-etag"] or headers.etag or "")
  local size = headers["x-linked-size"] or not moved and headers["content-length"]
  if not answer.commit or not etag then
    return nil, ("%s: %s: %s answers without %s, as no Hub does; check HF_ENDPOINT and the proxy"):format(title(place), place.file, client.endpoint(),
      answer.commit and "an ETag of 40 or 64 hexadecimal digits" or "X-Repo-Commit"), "failed"
  end
  return { commit = answer.commit, etag = etag, size = size and core.parse_size(size) or nil }
end

--- The bytes of a file into an open blob: true, or nil and the message. progress(received) is called meanwhile.
function client.fetch(place, blob, progress)
  local request = common(client.file_url(place), place.token)
  request.progress = progress
  local answer, message, kind = try(function() return blob:fetch(request) end)
  if answer and answer.status // 100 == 2 then return true end
  if not answer then return nil, (no_answer(place, place.file .. ": " .. message, kind)) end
  return nil, (explain(answer, place))
end

--- What the API says of a repository at a revision: sha, siblings { { rfilename }, ... }, cardData; else nil, message, kind.
function client.info(place, once)
  local url = ("%s/api/%s/%s/revision/%s"):format(client.endpoint(), kinds[place.kind], place.name, names.escape(place.revision))
  local answer, message, kind = try(function() return core.request(common(url, place.token)) end, once)
  if not answer then return nil, no_answer(place, message, kind) end
  if answer.status ~= 200 then return nil, explain(answer, place) end
  local ok, info = pcall(json.decode, answer.body)
  if not ok or type(info) ~= "table" or type(info.sha) ~= "string" or not names.is_commit(info.sha) or type(info.siblings) ~= "table" then
    return nil, ("%s: %s answers with something else than the description of a repository; check HF_ENDPOINT and the proxy"):format(title(place), client.endpoint()), "failed"
  end
  return info
end

return client
