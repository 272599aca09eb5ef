"""Somebody's scikit-learn pipeline: python sklearn_birdstrikes.py fit|score, in a folder that holds birdstrikes/*.parquet.

`fit` saves sklearn/pipeline.joblib, which says whether a bird damaged the aircraft, from texts and from a speed that is
often null. It sees 5,000 strikes, so that operators and birds are left which it does not know. `score` writes
sklearn/scores.parquet and prints how long reading, predicting and writing took."""
import json
import os
import sys
import time

import joblib
import pandas
import pyarrow.parquet
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

TEXTS = ["operator", "phase", "size", "species", "time_of_day"]
NUMBERS = ["speed"]


def read(columns, filters=None):
    return pyarrow.parquet.read_table("birdstrikes", columns=columns, filters=filters).to_pandas()


def fit():
    seen = read(["id", "damage", *TEXTS, *NUMBERS], [("id", "<", 5_000)])
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=False), StandardScaler())
    columns = ColumnTransformer([
        ("texts", OneHotEncoder(handle_unknown="ignore"), TEXTS),
        ("numbers", numbers, NUMBERS),
    ])
    pipeline = make_pipeline(columns, LogisticRegression(max_iter=1000))
    pipeline.fit(seen[TEXTS + NUMBERS], (seen["damage"] != "None").astype(int))
    os.makedirs("sklearn", exist_ok=True)
    joblib.dump(pipeline, "sklearn/pipeline.joblib")


def score():
    started = time.perf_counter()
    pipeline = joblib.load("sklearn/pipeline.joblib")
    table = read(["id", *TEXTS, *NUMBERS])
    probability = pipeline.predict_proba(table[TEXTS + NUMBERS])[:, 1]
    scores = pandas.DataFrame({"id": table["id"], "probability": probability})
    scores.to_parquet("sklearn/scores.parquet", index=False)
    print(json.dumps({"seconds": time.perf_counter() - started, "again": False}))


{"fit": fit, "score": score}[sys.argv[1]]()
