"""Makes the model folders beside this file with scikit-learn, LightGBM and NumPy, which also give the scores.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install scikit-learn==1.9.1 skl2onnx==1.20.0 \
        lightgbm==4.7.0 onnxmltools==1.16.0 onnx==1.23.2 numpy==2.4.6 pandas==3.1.1 pyarrow==26.0.1 pyspark==4.3.0 packaging==26.3
    /tmp/golden/bin/python src/golden/make.py           # these model folders
    /tmp/golden/bin/python src/golden/make_spark.py     # spark-*; needs Java 17
    /tmp/golden/bin/python src/golden/make_parquet.py   # parquet-types

Each folder is one that `tandem check` passes: golden.parquet holds the input columns and, under the names of the score
columns, what the other software computed. Nothing here is computed by Tandem or by ONNX Runtime.
"""
import json
from pathlib import Path

import lightgbm
import numpy
import onnx
import pandas
import pyarrow
import pyarrow.parquet
from onnx import TensorProto, helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType as LightGbmFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

ROOT = Path(__file__).parent
OPSET = {'': 17, 'ai.onnx.ml': 3}


def write_folder(name, model, contract, table):
    """One model folder: model.onnx, tandem.json, golden.parquet."""
    folder = ROOT / name
    folder.mkdir(exist_ok=True)
    (folder / 'model.onnx').write_bytes(model.SerializeToString())
    (folder / 'tandem.json').write_text(json.dumps({'version': 1, 'model': 'model.onnx', **contract}, indent=1) + '\n')
    pyarrow.parquet.write_table(table, folder / 'golden.parquet', compression='zstd', write_statistics=False)


def identity_model(element_type, width):
    """y = x, [N, width]."""
    value = lambda name: helper.make_tensor_value_info(name, element_type, ['N', width])
    graph = helper.make_graph([helper.make_node('Identity', ['x'], ['y'])], 'identity', [value('x')], [value('y')])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


# People: strings, nulls, booleans, integers.

CITIES = ['Bern', 'Zürich', 'Genève', "Val-d'Illiez", 'Basel']


def people(row_count, seed, cities):
    random = numpy.random.default_rng(seed)
    age = random.normal(40, 15, row_count).astype(numpy.float32)
    income = random.lognormal(11, 0.6, row_count).astype(numpy.float32)
    visits = random.integers(0, 50, row_count)
    member = random.random(row_count) < 0.4
    city = random.choice(cities, row_count).astype(object)
    age[random.random(row_count) < 0.1] = numpy.nan
    income[random.random(row_count) < 0.1] = numpy.nan
    city[random.random(row_count) < 0.1] = None
    return pandas.DataFrame({'age': age, 'income': income, 'visits': visits, 'member': member, 'city': city})


def classes_of(frame, seed):
    random = numpy.random.default_rng(seed)
    merit = (numpy.nan_to_num(frame.age, nan=40) - 40) / 15 + frame.visits / 25 - 1 + 0.8 * frame.member
    merit += frame.city.map({'Bern': 0.7, 'Genève': -0.9}).fillna(0) + random.normal(0, 0.7, len(frame))
    return numpy.digitize(merit, [-0.7, 0.8])


def people_table(frame, scores):
    """The columns as a shard has them: nulls where pandas has NaN."""
    nullable = lambda values, kind: pyarrow.array(values, kind, from_pandas=True)
    return pyarrow.table({
        'age': nullable(frame.age, pyarrow.float32()),
        'income': nullable(frame.income, pyarrow.float32()),
        'visits': pyarrow.array(frame.visits, pyarrow.int64()),
        'member': pyarrow.array(frame.member, pyarrow.bool_()),
        'city': nullable(frame.city, pyarrow.string()),
        **scores,
    })


def prepared(frame):
    """What the pipeline is given: a missing city is the empty text, as the contract has it too."""
    return frame.assign(city=frame.city.fillna(''))


