--- Qwen2 (Yang et al. 2024): Llama's layers, with a bias in the products for q, k and v.
local config = require "hflua.models.config"
local llama = require "hflua.models.llama"

-- Rows are computed up to the length of the window, where there is one.
local function window(c) return c.use_sliding_window == true and math.type(c.sliding_window) == "integer" and c.sliding_window or nil end

local Qwen2Config = config.define("Qwen2Config", "qwen2", {
  fields = llama.config_fields { vocab_size = 151936, intermediate_size = 22016, max_position_embeddings = 32768, num_key_value_heads = 32,
    bos_token_id = false, eos_token_id = false },
  check = llama.check_config,
})

local qwen2 = llama.family("Qwen2", { config_class = Qwen2Config, window = window, biases = function() return { qkv = true, output = false } end })
qwen2.Qwen2Config = Qwen2Config
return qwen2
