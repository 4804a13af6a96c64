--- Reads the statements of a chat template: tokens to a tree. A statement is { kind =, line =, ... }; render.lua runs it.
local expressions = require "hflua.template.expressions"
local fail = require "hflua.template.failure"
local lexer = require "hflua.template.lexer"
local options = require "hflua.options"

local MAX_DEPTH = 100 -- of expressions and statements in one another

local Stream = {}
Stream.__index = Stream

--- The token `ahead` places on, without taking it.
function Stream:peek(ahead) return self.tokens[self.at + (ahead or 0)] or self.tokens[#self.tokens] end

function Stream:next()
  local token = self:peek()
  self.at = self.at + 1
  return token
end

--- Takes the next token if it is this one.
function Stream:accept(kind, value)
  local token = self:peek()
  if token.kind ~= kind or value ~= nil and token.value ~= value then return nil end
  return self:next()
end

--- A token in words.
function Stream.describe(token)
  if token.kind == "eof" then return "the end of the template" end
  if token.kind == "block_end" then return "the end of the tag" end
  if token.kind == "variable_end" then return "the end of the tag" end
  return ("'%s'"):format(tostring(token.value))
end

--- Takes the next token, which must be this one.
function Stream:expect(kind, value)
  local token = self:accept(kind, value)
  if token then return token end
  fail(self:peek().line, "expected %s, found %s", value and "'" .. value .. "'" or kind == "block_end" and "the end of the tag" or "a " .. kind,
    self.describe(self:peek()))
end

function Stream:deeper()
  self.depth = self.depth + 1
  if self.depth > MAX_DEPTH then fail(self:peek().line, "more than %d levels of nesting", MAX_DEPTH) end
end

function Stream:shallower() self.depth = self.depth - 1 end

-- ---- statements

local statements = {}

local parse_body

-- The body up to one of the tags in `ends` (name -> true), which is taken up to its name. Returns the body and that name.
local function body_until(stream, ends, opener)
  stream:deeper()
  local body, ending = parse_body(stream, ends, opener)
  stream:shallower()
  return body, ending
end

local function end_of_tag(stream) stream:expect "block_end" end

-- A body up to one end tag.
local function simple_body(stream, name)
  end_of_tag(stream)
  local body = body_until(stream, { ["end" .. name] = true }, name)
  end_of_tag(stream)
  return body
end

statements["if"] = function(stream)
  local branches, otherwise = {}, nil
  local ending = "if"
  while ending == "if" or ending == "elif" do
    local condition = expressions.parse_tuple(stream)
    end_of_tag(stream)
    local body
    body, ending = body_until(stream, { ["elif"] = true, ["else"] = true, ["endif"] = true }, "if")
    branches[#branches + 1] = { condition = condition, body = body }
  end
  if ending == "else" then
    end_of_tag(stream)
    otherwise = body_until(stream, { ["endif"] = true }, "if")
  end
  end_of_tag(stream)
  return { branches = branches, otherwise = otherwise }
end

-- The names that a loop or `set` gives values: one name, or several separated by commas.
local function read_targets(stream)
  local names, bracket = { }, stream:accept("operator", "(")
  repeat names[#names + 1] = stream:expect("name").value until not stream:accept("operator", ",")
  if bracket then stream:expect("operator", ")") end
  return names
end

statements["for"] = function(stream)
  local names = read_targets(stream)
  stream:expect("name", "in")
  local over, condition = expressions.parse_tuple(stream, true), nil
  if stream:accept("name", "if") then condition = expressions.parse(stream) end
  if stream:peek().value == "recursive" then fail(stream:peek().line, "'recursive' loops are not supported") end
  end_of_tag(stream)
  local body, ending = body_until(stream, { ["else"] = true, ["endfor"] = true }, "for")
  local otherwise
  if ending == "else" then
    end_of_tag(stream)
    otherwise = body_until(stream, { ["endfor"] = true }, "for")
  end
  end_of_tag(stream)
  return { names = names, over = over, condition = condition, body = body, otherwise = otherwise }
end

-- {% set name = value %}, {% set a, b = pair %}, {% set ns.field = value %}, {% set name %}...{% endset %}
statements["set"] = function(stream)
  local result = { names = read_targets(stream) }
  if #result.names == 1 and stream:accept("operator", ".") then result.field = stream:expect("name").value end
  if stream:accept("operator", "=") then
    result.value = expressions.parse_tuple(stream)
    end_of_tag(stream)
    return result
  end
  result.filtered = { kind = "captured", line = stream:peek().line }
  if stream:accept("operator", "|") then result.filtered = expressions.parse_filter_chain(stream, result.filtered) end
  result.body = simple_body(stream, "set")
  return result
end

local function read_parameters(stream)
  local parameters = {}
  stream:expect("operator", "(")
  while not stream:accept("operator", ")") do
    if #parameters > 0 then stream:expect("operator", ",") end
    local parameter = { name = stream:expect("name").value }
    if stream:accept("operator", "=") then parameter.default = expressions.parse(stream) end
    parameters[#parameters + 1] = parameter
  end
  return parameters
end

statements["macro"] = function(stream)
  local name = stream:expect("name").value
  local parameters = read_parameters(stream)
  return { name = name, parameters = parameters, body = simple_body(stream, "macro") }
end

statements["filter"] = function(stream)
  local filtered = expressions.parse_filter_chain(stream, { kind = "captured", line = stream:peek().line })
  return { filtered = filtered, body = simple_body(stream, "filter") }
end

statements["with"] = function(stream)
  local assignments = {}
  while stream:peek().kind ~= "block_end" do
    if #assignments > 0 then stream:expect("operator", ",") end
    local name = stream:expect("name").value
    stream:expect("operator", "=")
    assignments[#assignments + 1] = { name, expressions.parse(stream) }
  end
  return { assignments = assignments, body = simple_body(stream, "with") }
end

--- What the assistant wrote: its places go into the mask of assistant tokens.
statements["generation"] = function(stream) return { body = simple_body(stream, "generation") } end

local function loop_word(stream)
  end_of_tag(stream)
  return {}
end

statements["break"], statements["continue"] = loop_word, loop_word

-- Constructs of Jinja that reach files or other templates, or that chat templates do not use.
local unsupported = { include = true, import = true, from = true, extends = true, block = true, call = true, ["do"] = true, autoescape = true, trans = true }

local function parse_statement(stream, token)
  local read = statements[token.value]
  if not read then
    if unsupported[token.value] then fail(token.line, "{%% %s %%} is not supported", token.value) end
    fail(token.line, "%s", options.unknown("tag", token.value, statements))
  end
  local statement = read(stream)
  statement.kind, statement.line = token.value, token.line
  return statement
end

local function unclosed(token, opener)
  if opener then fail(token.line, "'%s' is not closed by 'end%s'", opener, opener) end
end

-- Statements up to one of the end tags, or the end of the template.
function parse_body(stream, ends, opener)
  local body = {}
  while true do
    local token = stream:next()
    if token.kind == "eof" then
      unclosed(token, opener)
      return body
    elseif token.kind == "data" then
      body[#body + 1] = { kind = "data", text = token.value }
    elseif token.kind == "variable_begin" then
      body[#body + 1] = { kind = "output", line = token.line, value = expressions.parse_tuple(stream) }
      stream:expect "variable_end"
    else
      local name = stream:expect "name"
      if ends[name.value] then return body, name.value end
      if name.value:find("^end") or name.value == "else" or name.value == "elif" then
        fail(name.line, "unexpected '%s'%s", name.value, opener and (", inside '%s'"):format(opener) or "")
      end
      body[#body + 1] = parse_statement(stream, name)
    end
  end
end

--- The tree of a template: a list of statements.
return function(source)
  local stream = setmetatable({ tokens = lexer(source), at = 1, depth = 0 }, Stream)
  return (parse_body(stream, {}, nil))
end
