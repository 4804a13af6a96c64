"""The fast tokenizer's side of tokenize.lua; prints one JSON line.

    peer_tokenize.py --vocab FILE [--merges FILE] --text FILE [--single]      BERT, or with merges GPT-2
"""
import argparse
import json
import os
import resource
import time

os.environ["TOKENIZERS_PARALLELISM"] = "true"
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer

parser = argparse.ArgumentParser()
parser.add_argument("--vocab")
parser.add_argument("--merges", default="")
parser.add_argument("--text")
parser.add_argument("--single", action="store_true")
o = parser.parse_args()
tok = ByteLevelBPETokenizer(o.vocab, o.merges) if o.merges else BertWordPieceTokenizer(o.vocab, lowercase=True)
lines = [line.rstrip("\n") for line in open(o.text, encoding="utf-8")]
best, tokens = 1e9, 0
for _ in range(5):
    start = time.perf_counter()
    if o.single:
        tokens = sum(len(tok.encode(line).ids) for line in lines)
    else:
        tokens = sum(len(e.ids) for i in range(0, len(lines), 1000) for e in tok.encode_batch(lines[i:i + 1000]))
    best = min(best, time.perf_counter() - start)
size = sum(len(line.encode()) for line in lines)
print(json.dumps(dict(seconds=best, tokens=tokens, mb_per_second=size / best * 1e-6,
                      peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)))
