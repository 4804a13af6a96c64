--- Dataset:map and Dataset:filter: a Lua function over rows or batches, its results written to columns and kept on
-- disk by content where that can be.
local BatchEncoding = require "hflua.tokenizer.batch_encoding"
local Dataset = require "hflua.datasets.dataset"
local cache = require "hflua.datasets.cache"
local core = require "hflua.core.datasets"
local errors = require "hflua.errors"
local features = require "hflua.datasets.features"
local fingerprint = require "hflua.datasets.fingerprint"
local format = require "hflua.datasets.format"
local options = require "hflua.options"
local progress = require "hflua.datasets.progress"
local rows = require "hflua.datasets.rows"

local map_options = { "batched", "batch_size", "with_indices", "with_rank", "remove_columns", "input_columns", "drop_last_batch",
  "fn_kwargs", "features", "num_proc", "desc", "load_from_cache_file", "cache_file_name", "keep_in_memory", "new_fingerprint",
  "writer_batch_size", "disable_nullable", "suffix_template" }

local filter_options = { "batched", "batch_size", "with_indices", "with_rank", "input_columns", "fn_kwargs", "num_proc", "desc",
  "load_from_cache_file", "cache_file_name", "keep_in_memory", "new_fingerprint", "writer_batch_size", "suffix_template" }

-- What decides the result beside the dataset and the function.
local result_options = { "batched", "batch_size", "with_indices", "with_rank", "remove_columns", "input_columns", "drop_last_batch",
  "fn_kwargs" }

local noted = {}

local function note_once(text)
  if noted[text] then return end
  noted[text] = true
  io.stderr:write(text, "\n")
end

