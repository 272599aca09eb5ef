"""What runs in Spark's Python workers. A module of its own, shipped with addPyFile: a worker imports it once and keeps it
from task to task, so that its session is made once for each worker, as Spark's and Databricks' guides advise."""

import functools
import json

import numpy as np
from common import Features, Scorer


class ListFeatures(Features):
    """The same of one column of lists: a matrix of (rows, width) comes, and goes."""

    def __call__(self, columns):
        return np.clip((columns[0] - self.mean) / self.std, self.lo, self.hi)


@functools.cache
def scorer(job_text):
    """A function of a list of float32 vectors, one for each column; of a list with one matrix where a job has a list."""
    job = json.loads(job_text)
    made = Scorer(job)
    if "width" in job["features"][0]:
        made.features = ListFeatures(job)
    return made


def vectors_of_pandas(columns, job):
    """What the scorer takes, of pandas' columns."""
    if "width" in job["features"][0]:
        return [np.stack(columns[0].to_numpy())]
    return [column.to_numpy() for column in columns]


def vectors_of_arrow(columns, job):
    """The same of Arrow's columns; nothing is copied."""
    width = job["features"][0].get("width")
    if width is not None:
        return [columns[0].flatten().to_numpy().reshape(-1, width)]
    return [column.to_numpy() for column in columns]
