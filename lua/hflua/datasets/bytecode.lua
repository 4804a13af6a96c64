--- The bytecode of a Lua 5.4 function without what does not change what it does: line numbers. So a function moved to
-- another line of its recipe keeps its fingerprint.
local bytecode = {}

local HEADER_SIZE = 32 -- signature, version, format, check data, sizes, sample numbers, count of upvalues
local VERSION = 0x54

local INTEGER, FLOAT, SHORT_STRING, LONG_STRING = 0x03, 0x13, 0x04, 0x14

-- A cursor over a dump: reads values, and collects what is kept in `parts`.
local Reader = {}
Reader.__index = Reader

-- A size: 7 bits a byte, high ones first, the last byte marked.
function Reader:size()
  local value = 0
  while true do
    local byte = self.dump:byte(self.at)
    self.at = self.at + 1
    value = value << 7 | (byte & 0x7f)
    if byte & 0x80 ~= 0 then return value end
  end
end

function Reader:text()
  local size = self:size()
  if size == 0 then return nil end
  self.at = self.at + size - 1
  return self.dump:sub(self.at - size + 1, self.at - 1)
end

function Reader:skip(bytes) self.at = self.at + bytes end

-- Keeps the bytes from `from` up to here.
function Reader:keep(from) self.parts[#self.parts + 1] = self.dump:sub(from, self.at - 1) end

function Reader:constants()
  for _ = 1, self:size() do
    local kind = self.dump:byte(self.at)
    self:skip(1)
    if kind == INTEGER or kind == FLOAT then
      self:skip(8)
    elseif kind == SHORT_STRING or kind == LONG_STRING then
      self.strings[self:text()] = true
    end
  end
end

-- A function: source and lines (left out), code, constants, upvalues, inner functions, and no debug information.
function Reader:fn()
  self:text()
  self:size()
  self:size()
  local from = self.at
  self:skip(3)
  self:skip(4 * self:size())
  self:constants()
  self:skip(3 * self:size())
  local inner = self:size()
  self:keep(from)
  for _ = 1, inner do self:fn() end
  for _ = 1, 4 do self:size() end
end

--- The bytes that count of a stripped dump, and the set of texts among its constants; nil for another version of Lua.
function bytecode.read(dump)
  if dump:byte(5) ~= VERSION then return nil end
  local reader = setmetatable({ dump = dump, at = HEADER_SIZE + 1, parts = {}, strings = {} }, Reader)
  reader:fn()
  return table.concat(reader.parts), reader.strings
end

return bytecode
