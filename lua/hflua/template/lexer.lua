--- Splits a chat template into tokens: data between tags, and inside tags names, strings, numbers and operators.
--
-- A token is { kind =, value =, line = }; kinds: data, block_begin, block_end, variable_begin, variable_end, name, string, number,
-- operator, eof. White space around tags goes as with Jinja's trim_blocks and lstrip_blocks, which transformers sets.
local fail = require "hflua.template.failure"

local Lexer = {}
Lexer.__index = Lexer

local MAX_SIZE = 1 << 20 -- bytes of a template

local function count_lines(text) return select(2, text:gsub("\n", "")) end

function Lexer:add(kind, value)
  self.tokens[#self.tokens + 1] = { kind = kind, value = value, line = self.line }
end

-- Goes on behind byte `last`; a tag after a line break begins a line.
function Lexer:advance(last)
  local passed = self.text:sub(self.at, last)
  self.line = self.line + count_lines(passed)
  if passed ~= "" then self.line_starting = passed:sub(-1) == "\n" end
  self.at = last + 1
end

-- The data before a tag, without the spaces that the tag takes away. sign: "-", "+" or "" behind the tag's first two bytes.
local function stripped_before(self, data, sign, is_variable)
  if sign == "-" then return (data:gsub("%s+$", "")) end
  if sign == "+" or is_variable then return data end
  local head, tail = data:match("^(.*\n)(.*)$")
  if not head then head, tail = "", data end
  if (head ~= "" or self.line_starting) and tail:find("^%s+$") then return head end
  return data
end

-- Passes the end of a tag with the white space it takes away: all behind "-", the line break behind a block or comment.
local function pass_end(self, last, sign, takes_break)
  if sign == "-" then
    last = self.text:match("^%s*()", last + 1) - 1
  elseif takes_break and sign ~= "+" and self.text:sub(last + 1, last + 1) == "\n" then
    last = last + 1
  end
  self:advance(last)
end

-- ---- inside a tag

local escapes = { n = "\n", t = "\t", r = "\r", b = "\b", f = "\f", v = "\v", a = "\a", ["\n"] = "", ["\\"] = "\\", ["'"] = "'", ['"'] = '"' }

local function from_hex(digits)
  local code = tonumber(digits, 16)
  return code <= 0x10FFFF and utf8.char(code) or nil
end

-- Python's escapes; an unknown one stays as it stands.
local function unescape(text)
  text = text:gsub("\\u(%x%x%x%x)", from_hex):gsub("\\U(%x%x%x%x%x%x%x%x)", from_hex):gsub("\\x(%x%x)", from_hex)
  return (text:gsub("\\(.)", function(c) return escapes[c] end))
end

-- The end of the string that begins at `self.at`.
local function string_end(self)
  local quote, i = self.text:sub(self.at, self.at), self.at + 1
  while true do
    local stop = self.text:find("[\\" .. quote .. "]", i)
    if not stop then fail(self.line, "a string is not closed") end
    if self.text:sub(stop, stop) == quote then return stop end
    i = stop + 2
  end
end

local function read_string(self)
  local last = string_end(self)
  self:add("string", unescape(self.text:sub(self.at + 1, last - 1)))
  self:advance(last)
end

local function read_number(self)
  local before = self.tokens[#self.tokens]
  local is_index = before.kind == "operator" and before.value == "."
  local digits = self.text:match("^[%d_]+", self.at)
  if not is_index then
    digits = self.text:match("^[%d_]+%.%d+[eE][-+]?%d+", self.at) or self.text:match("^[%d_]+%.%d+", self.at)
      or self.text:match("^[%d_]+[eE][-+]?%d+", self.at) or digits
  end
  local number = tonumber((digits:gsub("_", "")))
  if not number then fail(self.line, "'%s' is not a number", digits) end
  self:add("number", number)
  self:advance(self.at + #digits - 1)
end

local double = { ["//"] = true, ["**"] = true, ["=="] = true, ["!="] = true, [">="] = true, ["<="] = true }
local closing = { ["("] = ")", ["["] = "]", ["{"] = "}" }

-- Keeps the brackets that are open, so that "}}" may end a dict before it ends the tag.
local function balance(self, operator, open)
  if closing[operator] then
    open[#open + 1] = closing[operator]
  elseif operator == ")" or operator == "]" or operator == "}" then
    if open[#open] ~= operator then fail(self.line, "unexpected '%s'%s", operator, #open > 0 and ", expected '" .. open[#open] .. "'" or "") end
    open[#open] = nil
  end
end

local function read_operator(self, open)
  local operator = self.text:sub(self.at, self.at + 1)
  if not double[operator] then operator = operator:sub(1, 1) end
  if not double[operator] and not operator:find("[-+*/%%~|.,:()%[%]{}<>=]") then fail(self.line, "unexpected character '%s'", operator) end
  balance(self, operator, open)
  self:add("operator", operator)
  self:advance(self.at + #operator - 1)
end

-- Tokens up to the end of the tag; `mark` is "%}" or "}}".
local function read_tag(self, kind, mark)
  local open, first_line = {}, self.line
  while true do
    self:advance(self.text:match("^%s*()", self.at) - 1)
    if self.at > #self.text then fail(first_line, "this tag is not closed by '%s'", mark) end
    local sign = self.text:match("^[-+]", self.at) or ""
    if #open == 0 and self.text:sub(self.at + #sign, self.at + #sign + 1) == mark then
      self:add(kind .. "_end")
      return pass_end(self, self.at + #sign + 1, sign, kind == "block")
    end
    local c = self.text:sub(self.at, self.at)
    if c == "'" or c == '"' then read_string(self)
    elseif c:find("%d") then read_number(self)
    elseif c:find("[%a_]") then
      local name = self.text:match("^[%w_]+", self.at)
      self:add("name", name)
      self:advance(self.at + #name - 1)
    else read_operator(self, open) end
  end
end

-- ---- the kinds of tags

local function skip_comment(self)
  local stop = self.text:find("#}", self.at + 2, true)
  if not stop then fail(self.line, "a comment is not closed by '#}'") end
  local sign = stop > self.at + 2 and self.text:sub(stop - 1, stop - 1):match("[-+]") or ""
  pass_end(self, stop + 1, sign, true)
end

-- {% raw %} ... {% endraw %} as data. Returns false when there is none here.
local function read_raw(self)
  local sign, body = self.text:match("^{%%[-+]?%s*raw%s*([-+]?)%%}()", self.at)
  if not body then return false end
  pass_end(self, body - 1, sign, true)
  local first, before, after, last = self.text:match("(){%%([-+]?)%s*endraw%s*([-+]?)%%}()", self.at)
  if not first then fail(self.line, "'raw' is not closed by 'endraw'") end
  self:add("data", stripped_before(self, self.text:sub(self.at, first - 1), before, false))
  self:advance(first - 1)
  pass_end(self, last - 1, after, true)
  return true
end

local function read_data(self)
  local first = self.text:find("{[{%%#]", self.at)
  if not first then
    self:add("data", self.text:sub(self.at))
    return self:advance(#self.text)
  end
  local is_variable = self.text:sub(first + 1, first + 1) == "{"
  local sign = self.text:match("^[-+]", first + 2) or ""
  local data = stripped_before(self, self.text:sub(self.at, first - 1), sign, is_variable)
  if data ~= "" then self:add("data", data) end
  self:advance(first - 1)
end

local function read_one(self)
  local mark = self.text:match("^{([{%%#])", self.at)
  if not mark then return read_data(self) end
  if mark == "#" then return skip_comment(self) end
  if mark == "%" and read_raw(self) then return end
  local kind = mark == "%" and "block" or "variable"
  local sign = self.text:match("^[-+]", self.at + 2) or ""
  self:add(kind .. "_begin")
  self:advance(self.at + 1 + #sign)
  read_tag(self, kind, mark == "%" and "%}" or "}}")
end

--- The tokens of a template, ended by one of kind "eof".
return function(source)
  if #source > MAX_SIZE then fail(1, "%d bytes: more than the %d a template may have", #source, MAX_SIZE) end
  local text = source:gsub("\r\n?", "\n"):gsub("\n$", "")
  local self = setmetatable({ text = text, at = 1, line = 1, line_starting = true, tokens = {} }, Lexer)
  while self.at <= #text do read_one(self) end
  self:add("eof")
  return self.tokens
end
