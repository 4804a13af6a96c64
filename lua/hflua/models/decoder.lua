--- What causal decoders share: the layout of a batch with a cache, attention, the loss of the next token.
--
-- A base model offers `encode(inputs, labels, want)` -> x (N, C), layout, hidden_states, as encoders do (heads.lua); want =
-- { hidden_states =, whole = }. `labels` (B, T) are here what each position predicts, already shifted.
local tensor = require "hflua.tensor"
local checkpointing = require "hflua.models.checkpointing"
local errors = require "hflua.errors"
local functional = require "hflua.nn.functional"
local encoder = require "hflua.models.encoder"
local layouts = require "hflua.models.layout"
local Outputs = require "hflua.models.outputs"
local PreTrainedModel = require "hflua.models.pretrained"

local decoder = {}

local function cache_of(model, inputs)
  if inputs.past_key_values then return inputs.past_key_values end
  if inputs.use_cache then return require("hflua.models.cache").DynamicCache { config = model.config } end
end

--- The layout of one batch (layouts.new). With a cache its rows are the new tokens only: `past` columns came before, the mask covers
-- both, and `cache` is what attention hands keys and values to. limit: the most positions the model has, or nil.
function decoder.layout(model, inputs, labels, want, limit)
  local cache = cache_of(model, inputs)
  local past = cache and cache:get_seq_length() or 0
  local apart = not cache and not inputs.attention_mask and inputs.position_ids or nil
  local at = layouts.new(model, inputs, { labels = labels, whole = want.whole, limit = limit, cache = cache, past = past, sequences = apart })
  at.cache, at.inputs = cache, inputs
  return at
end

-- The number of the sequence that each position belongs to, (B, T): another begins where positions do not go on by one.
local function sequence_numbers(positions)
  local T = positions.shape[2]
  if T == 1 then return positions * 0 end
  local begins = (positions:narrow(1, 1, T - 1) - positions:narrow(1, 0, T - 1)):ne(1):to("int64")
  return tensor.cat({ positions:narrow(1, 0, 1) * 0, begins }, { dim = 1 }):cumsum { dim = 1 }
end

-- Which keys a query may not see, (B, 1, T, T): later ones, masked ones and those of other sequences.
local function blocked_keys(layout)
  local B, T = layout.B, layout.T
  local blocked = tensor.ones({ T, T }, { device = layout.mask.device }):triu(1):eq(1):reshape(1, 1, T, T)
  blocked = tensor.logical_or(blocked, layout.mask:eq(0):reshape(B, 1, 1, T))
  if not layout.sequences then return blocked end
  local number = sequence_numbers(layout.sequences)
  return tensor.logical_or(blocked, number:reshape(B, 1, T, 1):ne(number:reshape(B, 1, 1, T)))
end

