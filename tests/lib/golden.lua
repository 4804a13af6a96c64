--- Reference numbers: where they lie and how tensors are compared with them.
local golden = {}

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- The folder `name` of the full reference data beside the repository, or of the committed subset; nil when there is neither.
function golden.folder(name)
  local shared = os.getenv "HFLUA_SHARED"
  for _, root in ipairs { shared and shared .. "/golden" or "", (os.getenv("HFLUA_TESTS") or "tests") .. "/golden" } do
    if root ~= "" and exists(root .. "/" .. name) then return root .. "/" .. name end
  end
  return nil
end

--- The path of the reference file `name`: of the full data, or of the committed copy; nil when there is neither.
golden.path = golden.folder

--- The reference file `name`, decoded.
function golden.json(name)
  return require("hflua.core.json").load_file(assert(golden.path(name), name .. ": no such reference file"))
end

local function text(shape) return "[" .. table.concat(shape, ", ") .. "]" end

--- Largest |actual - expected| must be at most `limit`; shapes must agree.
function golden.close(actual, expected, limit, what)
  if text(actual.shape) ~= text(expected.shape) then
    error(("%s: expected shape %s, found %s"):format(what, text(expected.shape), text(actual.shape)), 2)
  end
  if actual:numel() == 0 then return end
  local worst = (actual:detach():cpu():float() - expected:cpu():float()):abs():max():item()
  if not (worst <= limit) then error(("%s: differs by %.3g (limit %.3g)"):format(what, worst, limit), 2) end
end

--- The same where mask (B, T) is 1; tensors that are not (B, T, ...) are compared whole.
function golden.close_where(actual, expected, mask, limit, what)
  local shape = expected.shape
  if #shape < 2 or shape[1] ~= mask.shape[1] or shape[2] ~= mask.shape[2] then return golden.close(actual, expected, limit, what) end
  local m = mask:float()
  if #shape == 3 then m = m:unsqueeze(-1) end
  golden.close(actual:detach():cpu() * m:cpu(), expected:cpu() * m:cpu(), limit, what)
end

return golden
