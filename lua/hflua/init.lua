--- hflua: fine-tune and run transformers from Lua. `local hf = require "hflua"`.
-- Every name is loaded when it is first used, so that a script starts at once.

-- name in hf -> { module, field of the module (nil: the module itself) }
local names = {
  tensor = { "hflua.tensor" }, tokenizer = { "hflua.tokenizer" }, datasets = { "hflua.datasets" },
  peft = { "hflua.peft" }, models = { "hflua.models" }, trainer = { "hflua.trainer" }, pipeline = { "hflua.pipeline" },
  nn = { "hflua.nn" }, template = { "hflua.template" }, evaluate = { "hflua.evaluate" },
  json = { "hflua.core.json" }, safetensors = { "hflua.core.safetensors" }, torch = { "hflua.core.torch" },
  no_grad = { "hflua.tensor", "no_grad" }, enable_grad = { "hflua.tensor", "enable_grad" },
  checkpoint = { "hflua.tensor", "checkpoint" }, custom_op = { "hflua.tensor", "custom_op" }, step = { "hflua.tensor", "step" },
  graph = { "hflua.tensor", "graph" },
  null = { "hflua.core.json", "null" },
  lower = { "hflua.core.text", "lower" }, upper = { "hflua.core.text", "upper" }, strip = { "hflua.core.text", "strip" },
  split = { "hflua.core.text", "split" }, slice = { "hflua.core.text", "slice" }, length = { "hflua.core.text", "length" },
  LoraConfig = { "hflua.peft", "LoraConfig" }, TaskType = { "hflua.peft", "TaskType" }, PeftModel = { "hflua.peft", "PeftModel" },
  get_peft_model = { "hflua.peft", "get_peft_model" },
  load_metric = { "hflua.evaluate", "load" },
  Accuracy = { "hflua.metrics.accuracy" },
  range = { "hflua.range" }, tqdm = { "hflua.progress", "tqdm" }, makedirs = { "hflua.core.system", "makedirs" },
  parse_args = { "hflua.args" }, plot = { "hflua.plot", "plot" }, launch = { "hflua.launch" }, set_seed = { "hflua.seed" },
  GenerationConfig = { "hflua.generation.config" }, generation = { "hflua.generation" },
  TextStreamer = { "hflua.generation.streamers", "TextStreamer" }, TextIteratorStreamer = { "hflua.generation.streamers", "TextIteratorStreamer" },
  autocast = { "hflua.amp", "autocast" }, GradScaler = { "hflua.amp_scaler" },
  version = { "hflua.core.version" }, cuda = { "hflua.cuda" }, builtin = { "hflua.builtin" },
}

-- Modules whose names are also found in hf itself: hf.Trainer is hf.trainer.Trainer.
local flat = { "trainer", "models", "datasets", "tokenizer" }

local hf = {}

-- All names, for completion: those above and those of the flat modules.
local function known_names()
  local complete, list = require "hflua.complete", {}
  for name in pairs(names) do list[#list + 1] = name end
  for _, module in ipairs(flat) do
    for name in pairs(complete.names(hf[module])) do list[#list + 1] = name end
  end
  return list
end

return setmetatable(hf, {
  __names = known_names,
  __index = function(self, name)
    local entry, value = names[name], nil
    if entry then
      value = require(entry[1])
      if entry[2] then value = value[entry[2]] end
    else
      for _, module in ipairs(flat) do value = value or self[module][name] end
    end
    rawset(self, name, value)
    return value
  end,
})
