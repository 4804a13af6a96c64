--- Beam search: the num_beams best continuations of each prompt go on, finished ones are kept by their score over length ^ length_penalty.
--
-- As in transformers to the last tie: sums are float32, and the best are found in PyTorch's order (core.largest). Shapes: B prompts,
-- K beams of each, C candidates (K for each kind of end and one more).
local tensor = require "hflua.tensor"
local core = require "hflua.core.generation"
local processors = require "hflua.generation.processors"
local stopping = require "hflua.generation.stopping"

local NOT_POSSIBLE = -1.0e9

-- x (B, n, ...) at the places index (B, k) of its dim 1
local function gather(x, index)
  local B, n, k = x.shape[1], x.shape[2], index.shape[2]
  local rows = (index + (tensor.arange(B, { dtype = "int64" }) * n):unsqueeze(1)):reshape(-1)
  local rest = { table.unpack(x.shape, 3) }
  return x:reshape(B * n, table.unpack(rest)):index_select(0, rows):reshape(B, k, table.unpack(rest))
end

local function best(x, k)
  local _, index = core.largest(x:contiguous(), k)
  return index
end

-- Masks are float32 with 1 and 0.
local function unlikely(mask) return mask * NOT_POSSIBLE end

-- What one prompt's beams are: sequences (B, K, max_length), scores (B, K), parents (B, K, new tokens): rows they came from, or -1.
local function beams_of(job, first_score)
  local B, K = job.ids.shape[1] // job.beams, job.beams
  local scores = tensor.full({ B, K }, NOT_POSSIBLE)
  if first_score then scores:narrow(1, 0, 1):fill_(first_score) end
  return { sequences = job.ids:reshape(B, K, job.max_length):clone(), scores = scores,
    parents = tensor.full({ B, K, job.max_length - job.length }, -1, { dtype = "int64" }) }
end

-- Sums of the beams' scores and those of every next token, (B, K * V); logits and scores are recorded.
local function continuations(job, running, length)
  local B, K = running.scores.shape[1], job.beams
  local ids = running.sequences:reshape(B * K, job.max_length):narrow(1, 0, length)
  local logits = job.decoder:logits(ids)
  if job.logits then job.logits[#job.logits + 1] = logits:clone() end
  local scores = processors.apply(job.processors, ids, core.log_softmax(logits:clone()))
  if job.scores then job.scores[#job.scores + 1] = scores:clone() end
  local V = scores.shape[2]
  return (scores:reshape(B, K, V) + running.scores:unsqueeze(2)):reshape(B, K * V), V
end

-- The C best (or drawn) continuations as beams of their own.
local function candidates(job, running, sums, V, length)
  local B = sums.shape[1]
  local index = job.do_sample and core.draw(sums:softmax { dim = -1 }, job.candidates) or best(sums, job.candidates)
  local from = tensor.floor_divide(index, V)
  local found = { sequences = gather(running.sequences, from), parents = gather(running.parents, from), scores = sums:gather(1, index) }
  found.sequences:select(2, length):copy_(index - from * V)
  found.parents:select(2, length - job.length):copy_(from + (tensor.arange(B, { dtype = "int64" }) * job.beams):unsqueeze(1))
  return found
end

-- Which candidates have ended, (B, C) float32.
local function ended(job, found, length)
  local B, C = found.scores.shape[1], job.candidates
  local done = stopping.apply(job.criteria, found.sequences:reshape(B * C, job.max_length):narrow(1, 0, length + 1), job.scores)
  local numbers = {}
  for i, value in ipairs(done) do numbers[i] = value and 1.0 or 0.0 end
  return tensor.tensor(numbers):reshape(B, C)
end

local function take(beams, index, scores)
  return { sequences = gather(beams.sequences, index), parents = gather(beams.parents, index), scores = gather(scores, index) }
end

-- The beams that go on: the best candidates that have not ended.
local function next_running(job, found, done)
  local scores = found.scores + unlikely(done)
  return take(found, best(scores, job.beams), scores)
end

local function all_of(x) return x:min { dim = 1, keepdim = true } end

-- Finished beams and those that finish now, the best of both. Only the first K candidates may finish.
local function next_finished(job, finished, found, done, open, length)
  local B, K, C = found.scores.shape[1], job.beams, job.candidates
  local first = tensor.cat({ tensor.ones { B, K }, tensor.zeros { B, C - K } }, { dim = 1 })
  local ends_now = done * first
  local scores = found.scores / (length + 1 - job.length) ^ job.length_penalty
  if job.early_stopping == true then scores = scores + unlikely((all_of(finished.done))) end
  scores = scores + unlikely(1 - open)
  scores = scores + unlikely(1 - ends_now)
  local merged = { sequences = tensor.cat({ finished.sequences, found.sequences }, { dim = 1 }), parents = tensor.cat({ finished.parents, found.parents }, { dim = 1 }) }
  local all_scores, all_done = tensor.cat({ finished.scores, scores }, { dim = 1 }), tensor.cat({ finished.done, ends_now }, { dim = 1 })
  local index = best(all_scores, K)
  local kept = take(merged, index, all_scores)
  kept.done = gather(all_done, index)
  return kept
end

-- Where a running beam may still come before the worst finished one, (B, 1) float32.
local function still_open(job, open, running, finished, length)
  local never = job.early_stopping == "never" and job.length_penalty > 0
  local best_length = (never and job.max_length or length) - job.length
  local possible = running.scores:narrow(1, 0, 1) / best_length ^ job.length_penalty
  local worst = all_of(finished.scores)
  local limits = tensor.where(finished.done:gt(0), worst:expand(finished.done.shape), NOT_POSSIBLE)
  local better = (possible:expand(limits.shape)):gt(limits):to("float32"):max { dim = 1, keepdim = true }
  return open * better
end

local function any(x) return x:max():item() > 0 end

local function goes_on(job, open, finished, done)
  local every_finished = finished.done:min():item() > 0
  return any(open) and not (every_finished and job.early_stopping == true) and done:min():item() == 0
end

-- The best n sequences of each prompt, cut to the longest: ids (B * n, length), scores (B * n), parents.
local function result(job, finished)
  local n, B = job.num_return_sequences, finished.scores.shape[1]
  local function flat(x) return x:narrow(1, 0, n):reshape(B * n, table.unpack(x.shape, 3)) end
  local parents = flat(finished.parents)
  local new = parents:ge(0):to("int64"):sum { dim = 1 }:max():item()
  return { sequences = flat(finished.sequences):narrow(1, 0, job.length + new):contiguous(), sequences_scores = flat(finished.scores),
    beam_indices = parents:narrow(1, 0, new):contiguous() }
end

--- job: as in sample.lua, and beams, candidates, max_length, num_return_sequences, length_penalty, early_stopping; ids holds `beams` rows
-- for each prompt, filled with padding behind it. Returns { sequences, sequences_scores, beam_indices }.
return function(job)
  return tensor.no_grad(function()
    local running, finished, length = beams_of(job, 0), beams_of(job), job.length
    finished.done = tensor.zeros(finished.scores.shape)
    local open = tensor.ones { finished.scores.shape[1], 1 }
    local more
    repeat
      local sums, V = continuations(job, running, length)
      local found = candidates(job, running, sums, V, length)
      local done = ended(job, found, length)
      running = next_running(job, found, done)
      finished = next_finished(job, finished, found, done, open, length)
      length = length + 1
      open = still_open(job, open, running, finished, length)
      more = goes_on(job, open, finished, done)
      if more then job.decoder:reorder(running.parents:select(2, length - 1 - job.length)) end
    until not more
    return result(job, finished)
  end)
end
