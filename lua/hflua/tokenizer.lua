--- hf.tokenizer: AutoTokenizer, the classes by name, AddedToken, BatchEncoding; Tokenizer and its parts (models, normalizers,
-- pre_tokenizers, decoders, processors, trainers).
--
--   local tok = tokenizer.AutoTokenizer.from_pretrained("bert-base-uncased")
--   local enc = tok({"first text", "second text"}, {padding = true, truncation = true, return_tensors = "pt"})
local BatchEncoding = require "hflua.tokenizer.batch_encoding"
local backend = require "hflua.tokenizer.backend"
local components = require "hflua.tokenizer.components"
local classes = require "hflua.tokenizer.classes"
local errors = require "hflua.errors"
local loading = require "hflua.tokenizer.loading"
local special_tokens = require "hflua.tokenizer.special_tokens"
local trainers = require "hflua.tokenizer.trainers"

local tokenizer = { AddedToken = special_tokens.AddedToken, BatchEncoding = BatchEncoding, Tokenizer = backend, Regex = components.Regex,
  models = components.models, normalizers = components.normalizers, pre_tokenizers = components.pre_tokenizers,
  decoders = components.decoders, processors = components.processors, trainers = trainers }

--- The class is found from the files: AutoTokenizer.from_pretrained(folder_or_name[, options]).
tokenizer.AutoTokenizer = {
  from_pretrained = function(name, options) return loading.from_pretrained(name, options) end,
}

-- A class table: Class.from_pretrained(name[, options]), Class(path of a vocabulary file[, options]) and
-- Class(vocab.json, merges.txt[, options]).
local function make_class(name)
  local class = { from_pretrained = function(folder, options) return loading.from_pretrained(folder, options, name) end }
  return setmetatable(class, { __name = name, __call = function(_, path, merges, options)
    if type(merges) ~= "string" then merges, options = nil, merges end
    return loading.from_file(path, options, name, merges)
  end })
end

local names = classes.names()
table.sort(names)

for _, name in ipairs(names) do
  local class = make_class(name)
  tokenizer[name], tokenizer[name .. "Fast"] = class, class
end

return setmetatable(tokenizer, {
  __index = function(_, name)
    if type(name) == "string" and name:find("Tokenizer", 1, true) then
      errors.raise("hf.tokenizer has no class %s; there are AutoTokenizer, %s", name, table.concat(names, ", "))
    end
  end,
})
