--- Chat templates of a tokenizer: where they are read from and saved to, and apply_chat_template.
local BatchEncoding = require "hflua.tokenizer.batch_encoding"
local errors = require "hflua.errors"
local files = require "hflua.core.files"
local notes = require "hflua.trainer.notes"
local null = require("hflua.core.json").null
local text = require "hflua.core.text"

local chat = {}

local FILE, FOLDER = "chat_template.jinja", "additional_chat_templates"

-- ---- files

-- "default" and the other names of a list { { name =, template = }, ... } as tokenizer_config.json may have it.
local function named_templates(list, path)
  local named = {}
  for i, entry in ipairs(list) do
    if type(entry) ~= "table" or type(entry.name) ~= "string" or type(entry.template) ~= "string" then
      errors.raise("%s: chat_template: entry %d: expected a name and a template", path, i)
    end
    named[entry.name] = entry.template
  end
  return named
end

local function of_settings(value, path)
  if value == nil or value == null or type(value) == "string" then return value ~= null and value or nil end
  if type(value) ~= "table" then errors.raise("%s: chat_template: expected text or a list of templates, found %s", path, type(value)) end
  return #value > 0 and named_templates(value, path) or nil
end

local function of_folder(folder)
  if files.type(folder) ~= "folder" then return {} end
  local named = {}
  for _, name in ipairs(files.list(folder)) do
    local short = name:match("^(.+)%.jinja$")
    if short then named[short] = files.read(folder .. "/" .. name) end
  end
  return named
end

--- The chat template of a tokenizer's folder: text, a table of texts by name, or nil. Files come before tokenizer_config.json.
function chat.load(folder, settings)
  local main = folder and files.type(folder .. "/" .. FILE) == "file" and files.read(folder .. "/" .. FILE) or nil
  local named = folder and of_folder(folder .. "/" .. FOLDER) or {}
  if next(named) == nil then return main or of_settings(settings.chat_template, (folder or "options") .. "/tokenizer_config.json") end
  named.default = main or named.default
  return named
end

