--- Special tokens of a tokenizer: bos_token, pad_token_id, all_special_tokens and their like, and AddedToken.
local errors = require "hflua.errors"
local null = require("hflua.core.json").null
local options = require "hflua.options"

local special_tokens = {}

--- Names of the standard special tokens, in HF's order.
special_tokens.names = { "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token" }

local token_options = { "single_word", "lstrip", "rstrip", "normalized", "special" }

local AddedToken = { __name = "AddedToken" }
AddedToken.__tostring = function(self) return self.content end
AddedToken.__index = AddedToken

--- AddedToken(content, { single_word =, lstrip =, rstrip =, normalized =, special = })
function special_tokens.AddedToken(content, given)
  if type(content) ~= "string" then errors.raise("AddedToken: content: expected a string, found %s", type(content)) end
  local token = setmetatable({ content = content }, AddedToken)
  for name, value in pairs(options.check("AddedToken", given, token_options)) do token[name] = value end
  return token
end

--- The text of a token given as a string, an AddedToken or a table of HF's JSON files; nil for none.
function special_tokens.text(token, name)
  if token == nil or token == null then return nil end
  if type(token) == "string" then return token end
  if type(token) == "table" and type(token.content) == "string" then return token.content end
  errors.raise("special token %s: expected a string or an AddedToken, found %s", name, type(token))
end

--- A token for the engine: a table with content and flags. special: what a plain string is.
function special_tokens.record(token, name, special)
  local content = special_tokens.text(token, name)
  local record = { content = content, special = special, normalized = not special }
  if type(token) == "table" then
    for _, option in ipairs(token_options) do
      if type(token[option]) == "boolean" then record[option] = token[option] end
    end
    if token.normalized == nil then record.normalized = not record.special end
  end
  return record
end

--- True for names such as pad_token, also for those a checkpoint adds (image_token).
function special_tokens.is_name(key) return type(key) == "string" and key:find("_token$") ~= nil end

--- The special tokens of a tokenizer: a map from name to text, in order, and extra ones without a name.
local Set = {}
Set.__index = Set

function special_tokens.new()
  return setmetatable({ order = table.move(special_tokens.names, 1, #special_tokens.names, 1, {}), values = {}, extra = {} }, Set)
end

local function contains(list, item)
  for _, value in ipairs(list) do
    if value == item then return true end
  end
  return false
end

--- Sets the text of a name; nil removes it.
function Set:set(name, token)
  if not contains(self.order, name) then self.order[#self.order + 1] = name end
  self.values[name] = special_tokens.text(token, name)
end

function Set:get(name) return self.values[name] end

function Set:set_extra(tokens)
  if type(tokens) ~= "table" then errors.raise("extra_special_tokens: expected a list, found %s", type(tokens)) end
  self.extra = {}
  for i, token in ipairs(tokens) do self.extra[i] = special_tokens.text(token, "extra_special_tokens") end
end

function Set:add_extra(token)
  if not contains(self.extra, token) then self.extra[#self.extra + 1] = token end
end

--- for name, text in set:each() do
function Set:each()
  local i = 0
  return function()
    while i < #self.order do
      i = i + 1
      local text = self.values[self.order[i]]
      if text then return self.order[i], text end
    end
  end
end

--- All texts, each once: the named ones, then the extra ones.
function Set:all()
  local list = {}
  for _, text in self:each() do
    if not contains(list, text) then list[#list + 1] = text end
  end
  for _, text in ipairs(self.extra) do
    if not contains(list, text) then list[#list + 1] = text end
  end
  return list
end

return special_tokens
