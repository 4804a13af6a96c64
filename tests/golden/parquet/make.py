"""Writes the files of this folder: small tables of every type, encoding and codec, with pyarrow's view of each in FILE.txt, and
folders as Python's datasets leaves them: python tests/golden/parquet/make.py. Packages: pyarrow, datasets, pandas, numpy."""
import datetime, decimal, json, os, random, shutil, sys, uuid
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "..", "oracle"))
from columns import expected

rng = random.Random(7)
D = decimal.Decimal

def with_nulls(values, every=4):
    return [None if i % every == 2 else v for i, v in enumerate(values)]

def scalars(n, parquet=True):
    """Every scalar type, with nulls."""
    day = [datetime.date(1969, 12, 30) + datetime.timedelta(days=i * 399) for i in range(n)]
    micro = [i * 86399999999 * 371 - 10**15 for i in range(n)]
    columns = {
        "bool": pa.array(with_nulls([i % 3 == 0 for i in range(n)])),
        "float16": pa.array([None if i % 4 == 2 else np.float16(i / 8 - 1) for i in range(n)], pa.float16()),
        "float32": pa.array(with_nulls([i / 7 for i in range(n)]), pa.float32()),
        "float64": pa.array(with_nulls([float("nan") if i == 1 else i / 7 for i in range(n)])),
        "string": pa.array(with_nulls(["tëxt %d" % (i % 5) * (i % 3) for i in range(n)])),
        "binary": pa.array(with_nulls([bytes([255, i % 256, 0]) for i in range(n)]), pa.binary()),
        "fixed": pa.array(with_nulls([bytes([i % 256, 1, 2]) for i in range(n)]), pa.binary(3)),
        "date": pa.array(with_nulls(day), pa.date32()),
        "null": pa.nulls(n),
        "decimal9": pa.array(with_nulls([D(i - 5).scaleb(-2) for i in range(n)]), pa.decimal128(7, 2)),
        "decimal38": pa.array(with_nulls([D(-10**37 + i).scaleb(-10) for i in range(n)]), pa.decimal128(38, 10)),
        "decimal76": pa.array(with_nulls([D(10**75 - i) for i in range(n)]), pa.decimal256(76, 0)),
        "large_string": pa.array(with_nulls(["large %d" % i for i in range(n)]), pa.large_string()),
        "dictionary": pa.array(with_nulls(["red", "green", "blue"] * n)[:n]).dictionary_encode(),
    }
    for bits in (8, 16, 32, 64):
        low = -2**(bits - 1)
        columns["int%d" % bits] = pa.array(with_nulls([low, -low - 1] + list(range(-1, n - 3))), pa.int64() if bits == 64 else getattr(pa, "int%d" % bits)())
        columns["uint%d" % bits] = pa.array(with_nulls([0, 2**min(bits, 63) - 1] + list(range(n - 2))), getattr(pa, "uint%d" % bits)())
    for unit in ("s", "ms", "us", "ns"):
        scale = {"s": 10**6, "ms": 10**3, "us": 1}.get(unit)
        values = [v // scale if scale else v * 1000 + 7 for v in micro]
        columns["timestamp_" + unit] = pa.array(with_nulls(values), pa.timestamp(unit))
        columns["utc_" + unit] = pa.array(with_nulls(values), pa.timestamp(unit, "UTC"))
        columns["time_" + unit] = pa.array(with_nulls([v % {"s": 86400, "ms": 86400 * 10**3, "us": 86400 * 10**6}.get(unit, 86400 * 10**9) for v in values]),
                                           (pa.time32 if unit in ("s", "ms") else pa.time64)(unit))
        if not parquet:
            columns["duration_" + unit] = pa.array(with_nulls(values), pa.duration(unit))
    if not parquet:
        columns["date64"] = pa.array(with_nulls(day), pa.date64())
        columns["large_binary"] = pa.array(with_nulls([b"\xfe%d" % i for i in range(n)]), pa.large_binary())
    return pa.table(columns)

def nested(n):
    """Lists in lists in structs, maps, with nulls and empty ones at every level."""
    lists = [None if i % 7 == 3 else [None if j == 1 else i * 10 + j for j in range(i % 4)] for i in range(n)]
    deep = [None if i % 5 == 4 else [None if j == 2 else [k for k in range((i + j) % 3)] for j in range(i % 4)] for i in range(n)]
    structs = [None if i % 6 == 5 else {"a": None if i % 3 == 1 else i, "b": {"c": str(i), "d": lists[i]}} for i in range(n)]
    of_structs = [None if i % 4 == 3 else [{"x": j, "y": None if j == 1 else ["q"] * j} for j in range(i % 3)] for i in range(n)]
    maps = [None if i % 5 == 2 else [("k%d" % j, None if j == 1 else j) for j in range(i % 3)] for i in range(n)]
    return pa.table({
        "list": pa.array(lists, pa.list_(pa.int32())),
        "deep": pa.array(deep, pa.list_(pa.list_(pa.int64()))),
        "struct": pa.array(structs, pa.struct([("a", pa.int64()), ("b", pa.struct([("c", pa.string()), ("d", pa.list_(pa.int32()))]))])),
        "structs": pa.array(of_structs, pa.list_(pa.struct([("x", pa.int8()), ("y", pa.list_(pa.string()))]))),
        "map": pa.array(maps, pa.map_(pa.string(), pa.int32())),
        "large_list": pa.array(lists, pa.large_list(pa.int64())),
        "fixed_list": pa.array([None if i % 3 == 1 else [i, -i] for i in range(n)], pa.list_(pa.int16(), 2)),
    })

def encoded(n):
    words = ["pre%sfix%d" % ("x" * (i % 4), i // 3) for i in range(n)]
    return pa.table({
        "ints": pa.array([rng.randint(-10**9, 10**9) for _ in range(n)], pa.int32()),
        "longs": pa.array(with_nulls([i * 1000003 - 2**40 for i in range(n)], 11), pa.int64()),
        "extremes": pa.array([(-1)**i * (2**63 - 1 - i) for i in range(n)], pa.int64()),
        "floats": pa.array([rng.random() for _ in range(n)], pa.float32()),
        "words": pa.array(with_nulls(words, 9)),
        "flags": pa.array(with_nulls([i // 9 % 2 == 0 for i in range(n)], 13)),
    })

def put(name, table, row_group_size=None, **options):
    options = {"store_schema": False, "write_statistics": False, **options}
    with pq.ParquetWriter(os.path.join(here, name), table.schema, **options) as writer:
        writer.write_table(table, row_group_size)
        if table.schema.metadata and not options["store_schema"]:
            writer.add_key_value_metadata(table.schema.metadata)

def put_arrow(name, table, make=pa.ipc.new_stream, rows=8, **options):
    with make(os.path.join(here, name), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)

def features(names):
    return {"huggingface": json.dumps({"info": {"features": {
        "sentence": {"dtype": "string", "_type": "Value"}, "label": {"names": names, "_type": "ClassLabel"},
        "tags": {"feature": {"names": ["a", "b", "c"], "_type": "ClassLabel"}, "length": -1, "_type": "Sequence"},
        "answers": {"feature": {"text": {"dtype": "string", "_type": "Value"}, "kind": {"names": ["long", "short"], "_type": "ClassLabel"}}, "length": -1,
                    "_type": "Sequence"}}}})}

def labelled(first, n):
    return pa.table({
        "sentence": ["sentence %d" % (first + i) for i in range(n)], "label": pa.array([i % 2 for i in range(n)], pa.int64()),
        "tags": pa.array([[i % 3] * (i % 2) for i in range(n)], pa.list_(pa.int64())),
        "answers": pa.array([{"text": ["t"] * (i % 3), "kind": [i % 2] * (i % 3)} for i in range(n)],
                            pa.struct([("text", pa.list_(pa.string())), ("kind", pa.list_(pa.int64()))])),
    }).replace_schema_metadata(features(["no", "yes"]))

for name in os.listdir(here):
    if name != "make.py":
        path = os.path.join(here, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

put("scalars.parquet", scalars(12), compression="snappy", store_schema=True, write_statistics=True)
put("scalars_v2.parquet", scalars(12), compression="zstd", data_page_version="2.0", use_dictionary=False, write_page_checksum=True, row_group_size=5)
put("nested.parquet", nested(29), compression="snappy", write_page_checksum=True, row_group_size=10)
put("nested_v2.parquet", nested(29), compression="none", data_page_version="2.0", data_page_size=40, write_batch_size=4)
for codec in ("none", "snappy", "gzip", "brotli", "lz4", "zstd"):
    put("codec_%s.parquet" % codec, encoded(60).select(["longs", "words"]), compression=codec)
put("delta.parquet", encoded(140), use_dictionary=False, compression="none", data_page_size=300, column_encoding={
    "ints": "DELTA_BINARY_PACKED", "longs": "DELTA_BINARY_PACKED", "extremes": "DELTA_BINARY_PACKED", "floats": "BYTE_STREAM_SPLIT",
    "words": "DELTA_BYTE_ARRAY", "flags": "RLE"})
put("delta_length.parquet", encoded(40).select(["words", "ints"]), use_dictionary=False, compression="gzip", data_page_version="2.0", column_encoding={
    "words": "DELTA_LENGTH_BYTE_ARRAY", "ints": "BYTE_STREAM_SPLIT"})
put("int96.parquet", scalars(12).select(["timestamp_us"]), use_deprecated_int96_timestamps=True)
put("legacy_list.parquet", nested(9).select(["list", "structs"]), use_compliant_nested_type=False)
put("no_rows.parquet", nested(3).slice(0, 0))
put("bad_checksum.parquet", encoded(9).select(["words"]), compression="none", use_dictionary=False, write_page_checksum=True)
path = os.path.join(here, "bad_checksum.parquet")
data = bytearray(open(path, "rb").read())
data[data.index(b"prefix0")] ^= 1
open(path, "wb").write(data)

put_arrow("scalars.arrow", scalars(20, parquet=False))
put_arrow("nested.arrow", nested(29), make=pa.ipc.new_file)
put_arrow("zstd.arrow", nested(30), compression="zstd", rows=30)
put_arrow("lz4.arrow", nested(30).append_column("string", pa.array(["same text"] * 30)), compression="lz4", rows=15)
put_arrow("no_rows.arrow", nested(3).slice(0, 0))

for name in sorted(os.listdir(here)):
    if name.endswith((".parquet", ".arrow")) and name[:6] not in ("bad_ch", "codec_") or name == "codec_none.parquet":
        with open(os.path.join(here, name + ".txt"), "w") as out:
            out.write("\n".join(expected(os.path.join(here, name))) + "\n")

# A snapshot as the Hub cache holds it: a folder a configuration.
for config, first in (("mini", 0), ("other", 100)):
    os.makedirs(os.path.join(here, "snapshot", config))
    for split, n in (("train", 5), ("validation_matched", 3), ("test", 2)):
        put("snapshot/%s/%s-00000-of-00001.parquet" % (config, split), labelled(first, n))
os.makedirs(os.path.join(here, "snapshot_data", "data"))
for i in range(2):
    put("snapshot_data/data/train-%05d-of-00002.parquet" % i, labelled(10 * i, 4))
put("snapshot_data/data/test-00000-of-00001.parquet", labelled(90, 1))

# What datasets itself writes.
os.environ["HF_HOME"] = os.path.join(here, "hf_home")
import datasets
datasets.disable_progress_bars()
made = datasets.Dataset.from_parquet(os.path.join(here, "snapshot", "mini", "train-00000-of-00001.parquet"), cache_dir="/tmp/hflua_make")
made.save_to_disk(os.path.join(here, "saved"), num_shards=2)
datasets.DatasetDict({"train": made, "test": made.select([3, 1]).flatten_indices()}).save_to_disk(os.path.join(here, "saved_dict"))
cached = os.path.join(here, "cache", "someone___tiny", "mini", "0.0.0", "0123abc")
os.makedirs(cached)
for split, shards in (("train", 2), ("validation", 1)):
    for i in range(shards):
        suffix = "-%05d-of-%05d" % (i, shards) if shards > 1 else ""
        with pa.OSFile(os.path.join(cached, "tiny-%s%s.arrow" % (split, suffix)), "wb") as sink:
            table = labelled(i * 4, 4)
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
shutil.copy(os.path.join(cached, "tiny-validation.arrow"), os.path.join(cached, "cache-f00d.arrow"))
for junk in ("hf_home", "/tmp/hflua_make"):
    shutil.rmtree(os.path.join(here, junk), ignore_errors=True)
