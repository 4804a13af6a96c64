"""Checks what Dataset:to_parquet writes: every file given is read by hflua and written again, and pyarrow must find the values in
it that hflua read; datasets must load it. python tests/oracle/parquet_write.py HFLUA FILE ..."""
import os, subprocess, sys, tempfile
import datasets
import pyarrow.parquet as pq
from columns import expected, found

REWRITE = """
local Dataset = require "hflua".datasets.Dataset
local ds = arg[1]:find("%.parquet$") and Dataset.from_parquet(arg[1]) or require "hflua".load_dataset("arrow", { data_files = arg[1], split = "train" })
ds:to_parquet(arg[2], { compression = arg[3], batch_size = 7 })
"""

datasets.disable_progress_bars()
program, same, different = sys.argv[1], 0, 0
with tempfile.TemporaryDirectory() as folder:
    script, out = os.path.join(folder, "rewrite.lua"), os.path.join(folder, "out.parquet")
    open(script, "w").write(REWRITE)
    for path in sys.argv[2:]:
        name = os.path.basename(path)
        if found(program, path)[:1] and found(program, path)[0].startswith("!"):
            continue
        for compression in ("snappy", "zstd", "uncompressed"):
            run = subprocess.run([program, script, path, out, compression], capture_output=True)
            if run.returncode:
                print("%s: %s" % (name, run.stderr.decode().strip()))
                different += 1
                break
            ours, theirs = found(program, path), expected(out)
            if ours != theirs:
                at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
                print("%s: %s: DIFFERENT at line %d: hflua %s, pyarrow %s" % (name, compression, at, ours[at:at + 1], theirs[at:at + 1]))
            different += ours != theirs
            same += ours == theirs
        if pq.read_metadata(out).num_rows: # datasets refuses files without rows
            datasets.Dataset.from_parquet(out, cache_dir=folder)
print("%d written files have the same values, %d do not" % (same, different))
sys.exit(different > 0)
