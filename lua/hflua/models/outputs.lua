--- What a model returns: fields in order, some computed when they are first asked for (logits over a whole vocabulary are not
-- made when only the loss is wanted).
local Outputs = {}

local meta = {}

function meta.__index(self, key)
  local make = rawget(self, "_lazy")[key]
  if not make then return nil end
  local value = make()
  rawset(self, key, value)
  return value
end

-- Fields in order, those without a value left out.
function meta.__pairs(self)
  local order, i = rawget(self, "_order"), 0
  return function()
    while true do
      i = i + 1
      if not order[i] then return nil end
      local value = self[order[i]]
      if value ~= nil then return order[i], value end
    end
  end, self, nil
end

function meta.__tostring(self)
  local parts = {}
  for name, value in pairs(self) do parts[#parts + 1] = name .. "=" .. tostring(value) end
  return "ModelOutput(" .. table.concat(parts, ", ") .. ")"
end

--- Outputs.new({ "loss", "logits" }, { loss = t }, { logits = function() ... end })
function Outputs.new(order, values, lazy)
  values._order, values._lazy = order, lazy or {}
  return setmetatable(values, meta)
end

return Outputs
