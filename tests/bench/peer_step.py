"""PyTorch's side of step.lua: one training step of the same model; prints one JSON line.

    peer_step.py [--model bert-base|minilm|gpt2] [--batch 16] [--length 128] [--padded_to 0] [--steps 6] [--dropout 0.1] [--dtype fp32|bf16]
"""
import argparse
import json
import os
import resource
import time

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import torch
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

parser = argparse.ArgumentParser()
for name, default in dict(model="bert-base", batch=16, length=128, padded_to=0, steps=6, dropout=0.1, dtype="fp32").items():
    parser.add_argument("--" + name, type=type(default), default=default)
o = parser.parse_args()
total = max(o.padded_to, o.length)
ids = torch.randint(1000, 30000, (o.batch, total))
if o.model == "gpt2":
    model = GPT2LMHeadModel(GPT2Config(n_positions=max(1024, total), embd_pdrop=o.dropout, attn_pdrop=o.dropout, resid_pdrop=o.dropout))
    labels = torch.randint(1000, 30000, (o.batch, total))
else:
    layers, width, heads, inner = {"bert-base": (12, 768, 12, 3072), "minilm": (6, 384, 12, 1536)}[o.model]
    model = BertForSequenceClassification(BertConfig(
        num_hidden_layers=layers, hidden_size=width, num_attention_heads=heads, intermediate_size=inner,
        hidden_dropout_prob=o.dropout, attention_probs_dropout_prob=o.dropout))
    labels = torch.randint(0, 2, (o.batch,))
model.train()
batch = dict(input_ids=ids, labels=labels)
if total > o.length:
    batch["attention_mask"] = (torch.arange(total) < o.length).long().expand(o.batch, total)
    if o.model == "gpt2":
        batch["labels"] = labels.masked_fill(batch["attention_mask"] == 0, -100)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
times = []
for _ in range(o.steps + 2):
    start = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=o.dtype == "bf16"):
        loss = model(**batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    times.append(time.perf_counter() - start)
times = sorted(times[2:])
median = times[len(times) // 2]
print(json.dumps(dict(seconds=median, best=times[0], tokens_per_second=o.batch * o.length / median,
                      peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)))
