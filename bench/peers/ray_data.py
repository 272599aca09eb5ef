"""Ray Data's batch inference: a pool of actors, each with a session of its own."""

import ray
from common import READ_ROWS, Scorer, columns_of, finish, load_job, rows_written


class Score:
    def __init__(self, job):
        self.columns = columns_of(job)
        self.scorer = Scorer(job)

    def __call__(self, batch):
        return {"id": batch["id"], "score": self.scorer([batch[name] for name in self.columns])}


def main():
    job = load_job()
    ray.init(num_cpus=job["workers"], include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    table = ray.data.read_parquet(job["shards"]).select_columns(["id", *columns_of(job)])
    scored = table.map_batches(
        Score,
        fn_constructor_args=[job],
        batch_size=READ_ROWS,
        batch_format="numpy",
        # Half a core each, so that reading finds cores to run on meanwhile.
        compute=ray.data.ActorPoolStrategy(size=job["workers"]),
        num_cpus=0.5,
    )
    scored.write_parquet(job["output"])
    finish(job, rows_written, ["ray", "pyarrow"])


if __name__ == "__main__":
    main()
