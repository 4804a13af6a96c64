--- Names on the Hub: what a repository, a revision and a file may be called, and how they stand in a URL. They come from users and
-- from servers, and become parts of paths: nothing is used before it passed here.
local names = {}

-- Repositories that moved into an organisation; the cache may hold either spelling.
local organisations = {
  { "^bert%-base%-", "google-bert" }, { "^bert%-large%-", "google-bert" },
  { "^distilbert%-base%-", "distilbert" }, { "^distilroberta%-base$", "distilbert" }, { "^distilgpt2$", "distilbert" },
  { "^roberta%-base$", "FacebookAI" }, { "^roberta%-large", "FacebookAI" }, { "^xlm%-roberta%-", "FacebookAI" },
  { "^gpt2$", "openai-community" }, { "^gpt2%-", "openai-community" },
  { "^t5%-", "google-t5" }, { "^glue$", "nyu-mll" }, { "^imdb$", "stanfordnlp" },
  { "^cnn_dailymail$", "abisee" }, { "^yelp_review_full$", "Yelp" },
}

--- True for `name` and `organisation/name` as the Hub allows them.
function names.is_repository(name)
  if #name == 0 or #name > 96 or name:find("--", 1, true) or name:find("..", 1, true) then return false end
  local first, second = name:match("^([%w._-]+)/?([%w._-]*)$")
  return first ~= nil and (second ~= "" or not name:find("/", 1, true))
end

--- True for a branch, a tag, a commit or a reference such as "refs/pr/1".
function names.is_revision(revision)
  return #revision <= 255 and revision:match("^[%w._/-]+$") ~= nil and names.is_file(revision)
end

--- True for 40 hexadecimal digits: the name of a commit, which never changes.
function names.is_commit(revision) return #revision == 40 and revision:match("^%x+$") ~= nil end

--- True for the name of a file below a repository's root.
function names.is_file(name)
  if #name == 0 or #name > 1024 or name:find("[%c\\]") then return false end
  for part in (name .. "/"):gmatch("([^/]*)/") do
    if part == "" or part == "." or part == ".." or #part > 255 then return false end
  end
  return true
end

--- The folder of a repository in the cache: "models--org--name".
function names.folder(kind, name) return kind .. "s--" .. name:gsub("/", "--") end

--- The kind and the name of such a folder, or nil.
function names.of_folder(folder)
  local kind, name = folder:match("^(%l+)s%-%-(.+)$")
  if not kind then return nil end
  name = name:gsub("%-%-", "/")
  if names.is_repository(name) then return kind, name end
end

--- A name and the other spellings under which the cache may hold it.
function names.spellings(name)
  local list = { name }
  for _, entry in ipairs(organisations) do
    if name:find(entry[1]) then list[#list + 1] = entry[2] .. "/" .. name end
  end
  local short = name:match("^[^/]+/(.+)$")
  for _, entry in ipairs(short and organisations or {}) do
    if name == entry[2] .. "/" .. short and short:find(entry[1]) then list[#list + 1] = short end
  end
  return list
end

--- Text as a part of a URL's path: with `keep_slashes`, as several.
function names.escape(text, keep_slashes)
  return (text:gsub(keep_slashes and "[^%w._~/-]" or "[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

return names
