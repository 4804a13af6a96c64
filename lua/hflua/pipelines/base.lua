--- What all pipelines share: options, batches, the way from items to results.
--
-- A subclass says how an item becomes rows of ids (`preprocess`), what of the model's outputs belongs to a row (`pick`) and what
-- the rows of an item amount to (`postprocess`). Most items are one row; long contexts and candidate labels make several.
local errors = require "hflua.errors"
local class = require "hflua.class"
local null = require("hflua.core.json").null
local options = require "hflua.options"
local tensor = require "hflua.tensor"

local Pipeline = class("Pipeline")

-- Kinds of option values: what they must be, and that in words.
local function is_count(v) return math.type(v) == "integer" and v >= 1 end

local function is_strings(v)
  if type(v) ~= "table" then return type(v) == "string" end
  for i = 1, #v do if type(v[i]) ~= "string" then return false end end
  return #v > 0
end

local kinds = {
  count = { is_count, "a whole number of at least 1" },
  count_or_null = { function(v) return v == null or is_count(v) end, "a whole number of at least 1, or hf.null for all" },
  number = { function(v) return math.type(v) == "integer" and v >= 0 end, "a whole number of at least 0" },
  boolean = { function(v) return type(v) == "boolean" end, "true or false" },
  string = { function(v) return type(v) == "string" end, "a string" },
  strings = { is_strings, "a string or a list of strings" },
  table = { function(v) return type(v) == "table" end, "a table" },
  any = { function() return true end, "" },
}

--- Options of the subclass beside the common ones: name -> kind.
Pipeline.parameters = {}

local common = { batch_size = "count", num_workers = "number" }

--- Options that a subclass hands to the tokenizer as they are, where it says `tokenizer_options = true`.
local tokenizer_options = { truncation = "any", max_length = "any", padding = "any", stride = "any", add_special_tokens = "any",
  padding_side = "any", truncation_side = "any", pad_to_multiple_of = "any", return_token_type_ids = "any", split_special_tokens = "any" }

--- name -> kind of every option of this class.
function Pipeline:known_options()
  local known = {}
  local function add(list) for name, kind in pairs(list) do known[name] = kind end end
  add(common)
  if self.tokenizer_options then add(tokenizer_options) end
  add(self.parameters)
  return known
end

--- Error unless `given` holds options of this class with values of the right kind. Returns a copy.
function Pipeline:check_options(given)
  local known, where = self:known_options(), ("pipeline('%s')"):format(self.task)
  local checked = {}
  for name, value in pairs(options.check(where, given, known)) do
    local kind = kinds[known[name]]
    if not kind[1](value) then
      errors.raise("%s: option '%s': expected %s, found %s", where, name, kind[2], type(value) == "table" and "a table" or tostring(value))
    end
    checked[name] = value
  end
  return checked
end

--- The options of a call over those of the pipeline.
function Pipeline:merge_options(given)
  local merged = {}
  for name, value in pairs(self.given) do merged[name] = value end
  for name, value in pairs(self:check_options(given)) do merged[name] = value end
  return merged
end

--- The tokenizer options among `o`, and `more` over them.
function Pipeline:tokenizer_arguments(o, more)
  local arguments = {}
  for name in pairs(tokenizer_options) do arguments[name] = o[name] end
  for name, value in pairs(more or {}) do arguments[name] = value end
  return arguments
end

--- Pipelines are made by hflua.pipeline: task, model, tokenizer, options for every call.
function Pipeline:init(task, model, tokenizer, given)
  self.task, self.model, self.tokenizer = task, model, tokenizer
  self.given = self:check_options(given)
end

function Pipeline:__tostring() return ("%s: {'task': '%s', 'model': '%s'}"):format(self.__name, self.task, self.model.__name or "?") end

--- Raises an error that names the task.
function Pipeline:fail(format, ...) errors.raise("pipeline('%s'): " .. format, self.task, ...) end

-- ---- items and rows

--- True when `inputs` is a list of items rather than one; a table with named fields is one item.
function Pipeline:is_list(inputs) return type(inputs) == "table" and (inputs[1] ~= nil or next(inputs) == nil) end

--- Rows of one item: tables with input_ids and what else the tokenizer gives, and fields of the subclass's own.
function Pipeline:preprocess(text, o)
  self:check_text(text)
  return { self:row_of(self.tokenizer(text, nil, self:tokenizer_arguments(o))) }
end

--- Error unless the item is a text.
function Pipeline:check_text(text)
  if type(text) ~= "string" then self:fail("expected a text or a list of texts, found %s", text == nil and "nothing" or type(text)) end
end

local model_columns = { "input_ids", "token_type_ids", "attention_mask" }

-- True when the model's forward takes this input.
local function takes(model, name)
  local arguments = model.forward_arguments
  if not arguments then return true end
  if arguments[name] ~= nil then return true end
  for _, argument in ipairs(arguments) do if argument == name then return true end end
  return false
