"""Scores the shards of a job with Spark on this machine: python spark.py JOB WAY [--plan FILE] [--memory FILE] [--conf K=V].

WAY: row_udf, pandas_udf, mapInPandas, mapInArrow, predict_batch_udf (PySpark 4), or synapse (SynapseML's ONNXModel, Spark
3.5). The first five share spark_scorer.py and differ only in how rows reach Python."""
import argparse
import contextlib
import glob
import json
import os
import sys
import threading
import time

from common import columns_of, mark_first_batch, rows_written
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

# What was best of 1,000, 10,000 and 100,000 rows on this work.
DEFAULTS = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
    "spark.driver.memory": "2g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    # A spinner on standard error helps nobody here.
    "spark.ui.showConsoleProgress": "false",
}

# Of predict_batch_udf and of SynapseML's mini batches.
BATCH_ROWS = 8_192


def by_row_udf(frame, job):
    import numpy as np
    from spark_scorer import scorer

    text = json.dumps(job)

    @F.udf("float")
    def score(*values):
        return float(scorer(text)([np.array([value], np.float32) for value in values])[0])

    return frame.select("id", score(*columns_of(job)).alias("score"))


def by_pandas_udf(frame, job):
    from typing import Iterator, Tuple

    import pandas as pd
    from spark_scorer import scorer, vectors_of_pandas

    text = json.dumps(job)

    def score(batches):
        for columns in batches:
            # Of a function of one column Spark makes no tuples.
            columns = columns if isinstance(columns, tuple) else (columns,)
            yield pd.Series(scorer(text)(vectors_of_pandas(columns, job)))

    one = len(job["features"]) == 1
    score.__annotations__ = {
        "batches": Iterator[pd.Series] if one else Iterator[Tuple[pd.Series, ...]],
        "return": Iterator[pd.Series],
    }
    return frame.select("id", F.pandas_udf(score, "float")(*columns_of(job)).alias("score"))


def by_map_in_pandas(frame, job):
    import pandas as pd
    from spark_scorer import scorer, vectors_of_pandas

    text, names = json.dumps(job), columns_of(job)

    def score(batches):
        for batch in batches:
            scores = scorer(text)(vectors_of_pandas([batch[name] for name in names], job))
            yield pd.DataFrame({"id": batch["id"], "score": scores})

    return frame.mapInPandas(score, "id long, score float")


def by_map_in_arrow(frame, job):
    import pyarrow as pa
    from spark_scorer import scorer, vectors_of_arrow

    text, names = json.dumps(job), columns_of(job)

    def score(batches):
        for batch in batches:
            scores = pa.array(scorer(text)(vectors_of_arrow([batch.column(name) for name in names], job)))
            yield pa.RecordBatch.from_arrays([batch.column("id"), scores], names=["id", "score"])

    return frame.mapInArrow(score, "id long, score float")


def by_predict_batch_udf(frame, job):
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import FloatType

    text, width = json.dumps(job), len(job["features"])

    def make_predict():
        from spark_scorer import scorer

        made = scorer(text)
        return lambda x: made([x[:, index] for index in range(width)])

    predict = predict_batch_udf(
        make_predict, return_type=FloatType(), batch_size=BATCH_ROWS, input_tensor_shapes=[[width]]
    )
    return frame.select("id", predict(F.array(*columns_of(job))).alias("score"))


def by_synapse(frame, job):
    from pyspark.sql.types import FloatType
    from synapse.ml.onnx import ONNXModel

    def feature(value, entry):
        if "mean" in entry:
            value = (value - entry["mean"]) / entry["std"]
        if "lo" in entry:
            value = F.least(F.greatest(value, F.lit(entry["lo"])), F.lit(entry["hi"]))
        return value.cast("float")

    entries = job["features"]
    if "width" in entries[0]:
        vector = F.transform(F.col(entries[0]["column"]), lambda value: feature(value, entries[0]))
    else:
        vector = F.array(*(feature(F.col(entry["column"]), entry) for entry in entries))
    model = (
        ONNXModel().setModelPayload(old_enough(job["model"])).setDeviceType("CPU")
        .setFeedDict({job["inputName"]: "features"}).setFetchDict({"scores": job["outputName"]})
        .setMiniBatchSize(job.get("miniBatchRows", BATCH_ROWS))
    )
    scored = model.transform(frame.select("id", vector.alias("features")))
    return scored.select("id", F.col("scores")[0].cast(FloatType()).alias("score"))


