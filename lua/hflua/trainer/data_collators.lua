--- Data collators: lists of rows made into a batch of tensors. Names, options and results are HF's.
local class = require "hflua.class"
local collate = require "hflua.datasets.collate"
local errors = require "hflua.errors"
local options = require "hflua.options"
local ordered = require "hflua.ordered"
local padding = require "hflua.trainer.padding"
local new_batch = require "hflua.trainer.batch"

local collators = {}

-- Column names of the rows, in the order of the first one.
local function column_names(features)
  local names = {}
  for name in ordered.pairs(features[1]) do names[#names + 1] = name end
  return names
end

local function column(features, name)
  local values = {}
  for i, row in ipairs(features) do
    values[i] = row[name]
    if values[i] == nil then errors.raise("row %d of the batch has no column '%s'", i, name) end
  end
  return values
end

local function check_features(features)
  if type(features) ~= "table" or #features == 0 then errors.raise("data collator: expected a list of rows") end
end

-- label and label_ids of default_data_collator: text and None are dropped.
local function is_number_like(value)
  local kind = type(value)
  return kind == "number" or kind == "boolean" or kind == "table" or kind == "userdata" and tostring(value) ~= "null"
end

--- default_data_collator(features): stacks; label and label_ids become labels; text is dropped.
function collators.default_data_collator(features)
  check_features(features)
  local batch = new_batch()
  for _, label in ipairs { "label", "label_ids" } do
    if batch.labels == nil and is_number_like(features[1][label]) then
      batch.labels = padding.stack_equal(column(features, label), label)
    end
  end
  for _, name in ipairs(column_names(features)) do
    if name ~= "label" and name ~= "label_ids" and is_number_like(features[1][name]) then
      batch[name] = padding.stack_equal(column(features, name), name)
    end
  end
  return batch
end

local Collator = class("DataCollator")

function Collator:__call(features) return self:collate(features) end

--- DefaultDataCollator(): default_data_collator as an object.
collators.DefaultDataCollator = Collator:extend("DefaultDataCollator")
function collators.DefaultDataCollator:collate(features) return collators.default_data_collator(features) end

-- The tokenizer given first or as an option; every collator that pads begins like this.
function Collator:setup(tokenizer, given, defaults)
  if given == nil and type(tokenizer) == "table" and tokenizer.pad_token_id == nil and tokenizer.tokenizer then
    tokenizer, given = nil, tokenizer
  end
  defaults.tokenizer = options.none
  local o = options.merge(defaults, given, self.__name)
  self.tokenizer = tokenizer or o.tokenizer
  if not self.tokenizer then errors.raise("%s: needs a tokenizer", self.__name) end
  for name, value in pairs(o) do
    if name ~= "tokenizer" then self[name] = value end
  end
end

-- max_length under this collator's options; nil when none holds.
function Collator:limit()
  if self.padding == "max_length" and not self.max_length then return self.tokenizer.model_max_length end
  return self.max_length
end

-- The width of input_ids under this collator's options.
function Collator:width(features)
  return padding.width(column(features, "input_ids"), self.padding, self:limit(), self.pad_to_multiple_of)
end

-- Pads the tokenizer's columns and stacks the others; columns in `skip` are left out.
function Collator:pad(features, skip)
  check_features(features)
  if features[1].input_ids == nil then
    errors.raise("%s: the rows have no 'input_ids' to pad, only: %s", self.__name, table.concat(column_names(features), ", "))
  end
  padding.check_token(self.tokenizer)
  local batch, values, width = new_batch(), padding.values(self.tokenizer), self:width(features)
  for _, name in ipairs(column_names(features)) do
    if not (skip and skip[name]) then
      local rows = column(features, name)
      if values[name] then
        batch[name] = padding.stack(rows, width, values[name], self.tokenizer.padding_side)
      else
        batch[name] = padding.stack_equal(rows, name)
      end
    end
  end
  if batch.attention_mask == nil then
    local ones = {}
    for i, ids in ipairs(column(features, "input_ids")) do
      ones[i] = {}
      for j = 1, #padding.list_of(ids) do ones[i][j] = 1 end
    end
    batch.attention_mask = padding.stack(ones, width, 0, self.tokenizer.padding_side)
  end
  return batch
end

-- label, label_ids -> labels, at the end of the batch as HF has it.
local function rename_labels(batch)
  for _, name in ipairs { "label", "label_ids" } do
    if batch[name] ~= nil then
      batch.labels = batch[name]
      batch[name] = nil
    end
  end
  return batch
end

--- DataCollatorWithPadding{ tokenizer =, padding = true | "longest" | "max_length", max_length =, pad_to_multiple_of = }.
collators.DataCollatorWithPadding = Collator:extend("DataCollatorWithPadding")

function collators.DataCollatorWithPadding:init(tokenizer, given)
  self:setup(tokenizer, given, { padding = options.none, max_length = options.none, pad_to_multiple_of = options.none,
    return_tensors = options.none })
end

function collators.DataCollatorWithPadding:collate(features) return rename_labels(self:pad(features)) end

--- The same for rows of a Dataset by their numbers, padded by its engine without Lua lists in between; nil where only
-- rows will do (text, formats, a class of the user's that collates otherwise).
function collators.DataCollatorWithPadding:collate_rows(dataset, numbers)
  if self.collate ~= collators.DataCollatorWithPadding.collate or getmetatable(self).__call ~= Collator.__call then return nil end
  padding.check_token(self.tokenizer)
  local function widen(longest) return padding.widen(longest, self.padding, self:limit(), self.pad_to_multiple_of) end
  local batch = collate.padded(dataset, numbers, padding.values(self.tokenizer), widen, self.tokenizer.padding_side == "left")
  return batch and rename_labels(batch)
end

-- Labels of unequal length, padded with label_pad_token_id to `width` on the tokenizer's side.
local function pad_labels(self, features, name, width)
  local rows = column(features, name)
  width = width or padding.width(rows, self.padding, self.max_length, self.pad_to_multiple_of)
  return padding.stack(rows, width, self.label_pad_token_id, self.tokenizer.padding_side)
end

local function label_column(features)
  return features[1].label ~= nil and "label" or "labels"
end

--- DataCollatorForTokenClassification{ tokenizer =, padding =, max_length =, pad_to_multiple_of =, label_pad_token_id = -100 }.
collators.DataCollatorForTokenClassification = Collator:extend("DataCollatorForTokenClassification")

function collators.DataCollatorForTokenClassification:init(tokenizer, given)
  self:setup(tokenizer, given, { padding = options.none, max_length = options.none, pad_to_multiple_of = options.none,
    label_pad_token_id = -100, return_tensors = options.none })
end

function collators.DataCollatorForTokenClassification:collate(features)
  check_features(features)
  local name = label_column(features)
  local batch = self:pad(features, { label = true, labels = true })
  if features[1][name] ~= nil then
    batch.labels = pad_labels(self, features, name, batch.input_ids.shape[2])
  end
  return batch
end

--- DataCollatorForSeq2Seq{ tokenizer =, model =, ... }: labels have a width of their own.
collators.DataCollatorForSeq2Seq = Collator:extend("DataCollatorForSeq2Seq")

function collators.DataCollatorForSeq2Seq:init(tokenizer, given)
  self:setup(tokenizer, given, { padding = options.none, max_length = options.none, pad_to_multiple_of = options.none,
    label_pad_token_id = -100, return_tensors = options.none, model = options.none })
end

function collators.DataCollatorForSeq2Seq:collate(features)
  check_features(features)
  local name = label_column(features)
  local batch = self:pad(features, { label = true, labels = true })
  if features[1][name] ~= nil then batch.labels = pad_labels(self, features, name) end
  if batch.labels and self.model and self.model.prepare_decoder_input_ids_from_labels then
    batch.decoder_input_ids = self.model:prepare_decoder_input_ids_from_labels(batch.labels)
  end
  return batch
end

--- DataCollatorWithFlattening{ return_position_ids = true, separator_id = -100 }: one long row without padding.
collators.DataCollatorWithFlattening = Collator:extend("DataCollatorWithFlattening")

function collators.DataCollatorWithFlattening:init(given)
  local o = options.merge({ return_position_ids = true, separator_id = -100, return_tensors = options.none,
    return_flash_attn_kwargs = false, return_seq_idx = false }, given, "DataCollatorWithFlattening")
  for name, value in pairs(o) do self[name] = value end
end

local function append(out, list, first)
  for i, value in ipairs(padding.list_of(list)) do out[#out + 1] = i == 1 and first or value end
end

function collators.DataCollatorWithFlattening:collate(features)
  check_features(features)
  local ids, labels, positions, batch = {}, {}, {}, new_batch()
  for _, row in ipairs(features) do
    append(ids, row.input_ids)
    append(labels, row.labels or row.input_ids, self.separator_id)
    for i = 0, #padding.list_of(row.input_ids) - 1 do positions[#positions + 1] = i end
  end
  batch.input_ids = padding.stack({ ids }, #ids, 0)
  batch.labels = padding.stack({ labels }, #labels, 0)
  if self.return_position_ids then batch.position_ids = padding.stack({ positions }, #positions, 0) end
  return batch
end

collators.DataCollator = Collator

return collators
