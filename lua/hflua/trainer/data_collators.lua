--- Data collators: rows made into a batch of tensors. Names, options and results are HF's. A collator is called with a list of
-- rows; loaders hand it rows of a dataset by their numbers (`collate_rows`), which the engine pads without Lua values in between.
local class = require "hflua.class"
local errors = require "hflua.errors"
local options = require "hflua.options"
local padding = require "hflua.trainer.padding"
local new_batch = require "hflua.trainer.batch"
local row_source = require "hflua.trainer.row_source"

local collators = {}

local Collator = class("DataCollator")
collators.DataCollator = Collator

--- collator(features): the batch of a list of rows.
function Collator:__call(features) return self:make(row_source.RowList(features)) end

--- The batch of rows of a Dataset by their numbers; nil where a list of rows is wanted: for other kinds of datasets, and
-- for a class of the user's that is called with rows.
function Collator:collate_rows(dataset, numbers)
  local is_dataset = getmetatable(dataset) == require "hflua.datasets.dataset"
  if not is_dataset or getmetatable(self).__call ~= Collator.__call then return nil end
  return self:make(row_source.DatasetRows(dataset, numbers))
end

--- DefaultDataCollator(): stacks; label and label_ids become labels, in front; text is dropped.
collators.DefaultDataCollator = Collator:extend("DefaultDataCollator")

function collators.DefaultDataCollator:init(given) options.check("DefaultDataCollator", given, { "return_tensors" }) end

function collators.DefaultDataCollator:make(rows)
  local batch = new_batch()
  for _, label in ipairs { "label", "label_ids" } do
    if batch.labels == nil and rows:has(label) then batch.labels = rows:stacked(label) end
  end
  for _, name in ipairs(rows:names()) do
    if name ~= "label" and name ~= "label_ids" and rows:has(name) then batch[name] = rows:stacked(name) end
  end
  return batch
end

--- default_data_collator(features).
collators.default_data_collator = collators.DefaultDataCollator()

-- The tokenizer given first or as an option; every collator that pads begins like this.
function Collator:setup(tokenizer, given, defaults)
  local is_options = given == nil and type(tokenizer) == "table" and getmetatable(tokenizer) == nil and tokenizer.pad_token_id == nil
  if is_options then tokenizer, given = nil, tokenizer end
  defaults.tokenizer, defaults.pad_to_multiple_of, defaults.return_tensors = options.none, options.none, options.none
  local o = options.merge(defaults, given, self.__name)
  self.tokenizer = tokenizer or o.tokenizer
  if not self.tokenizer then errors.raise("%s: needs a tokenizer", self.__name) end
  for name, value in pairs(o) do
    if name ~= "tokenizer" then self[name] = value end
  end
end

-- The column brought to the width that this collator's options ask for.
local function pad_column(self, rows, name, value)
  local side, max_length = self.tokenizer.padding_side, self.max_length
  local padded = rows:padded(name, value, side)
  if self.padding == "max_length" and not max_length then max_length = self.tokenizer.model_max_length end
  local width = padding.round(padded:size(1), self.padding, max_length, self.pad_to_multiple_of)
  if width == padded:size(1) then return padded end
  return rows:padded(name, value, side, width)
end

-- 1 for each token there is.
local function make_attention_mask(self, rows, width)
  local lists = {}
  for i, ids in ipairs(rows:lists "input_ids") do
    lists[i] = {}
    for j = 1, #ids do lists[i][j] = 1 end
  end
  return padding.stack(lists, width, 0, self.tokenizer.padding_side)
end

-- Pads the tokenizer's columns and stacks the others; columns in `skip` are left out.
function Collator:pad(rows, skip)
  if not rows:has "input_ids" then
    errors.raise("%s: the rows have no 'input_ids' to pad, only: %s", self.__name, table.concat(rows:names(), ", "))
  end
  padding.check_token(self.tokenizer)
  local batch, values, side = new_batch(), padding.values(self.tokenizer), self.tokenizer.padding_side
  local ids = pad_column(self, rows, "input_ids", values.input_ids)
  for _, name in ipairs(rows:names()) do
    if name == "input_ids" then
      batch[name] = ids
    elseif not (skip and skip[name]) then
      batch[name] = values[name] and rows:padded(name, values[name], side, ids:size(1)) or rows:stacked(name)
    end
  end
  if batch.attention_mask == nil then batch.attention_mask = make_attention_mask(self, rows, ids:size(1)) end
  return batch
