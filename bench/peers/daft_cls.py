"""Daft with a class that keeps the session: a batch method of `daft.cls`, in as many processes as there are cores."""

import daft
from common import READ_ROWS, Scorer, columns_of, finish, load_job, rows_written


def main():
    job = load_job()

    @daft.cls(max_concurrency=job["workers"], use_process=True)
    class Score:
        def __init__(self):
            self.scorer = Scorer(job)

        @daft.method.batch(return_dtype=daft.DataType.float32(), batch_size=READ_ROWS)
        def score(self, *columns):
            return self.scorer([column.to_arrow().to_numpy() for column in columns])

    frame = daft.read_parquet(job["shards"])
    scored = frame.select("id", Score().score(*(frame[name] for name in columns_of(job))).alias("score"))
    scored.write_parquet(job["output"], compression="snappy")
    finish(job, rows_written, ["daft", "pyarrow"])


if __name__ == "__main__":
    main()
