--- Replays golden/models for the encoders: logits, hidden states, loss, every gradient, six training steps, dropout.
package.path = (os.getenv("HFLUA_TESTS") or "tests") .. "/lib/?.lua;" .. package.path
local t = require "tap"
local hf = require "hflua"
local tensor, models = hf.tensor, hf.models
local golden = require "golden"

local folder = golden.folder("models")

local function load(name)
  local path = folder .. "/" .. name
  local expected = hf.json.load_file(path .. "/expected.json")
  local model = models[expected.class].from_pretrained(path, { quiet = true })
  return model, expected, hf.safetensors.load_file(path .. "/io.safetensors"), path
end

local function is_zero_gradient(expected, name)
  for _, zero in ipairs(expected.zero_grad_params) do
    if zero == name then return true end
  end
  return false
end

local function check_outputs(name)
  local model, expected, io = load(name)
  local out = model(golden.inputs_of(io, "in"))
  t.near(out.loss:item(), expected.loss, 0, 1e-5, "loss")
  for key, value in pairs(io) do
    local field = key:match "^out%.(.*logits)$"
    if field then golden.close_where(out[field], value, io["in.attention_mask"], 1e-5, field) end
  end
  local inputs = golden.inputs_of(io, "in")
  inputs.output_hidden_states = true
  local hidden = model(inputs).hidden_states
  for i = 1, #hidden do golden.close_where(hidden[i], io["hidden." .. i - 1], io["in.attention_mask"], 1e-5, "hidden." .. i - 1) end
end

-- 1e-5 of the largest entry, but never less than a rounding step of the probabilities whose differences a gradient is.
local function gradient_limit(want)
  local relative = tensor.get_default_device() == "cpu" and 1e-5 or 2e-5
  return math.max(relative * want:abs():max():item(), 2 ^ -24)
end

local function check_gradients(name)
  local model, expected, io, path = load(name)
  local grads = hf.safetensors.load_file(path .. "/grads.safetensors")
  model(golden.inputs_of(io, "in")).loss:backward()
  local seen = 0
  for parameter, p in model:named_parameters() do
    local want = assert(grads[parameter], parameter)
    if not is_zero_gradient(expected, parameter) then
      golden.close(p.grad or tensor.zeros_like(p), want, gradient_limit(want), parameter)
    end
    seen = seen + 1
  end
  for _ in pairs(grads) do seen = seen - 1 end
  assert(seen == 0, "every gradient of the file has a parameter")
end

local function check_training(name)
  local model, expected, io, path = load(name)
  local train, skip = expected.train, {}
  for _, parameter in ipairs(expected.no_decay) do skip[parameter] = true end
  local decayed, plain = {}, {}
  for parameter, p in model:named_parameters() do table.insert(skip[parameter] and plain or decayed, p) end
  local optimizer = hf.trainer.AdamW({ { params = decayed, weight_decay = train.weight_decay }, { params = plain, weight_decay = 0.0 } }, { lr = train.lr })
  local schedule = hf.trainer.get_scheduler("linear", { optimizer = optimizer, num_warmup_steps = train.warmup_steps, num_training_steps = train.steps })
  for step = 1, train.steps do
    local loss = model(golden.inputs_of(io, "train", step)).loss
    t.near(loss:item(), train.losses[step], 0, 2e-5, "loss of step " .. step)
    loss:backward()
    local norm = hf.nn.utils.clip_grad_norm_(model:parameters(), train.max_grad_norm)
    t.near(norm:item(), train.grad_norms[step], 0, 5e-5, "gradient norm of step " .. step)
    optimizer:step() schedule:step() optimizer:zero_grad()
  end
  if not t.exists(path .. "/final.safetensors") then return end -- the committed subset has it once
  local final = hf.safetensors.load_file(path .. "/final.safetensors")
  for parameter, p in model:named_parameters() do
    if expected.final_fp32_vs_fp64[parameter] <= 1e-6 then golden.close(p:detach(), final[parameter], 1e-5, parameter) end
  end
end

local function check_dropout(name)
  local model, expected, io = load(name)
  local functional = hf.nn.functional
  functional.dropout_rng = "torch"
  local ok, message = pcall(function()
    model:train()
    for _, pass in ipairs(expected.dropout) do
      if pass.attention == "sdpa" then
        tensor.manual_seed(pass.seed)
        local out = model(golden.inputs_of(io, "in"))
        t.near(out.loss:item(), pass.loss, 0, 1e-5, "loss under dropout")
      end
    end
  end)
  functional.dropout_rng = "counter"
  assert(ok, message)
end

for _, name in ipairs(golden.model_names) do
  if not folder or not t.exists(folder .. "/" .. name .. "/expected.json") then
    t.skip(name, "needs ../shared/golden/models")
  else
    t.test(name .. ": logits, hidden states, loss", function() check_outputs(name) end)
    t.test(name .. ": gradients", function() check_gradients(name) end)
    t.test(name .. ": six training steps", function() check_training(name) end)
    if hf.json.load_file(folder .. "/" .. name .. "/expected.json").dropout then
      t.test(name .. ": dropout in PyTorch's order", function() check_dropout(name) end)
    end
  end
end
t.finish()
