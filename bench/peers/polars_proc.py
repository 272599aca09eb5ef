"""Polars and ONNX Runtime: a process for each core, each scores its share of the shards."""

import multiprocessing
import os

from common import READ_ROWS, Scorer, columns_of, finish, load_job


def in_process(job, shards):
    os.environ["POLARS_MAX_THREADS"] = "1"
    import polars as pl

    scorer = Scorer(job)
    columns = columns_of(job)
    rows = 0
    for shard in shards:
        frame = pl.read_parquet(shard, columns=["id", *columns])
        scores = [
            pl.Series("score", scorer([part[name].to_numpy() for name in columns]))
            for part in frame.iter_slices(READ_ROWS)
        ]
        output = frame.select("id").with_columns(pl.concat(scores))
        output.write_parquet(os.path.join(job["output"], os.path.basename(shard)), compression="snappy")
        rows += len(output)
    return rows


def main():
    job = load_job()
    shards, workers = job["shards"], job["workers"]
    shares = [shards[index::workers] for index in range(min(workers, len(shards)))]
    with multiprocessing.get_context("spawn").Pool(len(shares)) as pool:
        rows = sum(pool.starmap(in_process, [(job, share) for share in shares]))
    finish(job, rows, ["polars"])


if __name__ == "__main__":
    main()