end

--- DataCollatorWithPadding{ tokenizer =, padding = true | "longest" | "max_length", max_length =, pad_to_multiple_of = }.
collators.DataCollatorWithPadding = Collator:extend("DataCollatorWithPadding")

function collators.DataCollatorWithPadding:init(tokenizer, given)
  self:setup(tokenizer, given, { padding = options.none, max_length = options.none })
end

-- label and label_ids become labels, at the end of the batch as HF has it.
function collators.DataCollatorWithPadding:make(rows)
  local batch = self:pad(rows)
  for _, name in ipairs { "label", "label_ids" } do
    if batch[name] ~= nil then
      batch.labels = batch[name]
      batch[name] = nil
    end
  end
  return batch
end

local labels_only = { label = true, labels = true }

local function label_column(rows)
  return rows:has "label" and "label" or rows:has "labels" and "labels" or nil
end

--- DataCollatorForTokenClassification{ tokenizer =, padding =, max_length =, pad_to_multiple_of =, label_pad_token_id = -100 }:
-- labels are padded with the tokens.
collators.DataCollatorForTokenClassification = Collator:extend("DataCollatorForTokenClassification")

function collators.DataCollatorForTokenClassification:init(tokenizer, given)
  self:setup(tokenizer, given, { padding = options.none, max_length = options.none, label_pad_token_id = -100 })
end

function collators.DataCollatorForTokenClassification:make(rows)
  local name, batch = label_column(rows), self:pad(rows, labels_only)
  if name then batch.labels = rows:padded(name, self.label_pad_token_id, self.tokenizer.padding_side, batch.input_ids:size(1)) end
  return batch
end

--- DataCollatorForSeq2Seq{ tokenizer =, model =, padding =, max_length =, pad_to_multiple_of =, label_pad_token_id = -100 }: labels
-- have a width of their own.
collators.DataCollatorForSeq2Seq = Collator:extend("DataCollatorForSeq2Seq")

function collators.DataCollatorForSeq2Seq:init(tokenizer, given)
  self:setup(tokenizer, given, { padding = options.none, max_length = options.none, label_pad_token_id = -100, model = options.none })
end

function collators.DataCollatorForSeq2Seq:make(rows)
  local name, batch = label_column(rows), self:pad(rows, labels_only)
  if name then batch.labels = pad_column(self, rows, name, self.label_pad_token_id) end
  if batch.labels and self.model and self.model.prepare_decoder_input_ids_from_labels then
    batch.decoder_input_ids = self.model:prepare_decoder_input_ids_from_labels(batch.labels)
  end
  return batch
end

--- DataCollatorWithFlattening{ return_position_ids = true, separator_id = -100 }: one long row without padding.
collators.DataCollatorWithFlattening = Collator:extend("DataCollatorWithFlattening")

function collators.DataCollatorWithFlattening:init(given)
  local o = options.merge({ return_position_ids = true, separator_id = -100, return_tensors = options.none }, given,
    "DataCollatorWithFlattening")
  for name, value in pairs(o) do self[name] = value end
end

