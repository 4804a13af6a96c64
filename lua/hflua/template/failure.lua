--- Errors of chat templates: they name the line of the template.
local errors = require "hflua.errors"

--- Raises "chat template, line N: TEXT".
return function(line, format, ...)
  local text = select("#", ...) > 0 and format:format(...) or format
  errors.raise("chat template, line %d: %s", line or 1, (text:gsub("%z", "\\0")))
end
