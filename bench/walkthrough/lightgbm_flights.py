"""Somebody's LightGBM model: python lightgbm_flights.py fit|score, in a folder that holds flights/*.parquet.

`fit` saves lightgbm/model.txt, which says whether a flight will be late; airports are pandas' categories. It sees the first
200,000 flights only, so that airports are left which it does not know. `score` writes lightgbm/scores.parquet and prints how
long reading, predicting and writing took."""
import json
import os
import sys
import time

import lightgbm
import numpy
import pandas
import pyarrow.parquet

FEATURES = ["origin", "destination", "hour", "weekday", "distance"]


def read(columns, filters=None):
    return pyarrow.parquet.read_table("flights", columns=columns, filters=filters).to_pandas()


def fit():
    seen = read(["id", "delay", *FEATURES], [("id", "<", 200_000)])
    table = seen[FEATURES].astype({"origin": "category", "destination": "category"})
    model = lightgbm.LGBMClassifier(n_estimators=20, num_leaves=15, seed=7, n_jobs=2, verbosity=-1)
    model.fit(table, seen["delay"] > 15)
    os.makedirs("lightgbm", exist_ok=True)
    model.booster_.save_model("lightgbm/model.txt")


def score():
    started = time.perf_counter()
    model = lightgbm.Booster(model_file="lightgbm/model.txt")
    table = read(["id", *FEATURES])
    # Values that the model has not seen become missing ones, as `Booster.predict` wants its categories.
    for name, categories in zip(["origin", "destination"], model.pandas_categorical):
        table[name] = pandas.Categorical(table[name], categories=categories)
    late = model.predict(table[FEATURES])
    scores = pandas.DataFrame({"id": table["id"], "late": late.astype(numpy.float64)})
    scores.to_parquet("lightgbm/scores.parquet", index=False)
    print(json.dumps({"seconds": time.perf_counter() - started, "again": False}))


{"fit": fit, "score": score}[sys.argv[1]]()
