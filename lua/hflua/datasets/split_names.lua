--- The split that a file or folder tells by its name.
local split_names = {}

local words = { train = "train", training = "train", validation = "validation", valid = "validation", dev = "validation",
  val = "validation", test = "test", testing = "test", eval = "test", evaluation = "test" }

--- The split of a name without its extension, or nil: all before the number of a shard ("validation_matched-00000-of-00001"), else
-- "train", "validation" or "test" for such a word in it.
function split_names.find(name)
  local sharded = name:match("^([%w_.]+)%-%d%d%d%d%d%-of%-%d%d%d%d%d")
  if sharded then return sharded end
  for word in name:lower():gmatch("%a+") do
    if words[word] then return words[word] end
  end
end

return split_names
