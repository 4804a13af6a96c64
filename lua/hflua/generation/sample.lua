--- Greedy search and sampling: one token at a time for every row.
local tensor = require "hflua.tensor"
local core = require "hflua.core.generation"
local processors = require "hflua.generation.processors"
local stopping = require "hflua.generation.stopping"

-- The chosen tokens of all rows, a list.
local function choose(scores, do_sample)
  if not do_sample then return scores:argmax { dim = -1 }:tolist() end
  return core.draw(scores:softmax { dim = -1 }, 1):reshape(-1):tolist()
end

-- Finished rows get padding.
local function fill_finished(next_tokens, unfinished, pad)
  for row, open in ipairs(unfinished) do
    if not open then next_tokens[row] = pad end
  end
end

local sample = {}

--- Takes the rows that are done out of `unfinished`, both lists of booleans; is any left?
function sample.mark(unfinished, done)
  local any = false
  for row, ended in ipairs(done) do
    unfinished[row] = unfinished[row] and not ended
    any = any or unfinished[row]
  end
  return any
end

-- One step without recording: the scores of the next tokens, and the logits they came from where these are kept.
local function scores_of(job, ids)
  return tensor.no_grad(function()
    local logits = job.decoder:logits(ids)
    local raw = job.keep_logits and logits:clone() or nil
    return processors.apply(job.processors, ids, logits), raw
  end)
end

--- job: decoder (decoder.lua), ids (rows, max_length) with `length` columns filled, processors, criteria, do_sample, pad (or nil), eos,
-- streamer, scores, logits (lists to record in, or nil). Returns ids (rows, length).
function sample.run(job)
  local ids, length, unfinished = job.ids, job.length, {}
  for row = 1, ids.shape[1] do unfinished[row] = true end
  repeat
    local scores, raw = scores_of(job, ids:narrow(1, 0, length))
    if job.scores then job.scores[#job.scores + 1] = scores end
    if job.logits then job.logits[#job.logits + 1] = raw end
    local next_tokens = choose(scores, job.do_sample)
    if job.eos then fill_finished(next_tokens, unfinished, job.pad) end
    ids:narrow(1, length, 1):copy_(tensor.tensor(next_tokens, { dtype = "int64" }):unsqueeze(1))
    length = length + 1
    local more = sample.mark(unfinished, stopping.apply(job.criteria, ids:narrow(1, 0, length), job.scores))
    if job.streamer then job.streamer:put(next_tokens) end
  until not more
  if job.streamer then job.streamer["end"](job.streamer) end
  return ids:narrow(1, 0, length):contiguous()
end

return sample
