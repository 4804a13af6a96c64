--- hf.peft: adapters, with the names of Python's peft.
--
--     local model = hf.get_peft_model(model, hf.LoraConfig{ r = 8, lora_alpha = 16, task_type = "CAUSAL_LM" })
--     model:print_trainable_parameters()
--     ... train ...
--     model:save_pretrained("adapter")
--     local merged = hf.PeftModel.from_pretrained(base, "adapter"):merge_and_unload()
local config = require "hflua.peft.config"
local model = require "hflua.peft.model"

return { LoraConfig = config.LoraConfig, TaskType = config.TaskType, PeftModel = model.PeftModel, get_peft_model = model.get_peft_model }
