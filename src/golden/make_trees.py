"""Makes the folders trees-* beside this file: small models of every library that exports trees to ONNX.

    /tmp/golden/bin/pip install xgboost==3.2.0 catboost==1.2.10   # beside what make.py needs
    /tmp/golden/bin/python src/golden/make_trees.py

Each folder is one that `tandem check` passes, as those of make.py are. Rows hold NaN where the library takes it.
"""
import tempfile

import numpy
import onnx
import pyarrow
import catboost
import lightgbm
import xgboost
from onnx import helper
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import (
    GradientBoostingClassifier, GradientBoostingRegressor, HistGradientBoostingClassifier,
    HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from make import OPSET, write_folder

WIDTH = 6
NAMES = [f'f{index}' for index in range(WIDTH)]
# The last column holds categories.
CATEGORY = WIDTH - 1


def rows(count, seed, holes):
    random = numpy.random.default_rng(seed)
    values = random.normal(size=(count, WIDTH)).astype(numpy.float32)
    values[:, CATEGORY] = random.integers(0, 12, count)
    if holes:
        values[:, :CATEGORY][random.random((count, CATEGORY)) < 0.15] = numpy.nan
    return values


def truth(values):
    filled = numpy.nan_to_num(values, nan=0.7)
    noise = numpy.random.default_rng(9).normal(size=len(values))
    return filled[:, 0] + filled[:, 1] * filled[:, 2] + (filled[:, CATEGORY] % 3 == 0) + 0.3 * noise


def classes(values, count):
    return numpy.digitize(truth(values), [0.4] if count == 2 else [-0.4, 0.9])


def write(name, model, values, outputs, scores):
    """`outputs`: the contract's; `scores`: what the library gives, by column."""
    hole = {'missing': 'nan'} if numpy.isnan(values).any() else {}
    features = [{'column': column, **(hole if column != NAMES[CATEGORY] else {})} for column in NAMES]
    contract = {'inputs': {model.graph.input[0].name: features}, 'keep': [], 'outputs': outputs}
    columns = {
        column: pyarrow.array(values[:, index], pyarrow.float32(), from_pandas=True)
        for index, column in enumerate(NAMES)
    }
    arrays = {
        column: pyarrow.array(score.tolist(), pyarrow.list_(pyarrow.float64()) if score.ndim == 2 else None)
        for column, score in scores.items()
    }
    write_folder(f'trees-{name}', model, contract, pyarrow.table({**columns, **arrays}))


def regressor(name, model, fitted, values):
    output = model.graph.output[0].name
    write(name, model, values, {output: 'y'}, {'y': numpy.asarray(fitted.predict(values), numpy.float64).reshape(-1)})


def classifier(name, model, fitted, values, label_only=False):
    scores = {'label': numpy.asarray(fitted.predict(values)).reshape(-1).astype(numpy.int64)}
    outputs = {model.graph.output[0].name: 'label'}
    if not label_only:
        scores['p'] = numpy.asarray(fitted.predict_proba(values), numpy.float64)
        outputs[model.graph.output[1].name] = 'p'
    write(name, model, values, outputs, scores)


def make_lightgbm(train, test):
    tools = [('x', ToolsFloat([None, WIDTH]))]
    options = {'n_estimators': 8, 'num_leaves': 8, 'verbose': -1, 'random_state': 0, 'n_jobs': 1}
    fitted = lightgbm.LGBMClassifier(**options).fit(train, classes(train, 3))
    classifier('lightgbm-classes', convert_lightgbm(fitted, initial_types=tools, target_opset=15, zipmap=False), fitted, test)
    fitted = lightgbm.LGBMRegressor(**options).fit(train, truth(train), categorical_feature=[CATEGORY])
    regressor('lightgbm-categories', convert_lightgbm(fitted, initial_types=tools, target_opset=15), fitted, test)


def make_xgboost(train, test):
    tools = [('x', ToolsFloat([None, WIDTH]))]
    options = {'n_estimators': 8, 'max_depth': 3, 'n_jobs': 1}
    convert = lambda fitted: convert_xgboost(fitted, initial_types=tools, target_opset=15)
    for count in [2, 3]:
        fitted = xgboost.XGBClassifier(**options).fit(train, classes(train, count))
        classifier(f'xgboost-{count}', convert(fitted), fitted, test)
    fitted = xgboost.XGBRegressor(objective='count:poisson', **options).fit(train, numpy.abs(truth(train)))
    regressor('xgboost-poisson', convert(fitted), fitted, test)


def make_catboost(train, test):
    options = {'iterations': 8, 'depth': 3, 'verbose': 0, 'thread_count': 1, 'allow_writing_files': False}

    def convert(fitted):
        with tempfile.TemporaryDirectory() as folder:
            fitted.save_model(f'{folder}/model.onnx', format='onnx')
            return onnx.load(f'{folder}/model.onnx')

    fitted = catboost.CatBoostRegressor(**options).fit(train, truth(train))
    regressor('catboost', convert(fitted), fitted, test)
    # Its probabilities are a sequence of maps, which has no column; see sklearn-zipmap.
    fitted = catboost.CatBoostClassifier(**options).fit(train, classes(train, 2))
    classifier('catboost-label', convert(fitted), fitted, test, label_only=True)


def make_sklearn(train, test):
    holes, other_holes = train.copy(), test.copy()
    holes[0, 0], train, test = numpy.nan, numpy.nan_to_num(train), numpy.nan_to_num(test)
    floats = [('x', FloatTensorType([None, WIDTH]))]

    def convert(fitted, **options):
        return to_onnx(fitted, initial_types=floats, target_opset=OPSET, options=options or None)

    forest = {'n_estimators': 6, 'max_depth': 5, 'random_state': 0, 'n_jobs': 1}
    fitted = RandomForestRegressor(**forest).fit(train, truth(train))
    regressor('sklearn-forest', convert(fitted), fitted, test)
    fitted = make_pipeline(SimpleImputer(), StandardScaler(), RandomForestClassifier(**forest))
    fitted.fit(holes, classes(holes, 3))
    classifier('sklearn-pipeline', convert(fitted, zipmap=False), fitted, other_holes)
    boosted = {'n_estimators': 8, 'max_depth': 3, 'random_state': 0}
    fitted = GradientBoostingRegressor(**boosted).fit(train, truth(train))
    regressor('sklearn-boosted', convert(fitted), fitted, test)
    fitted = GradientBoostingClassifier(**boosted).fit(train, classes(train, 2))
    classifier('sklearn-boosted-classes', convert(fitted, zipmap=False), fitted, test)
    histogram = {'max_iter': 8, 'max_leaf_nodes': 8, 'random_state': 0}
    fitted = HistGradientBoostingRegressor(**histogram).fit(holes, truth(holes))
    regressor('sklearn-histogram', convert(fitted), fitted, other_holes)
    fitted = HistGradientBoostingClassifier(**histogram).fit(holes, classes(holes, 3))
    classifier('sklearn-histogram-classes', convert(fitted, zipmap=False), fitted, other_holes)


def plain_integers():
    """skl2onnx gives helper.make_attribute NumPy's numbers and booleans, of which onnx takes some kinds only."""
    make_attribute = helper.make_attribute

    def plain(value):
        if isinstance(value, (list, numpy.ndarray)):
            return [plain(each) for each in value]
        value = value.item() if isinstance(value, numpy.generic) else value
        return int(value) if isinstance(value, bool) else value

    def patched(key, value, *more, **options):
        return make_attribute(key, plain(value), *more, **options)

    helper.make_attribute = patched


if __name__ == '__main__':
    plain_integers()
    training, testing = rows(1500, 1, True), rows(150, 2, True)
    make_lightgbm(training, testing)
    make_xgboost(training, testing)
    make_catboost(training, testing)
    make_sklearn(training, testing)
