"""Write the corpora of fuzz_parquet and fuzz_arrow: tiny files of every encoding, codec and nesting. Packages: pyarrow, numpy."""
import os
import numpy as np, pyarrow as pa, pyarrow.parquet as pq

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
for name in ("fuzz_parquet", "fuzz_arrow"):
    os.makedirs(os.path.join(folder, name), exist_ok=True)

def parquet(name, table, **options):
    options = {"compression": "none", "store_schema": False, "write_statistics": False, **options}
    pq.write_table(table, os.path.join(folder, "fuzz_parquet", name + ".parquet"), **options)

def arrow(name, table, make=pa.ipc.new_stream, **options):
    with make(os.path.join(folder, "fuzz_arrow", name + ".arrow"), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=3)

numbers = pa.table({"a": pa.array([1, None, 3, 4], pa.int64()), "b": pa.array([1.5, 2, None, 4], pa.float32())})
texts = pa.table({"t": ["one", None, "", "tëxt", "one"], "f": [True, False, None, True, True]})
lists = pa.table({"l": pa.array([[1, None], None, [], [3]], pa.list_(pa.int32()))})
deep = pa.table({"d": [[{"x": [1], "y": "a"}], None, [], [{"x": None, "y": None}, None]]})
maps = pa.table({"m": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int8()))})
kinds = pa.table({"h": pa.array([np.float16(1), None], pa.float16()), "s": pa.array([0, 10**15], pa.timestamp("us", "UTC")), "d": pa.array([0, 19000], pa.date32()),
                  "t": pa.array([5, 86399999], pa.time32("ms")), "n": pa.nulls(2), "u": pa.array([1, 2**32 - 1], pa.uint32()), "i": pa.array([-1, 7], pa.int8()),
                  "x": pa.array([b"ab", b"\xff\0"], pa.binary(2))})
decimals = pa.table({"d": pa.array(["-1.50", "99.99"]).cast(pa.decimal128(38, 2)), "e": pa.array(["7.1", None]).cast(pa.decimal128(5, 1))})

twice = pa.Table.from_arrays([pa.array([1]), pa.array(["x"])], names=["f", "f"])
parquet("same_names", twice)
arrow("same_names", twice)
parquet("numbers", numbers)
parquet("numbers_plain_v2", numbers, use_dictionary=False, data_page_version="2.0")
parquet("two_groups", numbers, row_group_size=2, use_dictionary=False)
parquet("texts", texts, write_page_checksum=True)
parquet("lists", lists)
parquet("lists_v2", lists, data_page_version="2.0", compression="zstd")
parquet("deep", deep)
parquet("maps", maps)
parquet("kinds", kinds)
parquet("decimals", decimals, store_decimal_as_integer=True)
parquet("decimals_fixed", decimals)
parquet("int96", kinds.select(["s"]), use_deprecated_int96_timestamps=True)
for codec in ("snappy", "gzip", "brotli", "lz4"):
    parquet(codec, texts.select(["t"]), compression=codec)
parquet("features", numbers.replace_schema_metadata({"huggingface": '{"info": {"features": {}}}'}))
for encoding, column in (("DELTA_BINARY_PACKED", pa.array([5, -2**63, 2**63 - 1])), ("DELTA_LENGTH_BYTE_ARRAY", pa.array(["a", "bcd", ""])),
                         ("DELTA_BYTE_ARRAY", pa.array(["pre", "prefix", "p"])), ("BYTE_STREAM_SPLIT", pa.array([1.5, -2.0])), ("RLE", pa.array([True] * 9 + [False]))):
    parquet(encoding.lower(), pa.table({"c": column}), use_dictionary=False, column_encoding={"c": encoding})

arrow("numbers", numbers)
arrow("texts", texts)
arrow("lists_file", lists, make=pa.ipc.new_file)
arrow("deep", deep)
arrow("maps", maps)
arrow("kinds", kinds)
arrow("decimals", decimals)
arrow("zstd", texts, compression="zstd")
arrow("lz4", texts, compression="lz4")
arrow("dictionary", pa.table({"t": texts["t"].dictionary_encode()}))
arrow("large", pa.table({"t": texts["t"].cast(pa.large_string()), "l": pa.array([[1], None, [2, 3], [], None], pa.large_list(pa.int8()))}))
arrow("fixed", pa.table({"f": pa.array([[1, 2], None], pa.list_(pa.int16(), 2)), "b": pa.array([b"ab", None], pa.binary(2))}))
arrow("features", numbers.replace_schema_metadata({"huggingface": '{"info": {"features": {}}}'}))
