"""python3 table.py results.jsonl: the benchmark's lines as a table, each beside PyTorch eager of the same model and precision."""
import json, sys

rows = [json.loads(line) for line in open(sys.argv[1])]
eager = {(r["model"], r["precision"]): r["seconds_a_step"] for r in rows if r["program"] == "torch eager"}
print(f"{'model':<20} {'precision':<10} {'program':<14} {'ms a step':>10} {'tokens/s':>10} {'peak MiB':>9} {'x eager':>8}")
for r in sorted(rows, key=lambda r: (r["model"], r["precision"], r["program"])):
    base = eager.get((r["model"], r["precision"]))
    ratio = f"{base / r['seconds_a_step']:.2f}" if base else "-"
    print(f"{r['model']:<20} {r['precision']:<10} {r['program']:<14} {1000 * r['seconds_a_step']:>10.2f} {r['tokens_a_second']:>10.0f} {r['peak_mib']:>9.0f} {ratio:>8}")
