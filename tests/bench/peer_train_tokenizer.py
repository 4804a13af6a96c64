"""The library's side of train_tokenizer.lua; prints one JSON line.

    peer_train_tokenizer.py --text FILE [--vocab_size 8000] [--kind BPE]
"""
import argparse
import json
import os
import resource
import time

os.environ["TOKENIZERS_PARALLELISM"] = "true"
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

parser = argparse.ArgumentParser()
parser.add_argument("--text")
parser.add_argument("--vocab_size", type=int, default=8000)
parser.add_argument("--kind", default="BPE")
o = parser.parse_args()
lines = [line.rstrip("\n") for line in open(o.text, encoding="utf-8", newline="\n")]


def train():
    if o.kind == "Unigram":
        tok = Tokenizer(models.Unigram())
        tok.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=o.vocab_size, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    else:
        tok = Tokenizer(models.BPE())
        tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(vocab_size=o.vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tok.train_from_iterator(lines, trainer)
    return tok


best = 1e9
for _ in range(3):
    start = time.perf_counter()
    tok = train()
    best = min(best, time.perf_counter() - start)
size = sum(len(line.encode()) for line in lines)
print(json.dumps(dict(seconds=best, tokens=tok.get_vocab_size(), mb_per_second=size / best * 1e-6,
                      peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)))
