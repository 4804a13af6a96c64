"""Reference runs of transformers' Trainer and accelerate on two processes (gloo, CPU): tests/golden/parallel.

    torchrun --nproc-per-node 2 tests/oracle/parallel.py tests/golden

Start weights and rows are those of tests/golden/trainer. Written are what was logged, which rows each rank was given, the metrics, and of
the final weights of each parameter the sum, the sum of squares and the first four numbers. Versions are in meta.json.
"""
import json
import os
import sys
import tempfile

import accelerate
import numpy as np
import torch
import torch.distributed as dist
import transformers
from accelerate import Accelerator
from torch.utils.data import DataLoader
from transformers import BertForSequenceClassification, GPT2LMHeadModel, Trainer, TrainingArguments, get_scheduler

GOLDEN = sys.argv[1]
RANK = int(os.environ["RANK"])

COMMON = {"learning_rate": 0.002, "weight_decay": 0.01, "eval_strategy": "epoch", "logging_steps": 2, "seed": 42, "report_to": "none",
          "save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "num_train_epochs": 2, "per_device_train_batch_size": 4,
          "per_device_eval_batch_size": 4}
CASES = {
    "seqcls": {"task": "seqcls", "train_rows": 61, "eval_rows": 19, "args": {}},
    "seqcls_accum": {"task": "seqcls", "train_rows": 61, "eval_rows": 17, "args": {"gradient_accumulation_steps": 3}},
    "seqcls_drop_last": {"task": "seqcls", "train_rows": 45, "eval_rows": 16, "args": {"dataloader_drop_last": True}},
    "seqcls_few_rows": {"task": "seqcls", "train_rows": 5, "eval_rows": 3, "args": {"num_train_epochs": 3, "logging_steps": 1}},
    "seqcls_grouped": {"task": "seqcls", "train_rows": 61, "eval_rows": 19, "args": {"train_sampling_strategy": "group_by_length", "eval_strategy": "no"}},
    "seqcls_split": {"task": "seqcls", "train_rows": 61, "eval_rows": 19, "args": {"accelerator_config": {"split_batches": True}}},
    "clm": {"task": "clm", "train_rows": 64, "eval_rows": 20, "args": {}},
    "clm_accum": {"task": "clm", "train_rows": 61, "eval_rows": 19, "args": {"gradient_accumulation_steps": 2}},
    "clm_local_tokens": {"task": "clm", "train_rows": 61, "eval_rows": 19, "args": {"average_tokens_across_devices": False}},
}


class Watcher:
    """Pads a batch and notes the numbers of its rows."""

    def __init__(self, task, rows):
        self.task, self.seen = task, {"train": [], "eval": []}
        self.number = {tuple(r["input_ids"]): (split, i) for split, list_ in rows.items() for i, r in enumerate(list_)}

    def __call__(self, batch):
        found = [self.number[tuple(r["input_ids"])] for r in batch]
        self.seen[found[0][0]].append([i for _, i in found])
        width = max(len(r["input_ids"]) for r in batch)
        out = {}
        for name in batch[0]:
            if name == "label":
                out["labels"] = torch.tensor([r[name] for r in batch])
            else:
                out[name] = torch.tensor([list(r[name]) + [0] * (width - len(r[name])) for r in batch])
        if self.task == "clm":
            out["labels"] = out["input_ids"].masked_fill(out["attention_mask"] == 0, -100)
        return out


def model_of(task):
    kind, name = (BertForSequenceClassification, "init_seqcls") if task == "seqcls" else (GPT2LMHeadModel, "init_clm")
    return kind.from_pretrained(f"{GOLDEN}/trainer/{name}")


def rows_of(task, case):
    with open(f"{GOLDEN}/trainer/data_{task}.json") as f:
        data = json.load(f)
    return {"train": data["train"][: case["train_rows"]], "eval": data["eval"][: case["eval_rows"]]}


def accuracy(p):
    return {"accuracy": float((np.argmax(p.predictions, -1) == p.label_ids).mean()), "rows": len(p.label_ids)}


def summary(model):
    out = {}
    for name, p in model.named_parameters():
        w = p.detach().double().flatten()
        out[name] = [w.sum().item(), (w * w).sum().item()] + w[:4].tolist()
    return out


def everywhere(value):
    out = [None] * dist.get_world_size()
    dist.all_gather_object(out, value)
    return out


def timeless(logs):
    return {k: v for k, v in logs.items() if not k.endswith(("_runtime", "_per_second"))}


def run_trainer(case):
    task, rows = case["task"], None
    rows = rows_of(task, case)
    watcher = Watcher(task, rows)
    args = TrainingArguments(tempfile.mkdtemp(), **{**COMMON, **case["args"]})
    trainer = Trainer(model=model_of(task), args=args, train_dataset=rows["train"], eval_dataset=rows["eval"], data_collator=watcher,
                      compute_metrics=accuracy if task == "seqcls" else None)
    trainer.pop_callback(transformers.PrinterCallback)
    output = trainer.train()
    result = {**case, "args": {k: v for k, v in {**COMMON, **case["args"]}.items()}, "max_steps": trainer.state.max_steps,
              "global_step": output.global_step, "training_loss": output.training_loss,
              "log_history": [timeless(row) for row in trainer.state.log_history],
              "train_batch_size": trainer.state.train_batch_size, "batches": everywhere(watcher.seen), "weights": summary(trainer.model)}
    if task == "seqcls":
        predicted = trainer.predict(rows["eval"])
        result["predictions"] = predicted.predictions.tolist()
        result["predict_metrics"] = timeless(predicted.metrics)
    return result


def run_accelerator():
    """The loop of accelerate's examples: shuffled loader, schedule, accumulation, gather_for_metrics."""
    rows = rows_of("seqcls", {"train_rows": 45, "eval_rows": 19})
    watcher = Watcher("seqcls", rows)
    transformers.set_seed(7)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = model_of("seqcls")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.002)
    train = DataLoader(rows["train"], shuffle=True, batch_size=4, collate_fn=watcher)
    dev = DataLoader(rows["eval"], batch_size=4, collate_fn=watcher)
    schedule = get_scheduler("linear", optimizer=optimizer, num_warmup_steps=0, num_training_steps=24)
    train, dev, model, optimizer, schedule = accelerator.prepare(train, dev, model, optimizer, schedule)
    losses, rates = [], []
    for _ in range(2):
        model.train()
        for batch in train:
            with accelerator.accumulate(model):
                loss = model(**batch).loss
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            losses.append(accelerator.gather(loss.detach()).tolist())
            rates.append(schedule.get_last_lr()[0])
    model.eval()
    logits, labels = [], []
    for batch in dev:
        with torch.no_grad():
            out = model(**batch).logits
        out, true = accelerator.gather_for_metrics((out, batch["labels"]))
        logits += out.tolist()
        labels += true.tolist()
    return {"losses": losses, "rates": rates, "logits": logits, "labels": labels, "batches": everywhere(watcher.seen),
            "train_batches": len(train), "weights": summary(accelerator.unwrap_model(model))}


def write(name, value):
    if RANK == 0:
        with open(f"{GOLDEN}/parallel/{name}.json", "w") as f:
            json.dump(value, f)
            f.write("\n")


def main():
    transformers.logging.set_verbosity_error()
    only = sys.argv[2:]
    for name, case in CASES.items():
        if not only or name in only:
            write(name, run_trainer(case))
    if not only or "accelerator" in only:
        write("accelerator", run_accelerator())
    write("meta", {"torch": torch.__version__, "transformers": transformers.__version__, "accelerate": accelerate.__version__, "processes": 2})
    dist.destroy_process_group()


main()
