--- Trainer's mixed precision: the forward under autocast, float16's scaled losses.
local errors = require "hflua.errors"

local precision = {}

local MOST_SKIPPED = 10

--- Reads the arguments: self.autocast_dtype (nil: float32) and self.scaler (float16 only).
function precision:setup_precision()
  local args = self.args
  self.autocast_dtype = args.bf16 and "bfloat16" or args.fp16 and "float16" or nil
  self.scaler, self.skipped_in_row = args.fp16 and require("hflua.amp_scaler")() or nil, 0
end

local is_half = { bfloat16 = true, float16 = true }

local function float(value)
  if type(value) == "userdata" and is_half[value.dtype] then return value:float() end
  return value
end

--- A model's outputs (a tensor, or a table of them) with 16-bit values in float32.
function precision.widen(outputs)
  if type(outputs) ~= "table" then return float(outputs) end
  for name, value in pairs(outputs) do outputs[name] = float(value) end
  return outputs
end

--- model(inputs) in the precision of the arguments; outputs are float32.
function precision:call_model(model, inputs)
  if not self.autocast_dtype then return model(inputs) end
  return precision.widen(require("hflua.amp").autocast(self.device, { dtype = self.autocast_dtype }, model, inputs))
end

--- bf16_full_eval, fp16_full_eval: an evaluation outside training converts the model to 16 bits first, as in HF, and leaves it so.
function precision:convert_for_evaluation()
  local dtype = self.args.bf16_full_eval and "bfloat16" or self.args.fp16_full_eval and "float16"
  if dtype and not self.is_in_train and self.model.to then self.model:to(dtype) end
end

--- Takes note of a step of float16: true when its gradients overflowed, so that it must be left out.
function precision:note_overflow(norm)
  local overflow = norm ~= norm or norm == math.huge
  self.scaler:note(overflow)
  self.skipped_in_row = overflow and self.skipped_in_row + 1 or 0
  if self.skipped_in_row >= MOST_SKIPPED or self.scaler:get_scale() < 1 then
    errors.raise("Trainer: step %d: gradients overflow in float16: %d steps in a row were left out, the scale of the loss is %s; the weights are those before. bf16 = true or a smaller learning_rate may help.",
      self.state.global_step + 1, self.skipped_in_row, tostring(self.scaler:get_scale()))
  end
  return overflow
end

return precision
