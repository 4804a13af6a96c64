--- hf.launch(fn, { num_processes = 1, args = {...} }): runs a training function, as accelerate's notebook_launcher does.
--
-- Under mpirun with N processes every one of them calls fn. From a single process with num_processes = N the program starts
-- itself anew under mpirun, with the same script and arguments, and ends when that has ended.
local errors = require "hflua.errors"
local options = require "hflua.options"

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- The program, its options, the script and its arguments.
local function command_line()
  local arg, words, first = arg or {}, {}, 0
  while arg[first - 1] do first = first - 1 end
  if first == 0 then return nil end
  for i = first, #arg do words[#words + 1] = quote(i == first and require("hflua.core.system").executable() or arg[i]) end
  return table.concat(words, " ")
end

-- Threads of each process where the environment does not say: the cores are shared.
local function threads(processes)
  local set = os.getenv "OMP_NUM_THREADS"
  local pipe <close> = io.popen "nproc 2>/dev/null"
  return set or math.max(1, (pipe:read "n" or 1) // processes)
end

local function start(processes)
  local command = command_line()
  if not command or not os.execute "command -v mpirun >/dev/null 2>&1" then
    errors.raise("launch: num_processes = %d needs %s; install Open MPI and run: mpirun -np %d hflua SCRIPT", processes,
      command and "mpirun, which is not there" or "a script that can be started again", processes)
  end
  io.stdout:flush()
  local _, kind, code = os.execute(("exec env OMP_NUM_THREADS=%s mpirun --bind-to none -np %d %s"):format(quote(tostring(threads(processes))), processes, command))
  os.exit(kind == "signal" and 128 + code or code, true)
end

return function(training_function, given)
  local o = options.merge({ num_processes = options.none, args = {} }, given, "launch")
  local size = require("hflua.process_group").info().size
  if o.num_processes ~= nil and (math.type(o.num_processes) ~= "integer" or o.num_processes < 1) then
    errors.raise("launch: num_processes: expected a whole number above 0, found %s", tostring(o.num_processes))
  end
  if size == 1 and (o.num_processes or 1) > 1 then start(o.num_processes) end
  if o.num_processes and o.num_processes ~= size then
    errors.raise("launch: num_processes is %d, but mpirun started %d", o.num_processes, size)
  end
  return training_function(table.unpack(o.args))
end
