--- Byte-pair encoding from counts (Sennrich et al. 2016, on bytes as in GPT-2): `bpe.train(texts, size)` -> tokens by id, merges.
-- For plain ASCII text, which is what the built-in texts are; every byte has a token all the same.
local bpe = {}

-- GPT-2 writes each byte as a visible character: printable ones as themselves, the others from U+0100 on.
local function byte_symbols()
  local symbol, order, next_code = {}, {}, 256
  local function add(byte, code)
    symbol[byte] = utf8.char(code)
    order[#order + 1] = symbol[byte]
  end
  local function visible(byte) return (byte >= 33 and byte <= 126) or (byte >= 161 and byte <= 172) or byte >= 174 end
  for byte = 0, 255 do if visible(byte) then add(byte, byte) end end
  for byte = 0, 255 do
    if not visible(byte) then
      add(byte, next_code)
      next_code = next_code + 1
    end
  end
  return symbol, order
end

-- What GPT-2 takes as one word: letters, digits or other signs, each with at most one space before; runs of other spaces; 's, 't, 'll ...
local function count_words(text, count)
  local at = 1
  while at <= #text do
    local last
    for _, pattern in ipairs { "^'[smtd]", "^'ll", "^'[rv]e", "^ ?%a+", "^ ?%d+", "^ ?[^%s%w]+" } do
      last = last or select(2, text:find(pattern, at))
    end
    if not last then
      last = select(2, text:find("^%s+", at))
      if last > at and last < #text then last = last - 1 end -- the last space goes with the word behind it
    end
    local word = text:sub(at, last)
    count[word] = (count[word] or 0) + 1
    at = last + 1
  end
end

-- The words as sequences of symbols: { symbols..., count = n }, in a fixed order.
local function sequences_of(texts, symbol)
  local count, words, sequences = {}, {}, {}
  for _, text in ipairs(texts) do count_words(text, count) end
  for word in pairs(count) do words[#words + 1] = word end
  table.sort(words)
  for i, word in ipairs(words) do
    sequences[i] = { count = count[word] }
    for byte in word:gmatch "." do table.insert(sequences[i], symbol[byte:byte()]) end
  end
  return sequences
end

-- The pair of neighbours that is met most often; of equal ones the first by its text. nil when none is met twice.
local function commonest(sequences)
  local count, best, most = {}, nil, 1
  for _, sequence in ipairs(sequences) do
    for i = 1, #sequence - 1 do
      local pair = sequence[i] .. " " .. sequence[i + 1]
      count[pair] = (count[pair] or 0) + sequence.count
    end
  end
  for pair, n in pairs(count) do
    if n > most or (n == most and best and pair < best) then best, most = pair, n end
  end
  return best
end

local function merge(sequence, left, right)
  local write = 1
  for read = 1, #sequence do
    if write > 1 and sequence[write - 1] == left and sequence[read] == right then
      sequence[write - 1] = left .. right
    else
      sequence[write] = sequence[read]
      write = write + 1
    end
  end
  for i = #sequence, write, -1 do sequence[i] = nil end
end

--- size: how many tokens there should be. Returns the list of tokens, whose first has id 0, and the list of merges "a b".
function bpe.train(texts, size)
  local symbol, tokens = byte_symbols()
  local sequences, merges = sequences_of(texts, symbol), {}
  while #tokens < size do
    local pair = commonest(sequences)
    if not pair then break end
    local left, right = pair:match "^(%S+) (%S+)$"
    for _, sequence in ipairs(sequences) do merge(sequence, left, right) end
    merges[#merges + 1], tokens[#tokens + 1] = pair, left .. right
  end
  return tokens, merges
end

return bpe
