--- Seeds of a run: PyTorch's and NumPy's generators, and the counter-based dropout.
local seeds = {}

--- Seeds everything with args.seed, as HF's Trainer does when it is made.
function seeds.set(args)
  require("hflua.core.random").set_seed(args.seed)
  require("hflua.tensor").core.dropout_seed(args.seed)
end

return seeds
