"""DuckDB and ONNX Runtime: a process for each core; DuckDB reads, and writes what it is handed back. The features are
NumPy's: in SQL they take four times as long with CASE, and thirty times with least(greatest())."""

import multiprocessing
import os

from common import READ_ROWS, Scorer, columns_of, finish, load_job


def in_process(job, shards):
    import duckdb
    import pyarrow as pa

    scorer = Scorer(job)
    columns = columns_of(job)
    selected = ", ".join(["id", *columns])
    schema = pa.schema([("id", pa.int64()), ("score", pa.float32())])
    rows = 0
    for shard in shards:
        with duckdb.connect(config={"threads": 1}) as source, duckdb.connect(config={"threads": 1}) as target:
            reader = source.sql(f"SELECT {selected} FROM read_parquet(?)", params=[shard]).to_arrow_reader(READ_ROWS)

            def scored():
                nonlocal rows
                for batch in reader:
                    scores = scorer([batch.column(name).to_numpy() for name in columns])
                    rows += batch.num_rows
                    yield pa.record_batch([batch.column("id"), scores], schema=schema)

            target.register("scored", pa.RecordBatchReader.from_batches(schema, scored()))
            path = os.path.join(job["output"], os.path.basename(shard))
            target.execute(f"COPY scored TO '{path}' (FORMAT parquet, COMPRESSION snappy)")
    return rows


def main():
    job = load_job()
    shards, workers = job["shards"], job["workers"]
    shares = [shards[index::workers] for index in range(min(workers, len(shards)))]
    with multiprocessing.get_context("spawn").Pool(len(shares)) as pool:
        rows = sum(pool.starmap(in_process, [(job, share) for share in shares]))
    finish(job, rows, ["duckdb", "pyarrow"])


if __name__ == "__main__":
    main()
