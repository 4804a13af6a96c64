--- hf.datasets: Dataset, DatasetDict, load_dataset, DataLoader and what belongs to them, under Hugging Face's names.
local DatasetDict = require "hflua.datasets.dataset_dict"
local cache = require "hflua.datasets.cache"
local combine = require "hflua.datasets.combine"
local features = require "hflua.datasets.features"
local Dataset = require "hflua.datasets.dataset"
require "hflua.datasets.transforms"
require "hflua.datasets.map"
require "hflua.datasets.splits"

function Dataset:__show() return require "hflua.datasets.preview"(self) end

return {
  Dataset = Dataset,
  DatasetDict = DatasetDict,
  Features = features.Features,
  Value = features.Value,
  ClassLabel = features.ClassLabel,
  Sequence = features.Sequence,
  List = features.List,
  concatenate_datasets = combine.concatenate_datasets,
  interleave_datasets = combine.interleave_datasets,
  DataLoader = require "hflua.datasets.dataloader",
  load_dataset = require("hflua.datasets.load").load_dataset,
  load_from_disk = require("hflua.datasets.files").load_from_disk,
  disable_caching = cache.disable_caching,
  enable_caching = cache.enable_caching,
  is_caching_enabled = cache.is_caching_enabled,
}
