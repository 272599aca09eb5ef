"""Makes spark-exact and spark-near beside this file with Spark's own feature transformers (see make.py for how to run).

Every score column is one transformer's output; the contract says the same in Tandem's words. Rows that Spark refuses
(handleInvalid=error) are not in the files: `refused.json` holds them, and the columns that must be refused in each.
"""
import json
import random

import pyarrow
from onnx import TensorProto
from pyspark.ml import Pipeline
from pyspark.ml.feature import (
    Bucketizer, FeatureHasher, HashingTF, Imputer, MinMaxScaler, OneHotEncoder, StandardScaler, StringIndexer,
    VectorAssembler,
)
from pyspark.ml.functions import vector_to_array
from pyspark.sql import SparkSession, functions
from pyspark.sql.types import DoubleType, IntegerType, LongType, StringType, StructField, StructType

from make import ROOT, identity_model, write_folder

INF = float('inf')
SCHEMA = StructType([
    StructField('row', LongType()), StructField('city', StringType()), StructField('rank', IntegerType()),
    StructField('amount', DoubleType()), StructField('gap', DoubleType()), StructField('word', StringType()),
])
CITIES = ['Bern', 'Zürich', ' ', 'New York', 'basel']
WORDS = ['a', 'ab', 'abc', 'abcd', 'abcde', 'naïve', '東京', '😀', '', ' space ', 'x' * 100, 'ß', '0', '-1', 'null']


def rows(row_count, seed, cities, ranks):
    dice = random.Random(seed)
    made = []
    for row in range(row_count):
        made.append((
            row, dice.choice(cities), dice.choice(ranks), dice.choice([dice.gauss(0, 40), -10.0, 0.0, 10.5, 1e6]),
            dice.choice([None, dice.gauss(5, 2), dice.gauss(5, 2)]), dice.choice([*WORDS, f'word {dice.random()}']),
        ))
    return made


def indexer(name, invalid, order='frequencyDesc'):
    return StringIndexer(inputCol='city', outputCol=name, handleInvalid=invalid, stringOrderType=order)


def one_hot(column, name, invalid, drop_last):
    return OneHotEncoder(inputCols=[column], outputCols=[name], handleInvalid=invalid, dropLast=drop_last)


def run(stages, train, data):
    return Pipeline(stages=stages).fit(train).transform(data)


def exact_cases(spark, train, data):
    """Score columns and the features that must give them."""
    stages = [
        indexer('index_keep', 'keep'), indexer('index_sorted', 'keep', 'alphabetAsc'),
        one_hot('index_keep', 'hot_keep_drop', 'error', True), one_hot('index_keep', 'hot_keep_all', 'error', False),
        one_hot('rank', 'rank_keep_drop', 'keep', True), one_hot('rank', 'rank_keep_all', 'keep', False),
        Bucketizer(inputCol='amount', outputCol='bucket_open', splits=[-INF, -10.0, 0.0, 10.5, INF]),
        Bucketizer(inputCol='amount', outputCol='bucket_ends', splits=[-1e9, -10.0, 0.0, 10.5, 1e6]),
        FeatureHasher(inputCols=['word'], outputCol='word_hashed', numFeatures=97),
    ]
    model = Pipeline(stages=stages).fit(train)
    counted, ordered = model.stages[0].labels, model.stages[1].labels
    terms = HashingTF(inputCol='terms', outputCol='term_hashed', numFeatures=1000)
    result = terms.transform(model.transform(data).withColumn('terms', functions.array('word')))
    position = lambda name: (functions.array_position(vector_to_array(name), 1.0) - 1).cast('double').alias(name)
    array = lambda name: vector_to_array(name).alias(name)
    found = result.select(
        'index_keep', 'index_sorted', array('hot_keep_drop'), array('hot_keep_all'), array('rank_keep_drop'),
        array('rank_keep_all'), 'bucket_open', 'bucket_ends', position('word_hashed'), position('term_hashed'),
    ).orderBy('row').collect()
    # Null and unseen share one index. No category is longer than a few letters: this text is unseen, whatever they are.
    unseen = 'a text that is no category'
    city = lambda kind, labels, **more: {'column': 'city', kind: labels, 'missing': unseen, 'unknown': 'own', **more}
    ranks = list(range(max(row['rank'] for row in train.collect()) + 1))
    features = {
        'index_keep': city('index', counted),
        'index_sorted': city('index', ordered),
        'hot_keep_drop': city('oneHot', counted, dropLast=True),
        'hot_keep_all': city('oneHot', counted),
        'rank_keep_drop': {'column': 'rank', 'oneHot': ranks, 'unknown': 'own', 'dropLast': True},
        'rank_keep_all': {'column': 'rank', 'oneHot': ranks, 'unknown': 'own'},
        'bucket_open': {'column': 'amount', 'bucketize': [-10.0, 0.0, 10.5]},
        'bucket_ends': {'column': 'amount', 'bucketize': [-10.0, 0.0, 10.5]},
        'word_hashed': {'sql': "'word=' || word", 'hash': 97},
        'term_hashed': {'column': 'word', 'hash': 1000},
    }
    return features, found


