"""Writes golden/arrow: the same rows as Arrow IPC in each form that people have, and as Parquet.

    pip install pyarrow    # 26.0.1 made what is here
    python make_arrow.py
"""

import datetime
import decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet

folder = Path(__file__).parent / "arrow"
folder.mkdir(exist_ok=True)
count = 1_200
rows = range(count)


def some(values):
    """Every seventh is null."""
    return [None if index % 7 == 3 else value for index, value in enumerate(values)]


table = pa.table(
    {
        "id": pa.array(rows, pa.int64()),
        "x": pa.array(some([index * 0.5 for index in rows]), pa.float32()),
        "text": pa.array(some([f"é{index % 13}" * (index % 3) for index in rows]), pa.string()),
        "category": pa.array(some([["low", "middle", "high"][index % 3] for index in rows])).dictionary_encode(),
        "day": pa.array(some([datetime.date(2026, 1, 1) + datetime.timedelta(index) for index in rows]), pa.date32()),
        "moment": pa.array(some([index * 1_000_003 for index in rows]), pa.timestamp("us")),
        "amount": pa.array(some([decimal.Decimal(index) / 100 for index in rows]), pa.decimal128(18, 2)),
        "list": pa.array(some([list(range(index % 4)) for index in rows]), pa.list_(pa.int32())),
        "flag": pa.array(some([index % 2 == 0 for index in rows])),
    }
)
parquet.write_table(table, folder / "rows.parquet", compression="snappy")
batches = table.to_batches(max_chunksize=500)


def write(name, create, compression=None):
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with create(str(folder / name), table.schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)


write("file.arrow", pa.ipc.new_file)
write("stream.arrows", pa.ipc.new_stream)
write("zstd.ipc", pa.ipc.new_file, "zstd")
write("lz4-stream.arrow", pa.ipc.new_stream, "lz4")
# What pandas' to_feather does too: one LZ4 frame for each column.
feather.write_feather(table, folder / "pandas.feather")
with pa.ipc.new_file(str(folder / "empty.arrow"), table.schema):
    pass