def fitted_pipeline(labels):
    train = people(400, 1, CITIES)
    steps = ColumnTransformer([
        ('numbers', Pipeline([('impute', SimpleImputer()), ('scale', StandardScaler())]), ['age', 'income']),
        ('counts', StandardScaler(), ['visits']),
        ('cities', OneHotEncoder(handle_unknown='ignore', sparse_output=False), ['city']),
        ('flags', 'passthrough', ['member']),
    ])
    pipeline = Pipeline([('features', steps), ('classify', LogisticRegression(max_iter=1000))])
    return pipeline.fit(prepared(train), numpy.asarray(labels)[classes_of(train, 2)])


def pipeline_model(pipeline, zipmap):
    kinds = {
        'age': FloatTensorType, 'income': FloatTensorType, 'visits': Int64TensorType,
        'member': BooleanTensorType, 'city': StringTensorType,
    }
    initial = [(name, kinds[name]([None, 1])) for name in ['age', 'income', 'visits', 'city', 'member']]
    return to_onnx(pipeline, initial_types=initial, target_opset=OPSET, options={'zipmap': zipmap})


PEOPLE_INPUTS = {
    'age': {'column': 'age', 'missing': 'nan'},
    'income': {'column': 'income', 'missing': 'nan'},
    'visits': {'column': 'visits'},
    'city': {'column': 'city', 'text': True, 'missing': ''},
    'member': {'column': 'member'},
}


def scores_of(pipeline, frame, label_type):
    labels = pipeline.predict(prepared(frame))
    probabilities = pipeline.predict_proba(prepared(frame))
    return {
        'label': pyarrow.array(labels.tolist(), label_type),
        'probabilities': pyarrow.array(probabilities.tolist(), pyarrow.list_(pyarrow.float64())),
    }


def make_pipelines():
    rows = people(150, 3, [*CITIES, 'Lugano', 'bern'])
    outputs = {'label': 'label', 'probabilities': 'probabilities'}

    numbers = fitted_pipeline([0, 1, 2])
    scores = scores_of(numbers, rows, pyarrow.int64())
    contract = {'inputs': PEOPLE_INPUTS, 'outputs': outputs, 'keep': []}
    write_folder('sklearn-pipeline', pipeline_model(numbers, False), contract, people_table(rows, scores))
    contract = {'inputs': PEOPLE_INPUTS, 'outputs': {'output_label': 'label'}, 'keep': []}
    table = people_table(rows, {'label': scores['label']})
    write_folder('sklearn-zipmap', pipeline_model(numbers, True), contract, table)

    texts = fitted_pipeline(['few', 'some', 'many'])
    # Names of its own for the first two of the probabilities, which follow the sorted labels.
    contract = {
        'inputs': PEOPLE_INPUTS, 'keep': [],
        'outputs': {'label': 'class', 'probabilities': {'columns': ['p_few', 'p_some'], 'select': [0, 2]}},
    }
    probabilities = texts.predict_proba(prepared(rows))
    table = people_table(rows, {
        'class': pyarrow.array(texts.predict(prepared(rows)).tolist(), pyarrow.string()),
        'p_few': pyarrow.array(probabilities[:, 0]), 'p_some': pyarrow.array(probabilities[:, 2]),
    })
    write_folder('sklearn-text-labels', pipeline_model(texts, False), contract, table)

    make_last_step(numbers, rows)


def make_last_step(pipeline, rows):
    """The same scores, with all features made by the contract and the last step alone as the model."""
    steps = pipeline.named_steps['features'].named_transformers_
    imputer, scaler = steps['numbers'].named_steps.values()
    standardize = lambda fitted, at: {'mean': float(fitted.mean_[at]), 'std': float(fitted.scale_[at])}
    numbers = [
        {'column': name, 'missing': float(imputer.statistics_[at]), 'standardize': standardize(scaler, at)}
        for at, name in enumerate(['age', 'income'])
    ]
    features = [
        *numbers,
        {'column': 'visits', 'standardize': standardize(steps['counts'], 0)},
        {'column': 'city', 'oneHot': steps['cities'].categories_[0].tolist(), 'unknown': 'zeros', 'missing': ''},
        {'column': 'member'},
    ]
    classifier = pipeline.named_steps['classify']
    model = to_onnx(
        classifier, initial_types=[('x', FloatTensorType([None, classifier.coef_.shape[1]]))],
        target_opset=OPSET, options={'zipmap': False},
    )
    contract = {'inputs': {'x': features}, 'outputs': {'label': 'label', 'probabilities': 'probabilities'}, 'keep': []}
    write_folder('sklearn-last-step', model, contract, people_table(rows, scores_of(pipeline, rows, pyarrow.int64())))


