"""Makes spark-ml-<version>/ beside this file: saved PipelineModels, rows, and the scores that Spark itself gives them.

Needs Java 17. Spark 3 and 4 save the same things, so one folder for each holds that both can be read:

    python3 -m venv /tmp/spark4 && /tmp/spark4/bin/pip install pyspark==4.3.0 numpy==2.4.6 pyarrow==26.0.1 packaging==26.3
    /tmp/spark4/bin/python src/golden/make_spark_ml.py
    python3 -m venv /tmp/spark3 && /tmp/spark3/bin/pip install pyspark==3.5.7 numpy==1.26.4 pyarrow==15.0.2 pandas==2.2.3
    /tmp/spark3/bin/python src/golden/make_spark_ml.py

`rows.parquet` has nulls, NaN and categories that no pipeline was fitted on, `clean.parquet` none of them: pipelines that
stop on such rows score the latter; `odd.parquet` has types and names that few tables have. Names of cases as arguments make these alone. `<case>/model` is what `PipelineModel.save` wrote, without checksums and with the
UUIDs taken out of file names; `<case>/scores.parquet` holds Spark's columns and the row numbers of the rows that it kept.
"""
import random
import shutil
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pyspark
from pyspark.ml import Pipeline
from pyspark.ml.classification import (
    DecisionTreeClassifier, FMClassifier, GBTClassifier, LinearSVC, LogisticRegression, MultilayerPerceptronClassifier, NaiveBayes,
    OneVsRest, RandomForestClassifier,
)
from pyspark.ml.clustering import KMeans
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import (
    Binarizer, Bucketizer, ElementwiseProduct, Imputer, IndexToString, MaxAbsScaler, MinMaxScaler, Normalizer, OneHotEncoder, PCA,
    RobustScaler, StandardScaler, StringIndexer, VarianceThresholdSelector, VectorAssembler, VectorIndexer, VectorSlicer,
)
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import Vectors
from pyspark.ml.regression import (
    AFTSurvivalRegression, DecisionTreeRegressor, FMRegressor, GBTRegressor, GeneralizedLinearRegression, LinearRegression,
    RandomForestRegressor,
)
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import SparkSession
from pyspark.sql.types import (
    DecimalType, DoubleType, FloatType, IntegerType, LongType, StringType, StructField, StructType,
)

ROOT = Path(__file__).parent / f'spark-ml-{".".join(pyspark.__version__.split(".")[:2])}'
INF, NAN = float('inf'), float('nan')
FIELDS = [
    ('row', LongType(), pyarrow.int64()), ('city', StringType(), pyarrow.string()),
    ('plan', StringType(), pyarrow.string()), ('rank', IntegerType(), pyarrow.int32()),
    ('age', IntegerType(), pyarrow.int32()), ('amount', DoubleType(), pyarrow.float64()),
    ('gap', FloatType(), pyarrow.float32()), ('clicks', LongType(), pyarrow.int64()),
    ('flat', DoubleType(), pyarrow.float64()), ('level', IntegerType(), pyarrow.int32()),
    ('zone', StringType(), pyarrow.string()),
]
ODD_FIELDS = [
    ('row', LongType(), pyarrow.int64()), ('number', DoubleType(), pyarrow.float64()), ('real', FloatType(), pyarrow.float32()),
    ('price', DecimalType(10, 2), pyarrow.decimal128(10, 2)), ('count', DoubleType(), pyarrow.float64()),
    ('text', StringType(), pyarrow.string()), ('a.b', DoubleType(), pyarrow.float64()), ('Mixed', DoubleType(), pyarrow.float64()),
    ('place', StructType([StructField('x', DoubleType()), StructField('y', StringType())]),
     pyarrow.struct([('x', pyarrow.float64()), ('y', pyarrow.string())])),
]
LABELS = [('answer', DoubleType()), ('kind', StringType()), ('value', DoubleType())]
CITIES = ['Bern', 'Zürich', "Val-d'Illiez", 'New "York"', 'basel', 'Basel', ' ', 'Genève', 'Chur', 'Sion', 'Thun', 'Visp']
PLANS = ['free', 'pro', 'team']
LEVELS = [2, 10, 30]
ZONES = [f'zone {number}' for number in range(45)]
# What may differ between the versions: vectors, matrices, trees and what they are saved with.
OF_SPARK_3 = ['logistic-binary', 'linear', 'gbt-classifier', 'forest-classifier']


