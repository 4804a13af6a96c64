--- hf.cuda: what it says where there is no GPU, and statistics and choice of the device on the emulated one.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"

local function run(environment, code)
  local command = ("env -u HFLUA_DEVICE %s '%s' %s 2>&1"):format(environment, os.getenv "HFLUA_BIN", code)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  pipe:close()
  return text
end

t.test("names of torch.cuda answer without a device", function()
  t.same(type(hf.cuda.is_available()), "boolean")
  t.same(math.type(hf.cuda.device_count()), "integer")
  t.same(hf.cuda.is_available(), hf.cuda.reason() == nil)
  hf.cuda.synchronize() hf.cuda.empty_cache() hf.cuda.reset_peak_memory_stats()
  t.same(hf.cuda.memory_allocated(), 0)
  t.same(hf.cuda, hf.tensor.cuda)
  t.says(hf.cuda.memory_summary(), "in use", "requests to the driver")
end)

t.test("a back end that is not there, or is none", function()
  t.says(run("HFLUA_CUDA_BACKEND=/none/such.so", "--device cuda -e ''"), "device 'cuda': the CUDA back end cannot be opened: /none/such.so", "use 'cpu'")
  t.says(run("HFLUA_CUDA_BACKEND=libm.so.6", "--device cuda:1 -e ''"), "device 'cuda:1': libm.so.6 belongs to another version of hflua")
  t.says(run("", "--device cuda:x -e ''"), "device 'cuda:x': expected 'cpu', 'cuda' or 'cuda:N'")
end)

local emulated = os.getenv "HFLUA_EMULATED"
if not emulated then
  t.skip("the emulated device", "needs a C++ compiler")
  t.finish()
  return
end

local device = ("HFLUA_CUDA_BACKEND='%s'"):format(emulated)
local function lua(code) return run(device, ('-e \'local hf = require "hflua" local tensor = hf.tensor %s\''):format(code)) end

t.test("tf32 by its switch, the environment and TrainingArguments", function()
  t.says(lua [[print(hf.cuda.matmul.allow_tf32) hf.cuda.matmul.allow_tf32 = true print(hf.cuda.matmul.allow_tf32)
    hf.Trainer(hf.nn.Linear(2, 2), hf.TrainingArguments("x", { tf32 = false })) print(hf.cuda.matmul.allow_tf32)
    hf.Trainer(hf.nn.Linear(2, 2), hf.TrainingArguments("x", { tf32 = true })) print(hf.cuda.matmul.allow_tf32)]], "false\ntrue\nfalse\ntrue\n")
  t.says(run(device .. " HFLUA_TF32=1", [[-e 'print(require("hflua").cuda.matmul.allow_tf32)']]), "true")
  t.raises(function() hf.cuda.matmul.allow_tf32 = 1 end, "expected true or false")
  t.raises(function() hf.cuda.matmul.allow_tf33 = true end, "allow_tf33")
end)

t.test("statistics count what tensors hold", function()
  t.says(lua [[local x = tensor.zeros({ 1024, 1024 }, { device = "cuda" })
    print(hf.cuda.memory_allocated() >= 4 << 20, hf.cuda.max_memory_allocated() >= 4 << 20, hf.cuda.get_device_name(), x.device)
    x = nil collectgarbage() print(hf.cuda.memory_allocated() < 1 << 20, hf.cuda.memory_reserved() >= 4 << 20)
    hf.cuda.empty_cache() print(hf.cuda.memory_reserved() < 1 << 20)]], "true\ttrue\temulated device\tcuda:0", "true\ttrue\n", "\ntrue\n")
end)

t.test("out of memory is an error, after which a smaller tensor fits", function()
  local text = run(device .. " HFLUA_EMULATION_MEMORY=64", [[-e 'local tensor = require("hflua").tensor
    print(pcall(tensor.zeros, { 64, 1024, 1024 }, { device = "cuda" })) print(tensor.ones({ 1000 }, { device = "cuda" }):sum():item())']])
  t.says(text, "false", "cuda:0: out of memory for 268435456 bytes", "1000.0")
end)

t.test("memory kept for later is given back before a request fails", function()
  local text = run(device .. " HFLUA_EMULATION_MEMORY=64", [[-e 'local tensor = require("hflua").tensor
    for i = 1, 12 do tensor.zeros({ i, 1024, 1024 }, { device = "cuda" }) collectgarbage() end print("done")']])
  t.says(text, "done")
end)

t.test("the default device, copies between devices, one device a process", function()
  t.says(lua [[print(hf.cuda.default_device(), tensor.get_default_device()) tensor.set_default_device "cuda" print(tensor.ones({ 2 }).device)
    local x = tensor.tensor({ 1.5, 2.5 }, { device = "cpu" }) local y = tensor.zeros({ 2 }) y:copy_(x) print(y:cpu():tolist()[2])
    print(pcall(tensor.device, "cuda:1"))]], "cuda:0\tcpu\ncuda:0\n2.5", "this process uses cuda:0 already")
  t.says(lua [[print(pcall(function() return tensor.ones({ 2 }, { device = "cuda" }) + tensor.ones({ 2 }) end))]],
    "operands are on different devices")
end)

t.test("an optimizer made before the model moves goes on stepping its parameters", function()
  t.says(lua [[local layer = hf.nn.Linear(3, 2) local optimizer = hf.SGD(layer:parameters(), { lr = 1.0 })
    local before = layer.weight:clone() layer:to("cuda") layer(tensor.ones({ 1, 3 }, { device = "cuda" })):sum():backward()
    optimizer:step() print((before - layer.weight:cpu()):sum():item(), layer.weight.device)]], "6.0", "cuda:0")
end)
t.finish()
