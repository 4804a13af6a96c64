-- NCCL with one process: the library opens, the process joins, means come back. Under mpirun with a GPU for each process, their mean.
local hf = require "hflua"
local group = require "hflua.process_group"
local info = group.info()
local x = hf.tensor.full({ 1000 }, info.rank + 1.0):to "cuda"
require("hflua.core.process_group").average_on_device(x)
local mean = (info.size + 1) / 2
assert(x:sub(mean):abs():max():item() == 0, tostring(x))
print(("ok 1 - means over %d process%s by NCCL"):format(info.size, info.size == 1 and "" or "es"))
