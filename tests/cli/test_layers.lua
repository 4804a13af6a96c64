--- The layers hold: kernels < runtime < engines of modules/ < bindings < lua/hflua < recipes (docs/internals/architecture.md).
local t = dofile(os.getenv("HFLUA_TESTS") .. "/lib/tap.lua")
local program = dofile(os.getenv("HFLUA_TESTS") .. "/lib/program.lua")

local root = t.dir .. "/.."

-- Sources below the folders: a list of { path = "runtime/tensor.c", name = "tensor.c", text = ... }.
local function sources(folders, pattern)
  local list = {}
  local found = program.shell(("cd %s && find %s -type f"):format(program.quote(root), folders))
  for path in found.out:gmatch("[^\n]+") do
    if path:match(pattern) then
      local f <close> = assert(io.open(root .. "/" .. path))
      list[#list + 1] = { path = path, name = path:match("[^/]+$"), text = f:read("a") }
    end
  end
  assert(#list > 0, "no sources below " .. folders)
  return list
end

local c_source = "%.[ch]u?$"
local kernels = sources("kernels", c_source)
local runtime = sources("runtime", c_source)
local modules = sources("modules", c_source)

local host = { ["runtime/main.c"] = true, ["runtime/repl.c"] = true, ["runtime/repl.h"] = true,
  ["runtime/state.c"] = true, ["runtime/state.h"] = true }
local function is_binding(file) return host[file.path] or file.name:match("^lua_") end

local function names_of(files)
  local names = {}
  for _, file in ipairs(files) do names[file.name] = true end
  return names
end

-- Fails with every file in `files` in which a header that `forbidden(header, file)` names is included.
local function check_includes(files, forbidden)
  local wrong = {}
  for _, file in ipairs(files) do
    for header in file.text:gmatch('#%s*include%s*[<"]([^>"]+)[>"]') do
      if forbidden(header:match("[^/]+$"), file) then wrong[#wrong + 1] = file.path .. " includes " .. header end
    end
  end
  assert(#wrong == 0, table.concat(wrong, "\n"))
end

local lua_headers = { ["lua.h"] = true, ["lauxlib.h"] = true, ["lualib.h"] = true }

t.test("only bindings and the host know lua.h", function()
  local function forbidden(header, file) return not is_binding(file) and (lua_headers[header] or header:match("^lua_")) end
  check_includes(kernels, forbidden)
  check_includes(runtime, forbidden)
  check_includes(modules, forbidden)
end)

t.test("kernels include nothing from above", function()
  local own, above = names_of(kernels), names_of(runtime)
  for name in pairs(names_of(modules)) do above[name] = true end
  check_includes(kernels, function(header) return above[header] and not own[header] end)
end)

t.test("the runtime includes nothing from modules", function()
  local own, above = names_of(runtime), names_of(modules)
  check_includes(runtime, function(header) return above[header] and not own[header] end)
end)

-- Fails with every line of an engine file in which the Lua pattern is found.
local function check_lines(files, pattern, allowed)
  local wrong = {}
  for _, file in ipairs(files) do
    if not is_binding(file) and not allowed[file.path] and not file.path:match("^kernels/bench/") then
      for line in file.text:gmatch("[^\n]+") do
        if not line:match("^%s*[/ ]%*") and (" " .. line):match(pattern) then wrong[#wrong + 1] = file.path .. ": " .. line end
      end
    end
  end
  assert(#wrong == 0, table.concat(wrong, "\n"))
end

t.test("no question of the device is asked above kernels", function()
  check_lines(runtime, "#%s*if.*CUDA", {})
  check_lines(modules, "#%s*if.*CUDA", {})
end)

t.test("the engine neither prints nor ends the program", function()
  local terminal = { ["runtime/line_editor.c"] = true, ["runtime/interrupt.c"] = true, ["runtime/embed/embed.c"] = true,
    ["runtime/mpi/transport.c"] = true }
  for _, files in ipairs { kernels, runtime, modules } do -- kernels/bench holds programs
    check_lines(files, "[^%w_]v?f?printf%s*%(", terminal)
    check_lines(files, "[^%w_]_?exit%s*%(", terminal)
    check_lines(files, "[^%w_]abort%s*%(", terminal)
  end
end)

t.test("the engine allocates through memory.h", function()
  local own = { ["runtime/memory.c"] = true, ["runtime/memory.h"] = true, ["runtime/line_editor.c"] = true }
  for _, files in ipairs { runtime, modules } do
    check_lines(files, "[^%w_][mc]alloc%s*%(", own)
    check_lines(files, "[^%w_]realloc%s*%(", own)
    check_lines(files, "[^%w_]strn?dup%s*%(", own)
  end
end)

t.test("recipes require hflua alone", function()
  for _, file in ipairs(sources("recipes", "^recipes/[^/]+%.lua$")) do
    for module in file.text:gmatch("require%s*%(?%s*[\"']([^\"']+)") do t.same(module, "hflua", file.path) end
  end
end)

t.finish()
