--- A model and rows small enough for tests of the Trainer: the mean of word vectors, then a linear layer.
local hf = require "hflua"
local nn, tensor = hf.nn, hf.tensor

local tiny = {}

local Tiny = nn.Module:extend("TinyForSequenceClassification")
Tiny.forward_arguments = { "input_ids", "attention_mask", "labels" }
Tiny.main_input_name = "input_ids"

function Tiny:init(vocabulary, width, classes, dropout)
  self.embedding = nn.Parameter(tensor.zeros { vocabulary, width })
  self.norm = nn.LayerNorm(width)
  self.dropout = nn.Dropout(dropout)
  self.weight = nn.Parameter(tensor.zeros { classes, width })
  self.bias = nn.Parameter(tensor.zeros { classes })
end

function Tiny:forward(inputs)
  local mask = inputs.attention_mask:float():unsqueeze(-1)
  local mean = (tensor.embedding(self.embedding, inputs.input_ids) * mask):sum { dim = 1 } / mask:sum { dim = 1 }
  local logits = tensor.linear(self.dropout(self.norm(mean)), self.weight, self.bias)
  return { loss = inputs.labels and tensor.cross_entropy(logits, inputs.labels) or nil, logits = logits }
end

function Tiny:save_pretrained(folder) hf.safetensors.save_file(self:state_dict(), folder .. "/model.safetensors") end

--- A new model whose weights depend on `seed` alone.
function tiny.model(seed, dropout)
  local model = Tiny(20, 8, 2, dropout or 0.0)
  local state = (seed or 1) * 2654435761 % 4294967296
  tensor.no_grad(function()
    for _, parameter in model:named_parameters() do
      local numbers = {}
      for i = 1, parameter:numel() do
        state = (state * 1664525 + 1013904223) % 4294967296
        numbers[i] = (state / 4294967296 - 0.5) * 0.6
      end
      parameter:copy_(tensor.tensor(numbers):reshape(parameter.shape))
    end
  end)
  return model
end

--- n rows of 3 to 8 ids; the label says whether large ids prevail.
function tiny.rows(n, seed)
  local rows, state = {}, seed or 7
  local function draw(limit)
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 65536 % limit
  end
  for i = 1, n do
    local ids, mask, sum = {}, {}, 0
    for j = 1, 3 + draw(6) do
      ids[j], mask[j] = 1 + draw(19), 1
      sum = sum + (ids[j] > 9 and 1 or -1)
    end
    rows[i] = { input_ids = ids, attention_mask = mask, label = sum > 0 and 1 or 0 }
  end
  return rows
end

--- Puts nonsense into all weights.
function tiny.spoil(model)
  tensor.no_grad(function()
    for _, parameter in model:named_parameters() do parameter:fill_(3.5) end
  end)
end

--- What collators and the Trainer ask of a tokenizer.
tiny.tokenizer = { pad_token_id = 0, padding_side = "right", model_input_names = { "input_ids", "attention_mask" } }

--- A Trainer over 20 rows with batches of 4, quiet; `given` are its arguments, `options` more of its options.
function tiny.trainer(given, options)
  local args = { output_dir = "/nonexistent", per_device_train_batch_size = 4, num_train_epochs = 2, learning_rate = 0.05,
    logging_steps = 1, save_strategy = "no", use_cpu = true, disable_tqdm = true }
  for name, value in pairs(given or {}) do args[name] = value end
  local o = { model = tiny.model(), args = hf.TrainingArguments(args), train_dataset = tiny.rows(20),
    data_collator = hf.trainer.DataCollatorWithPadding(tiny.tokenizer, {}) }
  for name, value in pairs(options or {}) do o[name] = value end
  local trainer = hf.Trainer(o)
  trainer:pop_callback(hf.trainer.PrinterCallback)
  return trainer
end

--- All weights as one list of numbers.
function tiny.weights(model)
  local all = {}
  for _, parameter in model:named_parameters() do
    for _, value in ipairs(parameter:detach():reshape { -1 }:tolist()) do all[#all + 1] = value end
  end
  return all
end

--- A new folder that no one else uses.
function tiny.folder()
  local path = os.tmpname()
  os.remove(path)
  require("hflua.core.system").makedirs(path)
  return path
end

return tiny
