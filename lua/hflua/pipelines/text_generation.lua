--- text-generation: text behind a prompt, or the next message of a chat. Options of `generate` are options of the pipeline.
--
-- Where neither the caller nor the checkpoint says otherwise, 256 new tokens are sampled at temperature 0.7, as in transformers.
local Pipeline = require "hflua.pipelines.base"
local GenerationConfig = require "hflua.generation.config"
local generation = require "hflua.generation.generate"
local null = require("hflua.core.json").null
local ordered = require "hflua.ordered"
local random = require "hflua.core.random"
local tensor = require "hflua.tensor"

local TextGeneration = Pipeline:extend("TextGenerationPipeline")

TextGeneration.padding_side = "left"

TextGeneration.parameters = { return_full_text = "boolean", return_tensors = "boolean", return_text = "boolean", prefix = "string", stop_sequence = "strings",
  handle_long_generation = "string", clean_up_tokenization_spaces = "boolean", skip_special_tokens = "boolean", continue_final_message = "boolean",
  add_special_tokens = "boolean", truncation = "any", padding = "any", tokenizer_encode_kwargs = "table", tools = "any", documents = "any" }

-- Options that `generate` takes beside the fields of GenerationConfig.
local call_options = { "generation_config", "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "streamer" }

for _, list in ipairs { call_options, GenerationConfig.names() } do
  for _, name in ipairs(list) do TextGeneration.parameters[name] = TextGeneration.parameters[name] or "any" end
end

local defaults = { max_new_tokens = 256, do_sample = true, temperature = 0.7 }

-- ---- prompts

local function is_message(value) return type(value) == "table" and value.role ~= nil and value.content ~= nil end
local function is_chat(value) return type(value) == "table" and is_message(value[1]) end

function TextGeneration:is_list(inputs) return Pipeline.is_list(self, inputs) and not is_chat(inputs) end

-- Does the answer continue the chat's last message? By default where that one is the assistant's.
local function continues_message(chat, o)
  if o.continue_final_message ~= nil then return o.continue_final_message end
  return chat[#chat].role == "assistant"
end

-- The chat as the model's template writes it.
local function render(self, chat, o)
  if not self.tokenizer.apply_chat_template then self:fail("this tokenizer has no chat template; give a text") end
  local continues = continues_message(chat, o)
  return self.tokenizer:apply_chat_template(chat, { tokenize = false, add_generation_prompt = not continues, continue_final_message = continues,
    tools = o.tools, documents = o.documents })
end

-- Cuts the beginning of a prompt so that the new tokens still fit into the model.
local function make_room(self, row, o)
  local settings = self:generation_options(o)
  local new = settings.max_new_tokens or settings.max_length and settings.max_length - #row.input_ids or defaults.max_new_tokens
  local limit = math.min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings or math.huge)
  local keep = limit - new
  if keep < 1 then self:fail("handle_long_generation: %d new tokens leave no room for a prompt in %d positions", new, limit) end
  for name, values in pairs(row) do row[name] = table.move(values, math.max(1, #values - keep + 1), #values, 1, {}) end
end

function TextGeneration:preprocess(item, o)
  local text, arguments = item, { truncation = o.truncation, max_length = o.truncation and o.max_length or nil, add_special_tokens = o.add_special_tokens }
  if is_chat(item) then
    text, arguments.add_special_tokens = render(self, item, o), false
  else
    self:check_text(item)
    text = (o.prefix or "") .. item
  end
  for name, value in pairs(o.tokenizer_encode_kwargs or {}) do arguments[name] = value end
  local encoding = self.tokenizer(text, nil, arguments)
  if #encoding.input_ids == 0 then
    local start = self.tokenizer.bos_token_id or self.tokenizer.eos_token_id or self:fail("the prompt has no tokens, and there is no token to begin with")
    return { { input_ids = { start }, attention_mask = { 1 }, is_empty = true } }
  end
  local row = self:row_of(encoding)
  row.token_type_ids = nil -- decoders have none
  if o.handle_long_generation then
    if o.handle_long_generation ~= "hole" then self:fail("option 'handle_long_generation': expected 'hole', found '%s'", o.handle_long_generation) end
    make_room(self, row, o)
  end
  return { row }
end

-- ---- generating

local function is_set(config, name)
  local value = config and rawget(config, name)
  return value ~= nil and value ~= null
end

--- The options of `generate`: those of the caller, and the pipeline's defaults for what nobody set.
function TextGeneration:generation_options(o)
  local settings, own = {}, generation.config_of(self.model)
  for _, list in ipairs { call_options, GenerationConfig.names() } do
    for _, name in ipairs(list) do settings[name] = o[name] end
  end
  local function open(name) return settings[name] == nil and not is_set(settings.generation_config, name) and not is_set(own, name) end
  if open "max_new_tokens" and open "max_length" then settings.max_new_tokens = defaults.max_new_tokens end
  if open "do_sample" then settings.do_sample = defaults.do_sample end
  local samples = settings.do_sample
  if samples == nil then samples = is_set(settings.generation_config, "do_sample") and settings.generation_config.do_sample or own.do_sample end
  if samples and samples ~= null and open "temperature" then settings.temperature = defaults.temperature end
  if settings.pad_token_id == nil then settings.pad_token_id = self.tokenizer.pad_token_id end
  if o.stop_sequence then settings.stop_strings, settings.tokenizer = o.stop_sequence, self.tokenizer end
  if settings.stop_strings then settings.tokenizer = self.tokenizer end
  return settings
end

--- Gives each row its sequences: lists of ids, and how many of them are the prompt.
function TextGeneration:forward(rows, o)
  local batch = self:collate(rows)
  local output = self.model:generate(batch, self:generation_options(o))
  local sequences = tensor.is_tensor(output) and output or output.sequences
  local all, prompt = sequences:tolist(), batch.input_ids.shape[2]
  local each = #all // #rows
  for i, row in ipairs(rows) do
    row.output, row.prompt = table.move(all, (i - 1) * each + 1, i * each, 1, {}), prompt
  end
end

-- The chat with the answer: a new message, or the end of the last one.
local function answered(chat, text, continues)
  local messages = table.move(chat, 1, #chat, 1, {})
  if continues then
    local last = messages[#messages]
    messages[#messages] = ordered.new("role", last.role, "content", last.content .. text)
  else
    messages[#messages + 1] = ordered.new("role", "assistant", "content", text)
  end
  return messages
end

function TextGeneration:postprocess(rows, o, item)
  local row, results = rows[1], {}
  for i, sequence in ipairs(rows[1].output) do
    if o.return_tensors then
      results[i] = ordered.new("generated_token_ids", sequence)
    else
      local text = self.tokenizer:decode(table.move(sequence, row.prompt + 1, #sequence, 1, {}),
        { skip_special_tokens = o.skip_special_tokens ~= false, clean_up_tokenization_spaces = o.clean_up_tokenization_spaces })
      if o.return_full_text ~= false then
        text = is_chat(item) and answered(item, text, continues_message(item, o)) or item .. text
      end
      results[i] = ordered.new("generated_text", text)
    end
  end
  return results
end

--- generate_text(prompt) gives a list of {generated_text}, several prompts a list of such lists. A chat is a list of {role, content}.
function TextGeneration:__call(inputs, given)
  local o = self:merge_options(given)
  if o.return_full_text ~= nil and (o.return_text ~= nil or o.return_tensors ~= nil) then
    self:fail("option 'return_full_text' excludes 'return_text' and 'return_tensors'")
  end
  if not self:is_list(inputs) then return self:run({ inputs }, o)[1] end
  random.random_int64() -- PyTorch's DataLoader, which carries lists in Python, takes one: samples stay the same for the same seed
  return self:run(inputs, o)
end

return TextGeneration
