--- hf.launch(fn, { num_processes = 1, args = {...} }): runs a training function, as accelerate's notebook_launcher does.
local errors = require "hflua.errors"
local options = require "hflua.options"

return function(training_function, given)
  local o = options.merge({ num_processes = 1, args = {} }, given, "launch")
  if o.num_processes ~= 1 then
    errors.raise("launch: num_processes: one process runs the function here, found %d; use num_processes = 1", o.num_processes)
  end
  return training_function(table.unpack(o.args))
end
