--- Layers: `nn.Linear`, `nn.LayerNorm`, `nn.Embedding`, `nn.Dropout`, `nn.ModuleList`, `nn.Sequential`, and `nn.Module` to build
-- one's own. Fields are named as in checkpoints; initial values are drawn as PyTorch draws them.
return {
  Module = require "hflua.nn.module",
  Parameter = require("hflua.nn.parameter").Parameter,
  init = require "hflua.nn.parameter",
  Linear = require "hflua.nn.linear",
  Conv1D = require "hflua.nn.conv1d",
  LayerNorm = require "hflua.nn.layer_norm",
  Embedding = require "hflua.nn.embedding",
  Dropout = require "hflua.nn.dropout",
  ModuleList = require "hflua.nn.module_list",
  Sequential = require "hflua.nn.sequential",
  functional = require "hflua.nn.functional",
  utils = require "hflua.nn.utils",
}