def old_enough(path):
    """The model's bytes as ONNX Runtime 1.8 inside SynapseML can read them: the benchmark's operators are the same there."""
    import onnx

    model = onnx.load(path)
    model.ir_version = 7
    known = {"": 13, "ai.onnx.ml": 2}
    for opset in model.opset_import:
        opset.version = known[opset.domain]
    onnx.checker.check_model(model)
    return model.SerializeToString()


WAYS = {
    "row_udf": by_row_udf,
    "pandas_udf": by_pandas_udf,
    "mapInPandas": by_map_in_pandas,
    "mapInArrow": by_map_in_arrow,
    "predict_batch_udf": by_predict_batch_udf,
    "synapse": by_synapse,
}


def watch_memory(spark, path):
    """A line of JSON each quarter second: what only the JVM knows about its memory, in bytes. Ends with the process."""
    jvm = spark._jvm
    beans = jvm.java.lang.management.ManagementFactory
    pools = beans.getPlatformMXBeans(jvm.java.lang.Class.forName("java.lang.management.BufferPoolMXBean"))
    heap = beans.getMemoryMXBean()
    direct = next(pool for pool in pools if pool.getName() == "direct")
    arrow = jvm.org.apache.spark.sql.util.ArrowUtils.rootAllocator()

    def watch():
        with open(path, "w") as file:
            while True:
                usage = heap.getHeapMemoryUsage()
                line = {
                    "at": time.time(), "heapUsed": usage.getUsed(), "heapCommitted": usage.getCommitted(),
                    "direct": direct.getMemoryUsed(), "arrow": arrow.getAllocatedMemory(),
                }
                file.write(json.dumps(line) + "\n")
                file.flush()
                time.sleep(0.25)

    threading.Thread(target=watch, daemon=True).start()


def session_of(job, conf):
    builder = SparkSession.builder.master(f"local[{job['workers']}]").appName("tandem-peer")
    for key, value in {**DEFAULTS, **dict(pair.split("=", 1) for pair in conf)}.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("job")
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--plan")
    parser.add_argument("--memory")
    parser.add_argument("--conf", action="append", default=[])
    flags = parser.parse_args()
    with open(flags.job) as file:
        job = json.load(file)
    os.environ.update(PYSPARK_PYTHON=sys.executable, PYSPARK_DRIVER_PYTHON=sys.executable)

    spark = session_of(job, flags.conf)
    if flags.way != "synapse":
        for name in ["common.py", "spark_scorer.py"]:
            spark.sparkContext.addPyFile(os.path.join(os.path.dirname(os.path.abspath(__file__)), name))
    if flags.memory:
        watch_memory(spark, flags.memory)
    scored = WAYS[flags.way](spark.read.parquet(*job["shards"]).select("id", *columns_of(job)), job)
    if flags.plan:
        with open(flags.plan, "w") as file, contextlib.redirect_stdout(file):
            scored.explain("formatted")
    if flags.way == "synapse":
        # It makes its session inside the job and tells nobody when.
        mark_first_batch(job)
    scored.write.mode("overwrite").parquet(job["output"])
    closed_at = time.time()
    firsts = [float(open(path).read()) for path in glob.glob(f"{glob.escape(job['result'])}.first-*")]
    result = {"rows": rows_written(job), "firstBatchAt": min(firsts), "closedAt": closed_at, "versions": versions(spark)}
    with open(job["result"], "w") as file:
        json.dump(result, file)
    # A sampled JVM writes its stacks as it ends, and nothing outlives this program: the end is waited for.
    jvm = spark.sparkContext._gateway.proc
    spark.stop()
    jvm.stdin.close()
    jvm.wait(60)


def versions(spark):
    from importlib.metadata import version

    names = ["pyspark", "synapseml", "onnxruntime", "pyarrow", "pandas", "numpy"]
    found = {}
    for name in names:
        with contextlib.suppress(ImportError):
            found[name] = version(name)
    return {**found, "python": sys.version.split()[0], "java": spark._jvm.System.getProperty("java.version")}


if __name__ == "__main__":
    main()
