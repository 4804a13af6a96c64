--- The text that each token adds behind others, as bytes: what stop strings are looked for in.
--
-- A byte-level vocabulary spells each byte as one character, and a token may be part of a character; there the bytes are taken from
-- the spelling. Elsewhere a token's text is what it adds to the text of a word before it.
local PREFIX = "abcdef"

-- GPT-2's spelling: printable Latin-1 characters stand for themselves, the other bytes for the characters from 256 on.
local function byte_of_character()
  local map, next_code = {}, 256
  for byte = 0, 255 do
    local printable = (byte >= 33 and byte <= 126) or (byte >= 161 and byte <= 172) or byte >= 174
    map[printable and byte or next_code] = string.char(byte)
    if not printable then next_code = next_code + 1 end
  end
  return map
end

-- The bytes of a token's spelling, nil where a character stands for no byte.
local function spelled_bytes(token, map)
  local bytes = {}
  for _, code in utf8.codes(token) do
    if not map[code] then return nil end
    bytes[#bytes + 1] = map[code]
  end
  return table.concat(bytes)
end

-- Byte-level vocabularies spell the space as U+0120.
local function is_byte_level(tokenizer)
  local tokens = tokenizer:convert_ids_to_tokens(tokenizer("a b", { add_special_tokens = false }).input_ids)
  for _, token in ipairs(tokens) do
    if token:find("\u{120}", 1, true) then return true end
  end
  return false
end

--- A function from a token id to its text.
return function(tokenizer)
  local map = is_byte_level(tokenizer) and byte_of_character() or nil
  local base = tokenizer(PREFIX, { add_special_tokens = false }).input_ids
  local known = {}
  local function text_of(id)
    local token = tokenizer:convert_ids_to_tokens(id)
    if not token then return "" end
    if map then return spelled_bytes(token, map) or token end
    local byte = token:match "^<0x(%x%x)>$"
    if byte then return string.char(tonumber(byte, 16)) end
    local ids = table.move(base, 1, #base, 1, {})
    ids[#ids + 1] = id
    local text = tokenizer:decode(ids, { clean_up_tokenization_spaces = false })
    local _, stop = text:find(PREFIX, 1, true)
    return stop and text:sub(stop + 1) or text
  end
  return function(id)
    if not known[id] then known[id] = text_of(id) end
    return known[id]
  end
end
