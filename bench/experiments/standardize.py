"""Standardize, then clip: a function for each row, as a row UDF is written, and numpy on the whole column.

Reads the task (JSON) from its argument; each line on stdin names a way ("floats", "scalars", "numpy"), which runs once.
Answers with one line of JSON. With " keep" behind the name the answers are written too, outside of the time.
"""

import json
import sys
import time

import numpy as np

task = json.loads(sys.argv[1])
mean, std, low, high = task["mean"], task["std"], task["low"], task["high"]
column = np.fromfile(task["input"], dtype="<f8")
# What a row UDF is called with: Python's own numbers.
rows = column.tolist()


def udf(value):
    return min(max((value - mean) / std, low), high)


ways = {
    "floats": lambda: [udf(value) for value in rows],
    "scalars": lambda: [udf(value) for value in column],
    "numpy": lambda: np.clip((column - mean) / std, low, high),
}

print(json.dumps({"python": sys.version.split()[0], "numpy": np.__version__}), flush=True)
for line in sys.stdin:
    name, _, keep = line.strip().partition(" ")
    started = time.perf_counter()
    answers = ways[name]()
    seconds = time.perf_counter() - started
    if keep:
        np.asarray(answers, dtype="<f8").tofile(task["output"])
    del answers
    print(json.dumps({"seconds": seconds, "cpuSeconds": time.process_time()}), flush=True)