-- One row (1, N) of all lists; each begins with `first` where that is given.
local function flat_row(lists, first)
  local out = {}
  for _, list in ipairs(lists) do
    table.move(list, 1, #list, #out + 1, out)
    if first and #list > 0 then out[#out - #list + 1] = first end
  end
  return padding.stack({ out }, #out, 0)
end

local function positions_of(lists)
  local positions = {}
  for i, list in ipairs(lists) do
    positions[i] = {}
    for j = 1, #list do positions[i][j] = j - 1 end
  end
  return positions
end

function collators.DataCollatorWithFlattening:make(rows)
  local batch, ids = new_batch(), rows:lists "input_ids"
  batch.input_ids = flat_row(ids)
  batch.labels = flat_row(rows:has "labels" and rows:lists "labels" or ids, self.separator_id)
  if self.return_position_ids then batch.position_ids = flat_row(positions_of(ids)) end
  return batch
end

--- DataCollatorForLanguageModeling{ tokenizer =, mlm = true, mlm_probability = 0.15, mask_replace_prob = 0.8,
-- random_replace_prob = 0.1, seed =, pad_to_multiple_of = }. mlm: masks tokens by PyTorch's draws, labels elsewhere -100;
-- mlm = false: labels are the ids, -100 wherever the id is that of padding.
collators.DataCollatorForLanguageModeling = Collator:extend("DataCollatorForLanguageModeling")

local LanguageModeling = collators.DataCollatorForLanguageModeling

function LanguageModeling:init(tokenizer, given)
  self:setup(tokenizer, given, { mlm = true, mlm_probability = 0.15, mask_replace_prob = 0.8, random_replace_prob = 0.1, seed = options.none })
  if not self.mlm then return end
  if self.tokenizer.mask_token_id == nil then
    errors.raise("DataCollatorForLanguageModeling: this tokenizer has no mask token, which masked language modeling needs; mlm = false trains a causal model")
  end
  for _, name in ipairs { "mlm_probability", "mask_replace_prob", "random_replace_prob" } do
    if self[name] < 0 or self[name] > 1 then errors.raise("DataCollatorForLanguageModeling: %s: expected a number from 0 to 1, found %s", name, self[name]) end
  end
  if self.mask_replace_prob + self.random_replace_prob > 1 then
    errors.raise("DataCollatorForLanguageModeling: mask_replace_prob and random_replace_prob: their sum must not be above 1")
  end
  if self.seed then self.generator = require("hflua.core.random").generator(self.seed) end
end

-- True where an id is one of the tokenizer's special ones.
local function special_positions(self, ids)
  local special
  for _, id in ipairs(self.tokenizer.all_special_ids) do
    local here = ids:eq(id)
    special = special and special:logical_or(here) or here
  end
  return special
end

-- Draws 1 with chance p at every position (0 where `never` is true); true where it is 1.
local function draw(self, shape, p, never)
  local tensor = require "hflua.tensor"
  local chances = tensor.full(shape, p, { dtype = "float32" })
  if never then chances = chances:masked_fill(never, 0.0) end
  return tensor.bernoulli(chances, { generator = self.generator }):bool()
end

-- ids and labels of a masked batch. The draws come in PyTorch's order: which positions, which become the mask, which of the
-- rest become another word, and a word for every position.
local function mask_tokens(self, ids, special)
  local tensor, shape = require "hflua.tensor", ids.shape
  local masked = draw(self, shape, self.mlm_probability, special)
  local labels = tensor.where(masked, ids, ids * 0 - 100)
  local replaced = draw(self, shape, self.mask_replace_prob):logical_and(masked)
  local inputs = tensor.where(replaced, ids * 0 + self.tokenizer.mask_token_id, ids)
  if self.mask_replace_prob == 1 or self.random_replace_prob == 0 then return inputs, labels end
  local share = self.random_replace_prob / (1 - self.mask_replace_prob)
  local random = draw(self, shape, share):logical_and(masked):logical_and(replaced:logical_not())
  local words = tensor.randint(0, #self.tokenizer, shape, { generator = self.generator })
  return tensor.where(random, words, inputs), labels
end

function LanguageModeling:make(rows)
  local batch = self:pad(rows)
  local given_special = batch.special_tokens_mask
  batch.special_tokens_mask = nil
  if self.mlm then
    local special = given_special and given_special:bool() or special_positions(self, batch.input_ids)
    batch.input_ids, batch.labels = mask_tokens(self, batch.input_ids, special)
  else
    batch.labels = batch.input_ids:masked_fill(batch.input_ids:eq(self.tokenizer.pad_token_id), -100)
  end
  return batch
end

return collators
