--- How operations written in Lua join the others: `define{ name =, arguments = { names }, run = function(...) end }`.
-- The function takes arguments by position or as one trailing table of options, like the operations in C, and becomes
-- `tensor.NAME` and a method of tensors. `required`: how many arguments must be given (1 unless said); `gather`: the place
-- of the argument that takes several positional values as one sequence; `method = false`: no method.
local core = require "hflua.core.tensor"

local class = core.class

local define = setmetatable({}, {
  __call = function(_, specification)
    local method = specification.method
    specification.method = nil
    local operation = core.define(specification)
    core.functions[specification.name] = operation
    if method ~= false then core.methods[specification.name] = operation end
    return operation
  end,
})

--- Another name for an operation, as function and method.
function define.alias(name, original)
  core.functions[name] = core.functions[original]
  core.methods[name] = core.methods[original]
end

function define.is_tensor(value) return getmetatable(value) == class end

--- "[8, 128] float32" for messages.
function define.describe(value)
  if not define.is_tensor(value) then return type(value) end
  return tostring(value.shape) .. " " .. value.dtype
end

return define
