--- Dropout: active in training mode only.
local check = require "hflua.nn.check"
local functional = require "hflua.nn.functional"
local Module = require "hflua.nn.module"

local Dropout = Module:extend("Dropout")

--- Dropout([p = 0.5])
function Dropout:init(p) self.p = check.number("Dropout", "p", p or 0.5, 0, 1) end

function Dropout:forward(x) return functional.dropout(x, self.training and self.p or 0) end

function Dropout:extra_repr() return ("p=%s, inplace=False"):format(functional.python_number(self.p)) end

return Dropout
