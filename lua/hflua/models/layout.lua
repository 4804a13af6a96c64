--- How a batch lies in memory: which tokens are real, and where each is found among the rows that are computed.
--
-- A batch (B, T) becomes one matrix of its real tokens (N, C); padding is never computed (docs/internals/padding.md). Where every
-- position is needed (a masked position with a label, dropout in PyTorch's order, pack = false) the matrix holds all B*T positions.
local tensor = require "hflua.tensor"
local errors = require "hflua.errors"
local functional = require "hflua.nn.functional"

local layout = {}

-- The shape (B, T) of a batch, from its ids or its embeddings (B, T, C).
local function batch_shape(model, inputs)
  local ids, embeds = inputs.input_ids, inputs.inputs_embeds
  if ids and embeds then errors.raise("%s: inputs_embeds: expected either input_ids or inputs_embeds, found both", model.__name) end
  if not ids and not embeds then
    errors.raise("%s: input_ids: expected a tensor (B, T), found nothing; tokenize with return_tensors=\"pt\"", model.__name)
  end
  local given, dims = ids or embeds, ids and 2 or 3
  if #given.shape ~= dims or given:numel() == 0 then
    errors.raise("%s: %s: expected shape %s with at least one token, found [%s]", model.__name, ids and "input_ids" or "inputs_embeds",
      ids and "(B, T)" or "(B, T, C)", table.concat(given.shape, ", "))
  end
  return given.shape[1], given.shape[2], given.device
end

-- Error unless what comes with the ids, one value a token, has the shape (B, T).
local function check_shapes(model, values, B, T)
  for name, value in pairs(values) do
    if #value.shape ~= 2 or value.shape[1] ~= B or value.shape[2] ~= T then
      errors.raise("%s: %s: expected shape [%d, %d] as input_ids have it, found [%s]", model.__name, name, B, T, table.concat(value.shape, ", "))
    end
  end
end

-- Has a masked position a label that counts? Asked on the host, where masks and labels of a batch are known.
local function labels_on_padding(mask, labels)
  return labels ~= nil and tensor.logical_and(labels:to("cpu"):ne(-100), mask:to("cpu"):eq(0)):any():item()
end

-- The plan of the real tokens, or of every position (`whole`).
local function plan_of(model, mask, whole, first, sequences)
  local plan = not whole and tensor.core.pack_plan(mask, false, sequences)
  if plan and not (first and not plan.starts_with_tokens) then return plan end
  local every, why = tensor.core.pack_plan(mask, true, sequences)
  if not every then errors.raise("%s: attention_mask: expected 0 or 1 for each token, (B, T): %s", model.__name, why) end
  return every
end

-- Error when a row, or the longest sequence in one, has more tokens than the model has positions.
local function check_limit(model, o, tokens)
  if not o.limit or tokens <= o.limit then return end
  if o.sequences then tokens = o.sequences:to("cpu"):max():item() + 1 end
  if tokens > o.limit then
    errors.raise("%s: %d tokens a row, but the model has %d positions; tokenize with truncation=true", model.__name, tokens, o.limit)
  end
end

-- Plan and mask of one column of B rows, none of them masked, behind a cache: it keeps them, so that a step that goes on asks the host
-- for nothing.
local function column_of(cache, B, device)
  local kept = cache.column
  if not kept or kept.plan.batch ~= B or kept.device ~= device then
    local mask = tensor.ones({ B, 1 }, { dtype = "int64", device = device })
    kept = { mask = mask, plan = tensor.core.pack_plan(mask), device = device }
    for _, held in ipairs { mask, kept.plan.index, kept.plan.positions, kept.plan.first_rows, kept.plan.last_rows } do held:keep() end
    cache.column = kept
  end
  return kept.plan, kept.mask
end

--- The layout of one batch. o: labels (B, T), whole (every position is computed), first (each row needs a real first token),
-- limit (the most positions), past (columns that a cache, o.cache, already holds: the mask covers them too), sequences (position ids (B, T) or
-- (1, T): where they do not go on by one, another sequence begins, which sees nothing of the one before).
-- Returns B, T, N (rows of the matrix), plan (for attention), mask (B, T) of these tokens, packed (are positions left out?),
-- past, full_mask (B, past + T) where the caller gave one, sequences.
function layout.new(model, inputs, o)
  local B, T, device = batch_shape(model, inputs)
  local past = o.past or 0
  check_shapes(model, { token_type_ids = inputs.token_type_ids, labels = o.labels }, B, T)
  check_shapes(model, { attention_mask = inputs.attention_mask }, B, past + T)
  check_limit(model, o, past + T)
  local mask = inputs.attention_mask
  if mask and past > 0 then mask = mask:narrow(1, past, T) end
  local whole = o.whole or not model.config.pack or functional.dropout_rng == "torch" or (mask and labels_on_padding(mask, o.labels))
  local sequences, plan = o.sequences and o.sequences:expand(B, T), nil
  if o.cache and past > 0 and T == 1 and not mask and not whole then plan, mask = column_of(o.cache, B, device)
  else
    mask = mask or tensor.ones({ B, T }, { dtype = "int64", device = "cpu" }):to(device)
    plan = plan_of(model, mask, whole, o.first, sequences)
  end
  return { B = B, T = T, N = plan.queries, plan = plan, mask = mask, packed = plan.queries ~= B * T, past = past,
    full_mask = inputs.attention_mask, sequences = sequences }
end

--- Values (B, T) or (B, T, C) of the matrix's rows: (N) or (N, C).
function layout.pack(at, values)
  local flat = values:reshape(at.B * at.T, table.unpack(values.shape, 3))
  return at.packed and flat:index_select(0, at.plan.index) or flat
end

--- f(x), whole numbers; the same of x's numbers on the host is known there as the result's.
function layout.on_both(f, x)
  return tensor.core.keep_twin(f(x), x.device ~= "cpu" and f(x:to("cpu")) or nil)
end

--- The same of labels (B, T), known on the host too: which rows count is asked there.
function layout.pack_labels(at, labels)
  return layout.on_both(function(x)
    local flat = x:reshape(-1)
    return at.packed and flat:index_select(0, at.plan.index:to(x.device)) or flat
  end, labels)
end

--- Rows (N, C) put back into (B, T, C), zeros where nothing was computed.
function layout.unpack(at, x)
  local width = x.shape[2]
  if at.packed then
    x = tensor.zeros({ at.B * at.T, width }, { device = x.device }):index_add(0, at.plan.index, x)
  end
  return x:reshape(at.B, at.T, width)
end

--- The rows of column 0, (B, C); after a last layer for first tokens only they are all there is.
function layout.first_rows(at, x)
  if at.first_only then return x end
  return x:index_select(0, at.plan.first_rows)
end

--- Position ids of the rows: those given, (B, T) or (1, T), else column numbers. (N)
function layout.positions(at, given)
  if given then return layout.pack(at, given:expand(at.B, at.T)) end
  return at.past > 0 and at.plan.positions + at.past or at.plan.positions
end

--- (N, heads * D) seen as (N, heads, D).
function layout.heads(x, heads) return x:reshape(x.shape[1], heads, x.shape[2] // heads) end

return layout
