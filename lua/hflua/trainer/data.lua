--- Trainer's data loaders: samplers by the arguments, columns the model does not take left out.
local errors = require "hflua.errors"
local notes = require "hflua.trainer.notes"
local samplers = require "hflua.trainer.samplers"
local BatchLoader = require "hflua.trainer.batch_loader"

local data = {}

-- The columns that reach the model, or nil when its arguments are not known.
local function signature_columns(self)
  local arguments = self.model.forward_arguments
  if not arguments then return nil end
  local kept = { label = true, label_ids = true }
  for _, name in ipairs(arguments) do kept[name] = true end
  for _, name in ipairs(self.label_names) do kept[name] = true end
  return kept
end

local function column_names(dataset)
  if type(dataset) == "table" and getmetatable(dataset) and dataset.column_names then return dataset.column_names end
  local names = {}
  for name in pairs(dataset[1] or {}) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- A list of rows without the other columns.
local function select_in_rows(rows, names)
  local selected = {}
  for i, row in ipairs(rows) do
    selected[i] = {}
    for _, name in ipairs(names) do selected[i][name] = row[name] end
  end
  return selected
end

--- The dataset without the columns that the model's forward does not take.
function data:remove_unused_columns(dataset, description)
  local kept = signature_columns(self)
  if not self.args.remove_unused_columns or not kept then return dataset end
  local names, ignored = {}, {}
  for _, name in ipairs(column_names(dataset)) do
    local list = kept[name] and names or ignored
    list[#list + 1] = name
  end
  if #ignored == 0 then return dataset end
  if #names == 0 then
    errors.raise("%s set: no column is an argument of %s (%s): it has %s. Set remove_unused_columns = false if a collator uses them.",
      description, self.model.__name or "the model", table.concat(self.model.forward_arguments, ", "), table.concat(ignored, ", "))
  end
  if dataset.select_columns then return dataset:select_columns(names) end
  return select_in_rows(dataset, names)
end

--- Is this a table of splits as load_dataset gives it?
function data.is_dataset_dict(value) return (getmetatable(value) or {}).__name == "DatasetDict" end

local function check_dataset(dataset, what)
  if dataset == nil then errors.raise("Trainer: %s needs a dataset", what) end
  if type(dataset) ~= "table" then errors.raise("Trainer: %s: expected a dataset or a list of rows, found %s", what, type(dataset)) end
  if data.is_dataset_dict(dataset) then
    errors.raise("Trainer: %s: this is a DatasetDict; choose a split, such as ds.train", what)
  end
  if #dataset == 0 then errors.raise("Trainer: %s: the dataset has no rows", what) end
end

local function lengths(self, dataset)
  local names = self.processing_class and self.processing_class.model_input_names
  return samplers.lengths_of(dataset, self.args.length_column_name, names and names[1] or "input_ids")
end

--- The order of training rows.
function data:get_train_sampler(dataset)
  local args = self.args
  if args.train_sampling_strategy == "sequential" then return samplers.SequentialSampler(#dataset) end
  if args.train_sampling_strategy == "random" then return samplers.RandomSampler(#dataset, args.data_seed or args.seed) end
  return samplers.LengthGroupedSampler(lengths(self, dataset), args.train_batch_size * args.gradient_accumulation_steps)
end

--- The order of evaluation rows: as they stand. With hf_quirks and group_by_length they are grouped too, as HF does.
function data:get_eval_sampler(dataset)
  local args = self.args
  if not args.hf_quirks or args.train_sampling_strategy ~= "group_by_length" then return samplers.SequentialSampler(#dataset) end
  local generator = require("hflua.core.random").generator(args.data_seed or args.seed)
  return samplers.LengthGroupedSampler(lengths(self, dataset), args.eval_batch_size, generator)
end

local function loader(self, dataset, description, sampler_method, batch_size, drop_last)
  check_dataset(dataset, description)
  local kept = self:remove_unused_columns(dataset, description)
  local sampler, own_batch_size = self:shard_sampler(self[sampler_method](self, dataset), batch_size, drop_last)
  return BatchLoader(kept, { batch_size = own_batch_size, sampler = sampler, collate_fn = self.data_collator, drop_last = drop_last })
end

--- Batches for training.
function data:get_train_dataloader()
  return loader(self, self.train_dataset, "training", "get_train_sampler", self.args.train_batch_size, self.args.dataloader_drop_last)
end

-- A loader whose last rows are left out says so: their number would be missed in the metrics.
local function eval_loader(self, dataset, description)
  local args = self.args
  local made = loader(self, dataset, description, "get_eval_sampler", args.eval_batch_size, args.dataloader_drop_last)
  local dropped = args.dataloader_drop_last and #dataset % (made.batch_size * args.world_size) or 0
  if dropped > 0 then notes.once("%s leaves out the last %d of %d rows (dataloader_drop_last)", description, dropped, #dataset) end
  return made
end

--- Batches for evaluation: of `eval_dataset`, of the one with this name, or of the trainer's.
function data:get_eval_dataloader(eval_dataset)
  if type(eval_dataset) == "string" then eval_dataset = self.eval_dataset[eval_dataset] end
  return eval_loader(self, eval_dataset or self.eval_dataset, "evaluation")
end

--- Batches for prediction.
function data:get_test_dataloader(test_dataset) return eval_loader(self, test_dataset, "prediction") end

--- Number of rows of a loader's dataset.
function data:num_examples(dataloader) return #dataloader.dataset end

--- Moves a batch to the device of the model.
function data:prepare_inputs(inputs)
  if self.device == "cpu" then return inputs end
  if inputs.to then return inputs:to(self.device) end
  local moved = {}
  for name, value in pairs(inputs) do moved[name] = type(value) == "userdata" and value:to(self.device) or value end
  return moved
end

return data
