"""Compares every value that hflua reads from Parquet and Arrow files with what pyarrow reads: python tests/oracle/columns.py HFLUA FILE ...

Files that only one of the two reads are listed with its message; a difference of values is an error."""
import os, subprocess, sys
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

def clock(value, per_second):
    seconds, rest = divmod(value, per_second)
    text = "%02d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)
    nanoseconds = rest * (10**9 // per_second)
    if nanoseconds % 1000:
        return text + ".%09d" % nanoseconds
    return text + (".%06d" % (nanoseconds // 1000) if nanoseconds else "")

def day(days):
    return str(np.datetime64(days, "D"))

def hexed(text):
    return "'" + (text if isinstance(text, bytes) else text.encode()).hex()

def shown(array):
    """The values of an array, each as columns.lua prints it."""
    t = array.type
    if isinstance(t, pa.BaseExtensionType):
        return ["null" if v is None else hexed(str(v)) for v in array.to_pylist()] if "uuid" in str(t) else shown(array.storage)
    if pa.types.is_dictionary(t):
        return shown(array.cast(t.value_type))
    if pa.types.is_struct(t):
        fields = [(t.field(i).name, shown(array.field(i))) for i in range(t.num_fields)]
        return ["{" + ",".join(n + "=" + v[i] for n, v in fields) + "}" if array[i].is_valid else "null" for i in range(len(array))]
    if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_map(t) or pa.types.is_fixed_size_list(t):
        out = []
        for i in range(len(array)):
            if not array[i].is_valid:
                out.append("null")
                continue
            if pa.types.is_map(t):
                keys, items = shown(array.keys.slice(array.offsets[i].as_py(), len(array[i]))), shown(array.items.slice(array.offsets[i].as_py(), len(array[i])))
                out.append("[" + ",".join("{key=%s,value=%s}" % pair for pair in zip(keys, items)) + "]")
            else:
                out.append("[" + ",".join(shown(array[i].values)) + "]")
        return out
    if pa.types.is_timestamp(t):
        per, zone = UNITS[t.unit], "+00:00" if t.tz else ""
        return ["null" if v is None else hexed("%s %s%s" % (day(v // (86400 * per)), clock(v % (86400 * per), per), zone)) for v in array.cast(pa.int64()).to_pylist()]
    if pa.types.is_date(t):
        values = array.cast(pa.int32() if pa.types.is_date32(t) else pa.int64()).to_pylist()
        return ["null" if v is None else hexed(day(v if pa.types.is_date32(t) else v // 86400000)) for v in values]
    if pa.types.is_time(t):
        values = array.cast(pa.int32() if pa.types.is_time32(t) else pa.int64()).to_pylist()
        return ["null" if v is None else hexed(clock(v, UNITS[t.unit])) for v in values]
    if pa.types.is_duration(t):
        array = array.cast(pa.int64())
    if pa.types.is_decimal(t):
        return ["null" if v is None else hexed(format(v, "f")) for v in array.to_pylist()]
    def one(v):
        if v is None: return "null"
        if isinstance(v, bool): return str(v).lower()
        if isinstance(v, (str, bytes)): return hexed(v)
        if isinstance(v, (float, np.floating)): return "nan" if v != v else "%.17g" % float(v)
        return str(v)
    return [one(v) for v in array.to_pylist()]

def read(path):
    if path.endswith(".parquet"):
        return pq.ParquetFile(path, coerce_int96_timestamp_unit="us").read()
    try:
        return pa.ipc.open_stream(path).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(path).read_all()

def expected(path):
    lines = []
    table = read(path)
    for name, column in zip(table.column_names, table.columns):
        lines.append("- " + name)
        for chunk in column.chunks:
            lines += shown(chunk)
    return lines

def found(program, path):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "columns.lua")
    out = subprocess.run([program, script, path], capture_output=True, check=True).stdout.decode()
    return out.rstrip("\n").split("\n")[1:]

def main(program, paths):
    same = different = 0
    for path in paths:
        ours, theirs, problem = found(program, path), None, None
        try:
            theirs = expected(path)
        except Exception as e:
            problem = str(e).split("\n")[0]
        name = os.path.basename(path)
        if ours and ours[0].startswith("!"):
            print("%s: hflua: %s%s" % (name, ours[0][2:], "; pyarrow too: " + problem if problem else "; PYARROW READS IT"))
        elif problem:
            print("%s: only hflua reads it; pyarrow: %s" % (name, problem))
        elif ours == theirs:
            same += 1
        else:
            different += 1
            at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
            print("%s: DIFFERENT at line %d: hflua %s, pyarrow %s" % (name, at, ours[at:at + 1], theirs[at:at + 1]))
    print("%d files have the same values, %d do not" % (same, different))
    return different > 0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