def make_rows(row_count, seed, dirty):
    dice = random.Random(seed)
    maybe = lambda value, *others: dice.choice(others) if dirty and dice.random() < 0.15 else value
    made = []
    for row in range(row_count):
        city = dice.choices(CITIES, weights=range(len(CITIES), 0, -1))[0]
        plan, rank, age = dice.choice(PLANS), dice.randrange(4), dice.randrange(18, 80)
        amount = dice.choice([dice.gauss(0, 40), float(dice.randrange(-50, 50)), -10.0, 0.0, 10.5])
        gap, clicks, level = dice.gauss(5, 2), dice.randrange(0, 1000), dice.choice(LEVELS)
        zone = dice.choice(ZONES)
        merit = amount / 40 + (age - 50) / 20 + (ZONES.index(zone) * 7 % 5 - 2) / 2 + CITIES.index(city) % 3 - 1 + (0.8 if plan == 'pro' else 0) + dice.gauss(0, 0.5)
        answer, kind = float(merit > 0.3), 'low' if merit < -0.7 else 'mid' if merit < 0.9 else 'high'
        value = 100 + 30 * merit + gap * rank + dice.gauss(0, 2)
        made.append((
            row, maybe(city, None, 'Lugano', ''), maybe(plan, None, 'trial'), rank, maybe(age, None),
            maybe(amount, None, NAN, 1e4), maybe(gap, None, NAN), maybe(clicks, -1), 3.25, level,
            maybe(zone, None, 'zone 99'), answer, kind, value,
        ))
    return made


def make_odd(row_count, seed, dirty):
    dice = random.Random(seed)
    maybe = lambda value, *others: dice.choice(others) if dirty and dice.random() < 0.15 else value
    return [(
        row, maybe(dice.choice([1.0, 1e7, 1e-4, 123456789.0, 0.1, -2.5e-9, 1e22, 1.5]), None, NAN, INF, 2e7),
        maybe(dice.choice([1.0, 1e7, 1e-4, 0.1, 16777216.0, 3.4e38]), None, NAN, 2.0),
        maybe(Decimal(dice.randrange(500)) / 100, None), maybe(float(dice.randrange(3)), 0.5, 1.75, 7.0, NAN),
        maybe(dice.choice('abcd'), None, 'e'), dice.gauss(0, 1), maybe(dice.gauss(0, 1), None, NAN),
        {'x': maybe(dice.gauss(0, 1), None), 'y': maybe(dice.choice('pqr'), None, 's')},
    ) for row in range(row_count)]


def schema():
    return StructType([StructField(name, kind) for name, kind, _ in FIELDS] + [StructField(*label) for label in LABELS])


def indexers(invalid, *names):
    return StringIndexer(inputCols=list(names), outputCols=[f'{name}_index' for name in names], handleInvalid=invalid)


def one_hot(names, invalid='error', drop_last=True):
    return OneHotEncoder(
        inputCols=names, outputCols=[f'{name}_hot' for name in names], handleInvalid=invalid, dropLast=drop_last)


def assemble(output, *names, invalid='error'):
    return VectorAssembler(inputCols=list(names), outputCol=output, handleInvalid=invalid)


def impute(strategy, *names, missing=NAN):
    return Imputer(
        inputCols=list(names), outputCols=[f'{name}_filled' for name in names], strategy=strategy, missingValue=missing)


