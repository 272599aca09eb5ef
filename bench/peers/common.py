"""What every Python peer shares: its job, the features, the session, the times. A job is the JSON file that is named on
the command line; what is written here is the same for all, so that they differ in how they read, spread and write."""

import glob
import importlib.metadata
import json
import os
import platform
import sys
import time

import numpy as np

READ_ROWS = 65_536
# Of one run of the model: measured, 65,536 rows cost the network half as much again, since they leave the cache.
RUN_ROWS = 4_096


def load_job():
    with open(sys.argv[1]) as file:
        return json.load(file)


def columns_of(job):
    return [feature["column"] for feature in job["features"]]


class Features:
    """Raw columns to the model's input: standardized and clipped where the job says so, in float32."""

    def __init__(self, job):
        def vector(name):
            values = [feature.get(name) for feature in job["features"]]
            return None if None in values else np.array(values, np.float32)

        self.mean, self.std, self.lo, self.hi = (vector(name) for name in ("mean", "std", "lo", "hi"))

    def __call__(self, columns):
        """A list of float32 vectors to one matrix of (rows, columns)."""
        matrix = np.stack(columns, axis=1)
        if self.mean is not None:
            matrix -= self.mean
            matrix /= self.std
        if self.lo is not None:
            np.clip(matrix, self.lo, self.hi, out=matrix)
        return matrix


class Scorer:
    """One session on one thread; the processes or threads around it are what uses the cores."""

    def __init__(self, job, threads=1):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(job["model"], options, providers=["CPUExecutionProvider"])
        self.features = Features(job)
        self.job = job
        self.began = False

    def __call__(self, columns):
        """A list of float32 vectors to the scores."""
        if not self.began:
            mark_first_batch(self.job)
            self.began = True
        scores = np.empty(len(columns[0]), np.float32)
        for start in range(0, len(scores), RUN_ROWS):
            rows = slice(start, start + RUN_ROWS)
            inputs = {self.job["inputName"]: self.features([column[rows] for column in columns])}
            scores[rows] = self.session.run([self.job["outputName"]], inputs)[0].ravel()
        return scores


def mark_first_batch(job):
    """Each process and thread leaves when its first batch came; the earliest of them counts."""
    path = f"{job['result']}.first-{os.getpid()}"
    if not os.path.exists(path):
        with open(path, "w") as file:
            file.write(str(time.time()))


def rows_written(job):
    """From the footers of the output, for whoever does not count along."""
    import pyarrow.parquet

    return sum(pyarrow.parquet.read_metadata(path).num_rows for path in glob.glob(f"{job['output']}/*.parquet"))


def finish(job, rows, packages):
    """Writes the result. Called when the output is closed; `rows`: a number, or a function of the job that counts."""
    closed_at = time.time()
    rows = rows(job) if callable(rows) else rows
    firsts = [float(open(path).read()) for path in glob.glob(f"{glob.escape(job['result'])}.first-*")]
    versions = {name: importlib.metadata.version(name) for name in (*packages, "onnxruntime", "numpy")}
    result = {
        "rows": rows,
        "firstBatchAt": min(firsts),
        "closedAt": closed_at,
        "versions": {"python": platform.python_version(), **versions},
    }
    with open(job["result"], "w") as file:
        json.dump(result, file)
