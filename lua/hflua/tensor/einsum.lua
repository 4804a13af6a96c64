--- einsum: sums of products named by letters, made of permute, reshape, sum and matmul, two operands at a time.
local core = require "hflua.core.tensor"
local errors = require "hflua.errors"
local define = require "hflua.tensor.define"

local f = core.functions

-- Letters of one term as a list; "..." becomes as many upper-case names as it covers, aligned at the right.
local function read_term(term, ndim, equation)
  local before, after = term:match "^(%a*)%.%.%.(%a*)$"
  local letters = {}
  local function add(text) for letter in text:gmatch "%a" do letters[#letters + 1] = letter end end
  if not before then
    if term:find "[^%a]" then errors.raise("einsum: cannot read '%s' in '%s'", term, equation) end
    add(term)
    return letters
  end
  add(before)
  for i = ndim - #before - #after, 1, -1 do letters[#letters + 1] = "..." .. i end
  add(after)
  return letters
end

local function index_of(list, value)
  for i, v in ipairs(list) do if v == value then return i end end
end

-- Without "->": the letters that occur once, in alphabetical order, behind those of "...".
local function implied_output(terms)
  local count, names = {}, {}
  for _, term in ipairs(terms) do
    for _, letter in ipairs(term) do count[letter] = (count[letter] or 0) + 1 end
  end
  for letter, n in pairs(count) do
    if n == 1 or #letter > 1 then names[#names + 1] = letter end
  end
  table.sort(names, function(a, b)
    if (#a > 1) ~= (#b > 1) then return #a > 1 end
    if #a > 1 then return a > b end
    return a < b
  end)
  return names
end

local function sizes_of(terms, operands, equation)
  local sizes = {}
  for i, term in ipairs(terms) do
    if #term ~= operands[i].ndim then
      errors.raise("einsum: '%s' names %d dims of operand %d, which is %s", equation, #term, i, define.describe(operands[i]))
    end
    local seen = {}
    for d, letter in ipairs(term) do
      local size = operands[i]:size(d - 1)
      if seen[letter] then errors.raise("einsum: '%s' occurs twice in operand %d of '%s'", letter, i, equation) end
      if sizes[letter] and sizes[letter] ~= size then
        errors.raise("einsum: '%s' is %d and %d in '%s'", letter, sizes[letter], size, equation)
      end
      sizes[letter], seen[letter] = size, true
    end
  end
  return sizes
end

local function set_of(list)
  local set = {}
  for _, value in ipairs(list) do set[value] = true end
  return set
end

-- Sums x over its letters that are not kept; returns the tensor and its letters.
local function sum_out(x, letters, kept)
  local dims, left = {}, {}
  for d, letter in ipairs(letters) do
    if kept[letter] then left[#left + 1] = letter else dims[#dims + 1] = d - 1 end
  end
  if #dims > 0 then x = x:sum(dims) end
  return x, left
end

local function arrange(x, letters, order)
  local dims = {}
  for i, letter in ipairs(order) do dims[i] = index_of(letters, letter) - 1 end
  return #dims > 0 and x:permute(dims) or x
end

local function join(...)
  local out = {}
  for _, list in ipairs { ... } do table.move(list, 1, #list, #out + 1, out) end
  return out
end

local function product(letters, sizes)
  local n = 1
  for _, letter in ipairs(letters) do n = n * sizes[letter] end
  return n
end

-- One product of two operands; letters of both that are not wanted later are summed over.
local function contract(a, a_letters, b, b_letters, wanted, sizes)
  local in_a, in_b = set_of(a_letters), set_of(b_letters)
  a, a_letters = sum_out(a, a_letters, setmetatable({}, { __index = function(_, l) return wanted[l] or in_b[l] end }))
  b, b_letters = sum_out(b, b_letters, setmetatable({}, { __index = function(_, l) return wanted[l] or in_a[l] end }))
  local both, summed, left, right = {}, {}, {}, {}
  for _, letter in ipairs(a_letters) do
    local list = not in_b[letter] and left or wanted[letter] and both or summed
    list[#list + 1] = letter
  end
  for _, letter in ipairs(b_letters) do
    if not in_a[letter] then right[#right + 1] = letter end
  end
  local batch, rows, inner, columns = product(both, sizes), product(left, sizes), product(summed, sizes), product(right, sizes)
  local x = arrange(a, a_letters, join(both, left, summed)):reshape(batch, rows, inner)
  local y = arrange(b, b_letters, join(both, summed, right)):reshape(batch, inner, columns)
  local letters, shape = join(both, left, right), {}
  for i, letter in ipairs(letters) do shape[i] = sizes[letter] end
  return f.bmm(x, y):reshape { sizes = shape }, letters
end

local function run(operands, equation)
  if type(equation) ~= "string" then errors.raise("einsum: equation: expected a text such as 'ij,jk->ik', found %s", type(equation)) end
  local compact = equation:gsub("%s", "")
  local left, right = compact:match "^(.-)%->(.*)$"
  local terms = {}
  for term in ((left or compact) .. ","):gmatch "([^,]*)," do
    local operand = operands[#terms + 1]
    if not define.is_tensor(operand) then errors.raise("einsum: '%s' needs operand %d", equation, #terms + 1) end
    terms[#terms + 1] = read_term(term, operand.ndim, equation)
  end
  if #terms ~= #operands then errors.raise("einsum: '%s' names %d operands, found %d", equation, #terms, #operands) end
  local sizes = sizes_of(terms, operands, equation)
  local widest = 0
  for letter in pairs(sizes) do widest = math.max(widest, tonumber(letter:match "^%.%.%.(%d+)$") or 0) end
  local output = right and read_term(right, widest + #right:gsub("%.", ""), equation) or implied_output(terms)
  for _, letter in ipairs(output) do
    if not sizes[letter] then errors.raise("einsum: '%s' of the result is in no operand of '%s'", letter, equation) end
  end
  local x, letters = operands[1], terms[1]
  for i = 2, #operands do
    local wanted = set_of(output)
    for j = i + 1, #operands do for _, letter in ipairs(terms[j]) do wanted[letter] = true end end
    x, letters = contract(x, letters, operands[i], terms[i], wanted, sizes)
  end
  x, letters = sum_out(x, letters, set_of(output))
  return arrange(x, letters, output)
end

local einsum = define { name = "einsum", arguments = { "operands", "equation" }, required = 2, gather = 1, method = false, run = run }

--- einsum("bij,bkj->bik", x, y), or einsum(x, y, {equation = "bij,bkj->bik"}).
function f.einsum(first, ...)
  if type(first) == "string" then return einsum({ ... }, first) end
  return einsum(first, ...)
end