def make_trees():
    """Boosted trees, with nulls that go their own way as NaN."""
    names = ['age', 'income', 'visits', 'member']
    train, rows = people(600, 4, CITIES), people(150, 5, CITIES)
    numbers = lambda frame: frame[names].astype(numpy.float32).to_numpy()
    classifier = lightgbm.LGBMClassifier(
        n_estimators=12, num_leaves=7, random_state=0, n_jobs=1, deterministic=True, verbose=-1)
    classifier.fit(numbers(train), (classes_of(train, 6) > 1).astype(int))
    model = convert_lightgbm(
        classifier, initial_types=[('x', LightGbmFloat([None, len(names)]))], target_opset=15, zipmap=False)
    scores = {
        'label': pyarrow.array(classifier.predict(numbers(rows)).astype(numpy.int64)),
        'p': pyarrow.array(classifier.predict_proba(numbers(rows))[:, 1]),
    }
    features = [{'column': name, **({'missing': 'nan'} if name in ('age', 'income') else {})} for name in names]
    contract = {
        'inputs': {'x': features}, 'keep': [],
        'outputs': {'label': 'label', 'probabilities': {'column': 'p', 'select': 1}},
    }
    write_folder('lightgbm', model, contract, people_table(rows, scores))


# Steps: one score column for each, the model is the identity.

def step_inputs():
    random = numpy.random.default_rng(7)
    row_count = 100
    wide = random.normal(3, 1000, row_count)
    wide[:8] = [0.0, -0.0, numpy.nan, numpy.inf, -numpy.inf, 5e-324, 1.7e308, -1e-300]
    positive = random.lognormal(2, 3, row_count)
    positive[:4] = [0.0, 1e-20, 1e300, 1.0]
    narrow = random.normal(-2, 9, row_count).astype(numpy.float32)
    narrow[:5] = [0.1, numpy.nan, -0.0, 3.4e38, 10.0]
    whole = random.integers(-(2 ** 40), 2 ** 40, row_count)
    whole[:4] = [2 ** 53 + 1, -(2 ** 63), 2 ** 63 - 1, 0]
    edges = random.choice([-1.5, -1.0, 0.0, 2.5, 2.4999999999999996, 2.5000000000000004, 7.0, 9.0], row_count)
    maybe = numpy.where(random.random(row_count) < 0.2, None, wide[::-1])
    return {'wide': wide, 'positive': positive, 'narrow': narrow, 'whole': whole, 'edges': edges, 'maybe': maybe}


