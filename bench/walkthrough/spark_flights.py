"""Somebody's Spark pipeline: python spark_flights.py fit|score, in a folder that holds flights/*.parquet.

`fit` saves spark/model: airports indexed, then gradient-boosted trees that say whether a flight will be late. It sees the
first 200,000 flights only, so that airports are left which it does not know. `score` writes spark/scores; with
`--again` it does so once more and prints how long that took."""
import json
import sys
import time

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import GBTClassifier
from pyspark.ml.feature import StringIndexer, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

SETTINGS = {
    "spark.driver.memory": "2g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def fit(flights):
    airports = ["origin", "destination"]
    indexed = [f"{name}_index" for name in airports]
    pipeline = Pipeline(stages=[
        StringIndexer(inputCols=airports, outputCols=indexed, handleInvalid="keep"),
        VectorAssembler(inputCols=[*indexed, "hour", "weekday", "distance"], outputCol="features"),
        GBTClassifier(labelCol="late", maxBins=256, maxIter=20, maxDepth=4, seed=7),
    ])
    seen = flights.where("id < 200000").withColumn("late", (F.col("delay") > 15).cast("double"))
    pipeline.fit(seen).write().overwrite().save("spark/model")


def score(flights):
    scored = PipelineModel.load("spark/model").transform(flights)
    scores = scored.select("id", "prediction", vector_to_array("probability").alias("probability"))
    scores.write.mode("overwrite").parquet("spark/scores")


def main():
    builder = SparkSession.builder.master("local[*]")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    flights = session.read.parquet("flights")
    if sys.argv[1] == "fit":
        fit(flights)
    else:
        score(flights)
        if "--again" in sys.argv:
            # Everything is loaded and compiled by now.
            started = time.perf_counter()
            score(flights)
            print(json.dumps({"seconds": time.perf_counter() - started, "again": True}))
    session.stop()


main()
