--- Seeds of a run.
local set_seed = require "hflua.seed"

local seeds = {}

--- Seeds everything with args.seed, as HF's Trainer does when it is made.
function seeds.set(args) set_seed(args.seed) end

return seeds
