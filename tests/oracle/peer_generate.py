#!/usr/bin/env python3
"""Runs generate calls in transformers: peer_generate.py MODEL_FOLDER CASES.json OUT.json [SAVE_FOLDER]; see generate.lua. Needs: torch transformers.
A case is {"prompt": {"input_ids", "attention_mask"}, "kwargs": {...}, "manual_seed": n or null}. With SAVE_FOLDER the model is saved there."""
import json, os, sys, warnings
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.filterwarnings("ignore")
import torch
from transformers import AutoModelForCausalLM

folder, cases, out = sys.argv[1:4]
model = AutoModelForCausalLM.from_pretrained(folder).eval()
results = []
for case in json.load(open(cases)):
    prompt = {k: torch.tensor(v) for k, v in case["prompt"].items()}
    kwargs = dict(case["kwargs"])
    if case.get("manual_seed") is not None:
        torch.manual_seed(case["manual_seed"])
    try:
        r = model.generate(**prompt, **kwargs, return_dict_in_generate=True, output_scores=True)
        scores = getattr(r, "sequences_scores", None)
        results.append({"sequences": r.sequences.tolist(), "sequences_scores": scores.tolist() if scores is not None else None})
    except Exception as e:
        results.append({"error": f"{type(e).__name__}: {e}"[:300]})
json.dump(results, open(out, "w"))
if len(sys.argv) > 4:
    model.save_pretrained(sys.argv[4])