def step_cases(columns):
    """Name of the score column -> (feature, what NumPy or scikit-learn gives in float64)."""
    double = {name: values.astype(numpy.float64) for name, values in columns.items()}
    finite = {name: values[numpy.isfinite(values)].reshape(-1, 1) for name, values in double.items()}
    tame = {name: values[numpy.abs(values) < 1e6] for name, values in finite.items()}
    standard = {name: StandardScaler().fit(tame[name].reshape(-1, 1)) for name in ['wide', 'narrow', 'edges']}
    whole = StandardScaler().fit(double['whole'].reshape(-1, 1))
    mean = lambda fitted: {'mean': float(fitted.mean_[0]), 'std': float(fitted.scale_[0])}
    scaled = lambda fitted, values: fitted.transform(values.reshape(-1, 1))[:, 0]
    as_scaled = lambda fitted, values: (values - fitted.mean_[0]) / fitted.scale_[0]
    low, high = float(tame['narrow'].min()), float(tame['narrow'].max())
    bins = [-1.0, 0.0, 2.5, 7.0]
    filled = lambda value: numpy.where(columns['maybe'] == None, value, columns['maybe']).astype(numpy.float64)  # noqa: E711
    cases = {
        'as_it_is': ({'column': 'wide'}, double['wide']),
        'standardize_wide': ({'column': 'wide', 'standardize': mean(standard['wide'])}, as_scaled(standard['wide'], double['wide'])),
        'standardize_narrow': ({'column': 'narrow', 'standardize': mean(standard['narrow'])}, scaled(standard['narrow'], double['narrow'])),
        'standardize_edges': ({'column': 'edges', 'standardize': mean(standard['edges'])}, scaled(standard['edges'], double['edges'])),
        'standardize_whole': ({'column': 'whole', 'standardize': mean(whole)}, scaled(whole, double['whole'])),
        'standardize_clip': (
            {'column': 'wide', 'standardize': mean(standard['wide']), 'clip': [-1.25, 0.75]},
            numpy.clip(as_scaled(standard['wide'], double['wide']), -1.25, 0.75)),
        'min_max': ({'column': 'narrow', 'minMax': [low, high]}, (double['narrow'] - low) / (high - low)),
        'clip': ({'column': 'wide', 'clip': [-100.0, 3.5]}, numpy.clip(double['wide'], -100.0, 3.5)),
        'digitize': ({'column': 'edges', 'bucketize': bins}, numpy.digitize(double['edges'], bins).astype(numpy.float64)),
        'digitize_whole': (
            {'column': 'whole', 'bucketize': [-1e9, 0, 1e9]}, numpy.digitize(double['whole'], [-1e9, 0, 1e9]).astype(numpy.float64)),
        'missing_number': ({'column': 'maybe', 'missing': 0.1}, filled(0.1)),
        'missing_nan': ({'column': 'maybe', 'missing': 'nan'}, filled(numpy.nan)),
        'missing_mean': (
            {'column': 'maybe', 'missing': 'mean', 'standardize': mean(standard['wide'])},
            as_scaled(standard['wide'], filled(standard['wide'].mean_[0]))),
        'log1p': ({'column': 'positive', 'log1p': True}, numpy.log1p(double['positive'])),
        'log1p_standardize': (
            {'column': 'positive', 'log1p': True, 'standardize': {'mean': 2.5, 'std': 3.25}},
            (numpy.log1p(double['positive']) - 2.5) / 3.25),
        'order': (
            {'column': 'wide', 'steps': [{'clip': [-5, 5]}, {'minMax': [-5, 5]}, {'log1p': True}]},
            numpy.log1p((numpy.clip(double['wide'], -5, 5) + 5) / 10)),
    }
    return cases


def make_steps():
    """float64 and float32 inputs, bit for bit; what may differ in the last bit has a folder of its own."""
    columns = step_inputs()
    table = {name: pyarrow.array(values.tolist() if values.dtype == object else values) for name, values in columns.items()}
    cases = step_cases(columns)
    near = {name: case for name, case in cases.items() if 'log1p' in name or name == 'order'}
    exact = {name: case for name, case in cases.items() if name not in near}
    tame = columns['narrow'][numpy.abs(columns['narrow']) < 1e6].astype(numpy.float64)
    scaler = MinMaxScaler().fit(tame.reshape(-1, 1))
    near['min_max_scaler'] = (
        {'column': 'narrow', 'minMax': [float(scaler.data_min_[0]), float(scaler.data_max_[0])]},
        scaler.transform(columns['narrow'].astype(numpy.float64).reshape(-1, 1))[:, 0])
    # scikit-learn computes x * scale + min, and libraries round log1p differently: a few units in the last place.
    write_steps('numpy-exact-float64', TensorProto.DOUBLE, numpy.float64, table, exact, 0)
    write_steps('numpy-exact-float32', TensorProto.FLOAT, numpy.float32, table, exact, 0)
    write_steps('numpy-near-float64', TensorProto.DOUBLE, numpy.float64, table, near, 4e-16)
    write_steps('numpy-near-float32', TensorProto.FLOAT, numpy.float32, table, near, 1.2e-7)


def write_steps(name, element_type, kind, table, cases, tolerance):
    features = [feature for feature, _ in cases.values()]
    with numpy.errstate(over='ignore'):
        expected = {f'{column}': pyarrow.array(values.astype(kind)) for column, (_, values) in cases.items()}
    contract = {
        'inputs': {'x': features}, 'outputs': {'y': {'columns': list(cases)}}, 'keep': [],
        'golden': {'tolerance': tolerance},
    }
    write_folder(name, identity_model(element_type, len(cases)), contract, pyarrow.table({**table, **expected}))


if __name__ == '__main__':
    make_pipelines()
    make_trees()
    make_steps()