end

--- One row of an encoding: the columns that the model takes, as lists. index: which row of a batch; nil: it is one row.
function Pipeline:row_of(encoding, index)
  local row = {}
  for _, name in ipairs(model_columns) do
    local column = encoding[name]
    if column and takes(self.model, name) then row[name] = index and column[index] or column end
  end
  if #row.input_ids == 0 then self:fail("the text has no tokens") end
  return row
end

--- Where shorter rows of a batch are padded; nil: where the tokenizer says.
Pipeline.padding_side = nil

--- The rows as one batch of tensors, padded where their lengths differ.
function Pipeline:collate(rows)
  local batch, same = {}, true
  for i, row in ipairs(rows) do
    batch[i] = {}
    for _, name in ipairs(model_columns) do batch[i][name] = row[name] end
    same = same and #row.input_ids == #rows[1].input_ids
  end
  if not same and not self.tokenizer.pad_token_id then
    self:fail("batch_size: texts of different lengths need a padding token, and the tokenizer has none; set tok.pad_token = tok.eos_token, or leave batch_size at 1")
  end
  local encoding = self.tokenizer:pad(batch, { padding = not same, padding_side = self.padding_side, return_tensors = "pt" })
  for _, name in ipairs(encoding:keys()) do
    if not takes(self.model, name) then encoding[name] = nil end
  end
  local parameter = self.model:parameters()[1]
  return parameter and parameter.device ~= "cpu" and encoding:to(parameter.device) or encoding
end

--- The part of x (B, T, ...) that belongs to row i of `length` tokens: (length, ...).
function Pipeline:own_part(x, i, length)
  local width = x.shape[2]
  if width == length then return x[i] end
  return x[i]:narrow(0, self.tokenizer.padding_side == "left" and width - length or 0, length)
end

--- What of the outputs belongs to row i of the batch, on the host: the logits, by default.
function Pipeline:pick(outputs, i)
  if not outputs.logits then self:fail("%s gives no logits; expected a model for this task", self.model.__name) end
  return outputs.logits[i]:to("cpu")
end

--- Runs the model on a batch of rows and gives each its output.
function Pipeline:forward(rows)
  local outputs = self.model(self:collate(rows))
  for i, row in ipairs(rows) do row.output = self:pick(outputs, i, row):detach():float():to("cpu") end
end

-- Goes through all items; rows are run in batches of o.batch_size, whatever item they are of.
local function run_items(self, items, o)
  local results, open, waiting = {}, {}, {}
  local function flush()
    if #waiting > 0 then self:forward(waiting, o) end
    waiting = {}
    while open[1] and (not open[1].rows[1] or open[1].rows[#open[1].rows].output) do
      local done = table.remove(open, 1)
      results[done.index] = self:postprocess(done.rows, o, done.item)
    end
  end
  for i = 1, #items do
    local rows = self:preprocess(items[i], o)
    open[#open + 1] = { index = i, item = items[i], rows = rows }
    for _, row in ipairs(rows) do
      waiting[#waiting + 1] = row
      if #waiting >= (o.batch_size or 1) then flush() end
    end
  end
  flush()
  return results
end

--- The results of a list of items, in order; the model is in evaluation mode meanwhile and records no tape.
function Pipeline:run(items, o)
  local was_training = self.model.training
  if was_training then self.model:eval() end
  local ok, results = pcall(tensor.no_grad, function() return run_items(self, items, o) end)
  if was_training then self.model:train() end
  if not ok then error(results, 0) end
  return results
end

--- pipe(inputs[, options]): one item gives one result, a list gives a list.
function Pipeline:__call(inputs, given)
  local o = self:merge_options(given)
  if self:is_list(inputs) then return self:run(inputs, o) end
  return self:run({ inputs }, o)[1]
end

--- Saves model and tokenizer into a folder.
function Pipeline:save_pretrained(folder)
  self.model:save_pretrained(folder)
  self.tokenizer:save_pretrained(folder)
end

-- ---- helpers of several pipelines

--- The list by falling `score`, equal ones in their order, cut to `count` (nil: all).
function Pipeline.best(list, count)
  local place = {}
  for i, entry in ipairs(list) do place[entry] = i end
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted, function(a, b) return a.score > b.score or (a.score == b.score and place[a] < place[b]) end)
  for i = #sorted, (count or #sorted) + 1, -1 do sorted[i] = nil end
  return sorted
end

--- The name of label `id`, counted from 0.
function Pipeline:label(id)
  local names = self.model.config.id2label
  return names and names[id] or "LABEL_" .. id
end

--- Index (from 1) and value of the first largest number.
function Pipeline.largest(numbers)
  local best = 1
  for i = 2, #numbers do if numbers[i] > numbers[best] then best = i end end
  return best, numbers[best]
end

return Pipeline
