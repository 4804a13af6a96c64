--- News with summaries, as cnn_dailymail has them: columns article, highlights, id.
--
-- CSV files with these columns, or the original .story files: paragraphs, then the summary's sentences, each behind a line
-- "@highlight". Sentences without an end get one, as in version 3.0.0.
local Dataset = require "hflua.datasets.dataset"
local DatasetDict = require "hflua.datasets.dataset_dict"
local errors = require "hflua.errors"
local file_system = require "hflua.core.files"
local files = require "hflua.datasets.files"
local options = require "hflua.options"

local cnn = {}

local columns = { "article", "highlights", "id" }

-- What a sentence may end with: also closing quotes, U+2019 and U+201D.
local function has_end(line)
  return line:find "[.!?'`\")]$" ~= nil or line:sub(-3) == "\u{2019}" or line:sub(-3) == "\u{201D}"
end

--- Article and highlights of a story.
function cnn.split_story(text)
  local article, highlights, part = {}, {}, nil
  part = article
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    line = line:match "^%s*(.-)%s*$"
    if line:find "^@highlight" then part = highlights
    elseif line ~= "" then part[#part + 1] = has_end(line) and line or line .. " ." end
  end
  return table.concat(article, " "), table.concat(highlights, "\n")
end

local function load_stories(paths)
  local all = { article = {}, highlights = {}, id = {} }
  for i, path in ipairs(paths) do
    all.article[i], all.highlights[i] = cnn.split_story(file_system.read(path))
    all.id[i] = path:match "([^/]*)%.story$"
  end
  return Dataset.from_dict(all, { columns = columns })
end

-- The three columns in their order.
local function pick(ds, path)
  for _, name in ipairs(columns) do
    local found = false
    for _, column in ipairs(ds.column_names) do found = found or column == name end
    if not found then errors.raise("%s: expected the columns article, highlights, id: %s", path, options.unknown("column", name, ds.column_names)) end
  end
  return ds:select_columns(columns)
end

cnn.needs = "{data_files = CSV files with article, highlights, id} or {data_dir = a folder of them, or of .story files}"
cnn.extensions = { story = "story" }

--- The DatasetDict of files of one format: { split = paths }.
function cnn.load(format, by_split)
  local all = {}
  for split, paths in pairs(by_split) do
    all[split] = format == "story" and load_stories(paths) or pick(files.read(format, paths, {}, split), paths[1])
  end
  return DatasetDict(all)
end

return cnn
