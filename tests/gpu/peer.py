"""What bench.lua measures, in PyTorch: python3 peer.py TASK KIND PRECISION OUT [--device=cuda] [--compile] [--batch=N] [--folder=F].
Eager with fused AdamW and scaled_dot_product_attention, or under torch.compile; bf16 is autocast. Models are written out with the
names of Hugging Face's weights; only `generate` needs transformers."""
import argparse, json, math, os, statistics, struct, time
import torch
from torch import nn
import torch.nn.functional as F

a = argparse.ArgumentParser()
for name in ("task", "kind", "precision", "out"):
    a.add_argument(name)
a.add_argument("--device", default="cuda")
a.add_argument("--compile", action="store_true")
a.add_argument("--batch", type=int, default=1)
a.add_argument("--new", type=int, default=128)
a.add_argument("--size", type=int, default=8192)
a.add_argument("--segments", type=int, default=7)
a.add_argument("--steps", type=int, default=5)
a.add_argument("--folder")
o = a.parse_args()
kind = json.load(open(os.path.dirname(os.path.abspath(__file__)) + "/kinds.json"))[o.kind]
C, H, L = kind["width"], kind["heads"], kind["layers"]
causal, on_gpu = kind["family"] == "gpt2", o.device == "cuda"
torch.manual_seed(1)
torch.backends.cuda.matmul.allow_tf32 = o.precision == "tf32"


class Conv1D(nn.Module):  # GPT-2's linear: the weight is (in, out)
    def __init__(self, n, m):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(n, m) * 0.02), nn.Parameter(torch.zeros(m))

    def forward(self, x):
        return torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)


