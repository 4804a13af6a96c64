--- What SFTTrainer makes of a dataset: rows of text, of prompt and completion, of messages, or of ids, to input_ids and labels.
local errors = require "hflua.errors"
local notes = require "hflua.trainer.notes"
local packing = require "hflua.trainer.sft_packing"

local preparation = {}

local CHUNK = 1000 -- texts that are tokenized at once

local function is_messages(value) return type(value) == "table" and type(value[1]) == "table" and (value[1].role ~= nil or value[1].from ~= nil) end

-- ---- kinds of rows

-- { from =, value = } is an older spelling of { role =, content = }.
local function chat_messages(list)
  if not list[1].from then return list end
  local out = {}
  for i, message in ipairs(list) do out[i] = { role = message.from, content = message.value } end
  return out
end

local function names_of(row)
  local names = {}
  for name in require("hflua.ordered").pairs(row) do names[#names + 1] = tostring(name) end
  return table.concat(names, ", ")
end

--- The kind of a row: "ids", "prompt", "messages" or "text".
function preparation.kind(row, text_field, where)
  if row.input_ids ~= nil then return "ids" end
  if row.prompt ~= nil and row.completion ~= nil then return "prompt" end
  if is_messages(row.messages) or is_messages(row.conversations) then return "messages" end
  if type(row[text_field]) == "string" then return "text" end
  errors.raise("SFTTrainer: %s: expected a column '%s' with text (dataset_text_field), 'messages', or 'prompt' and 'completion'; it has %s",
    where, text_field, names_of(row))
end

-- ---- ids

local function with_eos(text, eos)
  if not eos or text:sub(-#eos) == eos then return text end
  return text .. eos
end

local function chat_ids(o, messages, row, given)
  given.tools = row.tools
  if type(given.tools) == "string" then given.tools = require("hflua.core.json").decode(given.tools) end
  for name, value in pairs(row.chat_template_kwargs or {}) do given[name] = value end
  return o.tokenizer:apply_chat_template(messages, given)
end

local function no_assistant_tokens()
  errors.raise("SFTTrainer: assistant_only_loss: an example has no assistant tokens: does the chat template put {% generation %} ... {% endgeneration %} around what the assistant says?")
end

local function check_mask(mask)
  if not mask then return end
  for _, bit in ipairs(mask) do
    if bit == 1 then return end
  end
  no_assistant_tokens()
end

-- Length of the common beginning; a prompt that is no beginning of the whole is told once.
local function common_length(prompt, whole)
  local n = 0
  while n < #prompt and prompt[n + 1] == whole[n + 1] do n = n + 1 end
  if n < #prompt then
    notes.once("SFTTrainer: the ids of a prompt do not begin those of prompt and completion together (tokens merge across the border, or the chat template writes a prompt alone otherwise): the completion begins where they part")
  end
  return n
end

local function completion_mask(prompt, whole)
  local mask, from = {}, common_length(prompt, whole)
  for i = 1, #whole do mask[i] = i > from and 1 or 0 end
  return mask
end

local readers = {}

-- Each gives lists of ids, and of the two masks where there are some, for the rows of a chunk.
function readers.text(o, rows)
  local texts = {}
  for i, row in ipairs(rows) do
    local text = row[o.text_field]
    if type(text) ~= "string" then errors.raise("SFTTrainer: %s: column '%s': expected text, found %s", o.where, o.text_field, type(text)) end
    texts[i] = with_eos(text, o.eos)
  end
  return o.tokenizer(texts, nil, o.call).input_ids, {}, {}
end

local function prompt_texts(o, rows)
  local prompts, wholes = {}, {}
  for i, row in ipairs(rows) do
    if type(row.prompt) ~= "string" or type(row.completion) ~= "string" then
      errors.raise("SFTTrainer: %s: prompt and completion: expected two texts, or two lists of messages", o.where)
    end
    prompts[i], wholes[i] = row.prompt, row.prompt .. with_eos(row.completion, o.eos)
  end
  local ids, masks = o.tokenizer(wholes, nil, o.call).input_ids, {}
  for i, prompt in ipairs(o.tokenizer(prompts, nil, o.call).input_ids) do masks[i] = completion_mask(prompt, ids[i]) end
  return ids, masks, {}
end

local function prompt_messages(o, rows)
  local ids, masks, assistant = {}, {}, {}
  for i, row in ipairs(rows) do
    local prompt, all = chat_messages(row.prompt), nil
    local completion = chat_messages(row.completion)
    all = table.move(completion, 1, #completion, #prompt + 1, table.move(prompt, 1, #prompt, 1, {}))
    local first = chat_ids(o, prompt, row, { add_generation_prompt = true }).input_ids
    local whole = chat_ids(o, all, row, { return_assistant_tokens_mask = o.assistant_only })
    ids[i], assistant[i] = whole.input_ids, o.assistant_only and whole.assistant_masks or nil
    masks[i] = completion_mask(first, ids[i])
    check_mask(assistant[i])
  end
  return ids, masks, assistant
end

function readers.prompt(o, rows)
  if is_messages(rows[1].prompt) then return prompt_messages(o, rows) end
  return prompt_texts(o, rows)
end

function readers.messages(o, rows)
  local ids, assistant = {}, {}
  for i, row in ipairs(rows) do
    local out = chat_ids(o, chat_messages(row.messages or row.conversations), row, { return_assistant_tokens_mask = o.assistant_only })
    ids[i], assistant[i] = out.input_ids, o.assistant_only and out.assistant_masks or nil
    check_mask(assistant[i])
  end
  return ids, {}, assistant
end

function readers.ids(o, rows)
  local ids, masks, assistant = {}, {}, {}
  for i, row in ipairs(rows) do
    local list_of = require("hflua.trainer.padding").list_of
    ids[i], masks[i], assistant[i] = list_of(row.input_ids), list_of(row.completion_mask), list_of(row.assistant_masks)
  end
  return ids, masks, assistant
end

-- ---- labels

-- The ids where all masks are 1, -100 elsewhere.
local function labels_of(ids, completion, assistant)
  local labels = {}
  for i, id in ipairs(ids) do
    local counts = (not completion or completion[i] == 1) and (not assistant or assistant[i] == 1)
    labels[i] = counts and id or -100
  end
  return labels
end

local function truncated(list, o)
  if not o.max_length or #list <= o.max_length then return list end
  local first = o.keep_end and #list - o.max_length + 1 or 1
  return table.move(list, first, first + o.max_length - 1, 1, {})
end

local function has_label(labels)
  for _, label in ipairs(labels) do
    if label ~= -100 then return true end
  end
  return false
end

-- Adds the rows of a chunk, cut to max_length unless they are packed later; those without any label are left out.
local function add_rows(o, rows, out)
  local ids, completion, assistant = readers[o.kind](o, rows)
  for i, row in ipairs(rows) do
    local given = o.kind == "ids" and row.labels and require("hflua.trainer.padding").list_of(row.labels)
    local labels = given or labels_of(ids[i], o.completion_only and completion[i], assistant[i])
    local prepared = { input_ids = ids[i], labels = labels }
    if not o.packing then
      prepared.input_ids, prepared.labels = truncated(ids[i], o), truncated(labels, o)
      if not has_label(prepared.labels) then prepared, o.dropped = nil, o.dropped + 1 end
    end
    out[#out + 1] = prepared
  end
end

local function rows_of(o, dataset, first, last)
  local rows = {}
  for i = first, last do
    local row = dataset[i]
    if o.formatting_func and o.kind ~= "ids" then
      local text = o.formatting_func(row)
      if type(text) ~= "string" then errors.raise("SFTTrainer: formatting_func: expected it to return a text, found %s", type(text)) end
      row = { [o.text_field] = text }
    end
    rows[#rows + 1] = row
  end
  return rows
end

--- The dataset with the columns input_ids and labels (seq_lengths too when packed). o: tokenizer, call (options of its calls), eos (or nil),
-- text_field, where, max_length (or nil), keep_end, completion_only, assistant_only, formatting_func, packing (strategy or nil), seed (to
-- shuffle, or nil), masked (labels are made by the collator).
function preparation.prepare(dataset, o)
  if #dataset == 0 then errors.raise("SFTTrainer: %s: the dataset has no rows", o.where) end
  local Dataset = require("hflua.datasets").Dataset
  o.kind = dataset[1].input_ids ~= nil and "ids" or o.formatting_func and "text" or preparation.kind(dataset[1], o.text_field, o.where)
  o.dropped = 0
  local rows = {}
  for first = 1, #dataset, CHUNK do add_rows(o, rows_of(o, dataset, first, math.min(first + CHUNK - 1, #dataset)), rows) end
  if o.dropped > 0 then notes.once("SFTTrainer: %s: %d of %d examples have no label within max_length and are left out", o.where, o.dropped, #dataset) end
  if #rows == 0 then errors.raise("SFTTrainer: %s: no example has a label within max_length = %d", o.where, o.max_length) end
  local columns = { "input_ids", "labels" }
  if o.masked then
    for _, row in ipairs(rows) do row.labels = nil end
    columns = { "input_ids" }
  end
  if o.packing then
    if o.seed then rows = Dataset.from_list(rows, { columns = columns }):shuffle({ seed = o.seed }):to_list() end
    rows = packing.pack(rows, o.max_length, o.packing)
    if o.packing ~= "wrapped" then columns[3] = "seq_lengths" end
  end
  local made = Dataset.from_list(rows, { columns = columns })
  return o.seed and made:shuffle { seed = o.seed } or made
end

return preparation
