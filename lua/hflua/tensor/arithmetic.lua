--- Arithmetic, logic and comparisons composed of the operations in C.
local define = require "hflua.tensor.define"
local core = require "hflua.core.tensor"
local errors = require "hflua.errors"

local f = core.functions

-- floor(x / y) of whole numbers: the quotient in float32 is a first guess that the remainder corrects.
local function whole_floor_divide(x, y)
  local quotient = (x / y):floor():long()
  for _ = 1, 2 do quotient = quotient + ((x - quotient * y) / y):floor():long() end
  local rest = x - quotient * y
  local wrong_sign = f.logical_and(f.ne(rest, 0), f.ne(f.lt(rest, 0), f.lt(y, 0)))
  return quotient - wrong_sign:long()
end

local function as_tensor(value, like)
  if define.is_tensor(value) then return value end
  local whole = math.type(value) == "integer" and not like:is_floating_point()
  return f.full({}, value, { dtype = whole and like.dtype or "float32", device = like.device })
end

define { name = "floor_divide", arguments = { "x", "y" }, required = 2, run = function(x, y)
  local a = as_tensor(x, y)
  local b = as_tensor(y, a)
  if a:is_floating_point() or b:is_floating_point() then return f.floor(f.div(a, b)) end
  return whole_floor_divide(a, b)
end }

define { name = "remainder", arguments = { "x", "y" }, required = 2, run = function(x, y)
  return f.sub(x, f.mul(f.floor_divide(x, y), y))
end }

define { name = "logical_and", arguments = { "x", "y" }, required = 2, run = function(x, y) return x:bool() * y:bool() end }
define { name = "logical_or", arguments = { "x", "y" }, required = 2, run = function(x, y) return f.maximum(x:bool(), y:bool()) end }
define { name = "logical_xor", arguments = { "x", "y" }, required = 2, run = function(x, y) return f.ne(x:bool(), y:bool()) end }
define { name = "logical_not", arguments = { "x" }, run = function(x) return f.eq(x:bool(), false) end }

define { name = "isnan", arguments = { "x" }, run = function(x) return f.ne(x, x) end }
define { name = "isinf", arguments = { "x" }, run = function(x) return f.eq(f.abs(x), math.huge) end }
define { name = "isfinite", arguments = { "x" }, run = function(x) return f.lt(f.abs(x), math.huge) end }

--- beta b + alpha (x @ y)
define { name = "addmm", arguments = { "b", "x", "y", "beta", "alpha" }, required = 3, run = function(b, x, y, beta, alpha)
  local product = f.mm(x, y)
  if alpha and alpha ~= 1 then product = product * alpha end
  return f.add(beta and beta ~= 1 and b * beta or b, product)
end }

define { name = "dot", arguments = { "x", "y" }, required = 2, run = function(x, y)
  if x.ndim ~= 1 or y.ndim ~= 1 then
    errors.raise("dot: expected two vectors, found %s and %s", define.describe(x), define.describe(y))
  end
  return f.matmul(x, y)
end }

define { name = "outer", arguments = { "x", "y" }, required = 2, run = function(x, y) return x:unsqueeze(1) * y:unsqueeze(0) end }

--- Is every number of x within atol + rtol |y| of y's? A Lua boolean.
define { name = "allclose", arguments = { "x", "y", "rtol", "atol" }, required = 2, run = function(x, y, rtol, atol)
  local limit = f.abs(y:float()) * (rtol or 1e-5) + (atol or 1e-8)
  local near = f.le(f.abs(x:float() - y:float()), limit)
  return f.all(f.logical_or(near, f.eq(x, y))):item()
end }

--- Same shape and same numbers? A Lua boolean.
define { name = "equal", arguments = { "x", "y" }, required = 2, run = function(x, y)
  return x.shape == y.shape and f.all(f.eq(x, y)):item()
end }

--- x / |x| over dim, with |x| at least eps
define { name = "normalize", arguments = { "x", "dim", "eps" }, run = function(x, dim, eps)
  return x / f.norm(x, dim or 1, true):clamp(eps or 1e-12)
end }

define { name = "cosine_similarity", arguments = { "x", "y", "dim", "eps" }, required = 2, run = function(x, y, dim, eps)
  dim, eps = dim or 1, eps or 1e-8
  return (x * y):sum(dim) / (f.norm(x, dim):clamp(eps) * f.norm(y, dim):clamp(eps))
end }

for name, original in pairs {
  multiply = "mul", divide = "div", subtract = "sub", true_divide = "div", negative = "neg", absolute = "abs", greater = "gt",
  greater_equal = "ge", less = "lt", less_equal = "le", not_equal = "ne", clip = "clamp", concat = "cat",
  log_sigmoid = "logsigmoid", mv = "matmul",
} do define.alias(name, original) end

core.class.__idiv = f.floor_divide
core.class.__mod = f.remainder
