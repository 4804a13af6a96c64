#!/usr/bin/env python3
"""Write expected.json: what transformers makes of small seeded decoders. Packages: torch transformers.

    python make_decoders.py
"""
import json
from pathlib import Path

import torch
import transformers
from transformers import GPT2Config, LlamaConfig, MistralConfig, Qwen2Config
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()

LLAMA = dict(vocab_size=48, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=32, pad_token_id=0)
GPT2 = dict(vocab_size=48, n_embd=32, n_layer=2, n_head=4, n_positions=32, bos_token_id=1, eos_token_id=2)

ROPES = {
    "default": {"rope_type": "default", "rope_theta": 10000.0},
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    "dynamic": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
    "yarn": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16},
    "yarn_mscale": {"rope_type": "yarn", "rope_theta": 50000.0, "factor": 8.0, "original_max_position_embeddings": 16, "mscale": 0.7,
                    "mscale_all_dim": 1.2, "beta_fast": 16.0, "beta_slow": 2.0, "truncate": False},
    "llama3": {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 16},
    "longrope": {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 2.0, "original_max_position_embeddings": 16,
                 "short_factor": [1.0, 1.5, 2.0, 2.5], "long_factor": [2.0, 3.0, 4.5, 6.0]},
}


def ropes():
    out = {}
    for name, parameters in ROPES.items():
        rows = []
        for positions in ([0, 1, 5], [0, 3, 40]):
            rotary = LlamaRotaryEmbedding(LlamaConfig(**LLAMA, rope_parameters=dict(parameters)))
            cos, sin = rotary(torch.zeros(1), torch.tensor([positions]))
            rows.append({"positions": positions, "cosine": cos[0, :, :4].tolist(), "sine": sin[0, :, :4].tolist()})
        out[name] = {"parameters": parameters, "rows": rows}
    return out


def summary(model):
    return {n: [p.double().sum().item(), p.flatten()[0].item(), p.flatten()[-1].item()] for n, p in model.named_parameters()}


def made(kind, config, change=None):
    torch.manual_seed(7)
    model = getattr(transformers, kind)(config)
    if change:
        change(model)
    return {"config": json.loads(config.to_json_string()), "class": kind, "parameters": summary(model), "next": torch.rand(1).item(),
            "printed": str(model), "count": model.num_parameters(), "without_embeddings": model.num_parameters(exclude_embeddings=True)}


def models():
    cases = [("GPT2LMHeadModel", GPT2Config(**GPT2)), ("GPT2LMHeadModel", GPT2Config(**GPT2, tie_word_embeddings=False)),
             ("GPT2Model", GPT2Config(**GPT2)), ("GPT2ForSequenceClassification", GPT2Config(**GPT2)),
             ("GPT2ForTokenClassification", GPT2Config(**GPT2, num_labels=3)),
             ("LlamaForCausalLM", LlamaConfig(**LLAMA)), ("LlamaForCausalLM", LlamaConfig(**LLAMA, tie_word_embeddings=True, attention_bias=True)),
             ("LlamaForSequenceClassification", LlamaConfig(**LLAMA)), ("LlamaForTokenClassification", LlamaConfig(**LLAMA)),
             ("LlamaForQuestionAnswering", LlamaConfig(**LLAMA)), ("Qwen2ForCausalLM", Qwen2Config(**LLAMA)),
             ("Qwen2ForQuestionAnswering", Qwen2Config(**LLAMA)), ("MistralForCausalLM", MistralConfig(**LLAMA)),
             ("MistralForQuestionAnswering", MistralConfig(**LLAMA))]
    return [made(kind, config) for kind, config in cases]


def resized():
    out = []
    for kind, config in (("GPT2LMHeadModel", GPT2Config(**GPT2)), ("LlamaForCausalLM", LlamaConfig(**LLAMA))):
        for rows, multiple in ((50, None), (50, 16), (40, None)):
            case = made(kind, type(config)(**config.to_dict()),
                        lambda m: m.resize_token_embeddings(rows, pad_to_multiple_of=multiple, mean_resizing=False))
            del case["printed"]
            out.append({"rows": rows, "pad_to_multiple_of": multiple, **case, "config": json.loads(config.to_json_string())})
    return out


def packed():
    """Two sequences in one row: logits and loss with position ids that begin again and no mask."""
    out = []
    for kind, config in (("GPT2LMHeadModel", GPT2Config(**GPT2)), ("LlamaForCausalLM", LlamaConfig(**LLAMA))):
        torch.manual_seed(7)
        model = getattr(transformers, kind)(config).eval()
        ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
        positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 0]])
        labels = ids.clone()
        labels[positions == 0] = -100
        with torch.no_grad():
            result = model(input_ids=ids, position_ids=positions, labels=labels, use_cache=False)  # a cache would hide the sequences
            divided = model(input_ids=ids, position_ids=positions, labels=labels, num_items_in_batch=10, use_cache=False)
        out.append({"class": kind, "config": json.loads(config.to_json_string()), "ids": ids.tolist(), "positions": positions.tolist(),
                    "labels": labels.tolist(), "loss": result.loss.item(), "loss_over_10": divided.loss.item(),
                    "logits": [[round(x, 7) for x in row] for row in result.logits[0].tolist()]})
    return out


def main():
    out = {"versions": {"torch": torch.__version__, "transformers": transformers.__version__}, "ropes": ropes(), "models": models(),
           "resized": resized(), "packed": packed()}
    path = Path(__file__).resolve().parent / "expected.json"
    path.write_text(json.dumps(out, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
