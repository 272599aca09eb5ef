"""pyarrow and ONNX Runtime by hand: `one` process, a `proc`ess for each core (each its share of the shards), or a
`thread` for each core in one process."""

import multiprocessing
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
from common import READ_ROWS, Scorer, columns_of, finish, load_job

SCHEMA = pa.schema([("id", pa.int64()), ("score", pa.float32())])


def score_shard(job, scorer, shard, use_threads):
    columns = columns_of(job)
    rows = 0
    path = os.path.join(job["output"], os.path.basename(shard))
    with pq.ParquetFile(shard) as file, pq.ParquetWriter(path, SCHEMA, compression="snappy") as writer:
        for batch in file.iter_batches(READ_ROWS, columns=["id", *columns], use_threads=use_threads):
            scores = scorer([batch.column(name).to_numpy() for name in columns])
            writer.write_batch(pa.record_batch([batch.column("id"), scores], schema=SCHEMA))
            rows += batch.num_rows
    return rows


def in_process(job, shards):
    """A process of its own reads, scores and writes its shards on one core."""
    pa.set_cpu_count(1)
    scorer = Scorer(job)
    return sum(score_shard(job, scorer, shard, False) for shard in shards)


def main(way):
    job = load_job()
    shards, workers = job["shards"], job["workers"]
    if way == "one":
        # Arrow decodes columns and ONNX Runtime splits matrices with as many threads as there are cores.
        scorer = Scorer(job, threads=workers)
        rows = sum(score_shard(job, scorer, shard, True) for shard in shards)
    elif way == "proc":
        shares = [shards[index::workers] for index in range(min(workers, len(shards)))]
        with multiprocessing.get_context("spawn").Pool(len(shares)) as pool:
            rows = sum(pool.starmap(in_process, [(job, share) for share in shares]))
    else:
        with ThreadPoolExecutor(workers) as pool:
            rows = sum(pool.map(lambda shard: score_shard(job, Scorer(job), shard, False), shards))
    finish(job, rows, ["pyarrow"])


if __name__ == "__main__":
    main(sys.argv[2])
