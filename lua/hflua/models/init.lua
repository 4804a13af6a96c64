--- Models: architectures with their task heads, loaded from and saved to Hugging Face's folders.
-- `models.AutoModelForSequenceClassification.from_pretrained(name, {num_labels = 2})`, or a class by its name.
local errors = require "hflua.errors"
local options = require "hflua.options"

local modules = {
  AutoConfig = "auto", AutoModel = "auto", AutoModelForSequenceClassification = "auto", AutoModelForMaskedLM = "auto",
  AutoModelForTokenClassification = "auto", AutoModelForQuestionAnswering = "auto", AutoModelForCausalLM = "auto", AutoModelForPreTraining = "auto",
  DynamicCache = "cache", StaticCache = "cache",
  PretrainedConfig = "config", PreTrainedConfig = "config",
  BertConfig = "bert", BertModel = "bert", BertForSequenceClassification = "bert", BertForMaskedLM = "bert",
  BertForPreTraining = "bert", BertForTokenClassification = "bert", BertForQuestionAnswering = "bert",
  RobertaConfig = "roberta", RobertaModel = "roberta", RobertaForSequenceClassification = "roberta", RobertaForMaskedLM = "roberta",
  RobertaForTokenClassification = "roberta", RobertaForQuestionAnswering = "roberta",
  DistilBertConfig = "distilbert", DistilBertModel = "distilbert", DistilBertForSequenceClassification = "distilbert",
  DistilBertForMaskedLM = "distilbert", DistilBertForTokenClassification = "distilbert", DistilBertForQuestionAnswering = "distilbert",
  GPT2Config = "gpt2", GPT2Model = "gpt2", GPT2LMHeadModel = "gpt2", GPT2ForSequenceClassification = "gpt2", GPT2ForTokenClassification = "gpt2",
  LlamaConfig = "llama", LlamaModel = "llama", LlamaForCausalLM = "llama", LlamaForSequenceClassification = "llama",
  LlamaForTokenClassification = "llama", LlamaForQuestionAnswering = "llama",
  Qwen2Config = "qwen2", Qwen2Model = "qwen2", Qwen2ForCausalLM = "qwen2", Qwen2ForSequenceClassification = "qwen2",
  Qwen2ForTokenClassification = "qwen2", Qwen2ForQuestionAnswering = "qwen2",
  MistralConfig = "mistral", MistralModel = "mistral", MistralForCausalLM = "mistral", MistralForSequenceClassification = "mistral",
  MistralForTokenClassification = "mistral", MistralForQuestionAnswering = "mistral",
}

local models = {}

--- The public names, for completion.
function models.__names()
  local names = {}
  for name in pairs(modules) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- A name that is that of a model's class, but of none there is, is an error; any other name is just not there.
local function unknown(name)
  if type(name) ~= "string" or name:find "^DataCollator" then return nil end
  if not (name:find "^%u.*Model$" or name:find "^%u.*For%u%a+$") then return nil end
  errors.raise("hflua.models: %s; the architectures are BERT, RoBERTa, DistilBERT, GPT-2, Llama, Qwen2 and Mistral", options.unknown("class", name, modules))
end

return setmetatable(models, {
  __index = function(self, name)
    local file = modules[name]
    if not file then return unknown(name) end
    local value = require("hflua.models." .. file)[name]
    rawset(self, name, value)
    return value
  end,
})
