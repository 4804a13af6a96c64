--- Streamers: what `generate` hands each new token to.
--
--     model:generate(ids, { streamer = hf.TextStreamer(tok, { skip_prompt = true }) })
--
-- A streamer has put(ids) - the prompt first, then each token - and `end`(). Text is given on in whole words, lines and Chinese
-- characters, because later tokens can change how a word is spelled.
local tensor = require "hflua.tensor"
local class = require "hflua.class"
local errors = require "hflua.errors"
local options_of = require "hflua.options"

local known = { "tokenizer", "skip_prompt", "skip_special_tokens", "clean_up_tokenization_spaces" }

local TextStreamer = class "TextStreamer"

--- TextStreamer(tokenizer[, options]) or TextStreamer{tokenizer=, skip_prompt=, skip_special_tokens=}
function TextStreamer:init(tokenizer, options)
  if options == nil and type(tokenizer) == "table" and rawget(tokenizer, "tokenizer") then
    options, tokenizer = tokenizer, tokenizer.tokenizer
  end
  options = options_of.check(self.__name, options, known)
  if type(tokenizer) ~= "table" or not tokenizer.decode then errors.raise("%s: tokenizer: expected a tokenizer, found %s", self.__name, type(tokenizer)) end
  self.tokenizer, self.skip_prompt = tokenizer, options.skip_prompt or false
  self.decode_options = { skip_special_tokens = options.skip_special_tokens, clean_up_tokenization_spaces = options.clean_up_tokenization_spaces }
  self.ids, self.given, self.at_prompt = {}, 0, true
end

local function is_chinese(code)
  return (code >= 0x4E00 and code <= 0x9FFF) or (code >= 0x3400 and code <= 0x4DBF) or (code >= 0x20000 and code <= 0x2A6DF)
    or (code >= 0x2A700 and code <= 0x2CEAF) or (code >= 0xF900 and code <= 0xFAFF) or (code >= 0x2F800 and code <= 0x2FA1F)
end

-- The last character's code, 0 for no text.
local function last_code(text)
  local at = text ~= "" and utf8.offset(text, -1)
  local ok, code = pcall(utf8.codepoint, text, at or 1)
  return at and ok and code or 0
end

-- The text that will not change: whole lines, Chinese characters, else up to the last space. Bytes of `text`.
local function settled(text)
  if text:sub(-1) == "\n" or is_chinese(last_code(text)) then return #text end
  return #(text:match "^(.* )[^ ]*$" or "")
end

-- One row of ids from a tensor, a list or a list of one list.
local function one_row(self, value)
  if tensor.is_tensor(value) then value = value:tolist() end
  if type(value[1]) ~= "table" then return value end
  if #value > 1 then errors.raise("%s: expected one sequence, found %d; stream them one by one", self.__name, #value) end
  return value[1]
end

--- Takes ids: a list or a tensor; the first ones are the prompt.
function TextStreamer:put(value)
  local row = one_row(self, value)
  local is_prompt = self.at_prompt
  self.at_prompt = false
  if is_prompt and self.skip_prompt then return end
  for _, id in ipairs(row) do self.ids[#self.ids + 1] = id end
  local text = self.tokenizer:decode(self.ids, self.decode_options)
  local ready = math.max(settled(text), self.given)
  local piece = text:sub(self.given + 1, ready)
  self.given = ready
  if text:sub(-1) == "\n" then self.ids, self.given = {}, 0 end
  self:on_finalized_text(piece, false)
end

--- Gives on what is left.
TextStreamer["end"] = function(self)
  local text = #self.ids > 0 and self.tokenizer:decode(self.ids, self.decode_options) or ""
  local rest = text:sub(self.given + 1)
  self.ids, self.given, self.at_prompt = {}, 0, true
  self:on_finalized_text(rest, true)
end

--- What is done with new text: printed; a newline follows the last one. Others override it.
function TextStreamer:on_finalized_text(text, stream_end)
  io.stdout:write(text, stream_end and "\n" or "")
  io.stdout:flush()
end

--- Gives text to a loop: `for piece in model:stream(ids, { tokenizer = tok }) do io.write(piece) end`. With generate it must be the
-- streamer of a call inside a coroutine: each piece is yielded.
local TextIteratorStreamer = TextStreamer:extend "TextIteratorStreamer"

function TextIteratorStreamer:on_finalized_text(text)
  if text ~= "" then coroutine.yield(text) end
end

return { TextStreamer = TextStreamer, TextIteratorStreamer = TextIteratorStreamer }
