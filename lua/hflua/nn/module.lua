--- The base of layers and models: tensors and modules stored in fields are parameters and children, named as the
-- fields are and kept in the order they were set.
--
--     local Dense = nn.Module:extend("Dense")
--     function Dense:init(inputs, outputs) self.weight = nn.Parameter(tensor.zeros{outputs, inputs}) end
--     function Dense:forward(x) return tensor.linear(x, self.weight) end
--     local dense = Dense(3, 2)
--     print(dense(x).shape[2])
local tensor = require "hflua.tensor"
local errors = require "hflua.errors"
local options_of = require "hflua.options"
local check = require "hflua.nn.check"

local Module = { __name = "Module" }
Module.__index = Module

local function is_tensor(value) return type(value) == "userdata" and tensor.is_tensor(value) end

local function is_module(value) return type(value) == "table" and getmetatable(value) ~= nil and value.is_module == true end

Module.is_module = true

local function remove_value(list, value)
  for i, found in ipairs(list) do
    if found == value then return table.remove(list, i) end
  end
end

-- Remembers the order in which tensors and modules were first set; one that was removed and set again comes last.
local function remember(self, key, value)
  if is_tensor(value) or is_module(value) then
    local order = rawget(self, "_order")
    remove_value(order, key)
    order[#order + 1] = key
  end
  rawset(self, key, value)
end

--- A new class derived from this one. `Class(...)` makes an object and calls `init(...)`.
function Module:extend(name)
  local class = { __name = name, __call = self.__call, __tostring = self.__tostring, __len = self.__len, __newindex = remember }
  class.__index = class
  return setmetatable(class, {
    __index = self,
    __call = function(cls, ...)
      local object = setmetatable({ _order = {}, training = true }, cls)
      object:init(...)
      return object
    end,
    __tostring = function() return "class " .. name end,
  })
end

function Module:init() end

--- Calling a module runs its `forward`.
function Module:__call(...) return self:forward(...) end

function Module:forward() errors.raise("%s: forward is not defined", self.__name) end

--- Stores a tensor that is saved with the module but not trained.
function Module:register_buffer(name, value)
  local buffers = rawget(self, "_buffers") or {}
  buffers[name] = true
  rawset(self, "_buffers", buffers)
  self[name] = value
end

-- Fields that hold tensors or modules, in order: key, value, name in checkpoints.
local function members(self)
  local order, i = rawget(self, "_order"), 0
  return function()
    while true do
      i = i + 1
      local key = order[i]
      if key == nil then return nil end
      local value = rawget(self, key)
      if value ~= nil and value ~= false then return key, value, self:member_name(key) end
    end
  end
end

--- How a field is called in checkpoints; ModuleList counts from 0 there.
function Module:member_name(key) return key end

local function walk_tensors(self, prefix, visit)
  for key, value, name in members(self) do
    if is_tensor(value) then
      local buffers = rawget(self, "_buffers")
      visit(prefix .. name, value, self, key, buffers ~= nil and buffers[key] == true)
    end
  end
  for _, value, name in members(self) do
    if is_module(value) then walk_tensors(value, prefix .. name .. ".", visit) end
  end
end

-- List of { name, tensor, owner, key }. A tensor found twice (tied weights) is listed once, unless `all`.
local function collect(self, want_buffers, all)
  local list, seen = {}, {}
  walk_tensors(self, "", function(name, value, owner, key, is_buffer)
    if is_buffer ~= want_buffers or (seen[value] and not all) then return end
    seen[value] = true
    list[#list + 1] = { name = name, tensor = value, owner = owner, key = key }
  end)
  return list
end

local function iterate(list)
  local i = 0
  return function()
    i = i + 1
    if list[i] then return list[i].name, list[i].tensor end
  end
end

--- Iterates `name, tensor` over all parameters, each once.
function Module:named_parameters() return iterate(collect(self, false)) end

--- The parameters as a sequence.
function Module:parameters()
  local list = {}
  for _, p in self:named_parameters() do list[#list + 1] = p end
  return list
end

--- Iterates `name, tensor` over the buffers.
function Module:named_buffers() return iterate(collect(self, true)) end

--- The parameter slots: { name =, tensor =, owner = module, key = field }; tied weights more than once.
function Module:slots() return collect(self, false, true) end

--- Iterates `name, module` over this module ("" is its name) and everything below, in order.
function Module:named_modules()
  local list = {}
  local function visit(module, prefix)
    list[#list + 1] = { name = prefix, tensor = module }
    for _, value, name in members(module) do
      if is_module(value) then visit(value, prefix == "" and name or prefix .. "." .. name) end
    end
  end
  visit(self, "")
  return iterate(list)
end

--- Iterates `name, module` over the direct children.
function Module:named_children()
  local list = {}
  for _, value, name in members(self) do
    if is_module(value) then list[#list + 1] = { name = name, tensor = value } end
  end
  return iterate(list)
end

--- Calls fn(module) on every module below and then on this one; returns the module.
function Module:apply(fn)
  for _, child in self:named_children() do child:apply(fn) end
  fn(self)
  return self
end

--- Training mode for this module and all below: dropout is active. `train(false)` is `eval()`.
function Module:train(mode)
  mode = mode == nil or mode
  for _, module in self:named_modules() do rawset(module, "training", mode) end
  return self
end

--- Evaluation mode.
function Module:eval() return self:train(false) end

--- Removes all gradients.
function Module:zero_grad()
  for _, p in self:named_parameters() do p.grad = nil end
end

--- Stops or restarts gradients of all parameters.
function Module:requires_grad_(value)
  for _, p in self:named_parameters() do p.requires_grad = value == nil or value end
  return self
end

local float_types = { float32 = true, float16 = true, bfloat16 = true }

-- Gives a parameter or buffer other numbers; it stays the same object, and its gradient goes along.
local function take_over(value, new, where)
  local gradient = value.grad
  value.data = new:detach()
  if gradient then value.grad = gradient:to(where) end
end

--- Moves (or converts) every parameter and buffer: a device, a dtype name, or both as `to` of tensors takes them. They stay the
-- same objects, so that an optimizer made before goes on stepping them.
function Module:to(where)
  local done = {}
  walk_tensors(self, "", function(_, value)
    if done[value] or float_types[where] and not float_types[value.dtype] then return end
    done[value] = true
    local new = tensor.no_grad(function() return value:to(where) end)
    if new ~= value then take_over(value, new, where) end
  end)
  return self
end

--- All floating-point parameters and buffers in float16, bfloat16, float32.
function Module:half() return self:to("float16") end
function Module:bfloat16() return self:to("bfloat16") end
function Module:float() return self:to("float32") end

--- Table name -> tensor of all parameters and buffers, without history; shares the numbers.
function Module:state_dict()
  local state = {}
  for name, p in self:named_parameters() do state[name] = p:detach() end
  for name, b in self:named_buffers() do state[name] = b end
  return state
end

--- Copies numbers from a state_dict. Missing, unexpected and misshapen entries are errors, unless {strict=false}
-- (shapes are always checked). Returns { missing_keys =, unexpected_keys = }.
function Module:load_state_dict(state, options)
  options_of.check("load_state_dict", options, { "strict" })
  check.list("load_state_dict", "state", state)
  local strict = not (options and options.strict == false)
  local missing, unexpected, known = {}, {}, {}
  local entries = collect(self, false)
  for _, entry in ipairs(collect(self, true)) do entries[#entries + 1] = entry end
  for _, entry in ipairs(entries) do
    known[entry.name] = true
    local value = state[entry.name]
    if value then tensor.no_grad(function() entry.tensor:copy_(Module.check_shape(entry.name, entry.tensor, value)) end)
    else missing[#missing + 1] = entry.name end
  end
  for name in pairs(state) do
    if not known[name] then unexpected[#unexpected + 1] = name end
  end
  table.sort(unexpected)
  if strict and (#missing > 0 or #unexpected > 0) then
    errors.raise("load_state_dict: %s: missing [%s], unexpected [%s]", self.__name, table.concat(missing, ", "), table.concat(unexpected, ", "))
  end
  return { missing_keys = missing, unexpected_keys = unexpected }
end

local function shape_text(t) return "[" .. table.concat(t.shape, ", ") .. "]" end

--- Returns `found` when its shape is that of `expected`; else an error that names the tensor.
function Module.check_shape(name, expected, found)
  if not is_tensor(found) then errors.raise("tensor %q: expected a tensor, found %s", name, type(found)) end
  if shape_text(expected) ~= shape_text(found) then
    errors.raise("tensor %q: expected shape %s, found %s", name, shape_text(expected), shape_text(found))
  end
  return found
end

--- Number of parameters; {exclude_embeddings=true} leaves embedding tables out, {only_trainable=true} frozen ones.
function Module:num_parameters(options)
  local skip, count = {}, 0
  if options and options.exclude_embeddings then
    for _, module in self:named_modules() do
      if module.is_embedding then skip[module.weight] = true end
    end
  end
  for _, p in self:named_parameters() do
    if not skip[p] and not (options and options.only_trainable and not p.requires_grad) then count = count + p:numel() end
  end
  return count
end

--- What stands in the brackets when the module is printed; layers override it.
function Module:extra_repr() return "" end

-- PyTorch's form: nested, two spaces a level, equal neighbours of a list folded.
local function render(module, indent)
  local lines, children = {}, {}
  for name, child in module:named_children() do
    children[#children + 1] = { name = name, text = render(child, indent .. "  ") }
  end
  if #children == 0 then return ("%s(%s)"):format(module.__name, module:extra_repr()) end
  local i = 1
  while i <= #children do
    local last = i
    while module.is_list and children[last + 1] and children[last + 1].text == children[i].text do last = last + 1 end
    local label = last > i and ("(%s-%s): %d x "):format(children[i].name, children[last].name, last - i + 1) or ("(%s): "):format(children[i].name)
    lines[#lines + 1] = indent .. "  " .. label .. children[i].text
    i = last + 1
  end
  return ("%s(\n%s\n%s)"):format(module.__name, table.concat(lines, "\n"), indent)
end

function Module:__tostring() return render(self, "") end

return Module