-- opts checked, names as lists, batch size as a number of rows.
local function settle(self, opts, known, where)
  opts = options.check(where, opts, known)
  local settled = {}
  for key, value in pairs(opts) do settled[key] = value end
  for _, key in ipairs { "remove_columns", "input_columns" } do
    if opts[key] then settled[key] = self:_column_list(opts[key], where) end
  end
  local size = opts.batch_size == nil and 1000 or opts.batch_size
  if math.type(size) ~= "integer" then errors.raise("%s: batch_size: expected a whole number, found %s", where, tostring(size)) end
  settled.batch_size = size > 0 and size or math.max(#self, 1)
  if opts.num_proc and opts.num_proc ~= 1 then
    note_once(("%s: num_proc = %s: functions run on one thread; what they call (a tokenizer) uses all cores"):format(where, tostring(opts.num_proc)))
  end
  return settled
end

local function numbers(first, last)
  local list = {}
  for i = first, last do list[#list + 1] = i end
  return list
end

-- Calls the function with what the options ask for: the row or batch (or its input_columns), indices, rank, fn_kwargs.
local function caller(fn, opts)
  return function(example, indices)
    local args, count = {}, 0
    local function push(value) count = count + 1; args[count] = value end
    if opts.input_columns then
      for _, name in ipairs(opts.input_columns) do push(example[name]) end
    else
      push(example)
    end
    if opts.with_indices then push(indices) end
    if opts.with_rank then push(0) end
    if opts.fn_kwargs then push(opts.fn_kwargs) end
    return fn(table.unpack(args, 1, count))
  end
end

-- The plain call where nothing is asked for, which is most of the time.
local function call_of(fn, opts)
  if opts.input_columns or opts.with_indices or opts.with_rank or opts.fn_kwargs then return caller(fn, opts) end
  return function(example) return fn(example) end
end

-- ---- map

local function check_returned(value, what)
  if type(value) == "table" then return value end
  if type(value) == "userdata" and getmetatable(value) and getmetatable(value).__pairs then return value end
  errors.raise("Dataset:map: %s: the function returned a %s; expected a table { column = value }, or nil for no change", what, type(value))
end

local function map_rows(self, call, writer, bar)
  local add_value, end_rows = writer.add_value, writer.end_rows
  for i = 1, #self do
    local result = call(format.row(self, i), i)
    if result ~= nil then
      check_returned(result, ("row %d"):format(i))
      for _, name in ipairs(rows.returned_keys(result)) do
        Dataset._must("Dataset:map", add_value(writer, name, result[name]))
      end
    end
    end_rows(writer, 1)
    bar:update(1)
  end
end

-- A column of a returned batch: packed by a BatchEncoding where it can, else a list.
local function returned_column(result, name)
  local packed = BatchEncoding.is(result) and result:packed_column(name)
  if packed then return packed, true end
  local list = result[name]
  if type(list) == "userdata" and list.tolist then list = list:tolist() end
  return list, false
end

-- The columns of a returned batch as { name, list, packed }, and their common length.
local function returned_columns(result, first, last)
  local lists, length, longest = {}, nil, nil
  for _, name in ipairs(rows.returned_keys(result)) do
    local list, packed = returned_column(result, name)
    if type(list) ~= "table" and not packed then
      errors.raise("Dataset:map: rows %d..%d: column '%s': a batched function returns a list for each column, found a %s", first, last, tostring(name), type(list))
    end
    local own = #list
    if length and own ~= length then
      errors.raise("Dataset:map: rows %d..%d: column '%s' has %d values, column '%s' has %d", first, last, name, own, longest, length)
    end
    lists[#lists + 1], length, longest = { name, list, packed }, own, name
  end
  return lists, length
end

-- A column of the base that a batch with another number of rows would leave as it is, or nil.
local function kept_column(base, lists)
  local replaced = {}
  for _, entry in ipairs(lists) do replaced[entry[1]] = true end
  for _, name in ipairs(base:names()) do
    if not replaced[name] then return name end
  end
end

local function map_batch(self, call, writer, base, first, last)
  local count = last - first + 1
  local batch = rows.batch(format.visible_columns(self), function(name) return format.column(self, name, first, last) end)
  local result = call(batch, numbers(first, last))
  if result == nil then return writer:end_rows(count) end
  local lists, length = returned_columns(check_returned(result, ("rows %d..%d"):format(first, last)), first, last)
  local kept = length and length ~= count and kept_column(base, lists)
  if kept then
    errors.raise("Dataset:map: rows %d..%d: the function returned %d rows for %d, but column '%s' is kept: name it in remove_columns",
      first, last, length, count, kept)
  end
  for _, entry in ipairs(lists) do
    local name, list, packed = entry[1], entry[2], entry[3]
    if packed then
      Dataset._must("Dataset:map", writer:add_packed(name, list))
    else
      Dataset._must("Dataset:map", writer:add_column(name, list, length))
    end
  end
  writer:end_rows(length or count)
end

local function map_batches(self, call, writer, base, opts, bar)
  for first = 1, #self, opts.batch_size do
    local last = math.min(first + opts.batch_size - 1, #self)
    if opts.drop_last_batch and last - first + 1 < opts.batch_size then break end
    map_batch(self, call, writer, base, first, last)
    bar:update(last - first + 1)
  end
end

-- The table without the removed columns.
local function base_table(self, removed)
  local gone, kept = {}, {}
  for _, name in ipairs(removed or {}) do gone[name] = true end
  for _, name in ipairs(self._table:names()) do
    if not gone[name] then kept[#kept + 1] = name end
  end
  return self._table:pick(kept)
end

-- Columns made by the function, in the order in which they end up; the base keeps what it has beside them.
local function combine(base, made)
  if #made == #base then return base:merge(made) end
  local names, seen = {}, {}
  for _, list in ipairs { base:names(), made:names() } do
    for _, name in ipairs(list) do
      if not seen[name] then names[#names + 1] = name end
      seen[name] = true
    end
  end
  return made:pick(names)
end

--- Applies fn to every row, or with batched = true to batches whose columns are lists. What it returns replaces or
-- extends the columns; nil leaves the row as it is. Batched, the number of rows may change if no old column is kept.
-- @param opts batched, batch_size (1000), with_indices (row numbers from 1), input_columns, remove_columns, fn_kwargs,
--   drop_last_batch, features, desc, load_from_cache_file, cache_file_name, keep_in_memory
function Dataset:map(fn, opts)
  opts = settle(self, opts, map_options, "Dataset:map")
  local base = base_table(self, opts.remove_columns)
  local made, content = cache.get(self, "map", fn, opts, result_options, function()
    local writer <close> = core.writer(base)
    local bar <close> = progress.new(#self, opts.desc or "Map")
    local call = call_of(fn or function() end, opts)
    if opts.batched then map_batches(self, call, writer, base, opts, bar) else map_rows(self, call, writer, bar) end
    return writer:finish()
  end)
  local mapped = self:_derive({ _table = combine(base, made) }, "map")
  rawset(mapped, "_fingerprint", opts.new_fingerprint or content)
  Dataset._keep_labels(mapped, made)
  if opts.features then return mapped:_cast(opts.features, "Dataset:map") end
  return mapped
end

--- Keeps the ClassLabels of columns that `made` did not replace with values that are none.
function Dataset._keep_labels(mapped, made)
  local labels, replaced = {}, {}
  for _, name in ipairs(made:names()) do replaced[name] = true end
  for _, name in ipairs(mapped._table:names()) do
    local feature = mapped._labels[name]
    if feature and replaced[name] and not mapped._table:cast(name, features.to_type(feature)) then feature = nil end
    labels[name] = feature
  end
  rawset(mapped, "_labels", labels)
end

-- ---- filter

local function keep_rows(self, call, kept, bar)
  for i = 1, #self do
    if call(format.row(self, i), i) then kept[#kept + 1] = i end
    bar:update(1)
  end
end

local function keep_batches(self, call, opts, kept, bar)
  for first = 1, #self, opts.batch_size do
    local last = math.min(first + opts.batch_size - 1, #self)
    local mask = call(format.batch(self, first, last), numbers(first, last))
    if type(mask) ~= "table" or #mask ~= last - first + 1 then
      errors.raise("Dataset:filter: rows %d..%d: a batched function returns a list of %d true or false, found %s", first, last,
        last - first + 1, type(mask) == "table" and #mask .. " values" or type(mask))
    end
    for i, keep in ipairs(mask) do
      if keep and keep ~= 0 then kept[#kept + 1] = first + i - 1 end
    end
    bar:update(last - first + 1)
  end
end

--- The rows for which fn gives true (batched: a list of true and false).
-- @param opts batched, batch_size, with_indices, input_columns, fn_kwargs, desc, load_from_cache_file, keep_in_memory
function Dataset:filter(fn, opts)
  opts = settle(self, opts, filter_options, "Dataset:filter")
  local chosen, content = cache.get(self, "filter", fn, opts, result_options, function()
    local kept = {}
    local bar <close> = progress.new(#self, opts.desc or "Filter")
    local call = call_of(fn, opts)
    if opts.batched then keep_batches(self, call, opts, kept, bar) else keep_rows(self, call, kept, bar) end
    return Dataset.from_dict({ rows = kept }, { features = { rows = features.Value("int64") } })._table
  end)
  local filtered = self:_derive({ _table = self._table:select(chosen:column("rows")) }, "filter")
  rawset(filtered, "_fingerprint", opts.new_fingerprint or content)
  return filtered
end

return Dataset
