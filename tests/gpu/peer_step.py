"""The same steps in PyTorch: python3 peer_step.py MODEL PRECISION OUT. Eager with fused AdamW and scaled_dot_product_attention,
then under torch.compile; bf16 is autocast. Uses torch alone, so the models are written out here."""
import json, sys, time, torch
from torch import nn
import torch.nn.functional as F

KINDS = {"bert_base_32x128": dict(batch=32, length=128, vocab=30522, causal=False, dropout=0.1),
         "gpt2_8x1024": dict(batch=8, length=1024, vocab=50257, causal=True, dropout=0.1)}
name, precision, out = sys.argv[1:4]
kind = KINDS[name]
C, H, L = 768, 12, 12


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(C, 3 * C), nn.Linear(C, C)
        self.up, self.down = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)
        self.first, self.second = nn.LayerNorm(C), nn.LayerNorm(C)
        self.drop = nn.Dropout(kind["dropout"])

    def attend(self, x):
        q, k, v = (t.view(x.shape[0], x.shape[1], H, C // H).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=kind["causal"], dropout_p=kind["dropout"] if self.training else 0.0)
        return self.proj(y.transpose(1, 2).reshape(x.shape))

    def forward(self, x):
        if kind["causal"]:
            x = x + self.drop(self.attend(self.first(x)))
            return x + self.drop(self.down(F.gelu(self.up(self.second(x)), approximate="tanh")))
        x = self.first(x + self.drop(self.attend(x)))
        return self.second(x + self.drop(self.down(F.gelu(self.up(x)))))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places, self.drop = nn.Embedding(kind["vocab"], C), nn.Embedding(1024, C), nn.Dropout(kind["dropout"])
        self.layers, self.norm = nn.ModuleList(Layer() for _ in range(L)), nn.LayerNorm(C)
        self.head = nn.Linear(C, 2)

    def forward(self, ids, labels):
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        x = self.drop(x if kind["causal"] else self.norm(x))
        for layer in self.layers:
            x = layer(x)
        if not kind["causal"]:
            return F.cross_entropy(self.head(x[:, 0]), labels)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())


def measure(program):
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    model = Model().cuda().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(5, kind["vocab"], (kind["batch"], kind["length"]), device="cuda")
    labels = torch.randint(0, 2, (kind["batch"],), device="cuda")
    forward = torch.compile(model) if program == "torch.compile" else model

    def step():
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            loss = forward(ids, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    for _ in range(6):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    start, steps = time.perf_counter(), 20
    for _ in range(steps):
        loss = step()
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / steps
    line = json.dumps(dict(program=program, model=name, precision=precision, seconds_a_step=seconds,
                           tokens_a_second=kind["batch"] * kind["length"] / seconds,
                           peak_mib=torch.cuda.max_memory_allocated() / 2**20, last_loss=loss.item()))
    print(line)
    with open(out, "a") as file:
        file.write(line + "\n")


measure("torch eager")
measure("torch.compile")
