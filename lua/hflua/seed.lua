--- hf.set_seed(n): seeds PyTorch's and NumPy's generators and the counter-based dropout, as HF's set_seed does.
local errors = require "hflua.errors"

return function(seed)
  if math.type(seed) ~= "integer" or seed < 0 then
    errors.raise("set_seed: expected a whole number of at least 0, found %s", tostring(seed))
  end
  require("hflua.core.random").set_seed(seed)
  require("hflua.tensor").core.dropout_seed(seed)
end
