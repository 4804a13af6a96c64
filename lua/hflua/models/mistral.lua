--- Mistral (Jiang et al. 2023): Llama's layers without biases, key heads shared by four query heads.
local config = require "hflua.models.config"
local llama = require "hflua.models.llama"

-- Rows are computed up to the length of the window, where there is one.
local function window(c) return math.type(c.sliding_window) == "integer" and c.sliding_window or nil end

local fields = llama.config_fields { intermediate_size = 14336, max_position_embeddings = 131072, num_key_value_heads = 8 }
fields[#fields + 1] = { "sliding_window", "optional size", 4096 }

local MistralConfig = config.define("MistralConfig", "mistral", { fields = fields, check = llama.check_config })

local mistral = llama.family("Mistral", { config_class = MistralConfig, window = window, span_prefix = "model",
  biases = function() return { qkv = false, output = false } end })
mistral.MistralConfig = MistralConfig
return mistral
