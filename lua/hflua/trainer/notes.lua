--- One-line notes on stderr, each said once, by the first of several processes.
local is_main = require("hflua.process_group").is_main
local notes = { said = {} }

--- Writes "note: TEXT" unless it was written before.
function notes.once(format, ...)
  local text = format:format(...)
  if notes.said[text] then return end
  notes.said[text] = true
  if not is_main() then return end
  io.stderr:write("note: ", text, "\n")
end

--- Writes "warning: TEXT" every time.
function notes.warn(format, ...)
  if not is_main() then return end
  io.stderr:write("warning: ", format:format(...), "\n")
end

return notes
