"""transformers' side of mrpc.lua: the same run by Trainer; prints its log and one JSON line.

    peer_mrpc.py --model FOLDER --data FOLDER [--epochs 3] [--seed 42] [--max_steps -1]
"""
import argparse
import json
import os
import resource
import time

began = time.perf_counter()
os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
from datasets import Dataset
from sklearn.metrics import accuracy_score, f1_score
from transformers import (AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer,
                          TrainingArguments, set_seed)

parser = argparse.ArgumentParser()
parser.add_argument("--model")
parser.add_argument("--data")
parser.add_argument("--epochs", type=float, default=3)
parser.add_argument("--seed", type=int, default=42)
parser.add_argument("--max_steps", type=int, default=-1)
o = parser.parse_args()


def load(name):
    lines = open(os.path.join(o.data, name), encoding="utf-8-sig").read().split("\n")[1:]
    rows = [line.split("\t") for line in lines if line]
    return Dataset.from_dict(dict(sentence1=[r[3] for r in rows], sentence2=[r[4] for r in rows], label=[int(r[0]) for r in rows]))


tok = AutoTokenizer.from_pretrained(o.model)
encode = lambda rows: tok(rows["sentence1"], rows["sentence2"], truncation=True)
train, dev = (load(name).map(encode, batched=True) for name in ("train.tsv", "dev.tsv"))
set_seed(o.seed)
model = AutoModelForSequenceClassification.from_pretrained(o.model, num_labels=2)


def metrics(p):
    y = np.argmax(p.predictions, -1)
    return dict(accuracy=accuracy_score(p.label_ids, y), f1=f1_score(p.label_ids, y))


args = TrainingArguments("bench-out", eval_strategy="epoch" if o.max_steps < 0 else "no", num_train_epochs=o.epochs, max_steps=o.max_steps,
                         save_strategy="no", report_to="none", seed=o.seed, disable_tqdm=True, logging_steps=50, use_cpu=True)
trainer = Trainer(model=model, args=args, train_dataset=train, eval_dataset=dev, data_collator=DataCollatorWithPadding(tok),
                  processing_class=tok, compute_metrics=metrics)
ready = time.perf_counter()
result = trainer.train()
print(json.dumps(dict(seed=o.seed, setup_seconds=ready - began, train_seconds=time.perf_counter() - ready, steps=result.global_step,
                      peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, last=trainer.state.log_history[-2])))