def linear_cases():
    yield 'logistic-binary', 'rows', [
        indexers('keep', 'city', 'plan'), one_hot(['city_index', 'plan_index']),
        impute('mean', 'amount', 'gap', 'age'), assemble('numbers', 'amount_filled', 'gap_filled', 'age_filled', 'clicks'),
        StandardScaler(inputCol='numbers', outputCol='standard', withMean=True),
        assemble('features', 'city_index_hot', 'standard', 'plan_index_hot', 'rank'),
        LogisticRegression(labelCol='answer', threshold=0.4, regParam=0.01),
    ]
    yield 'logistic-multinomial', 'clean', [
        StringIndexer(inputCol='kind', outputCol='label'), indexers('error', 'city'),
        one_hot(['city_index', 'rank'], 'keep', False),
        assemble('numbers', 'amount', 'flat', 'clicks', 'city_index'),
        MinMaxScaler(inputCol='numbers', outputCol='ranged', min=-1.0, max=2.0),
        assemble('features', 'ranged', 'rank_hot', 'city_index_hot'),
        LogisticRegression(
            featuresCol='features', family='multinomial', thresholds=[0.5, 0.2, 0.3], regParam=0.01,
            probabilityCol='chances', predictionCol='guess'),
        IndexToString(inputCol='guess', outputCol='guessed', labels=['some', 'texts', 'of its own']),
    ]
    yield 'linear', 'rows', [
        StringIndexer(inputCol='city', outputCol='city_index', handleInvalid='skip', stringOrderType='alphabetDesc'),
        one_hot(['city_index']),
        Bucketizer(inputCol='amount', outputCol='amount_bucket', splits=[-INF, -10.0, 0.0, 10.5, INF], handleInvalid='keep'),
        one_hot(['amount_bucket'], 'keep'),
        Bucketizer(inputCol='age', outputCol='age_bucket', splits=[-INF, 30.0, 45.0, INF], handleInvalid='skip'),
        assemble('all', 'clicks', 'city_index_hot', 'flat', 'gap', 'amount_bucket_hot', 'age_bucket', invalid='skip'),
        StandardScaler(inputCol='all', outputCol='features', withMean=False),
        LinearRegression(labelCol='value', regParam=0.1),
    ]
    yield 'vectors', 'rows', [
        impute('median', 'gap'), assemble('three', 'clicks', 'gap_filled', 'rank'),
        Normalizer(inputCol='three', outputCol='short'), MaxAbsScaler(inputCol='three', outputCol='small'),
        Normalizer(inputCol='three', outputCol='first', p=1.0), Normalizer(inputCol='small', outputCol='top', p=INF),
        assemble('eight', 'short', 'small', 'first', 'top'),
        VectorSlicer(inputCol='eight', outputCol='features', indices=[11, 0, 1, 4, 5, 8]),
        LinearSVC(labelCol='answer', maxIter=8, threshold=0.1),
    ]
    inner = Pipeline(stages=[assemble('some', 'amount', 'age'), StandardScaler(inputCol='some', outputCol='scaled')])
    final = LogisticRegression(labelCol='answer', featuresCol='features', elasticNetParam=1.0)
    yield 'search', 'clean', CrossValidator(
        estimator=Pipeline(stages=[inner, assemble('features', 'scaled', 'clicks', 'gap', 'flat'), final]),
        estimatorParamMaps=ParamGridBuilder().addGrid(final.regParam, [0.01, 0.2]).build(),
        evaluator=BinaryClassificationEvaluator(labelCol='answer'), numFolds=2, seed=7)


def tree_cases():
    yield 'gbt-classifier', 'rows', [
        indexers('keep', 'city', 'plan', 'zone'),
        assemble('features', 'city_index', 'amount', 'plan_index', 'gap', 'zone_index', 'age', 'rank', invalid='keep'),
        GBTClassifier(labelCol='answer', maxIter=6, maxDepth=4, stepSize=0.3, maxBins=64, seed=1),
    ]
    yield 'gbt-regressor', 'rows', [
        indexers('keep', 'city'), one_hot(['city_index'], drop_last=False),
        impute('mode', 'clicks', missing=-1.0), impute('mean', 'age', 'gap'), impute('median', 'amount'),
        Bucketizer(
            splitsArray=[[-1000.0, 0.0, 500.0, 1e4], [0.0, 40.0, 60.0, 200.0]], inputCols=['amount_filled', 'age_filled'],
            outputCols=['amount_bucket', 'age_bucket'], handleInvalid='keep'),
        assemble('numbers', 'amount_filled', 'clicks_filled', 'gap_filled', 'amount_bucket', 'city_index_hot'),
        StandardScaler(inputCol='numbers', outputCol='standard', withMean=True),
        MinMaxScaler(inputCol='standard', outputCol='ranged'),
        assemble('features', 'age_filled', 'ranged', 'age_bucket', 'city_index'),
        GBTRegressor(labelCol='value', maxIter=5, maxDepth=4, seed=2),
    ]
    label = StringIndexer(inputCol='kind', outputCol='label', stringOrderType='alphabetAsc')
    yield 'forest-classifier', 'rows', [
        label, indexers('keep', 'city'), impute('mean', 'amount'),
        assemble('raw', 'city_index', 'amount_filled', 'level', 'clicks', 'rank'),
        VectorIndexer(inputCol='raw', outputCol='features', maxCategories=4, handleInvalid='keep'),
        RandomForestClassifier(numTrees=5, maxDepth=4, seed=3).setThresholds([0.3, 0.5, 0.4]),
        IndexToString(inputCol='prediction', outputCol='predicted', labels=['high', 'low', 'mid']),
    ]
    yield 'forest-regressor', 'clean', [
        indexers('error', 'city', 'plan', 'level', 'flat'),
        assemble('features', 'plan_index', 'city_index', 'amount', 'age', 'level_index', 'flat_index'),
        RandomForestRegressor(labelCol='value', numTrees=4, maxDepth=5, seed=4),
    ]
    yield 'tree-classifier', 'rows', [
        indexers('skip', 'city'), assemble('features', 'city_index', 'amount', 'gap', 'age', invalid='skip'),
        DecisionTreeClassifier(labelCol='answer', maxDepth=4, seed=5),
    ]
    yield 'tree-regressor', 'clean', [
        assemble('features', 'amount', 'clicks', 'gap'), DecisionTreeRegressor(labelCol='value', maxDepth=4, seed=6),
    ]


