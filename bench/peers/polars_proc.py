"""Polars and ONNX Runtime, or a library for trees: a process for each core, each scores its share of the shards."""

import multiprocessing
import os
import sys

from common import READ_ROWS, Scorer, columns_of, finish, load_job


def in_process(job, shards, library):
    os.environ["POLARS_MAX_THREADS"] = "1"
    import polars as pl

    scorer = scorer_of(job, library)
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


def scorer_of(job, library):
    if library is None:
        return Scorer(job)
    from tree_scorers import TreeScorer

    return TreeScorer(job, library)


def main():
    job = load_job()
    library = sys.argv[2] if len(sys.argv) > 2 else None
    shards, workers = job["shards"], job["workers"]
    shares = [shards[index::workers] for index in range(min(workers, len(shards)))]
    with multiprocessing.get_context("spawn").Pool(len(shares)) as pool:
        rows = sum(pool.starmap(in_process, [(job, share, library) for share in shares]))
    finish(job, rows, ["polars", *([] if library is None else ["tl2cgen" if library == "treelite" else library])])


if __name__ == "__main__":
    main()
