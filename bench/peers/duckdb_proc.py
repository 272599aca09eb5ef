"""DuckDB and ONNX Runtime: a process for each core; DuckDB reads and featurizes (CASE: thirty times as fast as its
least(greatest())), and writes what it is handed back."""

import multiprocessing
import os

from common import READ_ROWS, Scorer, finish, load_job


def expression(feature):
    column = feature["column"]
    if "mean" in feature:
        column = f"(({column} - {feature['mean']}::FLOAT) / {feature['std']}::FLOAT)"
    if "lo" in feature:
        lo, hi = f"{feature['lo']}::FLOAT", f"{feature['hi']}::FLOAT"
        column = f"CASE WHEN {column} < {lo} THEN {lo} WHEN {column} > {hi} THEN {hi} ELSE {column} END"
    return f"{column} AS {feature['column']}"


def in_process(job, shards):
    import duckdb
    import pyarrow as pa

    # The SQL has done the features.
    names = [feature["column"] for feature in job["features"]]
    scorer = Scorer({**job, "features": [{"column": name} for name in names]})
    selected = ", ".join(["id", *map(expression, job["features"])])
    rows = 0
    for shard in shards:
        with duckdb.connect(config={"threads": 1}) as connection, duckdb.connect(config={"threads": 1}) as writer:
            reader = connection.sql(f"SELECT {selected} FROM read_parquet(?)", params=[shard]).to_arrow_reader(READ_ROWS)

            def scored():
                nonlocal rows
                for batch in reader:
                    scores = scorer([batch.column(name).to_numpy() for name in names])
                    rows += batch.num_rows
                    yield pa.record_batch({"id": batch.column("id"), "score": scores})

            schema = pa.schema([("id", pa.int64()), ("score", pa.float32())])
            writer.register("scored", pa.RecordBatchReader.from_batches(schema, scored()))
            path = os.path.join(job["output"], os.path.basename(shard))
            writer.execute(f"COPY scored TO '{path}' (FORMAT parquet, COMPRESSION snappy)")
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