def further_cases():
    label = StringIndexer(inputCol='kind', outputCol='label')
    numbers = [impute('mean', 'amount', 'gap', 'age'), assemble('raw', 'amount_filled', 'gap_filled', 'age_filled', 'rank')]
    scaled = [*numbers, StandardScaler(inputCol='raw', outputCol='features', withMean=True)]
    yield 'scalers', 'rows', [
        assemble('four', 'clicks', 'amount', 'gap', 'flat', invalid='keep'), Binarizer(inputCol='amount', outputCol='big', threshold=-1.5),
        RobustScaler(inputCol='four', outputCol='robust', withCentering=True),
        ElementwiseProduct(inputCol='robust', outputCol='weighed', scalingVec=Vectors.dense([1.5, -2.0, 0.25, 0.0])),
        PCA(inputCol='four', outputCol='turned', k=2), Normalizer(inputCol='four', outputCol='unit', p=3.0),
        Binarizer(inputCol='weighed', outputCol='bits', threshold=-0.1),
        VarianceThresholdSelector(featuresCol='four', outputCol='varied', varianceThreshold=10.0),
        assemble('vector', 'weighed', 'turned', 'unit', 'bits', 'varied', 'big', invalid='keep'),
    ]
    yield 'glm-binomial', 'rows', [*scaled, GeneralizedLinearRegression(
        labelCol='answer', family='binomial', link='cloglog', linkPredictionCol='eta')]
    yield 'glm-gamma', 'clean', [*scaled, GeneralizedLinearRegression(labelCol='age', family='gamma', link='log')]
    yield 'bayes-gaussian', 'rows', [label, *numbers, NaiveBayes(
        featuresCol='raw', modelType='gaussian', thresholds=[0.5, 0.2, 0.3])]
    hot = [indexers('keep', 'plan', 'city'), one_hot(['plan_index', 'city_index']), assemble('features', 'plan_index_hot', 'city_index_hot')]
    for kind in ['multinomial', 'complement', 'bernoulli']:
        yield f'bayes-{kind}', 'rows', [label, *hot, NaiveBayes(modelType=kind)]
    yield 'perceptron', 'rows', [label, *scaled, MultilayerPerceptronClassifier(layers=[4, 5, 4, 3], maxIter=20, seed=1)]
    yield 'machine-classifier', 'rows', [*scaled, FMClassifier(labelCol='answer', factorSize=3, maxIter=20, seed=1)]
    yield 'machine-regressor', 'rows', [*scaled, FMRegressor(labelCol='value', factorSize=2, maxIter=20, seed=1)]
    yield 'one-vs-rest', 'rows', [label, *scaled, OneVsRest(classifier=GBTClassifier(maxIter=2, maxDepth=3, seed=1))]
    yield 'survival', 'rows', [*scaled, AFTSurvivalRegression(labelCol='age', censorCol='answer')]
    yield 'clusters', 'rows', [*scaled, KMeans(k=4, seed=1)]
    yield 'clusters-cosine', 'rows', [*scaled, KMeans(k=3, seed=1, distanceMeasure='cosine')]


def odd_cases():
    yield 'odd-values', 'odd', [
        indexers('keep', 'number', 'real', 'text'), StringIndexer(inputCol='place.y', outputCol='Place_Index', handleInvalid='keep'),
        Imputer(inputCols=['price', 'Mixed'], outputCols=['price_filled', 'Mixed']), one_hot(['count'], 'keep'),
        assemble('vector', 'number_index', 'real_index', 'place_index', '`a.b`', 'mixed', 'price_filled', 'count_hot', 'place.x', invalid='keep'),
    ]
    yield 'odd-rows', 'odd', [
        indexers('skip', 'text', 'number'), assemble('some', 'text_index', 'Mixed', invalid='keep'),
        Normalizer(inputCol='some', outputCol='vector', p=INF),
    ]


def columns_of(frame):
    """The columns that a model adds, vectors as lists, beside the row numbers."""
    added = [name for name in ['prediction', 'probability', 'rawPrediction', 'chances', 'guess', 'guessed', 'predicted', 'eta', 'vector']
             if name in frame.columns]
    vectors = {field.name for field in frame.schema if 'Vector' in type(field.dataType).__name__}
    return frame.select('row', *[vector_to_array(name).alias(name) if name in vectors else name for name in added])


