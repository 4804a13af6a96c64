--- Scaled dot-product attention of padded batches, with any mask: the composed form. Without a mask the fused kernel runs.
local define = require "hflua.tensor.define"
local core = require "hflua.core.tensor"
local errors = require "hflua.errors"

local f = core.functions

local function check(name, x)
  if not define.is_tensor(x) or x.ndim ~= 4 then
    errors.raise("sdpa: %s: expected (batch, heads, length, D), found %s", name, define.describe(x))
  end
end

-- softmax(scores with the mask), rows in which nothing may be attended to all 0
local function masked_softmax(scores, mask)
  if mask.dtype ~= "bool" then return f.softmax(scores + mask, -1) end
  local dropped = f.logical_not(mask)
  local probabilities = f.softmax(scores:masked_fill(dropped, -math.huge), -1)
  local empty = f.all(dropped, -1, true)
  if not f.any(empty):item() then return probabilities end
  return f.softmax(scores:masked_fill(dropped, -3.4028234663852886e38), -1):masked_fill(empty, 0)
end

local function causal_mask(queries, keys, device)
  return f.tril(f.ones({ queries, keys }, { device = device })):bool()
end

local function composed(q, k, v, mask, causal, scale, dropout)
  local groups = q:size(1) // k:size(1)
  if groups > 1 then k, v = k:repeat_interleave(groups, 1), v:repeat_interleave(groups, 1) end
  if causal then
    local lower = causal_mask(q:size(2), k:size(2), q.device)
    mask = mask.dtype == "bool" and f.logical_and(mask, lower) or mask:masked_fill(f.logical_not(lower), -math.huge)
  end
  local probabilities = masked_softmax(f.matmul(q, k:transpose(-2, -1)) * scale, mask)
  return f.matmul(f.dropout(probabilities, dropout, true), v)
end

--- q (B, H, T, D), k and v (B, G, S, D) with H a multiple of G. attn_mask broadcasts to (B, H, T, S): bool (true = attend) or
-- numbers added to the scores. is_causal: query i sees keys 0..i.
define { name = "sdpa", arguments = { "q", "k", "v", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa", "mask" }, required = 3,
  run = function(q, k, v, attn_mask, dropout_p, is_causal, scale, enable_gqa, mask)
    check("q", q) check("k", k) check("v", v)
    if define.is_tensor(mask) then attn_mask = mask end -- a mask that is a text only describes attn_mask
    if q:size(1) ~= k:size(1) and not enable_gqa then
      errors.raise("sdpa: %d query heads and %d key heads need enable_gqa=true", q:size(1), k:size(1))
    end
    if q:size(1) % k:size(1) ~= 0 then
      errors.raise("sdpa: the query heads (%d) are not a multiple of the key heads (%d)", q:size(1), k:size(1))
    end
    scale, dropout_p = scale or q:size(3) ^ -0.5, dropout_p or 0.0
    if attn_mask then return composed(q, k, v, attn_mask, is_causal, scale, dropout_p) end
    local out = core.attention_rows(q:transpose(1, 2), k:transpose(1, 2), v:transpose(1, 2), is_causal, scale, dropout_p)
    return out:transpose(1, 2)
  end }

define.alias("scaled_dot_product_attention", "sdpa")
