--- Stopping criteria: what ends a row. A criterion is a function (input_ids, scores) -> true or false for all rows, a list with one
-- for each row, or a tensor (rows) of bool; input_ids (rows, length), scores the list of recorded scores or nil.
local tensor = require "hflua.tensor"
local errors = require "hflua.errors"

local stopping = {}

--- Ends rows that have `length` tokens.
function stopping.MaxLengthCriteria(length)
  return function(ids) return ids.shape[2] >= length end
end

--- Ends all rows `seconds` after this call.
function stopping.MaxTimeCriteria(seconds)
  local clock = require("hflua.core.system").clock
  local start = clock()
  return function() return clock() - start > seconds end
end

--- Ends rows whose last token is one of `eos`.
function stopping.EosTokenCriteria(eos)
  local ends = {}
  for _, id in ipairs(type(eos) == "table" and eos or { eos }) do ends[id] = true end
  return function(ids)
    local done, last = {}, ids:narrow(1, ids.shape[2] - 1, 1):tolist()
    for row, value in ipairs(last) do done[row] = ends[value[1]] == true end
    return done
  end
end

--- Ends rows in whose text, prompt included, one of the texts ends within the last token.
function stopping.StopStringCriteria(tokenizer, texts)
  texts = type(texts) == "table" and texts or { texts }
  local text_of, longest = require("hflua.generation.token_text")(tokenizer), 0
  for _, text in ipairs(texts) do longest = math.max(longest, #text) end
  local function ends(row)
    local pieces = {}
    for i, id in ipairs(row) do pieces[i] = text_of(id) end
    local all = table.concat(pieces)
    local last_start = #all - #pieces[#pieces]
    for _, text in ipairs(texts) do
      local from = math.max(1, last_start - #text + 2)
      local _, stop = all:find(text, from, true)
      if stop and stop > last_start then return true end
    end
    return false
  end
  return function(ids)
    local count, done = math.min(longest, ids.shape[2]), {}
    for row, tail in ipairs(ids:narrow(1, ids.shape[2] - count, count):tolist()) do done[row] = ends(tail) end
    return done
  end
end

-- The answer of a criterion for each of `rows` rows.
local function add_answer(done, answer, rows)
  if type(answer) == "boolean" then
    for row = 1, rows do done[row] = done[row] or answer end
    return
  end
  if tensor.is_tensor(answer) then answer = answer:reshape(-1):tolist() end
  if type(answer) ~= "table" or #answer ~= rows then
    errors.raise("generate: stopping_criteria: expected true, false or one of them for each of %d rows, found %s", rows, type(answer) == "table" and #answer .. " values" or type(answer))
  end
  for row = 1, rows do done[row] = done[row] or (answer[row] ~= false and answer[row] ~= 0) end
end

--- Which rows are done: a list of booleans.
function stopping.apply(criteria, ids, scores)
  local done, rows = {}, ids.shape[1]
  for row = 1, rows do done[row] = false end
  for _, criterion in ipairs(criteria) do add_answer(done, criterion(ids, scores), rows) end
  return done
end

--- The criteria of a configuration and those of the call.
function stopping.of_config(c, eos, extra, tokenizer)
  local all = { stopping.MaxLengthCriteria(c.max_length) }
  if c.max_time then all[#all + 1] = stopping.MaxTimeCriteria(c.max_time) end
  if c.stop_strings then
    if not tokenizer then errors.raise("generate: stop_strings: texts are found by the tokenizer; pass tokenizer=tok") end
    all[#all + 1] = stopping.StopStringCriteria(tokenizer, c.stop_strings)
  end
  if eos then all[#all + 1] = stopping.EosTokenCriteria(eos) end
  for _, criterion in ipairs(type(extra) == "table" and extra or { extra }) do all[#all + 1] = criterion end
  return all
end

return stopping