def attend(qkv, dropout):
    q, k, v = (t.view(*t.shape[:2], H, C // H).transpose(1, 2) for t in qkv.chunk(3, -1))
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal, dropout_p=dropout).transpose(1, 2).flatten(2)


class GPT2Layer(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.ln_1, self.ln_2, self.p = nn.LayerNorm(C), nn.LayerNorm(C), p
        self.attn = nn.ModuleDict(dict(c_attn=Conv1D(C, 3 * C), c_proj=Conv1D(C, C)))
        self.mlp = nn.ModuleDict(dict(c_fc=Conv1D(C, 4 * C), c_proj=Conv1D(4 * C, C)))

    def forward(self, x):
        drop = lambda y: F.dropout(y, self.p, self.training)
        x = x + drop(self.attn.c_proj(attend(self.attn.c_attn(self.ln_1(x)), self.p)))
        return x + drop(self.mlp.c_proj(F.gelu(self.mlp.c_fc(self.ln_2(x)), approximate="tanh")))


class GPT2(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p, layers = p, nn.ModuleList(GPT2Layer(p) for _ in range(L))
        self.transformer = nn.ModuleDict(dict(wte=nn.Embedding(kind["vocab"], C), wpe=nn.Embedding(kind["positions"], C), h=layers, ln_f=nn.LayerNorm(C)))
        for table in (self.transformer.wte, self.transformer.wpe):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids, labels):
        x = self.transformer.wte(ids) + self.transformer.wpe(torch.arange(ids.shape[1], device=ids.device))
        x = F.dropout(x, self.p, self.training)
        for layer in self.transformer.h:
            x = layer(x)
        logits = F.linear(self.transformer.ln_f(x), self.transformer.wte.weight)
        return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())


class BertLayer(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.qkv, self.proj, self.up, self.down = nn.Linear(C, 3 * C), nn.Linear(C, C), nn.Linear(C, 4 * C), nn.Linear(4 * C, C)
        self.first, self.second, self.p = nn.LayerNorm(C), nn.LayerNorm(C), p

    def forward(self, x):
        drop = lambda y: F.dropout(y, self.p, self.training)
        x = self.first(x + drop(self.proj(attend(self.qkv(x), self.p))))
        return self.second(x + drop(self.down(F.gelu(self.up(x)))))


class Bert(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.words, self.places, self.kinds, self.norm = nn.Embedding(kind["vocab"], C), nn.Embedding(kind["positions"], C), nn.Embedding(2, C), nn.LayerNorm(C)
        self.layers, self.pooler, self.head, self.p = nn.ModuleList(BertLayer(p) for _ in range(L)), nn.Linear(C, C), nn.Linear(C, 2), p

    def forward(self, ids, labels):
        x = self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device)) + self.kinds(torch.zeros_like(ids))
        x = F.dropout(self.norm(x), self.p, self.training)
        for layer in self.layers:
            x = layer(x)
        return F.cross_entropy(self.head(F.dropout(torch.tanh(self.pooler(x[:, 0])), self.p, self.training)), labels)


def synchronize():
    if on_gpu:
        torch.cuda.synchronize()


def median_seconds(fn):
    times = []
    for _ in range(o.segments):
        synchronize()
        start = time.perf_counter()
        for _ in range(o.steps):
            fn()
        synchronize()
        times.append((time.perf_counter() - start) / o.steps)
    return statistics.median(times)


def report(program="torch eager", **line):
    text = json.dumps(dict(phase=o.task, program="torch.compile" if o.compile else program, precision=o.precision, **line))
    print(text)
    with open(o.out, "a") as file:
        file.write(text + "\n")


def trainer_of(model, lr, labels=None):
    model.to(o.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01, fused=True)
    forward = torch.compile(model) if o.compile else model

    def step(ids):
        with torch.autocast(o.device, torch.bfloat16, enabled=o.precision == "bf16"):
            loss = forward(ids, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def ceiling():
    n, dtype = o.size, torch.bfloat16 if o.precision == "bf16" else torch.float32
    x, y = (torch.randn(n, n, device=o.device).to(dtype) for _ in range(2))
    block = torch.zeros(n // 32 * 2**20, device=o.device)
    x @ y, block.clone()
    report(operations_a_second=2 * n**3 / median_seconds(lambda: x @ y), bytes_a_second=8 * block.numel() / median_seconds(lambda: block.clone()))


def step():
    model = (GPT2 if causal else Bert)(0.1)
    ids = torch.randint(5, kind["vocab"], (kind["batch"], kind["length"]), device=o.device)
    train, tokens = trainer_of(model, 1e-4, torch.randint(0, 2, (kind["batch"],), device=o.device)), kind["batch"] * kind["length"]
    start = time.perf_counter()
    first = train(ids).item()
    for _ in range(5):
        train(ids)
    synchronize()
    ready = time.perf_counter() - start
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = median_seconds(lambda: train(ids))
    peak, reserved = (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()) if on_gpu else (0, 0)
    report(model=o.kind, seconds=seconds, tokens_a_second=tokens / seconds, peak_mib=peak / 2**20, reserved_mib=reserved / 2**20, seconds_before=ready,
           first_loss=first, last_loss=train(ids).item())


def tensors_of(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    types, found = {"F32": torch.float32, "I64": torch.int64}, {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + at for at in entry["data_offsets"])
            found[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=types[entry["dtype"]]).view(entry["shape"])
    return found


def curve():
    model, weights = GPT2(0.0), tensors_of(o.folder + "/model.safetensors")
    missing, unknown = model.load_state_dict({k if k.startswith("transformer.") else "transformer." + k: v for k, v in weights.items()}, strict=False)
    assert not missing and all(name.endswith("lm_head.weight") for name in unknown), (missing, unknown)
    train = trainer_of(model, 3e-4)
    report(model=o.kind, losses=[train(ids.to(o.device)).item() for ids in tensors_of(o.folder + "/batches.safetensors")["ids"]])


def generate():
    from transformers import GPT2Config, GPT2LMHeadModel
    config = GPT2Config(n_embd=C, n_layer=L, n_head=H, vocab_size=kind["vocab"], n_positions=kind["positions"], bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config).eval().to(o.device, torch.bfloat16 if o.precision == "bf16" else torch.float32)
    ids = torch.randint(5, kind["vocab"], (o.batch, 16), device=o.device)
    run = lambda: model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=o.new, min_new_tokens=o.new, do_sample=False, pad_token_id=0)
    run()
    o.steps, o.segments = 1, 3
    seconds = median_seconds(run)
    report("transformers", model=o.kind, batch=o.batch, seconds=seconds, tokens_a_second=o.batch * o.new / seconds)


dict(ceiling=ceiling, step=step, curve=curve, generate=generate)[o.task]()
