--- From labelled tokens to entities: one per token, words whose pieces agree, neighbours of one kind joined.
local Pipeline = require "hflua.pipelines.base"
local ordered = require "hflua.ordered"

local entities = {}

local function mean(numbers)
  local sum = 0
  for _, x in ipairs(numbers) do sum = sum + x end
  return sum / #numbers
end

-- An entity for each token, by its best label.
local function one_each(tokens, pipe)
  local list = {}
  for i, token in ipairs(tokens) do
    local best, score = Pipeline.largest(token.scores)
    list[i] = ordered.new("entity", pipe:label(best - 1), "score", score, "index", token.index, "word", token.word,
      "start", token.start, "end", token["end"])
  end
  return list
end

-- Scores of a word from those of its pieces.
local word_scores = {
  first = function(pieces) return pieces[1].scores end,
  max = function(pieces)
    local best, highest = nil, -math.huge
    for _, piece in ipairs(pieces) do
      local _, score = Pipeline.largest(piece.scores)
      if score > highest then best, highest = piece.scores, score end
    end
    return best
  end,
  average = function(pieces)
    local averages = {}
    for label = 1, #pieces[1].scores do
      local column = {}
      for i, piece in ipairs(pieces) do column[i] = piece.scores[label] end
      averages[label] = mean(column)
    end
    return averages
  end,
}

local function field_of(list, name)
  local values = {}
  for i, entry in ipairs(list) do values[i] = entry[name] end
  return values
end

-- An entity for each word: pieces that continue a word take part in its label.
local function one_each_word(tokens, strategy, pipe)
  local list, pieces = {}, {}
  local function close()
    if #pieces == 0 then return end
    local best, score = Pipeline.largest(word_scores[strategy](pieces))
    list[#list + 1] = { entity = pipe:label(best - 1), score = score, word = pipe.tokenizer:convert_tokens_to_string(field_of(pieces, "word")),
      start = pieces[1].start, ["end"] = pieces[#pieces]["end"] }
    pieces = {}
  end
  for _, token in ipairs(tokens) do
    if not token.is_subword then close() end
    pieces[#pieces + 1] = token
  end
  close()
  return list
end

-- "B-PER" -> "B", "PER"; a name without such a prefix continues.
local function split_tag(name)
  local begins, tag = name:match "^([BI])%-(.*)$"
  return begins or "I", tag or name
end

-- Neighbours with one tag become one entity; "B-" begins a new one.
local function group(list, pipe)
  local groups, open = {}, {}
  local function close()
    if #open == 0 then return end
    groups[#groups + 1] = ordered.new("entity_group", open[1].entity:match "^[^-]*%-(.*)$" or open[1].entity, "score", mean(field_of(open, "score")),
      "word", pipe.tokenizer:convert_tokens_to_string(field_of(open, "word")), "start", open[1].start, "end", open[#open]["end"])
    open = {}
  end
  for _, entity in ipairs(list) do
    local begins, tag = split_tag(entity.entity)
    local _, last = split_tag((open[#open] or entity).entity)
    if tag ~= last or begins == "B" then close() end
    open[#open + 1] = entity
  end
  close()
  return groups
end

--- Entities of the tokens of a row by an aggregation strategy.
function entities.of_tokens(tokens, strategy, pipe)
  if strategy == "none" then return one_each(tokens, pipe) end
  if strategy == "simple" then return group(one_each(tokens, pipe), pipe) end
  return group(one_each_word(tokens, strategy, pipe), pipe)
end

-- Is `a` the better one of two that overlap: longer, or as long with the higher score?
local function is_better(a, b)
  local length, other = a["end"] - a.start, b["end"] - b.start
  return length > other or (length == other and a.score > b.score)
end

--- Entities of parts of a text that overlap, each place once.
function entities.without_overlaps(list)
  local place, kept = {}, {}
  for i, entity in ipairs(list) do place[entity] = i end
  table.sort(list, function(a, b) return a.start < b.start or (a.start == b.start and place[a] < place[b]) end)
  for _, entity in ipairs(list) do
    local last = kept[#kept]
    if not last or entity.start >= last["end"] then kept[#kept + 1] = entity
    elseif is_better(entity, last) then kept[#kept] = entity end
  end
  return kept
end

return entities
