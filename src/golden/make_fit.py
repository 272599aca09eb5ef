"""Makes fit/ beside this file: two shards, and what others fit to all of their rows (expected.json).

    pip install scikit-learn==1.8.0 pyarrow pandas && python src/golden/make_fit.py       # shards, scikit-learn, NumPy, pandas
    pip install pyspark==4.3.0 pyarrow pandas      && python src/golden/make_fit.py spark # adds what Spark fits
"""
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).parent / 'fit'
EXPECTED = FOLDER / 'expected.json'


def make_table():
    dice = np.random.default_rng(17)
    rows = 4_000
    gaps = dice.normal(1_000, 30, rows)
    return pa.table({
        'amount': dice.lognormal(3, 2, rows),
        'gap': pa.array(np.where(dice.random(rows) < 0.1, None, gaps).tolist(), pa.float64()),
        'small': pa.array(dice.normal(0, 1e-3, rows).astype(np.float32)),
        'count': pa.array(dice.poisson(4, rows), pa.int64()),
        'constant': np.full(rows, 0.1),
        'city': dice.choice(['Bern', 'Zürich', 'basel', 'New York', ' ', '東京'], rows, p=[.3, .3, .2, .1, .05, .05]),
    })


def write_shards(table):
    FOLDER.mkdir(exist_ok=True)
    pq.write_table(table.slice(0, 1_234), FOLDER / 'a.parquet')
    pq.write_table(table.slice(1_234), FOLDER / 'b.parquet')


def by_python(table):
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
    frame = table.to_pandas().astype({'small': float, 'count': float})

    def scaler(name, *before):
        fitted = make_pipeline(*before, StandardScaler()).fit(frame[[name]])[-1]
        return {'mean': fitted.mean_[0], 'std': fitted.scale_[0]}

    def imputed(strategy):
        return SimpleImputer(strategy=strategy).fit(frame[['gap']]).statistics_[0]

    deciles = np.arange(1, 10) / 10
    return {
        'sklearn.StandardScaler': {name: scaler(name) for name in ['amount', 'gap', 'small', 'count', 'constant']},
        'sklearn.log1p': scaler('amount', FunctionTransformer(np.log1p)),
        'sklearn.SimpleImputer(mean)': scaler('gap', SimpleImputer(strategy='mean')),
        'sklearn.SimpleImputer(median)': scaler('gap', SimpleImputer(strategy='median')),
        'sklearn.mean': imputed('mean'),
        'sklearn.median': imputed('median'),
        'sklearn.MinMaxScaler': {
            name: [low, high] for name in ['amount', 'small', 'count'] for low, high in
            [(lambda fitted: (fitted.data_min_[0], fitted.data_max_[0]))(MinMaxScaler().fit(frame[[name]]))]
        },
        'sklearn.OneHotEncoder': OneHotEncoder().fit(frame[['city']]).categories_[0].tolist(),
        'pandas.std': {name: frame[name].std() for name in ['amount', 'gap', 'count']},
        'numpy.quantile': {name: np.quantile(frame[name], deciles).tolist() for name in ['amount', 'small', 'count']},
    }


def by_spark():
    from pyspark.ml.feature import MinMaxScaler, StandardScaler, StringIndexer, VectorAssembler
    from pyspark.sql import SparkSession
    spark = SparkSession.builder.master('local[2]').config('spark.ui.enabled', 'false').getOrCreate()
    frame = spark.read.parquet(str(FOLDER / '*.parquet'))

    def vector(name):
        return VectorAssembler(inputCols=[name], outputCol='v').transform(frame)

    def scaler(name):
        fitted = StandardScaler(inputCol='v', outputCol='o', withMean=True).fit(vector(name))
        return {'mean': float(fitted.mean[0]), 'std': float(fitted.std[0])}

    def bounds(name):
        fitted = MinMaxScaler(inputCol='v', outputCol='o').fit(vector(name))
        return [float(fitted.originalMin[0]), float(fitted.originalMax[0])]

    def labels(order):
        return list(StringIndexer(inputCol='city', outputCol='o', stringOrderType=order).fit(frame).labels)

    return {
        'spark.StandardScaler': {name: scaler(name) for name in ['amount', 'small', 'count']},
        'spark.MinMaxScaler': {name: bounds(name) for name in ['amount', 'count']},
        'spark.StringIndexer(frequencyDesc)': labels('frequencyDesc'),
        'spark.StringIndexer(alphabetAsc)': labels('alphabetAsc'),
    }


def main():
    if sys.argv[1:] == ['spark']:
        found = {**json.loads(EXPECTED.read_text()), **by_spark()}
    else:
        table = make_table()
        write_shards(table)
        found = by_python(table)
    EXPECTED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + '\n')


if __name__ == '__main__':
    main()
