--- Shakespeare's sonnets from a plain text, as kkawamu1/shakespeares_sonnets has them: columns id, text.
--
-- Empty lines separate blocks of lines; a block of ten lines or more is a poem, shorter ones are titles, numbers and notes.
-- Lines are stripped and joined by newlines.
local Dataset = require "hflua.datasets.dataset"
local DatasetDict = require "hflua.datasets.dataset_dict"
local errors = require "hflua.errors"
local file_system = require "hflua.core.files"

local sonnets = {}

local SHORTEST = 10 -- lines

--- The poems of a text, in order.
function sonnets.poems(text)
  local poems, block = {}, {}
  for line in (text .. "\n\n"):gmatch "([^\n]*)\n" do
    line = line:match "^%s*(.-)%s*$"
    if line ~= "" then
      block[#block + 1] = line
    else
      if #block >= SHORTEST then poems[#poems + 1] = table.concat(block, "\n") end
      block = {}
    end
  end
  return poems
end

local function load_files(paths)
  local ids, texts = {}, {}
  for _, path in ipairs(paths) do
    for _, poem in ipairs(sonnets.poems(file_system.read(path))) do ids[#ids + 1], texts[#texts + 1] = #ids, poem end
  end
  if #ids == 0 then errors.raise("%s: expected poems of %d lines or more with empty lines between them, found none", paths[1], SHORTEST) end
  return Dataset.from_dict({ id = ids, text = texts }, { columns = { "id", "text" } })
end

sonnets.needs = "{data_files = a text with the sonnets}"

--- The DatasetDict of text files: { split = paths }.
function sonnets.load(_, by_split)
  local all = {}
  for split, paths in pairs(by_split) do all[split] = load_files(paths) end
  return DatasetDict(all)
end

return sonnets
