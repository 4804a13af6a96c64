--- Chat templates: a subset of Jinja that reaches no files and no Lua, and ends after a number of steps.
--
--     local chat = hf.template.compile(tok.chat_template)
--     print(chat:render{ messages = { { role = "user", content = "Hi" } }, add_generation_prompt = true })
local errors = require "hflua.errors"
local parse = require "hflua.template.parser"
local render = require "hflua.template.render"
local values = require "hflua.template.values"

local template = {}

local Template = { __name = "ChatTemplate" }
Template.__index = Template

--- The text for these variables, and the spans {first, last} of {% generation %}, in bytes counted from 0, last excluded.
function Template:render(variables)
  if type(variables) ~= "table" then errors.raise("render: expected a table of variables, found %s", type(variables)) end
  local vars = {}
  for name, value in pairs(variables) do vars[name] = values.from_lua(value, tostring(name)) end
  return render(self.tree, vars, nil)
end

local compiled, order, MAX_KEPT = {}, {}, 16

local function keep(source, made)
  compiled[source], order[#order + 1] = made, source
  if #order > MAX_KEPT then compiled[table.remove(order, 1)] = nil end
  return made
end

--- A template from its source; errors name the construct and the line. The last ones compiled are kept.
function template.compile(source)
  if type(source) ~= "string" then errors.raise("chat template: expected text, found %s", type(source)) end
  return compiled[source] or keep(source, setmetatable({ source = source, tree = parse(source) }, Template))
end

return template
