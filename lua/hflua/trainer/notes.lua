--- One-line notes on stderr, each said once per process.
local notes = { said = {} }

--- Writes "note: TEXT" unless it was written before.
function notes.once(format, ...)
  local text = format:format(...)
  if notes.said[text] then return end
  notes.said[text] = true
  io.stderr:write("note: ", text, "\n")
end

--- Writes "warning: TEXT" every time.
function notes.warn(format, ...)
  io.stderr:write("warning: ", format:format(...), "\n")
end

return notes
