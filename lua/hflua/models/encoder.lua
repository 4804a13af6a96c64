--- What bidirectional encoders share: attention and feed-forward over packed tokens (layout.lua), task losses.
local tensor = require "hflua.tensor"
local checkpointing = require "hflua.models.checkpointing"
local errors = require "hflua.errors"
local functional = require "hflua.nn.functional"
local layouts = require "hflua.models.layout"

local encoder = {}

--- The layout of one batch (layout.lua). labels (B, T) may be nil; want.whole asks for every position, want.first for a real first
-- token in each row.
function encoder.layout(model, inputs, labels, want)
  return layouts.new(model, inputs, { labels = labels, whole = want.whole, first = want.first, limit = model.config.max_position_embeddings })
end

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
    context = dense_attention(layout, layouts.heads(m.query(x), o.heads), layouts.heads(m.key(x), o.heads), layouts.heads(m.value(x), o.heads), dropout)
  else
    local real = (layout.packed or layout.plan.full) and x or x:index_select(0, layout.plan.index)
    context = tensor.core.attention(layouts.heads(m.query(residual), o.heads), layouts.heads(m.key(real), o.heads), layouts.heads(m.value(real), o.heads),
      layout.plan, { dropout = dropout, first_only = layout.first_only })
  end
  return m.norm(m.output(context:reshape(residual.shape)), residual, o.hidden_dropout)
end

--- norm(x + dropout(down(activation(up(x))))). m: { up, down (Linear), norm (LayerNorm) }
function encoder.feed_forward(m, x, activation, dropout)
  local inner <close> = m.up(x, activation) -- its memory is free again behind `down`
  return m.norm(m.down(inner), x, dropout)
end

--- Runs the layers over x (N, C). layers[i](x, layout) -> x; `collect` gathers hidden states (B, T, C).
-- `first_only`: the last layer is done for first tokens only.
function encoder.run(layers, x, layout, first_only, collect)
  if collect then collect[1] = layouts.unpack(layout, x) end
  for i = 1, #layers do
    layout.first_only = first_only and i == #layers
    x = checkpointing.run(layers, i, x, layout)
    if collect then collect[i + 1] = layouts.unpack(layout, x) end
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
