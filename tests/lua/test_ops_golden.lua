-- Every operation against PyTorch: values and gradients of the cases in tests/golden/ops.
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local hf = require "hflua"
local tensor = hf.tensor

-- Inputs are handed over in this order.
local order = {}
for i, name in ipairs { "c", "q", "k", "v", "mask", "input", "mat2", "exponent", "target", "weight", "bias", "pos_weight", "x", "w",
  "ids", "idx", "src", "i", "j", "m", "y", "z", "b" } do order[name] = i end

-- Cases that are no single call of the operation they are named after.
local special = {
  addmm = function(p, inputs) return tensor.addmm(inputs.b, inputs.x, inputs.y, p) end,
  any = function(p, inputs) return tensor.any(inputs.x, p), tensor.all(inputs.x, p) end,
  cast = function(p, inputs)
    local x = tensor.cast(inputs.x, p)
    return p.dtype == "int64" and x or x:float()
  end,
  graph = function(_, i)
    local h = tensor.linear(i.x, i.w, i.b):tanh()
    return ((h * h:sum(-1, true) + i.x:slice { dim = 1, stop = h:size(1) } * h:mean()) ^ 2):mean()
  end,
  leaky_relu = function(_, inputs) return tensor.leaky_relu(inputs.x, { negative_slope = 0.1 }) end,
  reshape = function(_, inputs) return inputs.x:transpose(0, 1):reshape(-1, inputs.x:size(0)) end,
  squeeze = function(_, inputs) return inputs.x:squeeze(1):unsqueeze(-1) end,
  view = function(_, inputs) return inputs.x:view(2, inputs.x:size(1), 4, 3):transpose(1, 2) end,
  ["repeat"] = function(p, inputs) return tensor.tile(inputs.x, p) end,
}

local function call(case, inputs)
  if special[case.op] then return special[case.op](case.params, inputs) end
  local names, arguments = {}, {}
  for name in pairs(inputs) do names[#names + 1] = name end
  table.sort(names, function(a, b) return order[a] < order[b] end)
  for i, name in ipairs(names) do arguments[i] = inputs[name] end
  arguments[#arguments + 1] = case.params
  return tensor[case.op](table.unpack(arguments))
end

local function read_inputs(case, data)
  local inputs = {}
  for name, about in pairs(case.inputs) do
    local x = data[case.name .. "/in." .. name]
    if about.dtype == "bool" then x = x:bool() end
    if case.has_grad and x:is_floating_point() then x:requires_grad_() end
    inputs[name] = x
  end
  return inputs
end

-- Largest difference relative to the largest finite number (at least 1 for values).
local function check_near(actual, expected, floor, what)
  t.same(tostring(actual.shape), tostring(expected.shape), what .. " shape")
  if expected:numel() == 0 then return end
  local a, e = actual:float():flatten():tolist(), expected:float():flatten():tolist()
  local largest = floor
  for _, v in ipairs(e) do if v == v and math.abs(v) < 1e38 then largest = math.max(largest, math.abs(v)) end end
  for i, v in ipairs(e) do
    if v ~= a[i] and (v == v or a[i] == a[i]) then t.near(a[i], v, 1e-5 * largest, 0, ("%s [%d]"):format(what, i - 1)) end
  end
end

local function check_results(case, data, outputs)
  local root
  for i, about in ipairs(case.out) do
    local y, expected = outputs[i], data[("%s/out.%d"):format(case.name, i - 1)]
    t.same(y.dtype, about.dtype, "dtype")
    check_near(y:detach(), expected, 1, "output " .. i)
    local upstream = data[("%s/gout.%d"):format(case.name, i - 1)]
    if upstream then
      local part = (y * upstream):sum()
      root = root and root + part or part
    end
  end
  return root
end

local function replay(case, data)
  local inputs = read_inputs(case, data)
  local root = check_results(case, data, { call(case, inputs) })
  if not root then return end
  root:backward()
  for name, x in pairs(inputs) do
    local expected = data[("%s/grad.%s"):format(case.name, name)]
    if expected then check_near(x.grad, expected, 1e-6, "gradient of " .. name) end
  end
end

local folder = t.dir .. "/golden/ops"
local file = assert(io.open(folder .. "/expected.json"))
local cases = hf.json.decode(file:read "a").cases
file:close()
local data = hf.safetensors.load_file(folder .. "/ops.safetensors")

for _, case in ipairs(cases) do
  t.test(case.name, function() replay(case, data) end)
end
t.finish()
