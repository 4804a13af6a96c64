--- The split that a file or folder tells by its name.
local split_names = {}

local words = { train = "train", training = "train", validation = "validation", valid = "validation", dev = "validation",
  val = "validation", test = "test", testing = "test", eval = "test", evaluation = "test" }

--- "train", "validation" or "test" for a name with such a word in it, or nil.
function split_names.find(name)
  for word in name:lower():gmatch("%a+") do
    if words[word] then return words[word] end
  end
end

return split_names