def write_table(path, table):
    pyarrow.parquet.write_table(table, path, compression='zstd', write_statistics=False)


def write_scores(path, frame):
    chosen = columns_of(frame)
    rows = sorted(chosen.collect())
    kinds = {'row': pyarrow.int64(), 'bigint': pyarrow.int64(), 'double': pyarrow.float64(), 'int': pyarrow.int32(), 'string': pyarrow.string(),
             'array<double>': pyarrow.list_(pyarrow.float64())}
    write_table(path, pyarrow.table({
        name: pyarrow.array([row[name] for row in rows], kinds[kind]) for name, kind in chosen.dtypes}))
    return len(rows)


def write_beyond(spark, stage):
    """The classifier alone, on vectors with indices that no indexer gives: what a split does with what is in neither set."""
    dice = random.Random(4)
    vectors = [[
        float(dice.randrange(-1, 15)), dice.gauss(0, 40), float(dice.randrange(-1, 6)), dice.choice([dice.gauss(5, 2), NAN]),
        dice.choice([float(dice.randrange(-2, 50)), 1000.0, NAN]), float(dice.randrange(18, 80)), float(dice.randrange(4)),
    ] for _ in range(200)]
    frame = spark.createDataFrame([(row, Vectors.dense(values)) for row, values in enumerate(vectors)], ['row', 'features'])
    rows = columns_of(stage.transform(frame).drop('features')).orderBy('row').collect()
    write_table(ROOT / 'gbt-classifier' / 'beyond.parquet', pyarrow.table({
        'row': pyarrow.array(range(len(vectors)), pyarrow.int64()), 'features': vectors,
        'prediction': [row['prediction'] for row in rows], 'probability': [row['probability'] for row in rows]}))


def save_model(model, target):
    """As Spark saves it, with names that are the same each time and no checksums."""
    if target.exists():
        shutil.rmtree(target)
    model.save(str(target))
    for name in ['estimator', 'evaluator']:  # of a search for parameters
        shutil.rmtree(target / name, ignore_errors=True)
    for path in sorted(target.rglob('*')):
        if path.is_dir():
            continue
        if not path.name.startswith('part-'):
            path.unlink()
        elif '-' in path.name[len('part-'):]:
            path.rename(path.with_name(path.name[:len('part-00000')] + ('.parquet' if path.suffix == '.parquet' else '')))


def main():
    ROOT.mkdir(exist_ok=True)
    spark = (SparkSession.builder.master('local[1]').config('spark.ui.enabled', 'false')
             .config('spark.sql.shuffle.partitions', '1').getOrCreate())
    spark.sparkContext.setLogLevel('ERROR')
    train = spark.createDataFrame(make_rows(900, 1, False), schema()).cache()
    frames = {}
    for name, seed in [('rows', 2), ('clean', 3)]:
        made = make_rows(220, seed, name == 'rows')
        frames[name] = spark.createDataFrame(made, schema()).cache()
        write_table(ROOT / f'{name}.parquet', pyarrow.table({
            column: pyarrow.array([row[at] for row in made], kind) for at, (column, _, kind) in enumerate(FIELDS)}))
    odd = StructType([StructField(name, kind) for name, kind, _ in ODD_FIELDS])
    made = make_odd(220, 5, True)
    frames['odd'] = spark.createDataFrame(made, odd).cache()
    write_table(ROOT / 'odd.parquet', pyarrow.table({
        column: pyarrow.array([row[at] for row in made], kind) for at, (column, _, kind) in enumerate(ODD_FIELDS)}))
    train_odd = spark.createDataFrame(make_odd(400, 6, False), odd).cache()
    for name, rows, stages in [*linear_cases(), *tree_cases(), *further_cases(), *odd_cases()]:
        if name not in (sys.argv[1:] or (OF_SPARK_3 if pyspark.__version__.startswith('3.') else [name])):
            continue
        model = (Pipeline(stages=stages) if isinstance(stages, list) else stages).fit(train_odd if rows == 'odd' else train)
        save_model(model, ROOT / name / 'model')
        if name == 'gbt-classifier' and not pyspark.__version__.startswith('3.'):
            write_beyond(spark, model.stages[-1])
        print(name, write_scores(ROOT / name / 'scores.parquet', model.transform(frames[rows])), 'rows', flush=True)
    spark.stop()


if __name__ == '__main__':
    main()
