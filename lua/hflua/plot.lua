--- hf.plot(values, { title, xlabel, ylabel, file }): a line plot as an SVG file, and as text when stdout is a terminal.
-- `values` is a list of numbers, or a table of named lists: hf.plot({ train = {...}, validation = {...} }).
-- Values that are not finite leave a gap. Returns the name of the file, by default made from the title.
local errors = require "hflua.errors"
local options = require "hflua.options"
local system = require "hflua.core.system"

local WIDTH, HEIGHT = 720, 440                            -- of the picture
local LEFT, RIGHT, TOP, BOTTOM = 70, 20, 45, 55           -- margins around the plot
local colors = { "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf" }

local function is_finite(v) return v == v and v ~= math.huge and v ~= -math.huge end

-- { { name = "train" or nil, values = {...} }, ... }, sorted by name.
local function series_of(values)
  if type(values) == "userdata" then values = values:tolist() end
  if type(values) ~= "table" then errors.raise("plot: expected a list of numbers, found %s", type(values)) end
  if #values > 0 or next(values) == nil then return { { values = values } } end
  local list = {}
  for name, column in pairs(values) do
    if type(column) == "userdata" then column = column:tolist() end
    list[#list + 1] = { name = tostring(name), values = column }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- Checks the numbers and finds their bounds: { x_max, low, high }.
local function bounds_of(series)
  local b = { x_max = 1, low = math.huge, high = -math.huge }
  for _, line in ipairs(series) do
    for i, value in ipairs(line.values) do
      if type(value) ~= "number" then errors.raise("plot: value %d: expected a number, found %s", i, type(value)) end
      if is_finite(value) then b.low, b.high = math.min(b.low, value), math.max(b.high, value) end
    end
    b.x_max = math.max(b.x_max, #line.values)
  end
  if b.low > b.high then errors.raise "plot: no finite value to plot" end
  if b.low == b.high then b.low, b.high = b.low - 0.5, b.high + 0.5 end
  return b
end

-- Round numbers from low to high, about `count` of them.
local function ticks(low, high, count)
  local raw = (high - low) / count
  local power = 10.0 ^ math.floor(math.log(raw, 10))
  local step = power * (raw / power <= 1 and 1 or raw / power <= 2 and 2 or raw / power <= 5 and 5 or 10)
  local list = {}
  for k = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) do list[#list + 1] = k * step end
  return list
end

local function label(value) return (("%.6g"):format(value + 0.0):gsub("^%-0$", "0")) end

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }
local function escape(text) return (tostring(text):gsub('[&<>"]', entities)) end

-- ---- SVG

local function text_element(x, y, text, attributes)
  return ('<text x="%.1f" y="%.1f" %s>%s</text>'):format(x, y, attributes or "", escape(text))
end

-- Functions from data to picture coordinates.
local function scales(b)
  local function x(i) return LEFT + (i - 1) / math.max(1, b.x_max - 1) * (WIDTH - LEFT - RIGHT) end
  local function y(v) return HEIGHT - BOTTOM - (v - b.low) / (b.high - b.low) * (HEIGHT - TOP - BOTTOM) end
  return x, y
end

local function axes(out, b, x, y)
  for _, value in ipairs(ticks(b.low, b.high, 6)) do
    out[#out + 1] = ('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>'):format(LEFT, WIDTH - RIGHT, y(value), y(value))
    out[#out + 1] = text_element(LEFT - 8, y(value) + 4, label(value), 'text-anchor="end"')
  end
  for _, i in ipairs(ticks(1, math.max(2, b.x_max), 8)) do
    if i >= 1 and i == math.floor(i) and i <= b.x_max then
      out[#out + 1] = text_element(x(i), HEIGHT - BOTTOM + 18, label(i), 'text-anchor="middle"')
    end
  end
  out[#out + 1] = ('<path d="M%d %dV%dH%d" fill="none" stroke="#333"/>'):format(LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT)
end

-- The path of one line; a gap starts a new stroke.
local function path_of(values, x, y)
  local steps, pen_down = {}, false
  for i, value in ipairs(values) do
    if is_finite(value) then steps[#steps + 1] = ("%s%.1f %.1f"):format(pen_down and "L" or "M", x(i), y(value)) end
    pen_down = is_finite(value)
  end
  return table.concat(steps)
end

local function lines(out, series, x, y)
  for k, line in ipairs(series) do
    local color = colors[(k - 1) % #colors + 1]
    out[#out + 1] = ('<path d="%s" fill="none" stroke="%s" stroke-width="1.8" stroke-linejoin="round"/>')
      :format(path_of(line.values, x, y), color)
    if line.name then
      out[#out + 1] = text_element(WIDTH - RIGHT - 8, TOP + 16 * k, line.name, ('text-anchor="end" fill="%s"'):format(color))
    end
  end
end

local function svg(series, b, o)
  local x, y = scales(b)
  local out = { ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">')
    :format(WIDTH, HEIGHT), '<rect width="100%" height="100%" fill="white"/>' }
  axes(out, b, x, y)
  lines(out, series, x, y)
  out[#out + 1] = text_element(WIDTH / 2, 26, o.title, 'text-anchor="middle" font-size="16"')
  out[#out + 1] = text_element((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, o.xlabel, 'text-anchor="middle"')
  local middle = (TOP + HEIGHT - BOTTOM) / 2
  out[#out + 1] = text_element(18, middle, o.ylabel, ('text-anchor="middle" transform="rotate(-90 18 %.1f)"'):format(middle))
  out[#out + 1] = "</svg>\n"
  return table.concat(out, "\n")
end

-- ---- text: 2 x 4 dots to a character, in the Braille block of Unicode

local dot_bits = { { 0x01, 0x02, 0x04, 0x40 }, { 0x08, 0x10, 0x20, 0x80 } } -- [column][row]

local function set_dot(cells, columns, dot_x, dot_y)
  local cell = (dot_y // 4) * columns + dot_x // 2
  cells[cell] = (cells[cell] or 0) | dot_bits[dot_x % 2 + 1][dot_y % 4 + 1]
end

-- The values of one line, a dot column at a time, with the dots between neighbours filled.
local function draw_line(cells, columns, rows, values, b)
  local previous
  for dot_x = 0, columns * 2 - 1 do
    local value = values[1 + math.floor(dot_x / (columns * 2 - 1) * (b.x_max - 1) + 0.5)]
    local dot_y = value and is_finite(value) and math.floor((b.high - value) / (b.high - b.low) * (rows * 4 - 1) + 0.5)
    if dot_y then
      local from = previous or dot_y
      for between = math.min(from, dot_y), math.max(from, dot_y) do set_dot(cells, columns, dot_x, between) end
    end
    previous = dot_y or nil
  end
end

local function as_text(series, b, o, columns, rows)
  local cells, out = {}, { o.title }
  for _, line in ipairs(series) do draw_line(cells, columns, rows, line.values, b) end
  for row = 0, rows - 1 do
    local dots = {}
    for column = 0, columns - 1 do dots[#dots + 1] = utf8.char(0x2800 + (cells[row * columns + column] or 0)) end
    local side = row == 0 and label(b.high) or row == rows - 1 and label(b.low) or ""
    out[#out + 1] = ("%10s |%s"):format(side, table.concat(dots))
  end
  out[#out + 1] = ("%10s +%s"):format("", ("-"):rep(columns))
  out[#out + 1] = ("%10s  1%" .. columns - 1 .. "d  %s"):format("", b.x_max, o.xlabel)
  return table.concat(out, "\n")
end

local function file_name(title)
  local stem = title:lower():gsub("[^%w]+", "-"):gsub("^%-", ""):gsub("%-$", "")
  return (stem == "" and "plot" or stem) .. ".svg"
end

local function plot(values, given)
  local o = options.merge({ title = "", xlabel = "", ylabel = "", file = options.none }, given, "plot")
  local series = series_of(values)
  local bounds = bounds_of(series)
  local path = o.file or file_name(o.title)
  local file, reason = io.open(path, "w")
  if not file then errors.raise("plot: %s", reason) end
  file:write(svg(series, bounds, o))
  file:close()
  if system.isatty(1) then
    local columns = math.max(20, math.min(72, (system.terminal_size() or 80) - 16))
    print(as_text(series, bounds, o, columns, 12))
  end
  return path
end

return { plot = plot, as_text = function(values, o, columns, rows)
  local series = series_of(values)
  return as_text(series, bounds_of(series), o, columns, rows)
end }
