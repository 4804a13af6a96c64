--- hf.pipeline(task, ...): none is known so far. It is a table like the other five modules of hf, so that scripts which name all six
-- run; a call tells how to do without.
local errors = require "hflua.errors"

return setmetatable({}, {
  __call = function(_, task)
    errors.raise("pipeline: no task '%s' here; call the parts: model(tok(text, {return_tensors = \"pt\"})).logits", tostring(task))
  end,
})