--- Writes the templates of a tokenizer into its folder, as transformers does; returns the paths.
function chat.save(tokenizer, folder)
  local template, paths = tokenizer.chat_template, {}
  local function write(path, source)
    files.write(path, source)
    paths[#paths + 1] = path
  end
  if type(template) == "string" then write(folder .. "/" .. FILE, template) end
  if type(template) ~= "table" then return paths end
  require("hflua.core.system").makedirs(folder .. "/" .. FOLDER)
  for name, source in require("hflua.ordered").pairs(template) do
    if name:find("/", 1, true) then errors.raise("chat_template: '%s' cannot be the name of a file", name) end
    write(name == "default" and folder .. "/" .. FILE or ("%s/%s/%s.jinja"):format(folder, FOLDER, name), source)
  end
  return paths
end

-- ---- choosing

local function names_of(templates)
  local names = {}
  for name in require("hflua.ordered").pairs(templates) do names[#names + 1] = name end
  return table.concat(names, ", ")
end

--- The template to use: `wanted` (a template, or the name of one), else the tokenizer's; the one called tool_use when there are tools.
function chat.choose(tokenizer, wanted, tools)
  local own = tokenizer.chat_template
  if type(own) == "table" then
    if wanted ~= nil then return own[wanted] or wanted end
    return tools and own.tool_use or own.default
      or errors.raise("get_chat_template: there are several chat templates and none is called 'default': give chat_template = one of %s", names_of(own))
  end
  return wanted or own or errors.raise("apply_chat_template: this tokenizer has no chat template: set tok.chat_template, or give chat_template =")
end

-- ---- messages

local function check_messages(messages)
  if type(messages) ~= "table" then errors.raise("apply_chat_template: expected a list of messages, found %s", type(messages)) end
  if #messages == 0 then errors.raise("apply_chat_template: expected at least one message { role =, content = }, found none") end
  for i, message in ipairs(messages) do
    if type(message) ~= "table" or #message > 0 then
      errors.raise("apply_chat_template: message %d: expected { role =, content = }, found %s", i, type(message) == "table" and "a list" or type(message))
    end
  end
  return messages
end

local reasoning = { "reasoning_content", "thinking", "reasoning" }

-- The same messages without fields that are null; what a model thought has the names that templates use.
local function prepared(messages)
  local list = {}
  for i, message in ipairs(check_messages(messages)) do
    local copy, thought = require("hflua.ordered").new(), nil
    for _, name in ipairs(reasoning) do
      if thought == nil and message[name] ~= null then thought = message[name] end
    end
    if thought ~= nil then copy.thinking = thought end
    for _, name in ipairs(chat.field_order(message)) do
      if message[name] ~= null then copy[name] = message[name] end
    end
    if thought ~= nil then copy.reasoning_content = thought end
    list[i] = copy
  end
  return list
end

--- Names of the fields of a message, in the order in which templates see them.
function chat.field_order(message) return require("hflua.template.values").keys_of(message) end

local function is_batch(conversation)
  local first = type(conversation) == "table" and conversation[1]
  return type(first) == "table" and (#first > 0 or first.messages ~= nil)
end

-- ---- going on with the last message

local TAG = "CONTINUE_FINAL_MESSAGE_TAG "

-- Marks the end of the text that is to be continued; returns that text.
local function mark_end(messages, field)
  local last = messages[#messages]
  local content = last[field]
  if content == nil then errors.raise("apply_chat_template: continue_final_message: the last message has no '%s' to continue", field) end
  if type(content) == "string" then
    last[field] = content .. TAG
    return content
  end
  local blocks = table.move(content, 1, #content, 1, {})
  for i = #blocks, 1, -1 do
    if type(blocks[i].text) == "string" then
      local block = {}
      for name, value in pairs(blocks[i]) do block[name] = value end
      blocks[i], block.text, last[field] = block, block.text .. TAG, blocks
      return content[i].text
    end
  end
  errors.raise("apply_chat_template: continue_final_message: the last message has no text to continue")
end

-- The text up to the mark.
local function cut_at_mark(rendered, content)
  local word, place, from = TAG:sub(1, -2), nil, 1
  repeat
    local first = rendered:find(word, from, true)
    place, from = first or place, first and first + 1
  until not first
  if not place or not rendered:find(text.strip(content), 1, true) then
    errors.raise("apply_chat_template: continue_final_message: the last message is not in what the template makes; does the template cut it?")
  end
  local kept = rendered:sub(1, place - 1)
  if rendered:sub(place, place + #TAG - 1) == TAG then return kept end
  return text.strip("x" .. kept):sub(2)
end

-- ---- rendering

-- The spans of {% generation %} in characters from 0, last excluded.
local function in_characters(rendered, spans)
  local out = {}
  for i, span in ipairs(spans) do
    local first = text.length(rendered:sub(1, span[1]))
    out[i] = { first, first + text.length(rendered:sub(span[1] + 1, span[2])) }
  end
  return out
end

local function render_one(messages, template, variables, o)
  local list, content = prepared(messages.messages or messages), nil
  local field = o.continue_final_message
  if field then content = mark_end(list, type(field) == "string" and field or "content") end
  variables.messages = list
  local rendered, spans = template:render(variables)
  if field then return cut_at_mark(rendered, content), {} end
  return rendered, in_characters(rendered, spans)
end

-- What a template sees beside the messages: special tokens, then the caller's own variables.
local function variables_of(tokenizer, o)
  local variables = {}
  for name, value in pairs(tokenizer.special_tokens_map) do variables[name] = value end
  for name, value in pairs(o.variables) do variables[name] = value end
  variables.tools, variables.documents = o.tools or null, o.documents or null
  variables.add_generation_prompt = o.add_generation_prompt or false
  return variables
end

-- ---- options

local known = { tools = true, documents = true, chat_template = true, add_generation_prompt = true, continue_final_message = true,
  tokenize = true, padding = true, truncation = true, max_length = true, return_tensors = true, return_dict = true,
  return_assistant_tokens_mask = true, tokenizer_kwargs = true }

-- Options that are known, and all others as variables of the template.
local function read_options(given)
  if given ~= nil and type(given) ~= "table" then errors.raise("apply_chat_template: options: expected a table, found %s", type(given)) end
  local o = { tokenize = true, return_dict = true, variables = {} }
  for name, value in pairs(given or {}) do
    if type(name) ~= "string" then errors.raise("apply_chat_template: options are named, found key %s", tostring(name)) end
    if value == null then value = nil end
    if known[name] then o[name] = value else o.variables[name] = value end
  end
  if o.continue_final_message and o.add_generation_prompt then
    errors.raise("apply_chat_template: continue_final_message goes on with the last message, add_generation_prompt begins a new one: give one of them")
  end
  if o.return_assistant_tokens_mask and not (o.tokenize and o.return_dict) then
    errors.raise("apply_chat_template: return_assistant_tokens_mask needs tokenize = true and return_dict = true")
  end
  if o.return_assistant_tokens_mask and o.continue_final_message then
    errors.raise("apply_chat_template: continue_final_message and return_assistant_tokens_mask do not go together")
  end
  return o
end

-- ---- the mask of the assistant's tokens

-- 1 from the first token that reaches into a span to the last one.
local function mask_of(offsets, spans)
  local mask = {}
  for i = 1, #offsets do mask[i] = 0 end
  for _, span in ipairs(spans) do
    local first, last
    for i, offset in ipairs(offsets) do
      if offset[2] > offset[1] and offset[2] > span[1] and offset[1] < span[2] then first, last = first or i, i end
    end
    for i = first or 1, last or 0 do mask[i] = 1 end
  end
  return mask
end

local function warn_without_generation(source)
  if source:find("{%%[-+]?%s*generation%s*[-+]?%%}") then return end
  notes.once("return_assistant_tokens_mask: the chat template has no {%% generation %%} block: all of the mask is 0")
end

local function add_masks(encoding, batched, spans)
  local offsets, masks = encoding.offset_mapping, {}
  for i, row in ipairs(batched and offsets or { offsets }) do masks[i] = mask_of(row, spans[i]) end
  encoding.offset_mapping = nil
  encoding.assistant_masks = batched and masks or masks[1]
end

-- Ids of the rendered texts.
local function tokenize(tokenizer, rendered, spans, batched, o)
  local given = { padding = o.padding, truncation = o.truncation, max_length = o.max_length, add_special_tokens = false }
  for name, value in pairs(o.tokenizer_kwargs or {}) do given[name] = value end
  if not o.return_assistant_tokens_mask then
    given.return_tensors = o.return_tensors
    local encoding = tokenizer(rendered, given)
    return o.return_dict and encoding or encoding.input_ids
  end
  given.return_offsets_mapping = true
  local encoding = tokenizer(rendered, given)
  add_masks(encoding, batched, spans)
  if not o.return_tensors then return encoding end
  BatchEncoding.check_tensor_type(o.return_tensors)
  return encoding:convert_to_tensors(o.return_tensors, not batched)
end

--- apply_chat_template(messages[, options]): messages are { { role =, content = }, ... } or a list of such lists. options:
-- add_generation_prompt, continue_final_message, tools, documents, chat_template, tokenize (true), return_dict (true),
-- return_assistant_tokens_mask, padding, truncation, max_length, return_tensors, tokenizer_kwargs; any other is a variable of the template.
function chat.apply(tokenizer, conversation, given)
  local o = read_options(given)
  local source = chat.choose(tokenizer, o.chat_template, o.tools)
  local template, batched = require("hflua.template").compile(source), is_batch(conversation)
  if o.return_assistant_tokens_mask then warn_without_generation(source) end
  local variables, rendered, spans = variables_of(tokenizer, o), {}, {}
  for i, messages in ipairs(batched and conversation or { conversation }) do
    rendered[i], spans[i] = render_one(messages, template, variables, o)
  end
  if not batched then rendered = rendered[1] end
  if not o.tokenize then return rendered end
  return tokenize(tokenizer, rendered, spans, batched, o)
end

return chat
