--- nn: names and order of parameters, containers, modes, printing, first values, a layer of one's own.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local golden = require "golden"
local hf = require "hflua"
local nn, tensor = hf.nn, hf.tensor

local function names_of(iterator)
  local names = {}
  for name in iterator do names[#names + 1] = name end
  return names
end

local Block = nn.Module:extend("Block")

function Block:init(width)
  self.up = nn.Linear(width, 2 * width)
  self.scale = nn.Parameter(tensor.ones { width })
  self.norm = nn.LayerNorm(2 * width)
  self.down = nn.Linear(2 * width, width, { bias = false })
  self:register_buffer("seen", tensor.zeros { 1 })
end

function Block:forward(x) return self.down(self.norm(self.up(x, "gelu"))) * self.scale end

t.test("parameters come in the order the fields were set, own tensors before children", function()
  local block = Block(4)
  t.same(names_of(block:named_parameters()), { "scale", "up.weight", "up.bias", "norm.weight", "norm.bias", "down.weight" })
  t.same(names_of(block:named_buffers()), { "seen" })
  t.same(names_of(block:named_children()), { "up", "norm", "down" })
  t.same(names_of(block:named_modules()), { "", "up", "norm", "down" })
  t.same(block:num_parameters(), 4 + 32 + 8 + 16 + 32)
end)

t.test("a field set again keeps its place; one set to nil is gone", function()
  local block = Block(4)
  block.up = nn.Linear(4, 8, { bias = false })
  block.norm = nil
  t.same(names_of(block:named_parameters()), { "scale", "up.weight", "down.weight" })
  block.norm = nn.LayerNorm(8)
  t.same(names_of(block:named_children()), { "up", "down", "norm" })
end)

t.test("a tensor in two fields is one parameter", function()
  local pair = nn.ModuleList { nn.Linear(3, 3), nn.Linear(3, 3) }
  pair[2].weight = pair[1].weight
  t.same(names_of(pair:named_parameters()), { "0.weight", "0.bias", "1.bias" })
  t.same(#pair:slots(), 4)
end)

t.test("lists count from 1 in Lua and from 0 in names", function()
  local list = nn.ModuleList { nn.Linear(2, 2) }
  list:append(nn.LayerNorm(2))
  t.same(#list, 2)
  t.same(names_of(list:named_parameters()), { "0.weight", "0.bias", "1.weight", "1.bias" })
  t.same(list[1].in_features, 2)
end)

t.test("Sequential runs its modules in order", function()
  local net = nn.Sequential { nn.Linear(2, 3), nn.LayerNorm(3) }
  local x = tensor.tensor { { 1.0, 2.0 } }
  golden.close(net(x), net[2](net[1](x)), 0, "sequence")
  t.same(net(x).shape, { 1, 3 })
end)

t.test("train and eval reach every module, and dropout obeys", function()
  local net = nn.Sequential { nn.Dropout(0.5), nn.Sequential { nn.Dropout(0.5) } }
  local x = tensor.ones { 64 }
  assert(net:eval() == net and net[2][1].training == false)
  golden.close(net(x), x, 0, "without dropout")
  net:train()
  assert(net[2][1].training)
  assert((net(x) - x):abs():max():item() > 0, "dropout changed nothing")
end)

t.test("apply visits children before their parent", function()
  local order = {}
  Block(2):apply(function(module) order[#order + 1] = module.__name end)
  t.same(order, { "Linear", "LayerNorm", "Linear", "Block" })
end)

t.test("zero_grad and requires_grad_", function()
  local layer = nn.Linear(2, 1)
  layer(tensor.ones { 3, 2 }):sum():backward()
  t.same(layer.weight.grad:tolist(), { { 3, 3 } })
  layer:zero_grad()
  t.same(layer.weight.grad, nil)
  layer:requires_grad_(false)
  t.same(layer:num_parameters { only_trainable = true }, 0)
  layer:requires_grad_()
  t.same(layer:num_parameters { only_trainable = true }, 3)
end)

t.test("state_dict shares numbers, load_state_dict copies them", function()
  local from, to = Block(3), Block(3)
  t.same(to:load_state_dict(from:state_dict()), { missing_keys = {}, unexpected_keys = {} })
  for name, value in pairs(from:state_dict()) do golden.close(to:state_dict()[name], value, 0, name) end
  tensor.no_grad(function() from.scale:fill_(7) end)
  t.same(from:state_dict().scale:tolist(), { 7, 7, 7 })
  t.same(to.scale:tolist(), { 1, 1, 1 })
end)

t.test("load_state_dict names what is missing, unexpected or misshapen", function()
  local layer = nn.Linear(2, 2)
  t.raises(function() layer:load_state_dict { weight = layer.weight, wait = layer.bias } end, "load_state_dict: Linear", "missing [bias]", "unexpected [wait]")
  t.raises(function() layer:load_state_dict { weight = tensor.zeros { 2, 3 }, bias = layer.bias } end, 'tensor "weight": expected shape [2, 2], found [2, 3]')
  t.same(layer:load_state_dict({ weight = layer.weight, wait = layer.bias }, { strict = false }), { missing_keys = { "bias" }, unexpected_keys = { "wait" } })
end)

t.test("to() keeps tied tensors tied and tensors that are there already the same objects", function()
  local pair = nn.ModuleList { nn.Linear(3, 3), nn.Linear(3, 3) }
  pair[2].weight = pair[1].weight
  local before = pair[1].bias
  pair:to("float32")
  assert(rawequal(pair[1].bias, before))
  pair:to("bfloat16")
  t.same(pair[1].weight.dtype, "bfloat16")
  assert(rawequal(pair[1].weight, pair[2].weight) and pair[1].weight.requires_grad)
end)

t.test("printed as PyTorch prints", function()
  t.same(tostring(nn.Linear(3, 2, { bias = false })), "Linear(in_features=3, out_features=2, bias=False)")
  t.same(tostring(nn.Embedding(5, 2, { padding_idx = 0 })), "Embedding(5, 2, padding_idx=0)")
  t.same(tostring(nn.LayerNorm(4, { eps = 1e-12 })), "LayerNorm((4,), eps=1e-12, elementwise_affine=True, bias=True)")
  local list = nn.ModuleList { nn.Linear(1, 1), nn.Linear(1, 1), nn.Dropout(0.1) }
  t.same(tostring(list), "ModuleList(\n  (0-1): 2 x Linear(in_features=1, out_features=1, bias=True)\n  (2): Dropout(p=0.1, inplace=False)\n)")
  t.same(tostring(Block), "class Block")
end)

t.test("a module without forward says so", function()
  t.raises(function() nn.Module:extend("Empty")()(1) end, "Empty: forward is not defined")
end)

t.test("layers refuse what they cannot be made from", function()
  local wrong = {
    { function() nn.Linear("a", 2) end, "Linear: inputs: expected a whole number of at least 1, found a" },
    { function() nn.Linear(3) end, "Linear: outputs: expected a whole number of at least 1, found nil" },
    { function() nn.Linear(3, 2, { bais = false }) end, "Linear: unknown option 'bais' (did you mean 'bias'?)" },
    { function() nn.Embedding(3, 2, { padding_idx = 3 }) end, "Embedding: padding_idx: expected a number in 0 .. 2, found 3" },
    { function() nn.LayerNorm(4, { eps = -1 }) end, "LayerNorm: eps: expected a number in 0 .. 1, found -1" },
    { function() nn.Dropout(1.5) end, "Dropout: p: expected a number in 0 .. 1, found 1.5" },
    { function() nn.ModuleList { 1 } end, "ModuleList: module 1: expected a module, found number" },
    { function() nn.Sequential(5) end, "Sequential: modules: expected a table, found number" },
    { function() nn.Parameter(5) end, "Parameter: expected a tensor, found number" },
    { function() nn.Linear(2, 2)(tensor.ones { 2, 3 }) end, "linear: inner sizes differ" },
    { function() nn.Linear(2, 2)(tensor.ones { 2, 2 }, "gelUU") end, "'gelUU' is none of" },
    { function() nn.Linear(2, 2):load_state_dict(5) end, "load_state_dict: state: expected a table, found number" },
    { function() nn.Linear(2, 2):load_state_dict { weight = 5, bias = 3 } end, 'tensor "weight": expected a tensor, found number' },
    { function() nn.utils.clip_grad_norm_(5, 1) end, "clip_grad_norm_: parameters: expected a table, found number" },
    { function() nn.utils.clip_grad_norm_({}, -1) end, "clip_grad_norm_: max_norm: expected a number in 0 .. inf, found -1" },
  }
  for _, case in ipairs(wrong) do t.raises(case[1], case[2]) end
end)

t.test("a layer of one's own learns", function()
  hf.set_seed(3)
  local model = nn.Sequential { nn.Linear(2, 8), Block(8), nn.Linear(8, 1) }
  local x, y = tensor.tensor { { 0.0, 0.0 }, { 0.0, 1.0 }, { 1.0, 0.0 }, { 1.0, 1.0 } }, tensor.tensor { { 0.0 }, { 1.0 }, { 1.0 }, { 0.0 } }
  local optimizer, first, last = hf.trainer.AdamW(model:parameters(), { lr = 0.02 }), nil, nil
  for _ = 1, 100 do
    local loss = tensor.mse_loss(model(x), y)
    loss:backward()
    optimizer:step()
    optimizer:zero_grad()
    first, last = first or loss:item(), loss:item()
  end
  assert(last < 0.1 * first, ("loss %g -> %g"):format(first, last))
end)

t.test("clip_grad_norm_ gives the norm before and scales only what is too long", function()
  local layer = nn.Linear(2, 1)
  layer(tensor.tensor { { 3.0, 4.0 } }):sum():backward()
  t.near(nn.utils.clip_grad_norm_(layer:parameters(), 100):item(), math.sqrt(26), 0, 1e-6)
  t.same(layer.weight.grad:tolist(), { { 3, 4 } })
  t.near(nn.utils.clip_grad_norm_(layer:parameters(), 1):item(), math.sqrt(26), 0, 1e-6)
  t.near(layer.weight.grad:tolist()[1][2], 4 / (math.sqrt(26) + 1e-6), 0, 1e-6)
end)

t.test("the padding row of an embedding is zero and gets no gradient", function()
  local table_ = nn.Embedding(4, 2, { padding_idx = 1 })
  t.same(table_.weight:detach():tolist()[2], { 0, 0 })
  table_(tensor.tensor { 1, 2 }):sum():backward()
  t.same(table_.weight.grad:tolist(), { { 0, 0 }, { 0, 0 }, { 1, 1 }, { 0, 0 } })
end)

if not golden.path "rng/expected.json" then
  t.skip("first values equal PyTorch's", "needs golden/rng")
else
  for seed, expected in pairs(golden.json "rng/expected.json") do
    local linear, embedding = expected.linear_7_5_default, expected.embedding_6_4_default_padding0
    if linear then
      t.test("first values equal PyTorch's for seed " .. seed, function()
        hf.set_seed(math.tointeger(seed))
        local layer = nn.Linear(7, 5)
        golden.close(layer.weight, tensor.tensor(linear.weight), 0, "weight")
        golden.close(layer.bias, tensor.tensor(linear.bias), 0, "bias")
        hf.set_seed(math.tointeger(seed))
        golden.close(nn.Embedding(6, 4, { padding_idx = 0 }).weight, tensor.tensor(embedding.weight or embedding), 3e-7, "embedding")
      end)
    end
  end
end
t.finish()