-- k or v (B, kv_heads, T, D) repeated for the heads that share them
local function repeat_heads(x, heads)
  local B, kv_heads, T, D = table.unpack(x.shape)
  if heads == kv_heads then return x end
  return x:unsqueeze(2):expand(B, kv_heads, heads // kv_heads, T, D):reshape(B, heads, T, D)
end

-- The same attention over every position, step by step: a keep-mask may be drawn as PyTorch draws it. A query without keys gives the
-- mean of all values, as "eager" attention does.
local function dense_attention(layout, q, k, v, o)
  local B, T, heads, D = layout.B, layout.T, q.shape[2], q.shape[3]
  local function split(x) return x:reshape(B, T, x.shape[2], D):transpose(1, 2) end
  q, k, v = split(q), repeat_heads(split(k), heads), repeat_heads(split(v), heads)
  local scores = tensor.matmul(q, k:transpose(-2, -1)) * (o.scale or 1 / math.sqrt(D))
  local probabilities = functional.dropout(scores:masked_fill(blocked_keys(layout), -3e38):softmax { dim = -1 }, o.dropout or 0)
  return tensor.matmul(probabilities, v):transpose(1, 2):reshape(B * T, heads, D)
end

-- Where padding is computed too, and where dropout follows PyTorch's order.
local function is_dense(layout, o)
  local padded = not layout.packed and not layout.plan.full
  return padded or (o.dropout or 0) > 0 and functional.dropout_rng == "torch"
end

--- Causal attention of one layer: q (N, heads, D), k, v (N, kv_heads, D) -> (N, heads, D), for the rows of `layout`.
-- o: layer (counted from 1), scale (default 1 / sqrt(D)), dropout. A cache (layout.cache) does it itself: it adds k and v to what
-- it holds of the layer and lets the new queries see all of it, cache:attention(q, k, v, layout, o).
function decoder.attention(q, k, v, layout, o)
  if layout.cache then return layout.cache:attention(q, k, v, layout, o) end
  if is_dense(layout, o) then return dense_attention(layout, q, k, v, o) end
  return tensor.core.attention(q, k, v, layout.plan, { causal = true, scale = o.scale, dropout = o.dropout })
end

--- The same for one product that holds q, k and v side by side: qkv (N, 3 C) -> (N, C).
function decoder.joined_attention(qkv, heads, layout, o)
  if not layout.cache and not is_dense(layout, o) then
    return tensor.core.attention_joined(qkv, heads, layout.plan, { causal = true, scale = o.scale, dropout = o.dropout })
  end
  local C = qkv.shape[2] // 3
  local function part(i) return layouts.heads(qkv:narrow(1, i * C, C), heads) end
  return decoder.attention(part(0), part(1), part(2), layout, o):reshape(layout.N, C)
end

--- Runs the layers over x (N, C): layers[i](x, layout) -> x, then `norm`. Gives the result, and the hidden states (B, T, C) before
-- each layer and behind the norm where they are wanted.
function decoder.run(layers, norm, x, layout, wants_hidden)
  local hidden = wants_hidden and {} or nil
  for i = 1, #layers do
    if hidden then hidden[i] = layouts.unpack(layout, x) end
    x = checkpointing.run(layers, i, x, layout)
  end
  x = norm(x)
  if hidden then hidden[#layers + 1] = layouts.unpack(layout, x) end
  return x, hidden
end

-- ---- heads

local function wants_hidden(model, inputs) return inputs.output_hidden_states or model.config.output_hidden_states or false end

--- The headless model: last_hidden_state (B, T, C).
function decoder.base()
  return function(self, inputs)
    local x, layout, hidden = self:encode(inputs, nil, { hidden_states = wants_hidden(self, inputs) })
    return Outputs.new({ "last_hidden_state", "past_key_values", "hidden_states" }, { past_key_values = layout.cache, hidden_states = hidden },
      { last_hidden_state = function() return layouts.unpack(layout, x) end })
  end
end

local function shifted(labels)
  local B, T = labels.shape[1], labels.shape[2]
  local nothing = tensor.full({ B, 1 }, -100, { dtype = labels.dtype, device = labels.device })
  return T > 1 and tensor.cat({ labels:narrow(1, 1, T - 1), nothing }, { dim = 1 }) or nothing
end

-- labels (B, T) -> what each position predicts: the next label of its row, nothing at the last one. Known on the host too, where the
-- layout and the loss ask which of them count.
local function next_labels(labels) return layouts.on_both(shifted, labels) end

-- The mean loss, or the sum divided by a number given by the caller; the vocabulary product is made in chunks.
local function next_token_loss(x, layout, targets, output, items)
  local weight, bias = output.weight, output.bias
  local loss = tensor.linear_cross_entropy(x, weight, layouts.pack_labels(layout, targets), { bias = bias, reduction = items and "sum" or "mean" })
  return items and loss / items or loss
end

-- Logits (B, n, V) of the last n columns, all without n.
local function last_logits(x, layout, output, n)
  if not n or n == 0 or n >= layout.T then return layouts.unpack(layout, output(x)) end
  return output(layouts.unpack(layout, x):narrow(1, layout.T - n, n))
end

local function check_keep(model, n)
  if n ~= nil and (math.type(n) ~= "integer" or n < 0) then
    errors.raise("%s: logits_to_keep: expected a whole number of at least 0, found %s", model.__name, tostring(n))
  end
  return n
end

--- The next token. base: the field of the headless model; the output layer is the field lm_head.
-- loss: the mean over the labels that count, each predicted from the position before it; with num_items_in_batch their sum divided by it.
-- logits (B, T, V) are made when they are asked for, of the last logits_to_keep columns.
function decoder.causal(base)
  return function(self, inputs)
    local targets, keep = inputs.labels and next_labels(inputs.labels), check_keep(self, inputs.logits_to_keep)
    local x, layout, hidden = self[base]:encode(inputs, targets, { hidden_states = wants_hidden(self, inputs) })
    local loss = targets and next_token_loss(x, layout, targets, self.lm_head, inputs.num_items_in_batch) or nil
    return Outputs.new({ "loss", "logits", "past_key_values", "hidden_states" }, { loss = loss, past_key_values = layout.cache, hidden_states = hidden },
      { logits = function() return last_logits(x, layout, self.lm_head, keep) end })
  end
end

-- The place in B*T of each row's token that stands for it, on the host: the last one that is not the padding id, else the last.
local function last_places(model, inputs)
  local ids, padding = inputs.input_ids, model.config:padding_id()
  local given = ids or inputs.inputs_embeds
  local B, T = given.shape[1], given.shape[2]
  if not padding and B > 1 then errors.raise("%s: pad_token_id: Cannot handle batch sizes > 1 if no padding token is defined. Set model.config.pad_token_id = tok.pad_token_id", model.__name) end
  local starts = tensor.arange(B, { dtype = "int64", device = "cpu" }) * T
  if not padding or not ids then return starts + (T - 1) end
  local columns = tensor.arange(T, { dtype = "int64", device = "cpu" }):reshape(1, T)
  return starts + (columns * ids:to("cpu"):ne(padding):to("int64")):argmax { dim = 1 }
end

-- The rows of the matrix at these places of the batch.
local function rows_at(layout, x, places)
  if layout.packed then places = (layout.mask:reshape(-1):to("int64"):cumsum { dim = 0 } - 1):index_select(0, places) end
  return x:index_select(0, places)
end

--- One result for a row, of its last token that is not padding: `score` is the field of the last layer.
function decoder.sequence(base)
  return function(self, inputs)
    local places = last_places(self, inputs)
    local mask = inputs.attention_mask
    local masked = mask and mask:to("cpu"):reshape(-1):index_select(0, places):eq(0):any():item()
    local x, layout, hidden = self[base]:encode(inputs, nil, { hidden_states = wants_hidden(self, inputs), whole = masked })
    local logits = self.score(rows_at(layout, x, places:to(x.device)))
    local loss = inputs.labels and encoder.sequence_loss(self.config, logits, inputs.labels) or nil
    return Outputs.new({ "loss", "logits", "past_key_values", "hidden_states" },
      { loss = loss, logits = logits, past_key_values = layout.cache, hidden_states = hidden })
  end
end

--- A class with a task head over the class `Base` in the field `prefix`. o: head_prefixes, arguments (of forward, beyond those of
-- Base), build(model, config), forward.
function decoder.headed(name, Base, prefix, o)
  local Model = PreTrainedModel:extend(name)
  Model.config_class, Model.base_model_prefix, Model.ignored_names = Base.config_class, prefix, Base.ignored_names
  Model.head_prefixes, Model.forward, Model.input_embeddings = o.head_prefixes, o.forward, Base.input_embeddings
  local arguments = table.move(Base.forward_arguments, 1, #Base.forward_arguments, 1, {})
  Model.forward_arguments = table.move(o.arguments, 1, #o.arguments, #arguments + 1, arguments)
  function Model:init(c)
    self.config = c
    self[prefix] = Base(c)
    o.build(self, c)
    self:post_init()
    self:tie_weights()
  end
  return Model
end

return decoder
