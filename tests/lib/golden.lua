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

--- The models of golden/models.
golden.model_names = { "bert_seqcls_2", "bert_seqcls_3", "bert_regression", "bert_multilabel", "bert_mlm", "bert_tokcls", "bert_qa",
  "roberta_seqcls", "roberta_mlm", "distilbert_seqcls", "distilbert_mlm", "gpt2_lm", "gpt2_lm_leftpad", "gpt2_seqcls_midpad",
  "llama_lm_untied", "llama_lm_tied", "llama_lm_rope3", "llama_seqcls", "qwen2_lm" }

--- The tensors PREFIX.NAME of an io.safetensors by NAME; of stacked training inputs those of one step.
function golden.inputs_of(io, prefix, step)
  local inputs = {}
  for name, value in pairs(io) do
    local key = name:match("^" .. prefix .. "%.(.+)$")
    if key then inputs[key] = step and value[step] or value end
  end
  return inputs
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
