--- Rows of a table by id. weight (rows, width); ids are 0-based.
local tensor = require "hflua.tensor"
local options_of = require "hflua.options"
local check = require "hflua.nn.check"
local init = require "hflua.nn.parameter"
local Module = require "hflua.nn.module"

local Embedding = Module:extend("Embedding")
Embedding.is_embedding = true

--- Embedding(rows, width[, {padding_idx=}]): the row padding_idx starts as zeros and gets no gradient.
function Embedding:init(rows, width, options)
  options_of.check("Embedding", options, { "padding_idx" })
  self.num_embeddings, self.embedding_dim = check.size("Embedding", "rows", rows), check.size("Embedding", "width", width)
  self.padding_idx = options and options.padding_idx or nil
  if self.padding_idx then check.number("Embedding", "padding_idx", self.padding_idx, 0, rows - 1) end
  self.weight = init.new { rows, width }
  init.normal_(self.weight, 0, 1)
  self:zero_padding()
end

--- Sets the padding row to zeros.
function Embedding:zero_padding()
  if self.padding_idx and not init.is_skipped() then init.zeros_(self.weight:detach():select(0, self.padding_idx)) end
end

--- ids (...) int64 -> (..., width)
function Embedding:forward(ids) return tensor.embedding(self.weight, ids, { padding_idx = self.padding_idx }) end

function Embedding:extra_repr()
  local padding = self.padding_idx and (", padding_idx=%d"):format(self.padding_idx) or ""
  return ("%d, %d%s"):format(self.num_embeddings, self.embedding_dim, padding)
end

return Embedding
