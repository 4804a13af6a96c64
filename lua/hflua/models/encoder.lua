--- What bidirectional encoders share: packing of the real tokens, attention, feed-forward, task losses.
--
-- A batch (B, T) becomes one matrix of its real tokens (N, C); padding is never computed (docs/internals/padding.md). Where every
-- position is needed (hidden states asked for, a masked position with a label, dropout in PyTorch's order, pack = false) the
-- matrix holds all B*T positions, and only real tokens are attended to.
local tensor = require "hflua.tensor"
local errors = require "hflua.errors"
local functional = require "hflua.nn.functional"

local encoder = {}

-- The shape (B, T) of a batch; what comes with the ids, one value a token, must have it too.
local function check_inputs(model, inputs, labels)
  local ids = inputs.input_ids
  if not ids then
    errors.raise("%s: input_ids: expected a tensor (B, T), found nothing; tokenize with return_tensors=\"pt\"", model.__name)
  end
  if #ids.shape ~= 2 or ids:numel() == 0 then
    errors.raise("%s: input_ids: expected shape (B, T) with at least one token, found [%s]", model.__name, table.concat(ids.shape, ", "))
  end
  local B, T = ids.shape[1], ids.shape[2]
  for name, value in pairs { attention_mask = inputs.attention_mask, token_type_ids = inputs.token_type_ids, labels = labels } do
    if #value.shape ~= 2 or value.shape[1] ~= B or value.shape[2] ~= T then
      errors.raise("%s: %s: expected shape [%d, %d] as input_ids have it, found [%s]", model.__name, name, B, T, table.concat(value.shape, ", "))
    end
  end
  return ids, B, T
end

-- Has a masked position a label that counts?
local function labels_on_padding(mask, labels)
  return labels ~= nil and tensor.logical_and(labels:ne(-100), mask:eq(0)):any():item() ~= 0
end

--- The layout of one batch. labels (B, T) may be nil; want.whole asks for every position, want.first for a real first token in
-- each row. Returns a layout: B, T, N (rows of the matrix), plan (for attention), packed (are positions left out?).
function encoder.layout(model, inputs, labels, want)
  local ids, B, T = check_inputs(model, inputs, labels)
  local limit = model.config.max_position_embeddings
  if limit and T > limit then
    errors.raise("%s: %d tokens a row, but the model has %d positions; tokenize with truncation=true", model.__name, T, limit)
  end
  local mask = inputs.attention_mask or tensor.ones({ B, T }, { dtype = "int64", device = ids.device })
  local whole = want.whole or not model.config.pack or functional.dropout_rng == "torch" or labels_on_padding(mask, labels)
  local plan = not whole and tensor.core.pack_plan(mask)
  if not plan or (want.first and not plan.starts_with_tokens) then
    local why
    plan, why = tensor.core.pack_plan(mask, true)
    if not plan then errors.raise("%s: attention_mask: expected 0 or 1 for each token, (B, T): %s", model.__name, why) end
  end
  return { B = B, T = T, N = plan.queries, plan = plan, mask = mask, packed = plan.queries ~= B * T }
end

--- Values (B, T) of the matrix's rows: (N)
function encoder.pack(layout, values)
  local flat = values:reshape(layout.B * layout.T)
  return layout.packed and flat:index_select(0, layout.plan.index) or flat
end

--- Rows (N, C) put back into (B, T, C), zeros where nothing was computed.
function encoder.unpack(layout, x)
  local width = x.shape[2]
  if layout.packed then
    x = tensor.zeros({ layout.B * layout.T, width }, { device = x.device }):index_add(0, layout.plan.index, x)
  end
  return x:reshape(layout.B, layout.T, width)
end

--- The rows of column 0, (B, C); after a last layer for first tokens only they are all there is.
function encoder.first_rows(layout, x)
  if layout.first_only then return x end
  return x:index_select(0, layout.plan.first_rows)
end

local function heads_of(x, heads) return x:reshape(x.shape[1], heads, x.shape[2] // heads) end

-- softmax(q k^T / sqrt(D)) with a keep-mask drawn as PyTorch draws it, over whole rows: (B, heads, T, D)
local function dense_attention(layout, q, k, v, dropout)
  local B, T = layout.B, layout.T
  local function split(x) return x:reshape(B, T, x.shape[2], x.shape[3]):transpose(1, 2) end
  q, k, v = split(q), split(k), split(v)
  local scores = tensor.matmul(q, k:transpose(-2, -1)) * (1 / math.sqrt(q.shape[4]))
  local blocked = layout.mask:eq(0):reshape(B, 1, 1, T)
  local probabilities = functional.dropout(scores:masked_fill(blocked, -math.huge):softmax { dim = -1 }, dropout)
  return tensor.matmul(probabilities, v):transpose(1, 2):reshape(B * T, q.shape[2], q.shape[4])
end

--- Self-attention with residual: norm(x + dropout(output(attention(x)))).
-- m: { query, key, value, output (Linear), norm (LayerNorm) }; o: { heads, attention_dropout, hidden_dropout, training }.
-- With layout.first_only set, queries (and so the result) are those of the first tokens: (B, C).
function encoder.self_attention(m, x, layout, o)
  local residual = layout.first_only and x:index_select(0, layout.plan.first_rows) or x
  local dropout, context = o.training and o.attention_dropout or 0, nil
  if dropout > 0 and functional.dropout_rng == "torch" then
    context = dense_attention(layout, heads_of(m.query(x), o.heads), heads_of(m.key(x), o.heads), heads_of(m.value(x), o.heads), dropout)
  else
    local real = (layout.packed or layout.plan.full) and x or x:index_select(0, layout.plan.index)
    context = tensor.core.attention(heads_of(m.query(residual), o.heads), heads_of(m.key(real), o.heads), heads_of(m.value(real), o.heads),
      layout.plan, { dropout = dropout, first_only = layout.first_only })
  end
  return m.norm(m.output(context:reshape(residual.shape)), residual, o.hidden_dropout)
end

--- norm(x + dropout(down(activation(up(x))))). m: { up, down (Linear), norm (LayerNorm) }
function encoder.feed_forward(m, x, activation, dropout)
  local inner <close> = m.up(x, activation) -- its memory is free again behind `down`
  return m.norm(m.down(inner), x, dropout)
end

local activations = { gelu = "gelu", gelu_python = "gelu", gelu_new = "gelu_tanh", gelu_pytorch_tanh = "gelu_tanh", relu = "relu", silu = "silu", swish = "silu", tanh = "tanh" }

--- The fused activation of a configuration's name.
function encoder.activation(name, where)
  return activations[name] or errors.raise("%s: unknown activation %q (known: gelu, gelu_new, relu, silu, tanh)", where, tostring(name))
end

--- Runs the layers over x (N, C). layers[i](x, layout) -> x; `collect` gathers hidden states (B, T, C).
-- `first_only`: the last layer is done for first tokens only.
function encoder.run(layers, x, layout, first_only, collect)
  if collect then collect[1] = encoder.unpack(layout, x) end
  for i = 1, #layers do
    layout.first_only = first_only and i == #layers
    x = layers[i](x, layout)
    if collect then collect[i + 1] = encoder.unpack(layout, x) end
  end
  return x
end

--- May the last layer be left out for all but the first tokens?
function encoder.can_skip() return functional.dropout_rng ~= "torch" end

-- ---- losses of the task heads

local function problem_type(config, labels)
  if config.problem_type then return config.problem_type end
  if config.num_labels == 1 then return "regression" end
  return labels.dtype == "float32" and "multi_label_classification" or "single_label_classification"
end

local sequence_losses = {
  regression = function(config, logits, labels)
    if config.num_labels == 1 then return tensor.mse_loss(logits:reshape(-1), labels:reshape(-1):to(logits.dtype)) end
    return tensor.mse_loss(logits, labels:to(logits.dtype))
  end,
  single_label_classification = function(config, logits, labels) return tensor.cross_entropy(logits, labels:reshape(-1)) end,
  multi_label_classification = function(config, logits, labels) return tensor.bce_with_logits(logits, labels:to(logits.dtype)) end,
}

--- Loss of a sequence head: logits (B, num_labels), labels (B) whole numbers, (B) floats for regression, (B, num_labels) floats
-- for several labels at once.
function encoder.sequence_loss(config, logits, labels)
  local kind = problem_type(config, labels)
  local loss = sequence_losses[kind]
  if not loss then
    errors.raise("config: problem_type: expected regression, single_label_classification or multi_label_classification, found %q", kind)
  end
  return loss(config, logits, labels)
end

--- Loss of start and end positions, logits (B, T) each; positions outside the row are ignored.
function encoder.span_loss(start_logits, end_logits, start_positions, end_positions)
  local ignore = start_logits.shape[2]
  local function loss(logits, positions)
    return tensor.cross_entropy(logits, positions:reshape(-1):clamp { min = 0, max = ignore }, { ignore_index = ignore })
  end
  return (loss(start_logits, start_positions) + loss(end_logits, end_positions)) / 2
end

return encoder
