--- Progress bars in tqdm's form, on stderr and only when it is a terminal:
--     Map: 100%|██████████| 3668/3668 [00:00<00:00, 12345.67 examples/s]
--
--     local bar <close> = progress.bar { total = 100, desc = "Map", unit = " examples" }
--     bar:update(1)
--     bar:write("a line above the bars")
--
-- A bar opened while others are open is drawn below them and goes away when it ends.
local options = require "hflua.options"
local system = require "hflua.core.system"

local progress = {}

local MIN_INTERVAL = 0.1 -- seconds between drawings
local SMOOTHING = 0.3    -- weight of the newest interval in the rate shown
local open = {}          -- bars on the screen, from the top

local Bar = {}
Bar.__index = Bar
Bar.__name = "progress bar"

local function interval_text(seconds)
  local s = math.floor(seconds)
  if s >= 3600 then return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60) end
  return ("%02d:%02d"):format(s // 60, s % 60)
end

-- A count in three digits: 999, 1.29k, 85.2M, 440M.
local function scaled(n)
  for _, prefix in ipairs { "", "k", "M", "G" } do
    if n < 999.5 then return (n < 9.995 and "%.2f%s" or n < 99.95 and "%.1f%s" or "%.0f%s"):format(n, prefix) end
    n = n / 1000
  end
  return ("%.1fT"):format(n)
end

local function rate_text(rate, unit, unit_scale)
  if not rate then return "?" .. unit .. "/s" end
  if unit_scale then return scaled(rate) .. unit .. "/s" end
  if rate < 1 then return ("%5.2fs/%s"):format(1 / rate, unit) end
  return ("%5.2f%s/s"):format(rate, unit)
end

local eighths = { [0] = "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" }

-- `width` columns of which the fraction is filled, in eighths of a column.
local function blocks(fraction, width)
  local filled = math.floor(fraction * width * 8)
  local whole, rest = filled // 8, filled % 8
  return ("█"):rep(whole) .. eighths[rest] .. (" "):rep(width - whole - (rest > 0 and 1 or 0))
end

local function ratio_text(n) return math.type(n) == "float" and ("%g"):format(n) or tostring(n) end

--- One line: the state (desc, unit, unit_scale, total or nil, n, elapsed and rate or nil) in `columns` columns, or with ten blocks.
function progress.format(state, columns)
  local head = state.desc and state.desc .. ": " or ""
  local count_text = state.unit_scale and scaled or ratio_text
  local counts = count_text(state.n)
  local rate = rate_text(state.rate, state.unit, state.unit_scale)
  if not state.total or state.n > state.total then
    return ("%s%s%s [%s, %s]"):format(head, counts, state.unit, interval_text(state.elapsed), rate)
  end
  local fraction = state.total > 0 and state.n / state.total or 1
  local remaining = state.rate and interval_text((state.total - state.n) / state.rate) or "?"
  head = ("%s%3.0f%%|"):format(head, 100 * fraction)
  local tail = ("| %s/%s [%s<%s, %s]"):format(counts, count_text(state.total), interval_text(state.elapsed), remaining, rate)
  local width = columns and math.max(1, columns - (utf8.len(head) or #head) - #tail) or 10
  return head .. blocks(fraction, width) .. tail
end

-- Writes `text` on the line of this bar and goes back to the first line.
local function draw_at(position, text)
  io.stderr:write(("\n"):rep(position), "\r", text, "\27[K", position > 0 and ("\27[%dA"):format(position) or "", "\r")
  io.stderr:flush()
end

local function position_of(bar)
  for i, other in ipairs(open) do
    if other == bar then return i - 1 end
  end
end

function Bar:draw()
  local elapsed = system.clock() - self.started
  local rate = self.rate or (elapsed > 0 and self.n > self.initial and (self.n - self.initial) / elapsed) or nil
  local state = { desc = self.desc, unit = self.unit, unit_scale = self.unit_scale, total = self.total, n = self.n, elapsed = elapsed, rate = rate }
  local columns = system.terminal_size()
  draw_at(position_of(self), progress.format(state, columns and columns - 1))
end

-- Moves the smoothed rate towards that of the interval since the last drawing.
local function measure(bar, now)
  local newest = (bar.n - bar.drawn_n) / (now - bar.drawn_at)
  bar.rate = bar.rate and SMOOTHING * newest + (1 - SMOOTHING) * bar.rate or newest
  bar.drawn_n, bar.drawn_at = bar.n, now
end

--- `n` more are done (1). The bar ends by itself when the total is reached.
function Bar:update(n)
  self.n = self.n + (n or 1)
  if self.closed then return end
  if self.visible then
    local now = system.clock()
    if now - self.drawn_at >= MIN_INTERVAL and self.n > self.drawn_n then
      measure(self, now)
      self:draw()
    end
  end
  if self.total and self.n >= self.total then self:close() end
end

--- Changes the text in front.
function Bar:set_description(desc)
  self.desc = desc
  if self.visible and not self.closed then self:draw() end
end

--- Ends the bar; it stays on the screen unless `leave` is false or it stands below another.
function Bar:close()
  if self.closed then return end
  self.closed = true
  if not self.visible then return end
  local position = position_of(self)
  if not position then return end -- abandoned
  if self.leave and position == 0 then
    self.rate = nil -- the last line shows the mean
    self:draw()
    io.stderr:write("\n")
  else
    draw_at(position, "")
  end
  table.remove(open, position + 1)
end

--- Prints a line on stdout above all bars.
function Bar:write(line)
  for i = #open, 1, -1 do draw_at(i - 1, "") end
  io.stdout:write(line, "\n")
  io.stdout:flush()
  for _, bar in ipairs(open) do bar:draw() end
end

-- `for i in bar do`: 1..total, or what the wrapped iterator gives; a step counts when the next one is asked for.
function Bar:__call(state, control)
  if control ~= nil then self:update(1) end
  if self.iterator then
    local results = table.pack(self.iterator(state, control))
    if results[1] == nil then self:close() end
    return table.unpack(results, 1, results.n)
  end
  local next_value = (control or 0) + 1
  if next_value <= (self.total or math.huge) then return next_value end
end

Bar.__close = Bar.close

--- A bar: total (nil when unknown), desc, unit ("it"), leave (true), initial (0), disable (false), unit_scale (false; true: 85.2M for 85200000).
function progress.bar(given)
  local o = options.merge({ total = options.none, desc = options.none, unit = "it", leave = true, initial = 0, disable = false, unit_scale = false },
    given, "progress bar")
  local now = system.clock()
  local bar = setmetatable({ total = o.total, desc = o.desc, unit = o.unit, unit_scale = o.unit_scale, leave = o.leave, n = o.initial, initial = o.initial,
    started = now, drawn_at = now, drawn_n = o.initial, visible = not o.disable and system.isatty(2) }, Bar)
  if bar.visible then
    open[#open + 1] = bar
    bar:draw()
  end
  return bar
end

--- hf.tqdm(n[, options]): a bar over n steps. hf.tqdm(list or loader[, options]) also passes its elements on:
-- `for batch in hf.tqdm(loader) do`.
function progress.tqdm(what, given)
  local o = options.check("tqdm", given, { "total", "desc", "unit", "leave", "initial", "disable", "unit_scale" })
  local settings = { total = type(what) == "number" and what or what ~= nil and #what or nil }
  for name, value in pairs(o) do settings[name] = value end
  local bar = progress.bar(settings)
  if type(what) ~= "table" and type(what) ~= "userdata" then return bar end
  local meta = getmetatable(what)
  local index = 0
  bar.iterator = meta and meta.__call and what or function()
    index = index + 1
    return what[index]
  end
  return bar
end

--- Leaves all open bars where they are, the cursor below them: what follows is an error message.
function progress.abandon()
  if #open > 0 then io.stderr:write(("\n"):rep(#open)) end
  open = {}
end

return progress
