--- One process joins a group by NCCL and takes the mean of a tensor over it, which is the tensor. Exit status 77 where there are no groups.
local hf = require "hflua"
local has, core = pcall(require, "hflua.core.process_group")
if not has then os.exit(77) end
core.info()
local x = hf.tensor.arange(1000):float():to "cuda"
core.average_on_device(x)
assert(hf.tensor.equal(x:cpu(), hf.tensor.arange(1000):float()), "the mean over one process is another tensor")
print "ok 1 - mean over one process"