def near_cases(spark, train, data):
    """Numbers that Spark multiplies by a reciprocal where Tandem divides."""
    stages = [
        Imputer(inputCols=['gap'], outputCols=['imputed']),
        VectorAssembler(inputCols=['amount', 'imputed'], outputCol='both'),
        StandardScaler(inputCol='both', outputCol='standard', withMean=True, withStd=True),
        MinMaxScaler(inputCol='both', outputCol='ranged'),
    ]
    model = Pipeline(stages=stages).fit(train)
    found = model.transform(data).select(
        'imputed', vector_to_array('standard').alias('standard'), vector_to_array('ranged').alias('ranged'),
    ).orderBy('row').collect()
    fill = model.stages[0].surrogateDF.first()['gap']
    standard, ranged = model.stages[2], model.stages[3]
    source = [{'column': 'amount'}, {'column': 'gap', 'missing': fill}]
    features = {
        'imputed': source[1],
        'standard': [{**each, 'standardize': {'mean': float(standard.mean[at]), 'std': float(standard.std[at])}}
                     for at, each in enumerate(source)],
        'ranged': [{**each, 'minMax': [float(ranged.originalMin[at]), float(ranged.originalMax[at])]}
                   for at, each in enumerate(source)],
    }
    return features, found


def columns_of(made):
    columns = {field.name: [row[at] for row in made] for at, field in enumerate(SCHEMA) if field.name != 'row'}
    kinds = {'city': pyarrow.string(), 'rank': pyarrow.int32(), 'amount': pyarrow.float64(),
             'gap': pyarrow.float64(), 'word': pyarrow.string()}
    return {name: pyarrow.array(values, kinds[name]) for name, values in columns.items()}


def write(name, made, features, found, tolerance):
    """A vector becomes as many score columns as it has values, each with its position after the name."""
    flat, scores, listed = [], {}, []
    for column, feature in features.items():
        flat += feature if isinstance(feature, list) else [feature]
        values = [row[column] for row in found]
        width = len(values[0]) if isinstance(values[0], list) else 1
        for at in range(width):
            score = column if width == 1 else f'{column}_{at}'
            listed.append(score)
            scores[score] = pyarrow.array([value[at] if width > 1 else value for value in values], pyarrow.float64())
    contract = {
        'inputs': {'x': flat}, 'outputs': {'y': {'columns': listed}}, 'keep': [], 'golden': {'tolerance': tolerance},
    }
    write_folder(name, identity_model(TensorProto.DOUBLE, len(listed)), contract,
                 pyarrow.table({**columns_of(made), **scores}))


def fails(frame):
    try:
        frame.collect()
        return False
    except Exception:
        return True


def write_refused(spark, train):
    """Rows with a value that is unseen, null or out of range; which stages fail on them, and the labels they know."""
    candidates = {
        'seen': ('Bern', 1, 5.0), 'unseen city': ('Lugano', 1, 5.0), 'null city': (None, 1, 5.0),
        'rank beyond': ('Bern', 99, 5.0),
    }
    fitted = Pipeline(stages=[indexer('index', 'error'), one_hot('rank', 'rank_hot', 'error', True)]).fit(train)
    skipping = indexer('index', 'skip').fit(train)
    cases = []
    for what, (city, rank, amount) in candidates.items():
        frame = spark.createDataFrame([(0, city, rank, amount, None, 'w')], SCHEMA)
        cases.append({
            'what': what, 'city': city, 'rank': rank,
            'indexFails': fails(fitted.stages[0].transform(frame).select('index')),
            'indexSkips': skipping.transform(frame).count() == 0,
            'oneHotFails': fails(fitted.stages[1].transform(frame).select('rank_hot')),
        })
    text = json.dumps({'labels': skipping.labels, 'cases': cases}, indent=2, ensure_ascii=False)
    (ROOT / 'spark-exact' / 'refused.json').write_text(text + '\n')


def main():
    spark = SparkSession.builder.master('local[1]').config('spark.ui.enabled', 'false').getOrCreate()
    spark.sparkContext.setLogLevel('ERROR')
    train = spark.createDataFrame(rows(300, 1, CITIES, [0, 1, 2, 3]), SCHEMA).cache()
    made = rows(160, 2, [*CITIES, 'Lugano', '', None], [0, 1, 2, 3, 4, 17])
    data = spark.createDataFrame(made, SCHEMA)
    write('spark-exact', made, *exact_cases(spark, train, data), 0)
    write('spark-near', made, *near_cases(spark, train, data), 4e-16)
    write_refused(spark, train)
    spark.stop()


if __name__ == '__main__':
    main()
