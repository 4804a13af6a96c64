--- Errors of the Lua sources: raised at the recipe's line, not at a line inside hflua.
local errors = {}

--- "file:line: " of the innermost running Lua function outside hflua's own chunks; with HFLUA_DEBUG set, of
-- the caller of `raise` itself. Empty when there is none.
function errors.where(level)
  local show_all = os.getenv("HFLUA_DEBUG")
  level = (level or 1) + 1
  local info = debug.getinfo(level, "Sl")
  while info do
    local own = info.source:sub(1, 8) == "=[hflua]"
    if info.currentline >= 0 and (show_all or not own) then
      return ("%s:%d: "):format(info.short_src, info.currentline)
    end
    level = level + 1
    info = debug.getinfo(level, "Sl")
  end
  return ""
end

--- Raises `format:format(...)` behind the position of the recipe. A format without arguments is taken as it is.
function errors.raise(format, ...)
  local message = select("#", ...) > 0 and format:format(...) or format
  error(errors.where(2) .. message, 0)
end

--- Returns `value` when it is true, else raises as `raise` does.
function errors.assert(value, format, ...)
  if not value then errors.raise(format, ...) end
  return value
end

return errors
