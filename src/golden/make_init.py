"""Makes the folders init-* beside this file: models as their libraries save them, turned into model folders by `tandem init`.

    /tmp/golden/bin/pip install xgboost==3.2.0                     # beside what make.py needs
    npm run build && /tmp/golden/bin/python src/golden/make_init.py [sklearn-people ...]

What is in them is hard for the exporters: texts, nulls in texts and numbers, categories of pandas, forests that give means,
values on thresholds. The scores in golden.parquet are the libraries', by rows that models were not trained with.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import joblib
import lightgbm
import numpy
import pandas
import pyarrow
import pyarrow.parquet
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer, KBinsDiscretizer, MinMaxScaler, Normalizer, OneHotEncoder, OrdinalEncoder, StandardScaler)

ROOT = Path(__file__).parent
NUMBERS = ['age', 'income', 'visits']
TEXTS = ['city', 'plan']
# Names that are no identifiers, or those of a graph's own, and one that a made-up name must not take.
ODD = {'age': 'user\'s "age"', 'income': 'spend, €', 'visits': 'variable', 'member': 'c0', 'city': 'a.b', 'plan': 'a b'}


def people(count, seed, cities, levels):
    random = numpy.random.default_rng(seed)
    frame = pandas.DataFrame({
        'userId': numpy.arange(count),
        # Steps of a half: many values lie on thresholds.
        'age': random.integers(36, 160, count) / 2,
        'income': random.lognormal(10, 1, count).astype(numpy.float32),
        'visits': random.integers(0, 50, count).astype(numpy.int32),
        'member': random.random(count) < 0.4,
        'city': random.choice(cities, count).astype(object),
        'plan': random.choice(['a', 'b', 'c'], count).astype(object),
    })
    frame.loc[random.random(count) < 0.1, 'age'] = numpy.nan
    for text in TEXTS:
        frame.loc[random.random(count) < 0.1, text] = numpy.nan
    # Numbers that are categories.
    frame['level'] = numpy.random.default_rng(seed + 100).choice(levels, count)
    merit = (frame.age.fillna(60) > 50).astype(int) + (frame.city == 'Bern') + frame.visits / 25 + random.normal(0, 0.3, count)
    return frame, (merit > 1.6).astype(int).to_numpy()


def sklearn_models(frame, late):
    texts = make_pipeline(SimpleImputer(strategy='constant', fill_value='none'), OneHotEncoder(handle_unknown='ignore'))
    steps = ColumnTransformer([
        ('numbers', make_pipeline(SimpleImputer(), StandardScaler()), ['age', 'income']),
        ('texts', texts, TEXTS),
        ('visits', StandardScaler(), ['visits']),
        ('member', 'passthrough', ['member']),
    ])
    yield 'sklearn-people', Pipeline([('columns', steps), ('model', LogisticRegression(max_iter=1000))]).fit(frame, late)
    # No imputer: a null is a category of its own, by the encoder that has seen it.
    encoder = ColumnTransformer([('texts', OneHotEncoder(handle_unknown='ignore', sparse_output=False), TEXTS)], remainder='passthrough')
    words = numpy.where(late, 'yes', 'no')
    model = lightgbm.LGBMClassifier(n_estimators=6, num_leaves=6, verbose=-1, n_jobs=1)
    yield 'sklearn-lightgbm', Pipeline([('columns', encoder), ('model', model)]).fit(frame.drop(columns=['userId', 'level']), words)
    yield 'sklearn-folded', Pipeline([('columns', folded_steps()), ('model', LogisticRegression(max_iter=1000))]).fit(with_none(frame), late)
    sparse = ColumnTransformer([('texts', OneHotEncoder(handle_unknown='ignore'), TEXTS)], remainder='passthrough', sparse_threshold=1)
    columns = frame[[*NUMBERS, *TEXTS]]
    yield 'sklearn-xgboost', make_pipeline(sparse, xgboost.XGBClassifier(n_estimators=6, max_depth=3)).fit(columns, late)
    # What is put side by side is dense, its zeros are zeros; a sparse one loses them on the way through a step that stays.
    scaled = FeatureUnion([('standard', StandardScaler()), ('range', MinMaxScaler())])
    counts = late + (frame.visits == 0)
    model = xgboost.XGBRegressor(n_estimators=6, max_depth=3, colsample_bytree=0.5)
    yield 'sklearn-union', make_pipeline(scaled, model).fit(frame[NUMBERS[1:]], counts)
    sparse = OneHotEncoder(handle_unknown='ignore')
    few = make_pipeline(sparse, SelectKBest(k=4), xgboost.XGBRegressor(n_estimators=6, max_depth=3))
    yield 'sklearn-selected', few.fit(frame[TEXTS], late)
    # The logarithm of what lies far below the mean is NaN, whether or not nulls were filled in before.
    logs = [SimpleImputer(), StandardScaler(), FunctionTransformer(numpy.log1p), SimpleImputer(strategy='constant', fill_value=-5)]
    yield 'sklearn-imputed', make_pipeline(*logs, LogisticRegression()).fit(frame[NUMBERS], late)
    ordinal = OrdinalEncoder(handle_unknown='use_encoded_value', unknown_value=-1, encoded_missing_value=-2)
    encoder = ColumnTransformer([('texts', ordinal, TEXTS), ('numbers', 'passthrough', NUMBERS)])
    yield 'sklearn-ordinal', make_pipeline(encoder, HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=6)).fit(frame, late)
    steps = ColumnTransformer([
        ('texts', texts, [ODD['city'], ODD['plan']]),
        # No feature of the contract is this: the texts stay with the model.
        ('numbers', make_pipeline(SimpleImputer(), Normalizer()), [ODD['age'], ODD['income'], 'variable', 'c0']),
    ])
    yield 'sklearn-names', make_pipeline(steps, LogisticRegression(max_iter=1000)).fit(frame.rename(columns=ODD), late)
    yield 'sklearn-forest', RandomForestClassifier(6, max_depth=4, random_state=0).fit(frame[NUMBERS].fillna(0), late)


def folded_steps():
    return ColumnTransformer([
        ('rare', OneHotEncoder(max_categories=3, handle_unknown='infrequent_if_exist'), ['city']),
        ('first', OneHotEncoder(drop='first', handle_unknown='ignore'), ['plan']),
        ('levels', OneHotEncoder(handle_unknown='ignore'), ['level', 'member']),
        ('range', make_pipeline(SimpleImputer(strategy='median'), MinMaxScaler((-1, 1), clip=True)), ['age']),
        ('log', make_pipeline(FunctionTransformer(numpy.log1p), StandardScaler()), ['income']),
        ('bins', KBinsDiscretizer(4, encode='ordinal'), ['visits']),
    ])


def with_none(frame):
    """As texts come from older pandas."""
    return frame.assign(**{text: pandas.Series([None if value != value else value for value in frame[text]], dtype=object) for text in TEXTS})


def write(frame, path):
    """With NaN beside null."""
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    for name in ('age', 'level'):
        values = frame[name].to_numpy()
        nulls = numpy.isnan(values) & (frame.userId % 2 == 0).to_numpy()
        table = table.set_column(table.schema.get_field_index(name), name, pyarrow.array(values, mask=nulls))
    pyarrow.parquet.write_table(table, path)


def lightgbm_models(frame, late):
    def train(columns, **options):
        options = {'num_leaves': 6, 'verbose': -1, 'num_threads': 1, 'seed': 1, **options}
        return lightgbm.train(options, lightgbm.Dataset(columns, late), 6)

    forest = {'boosting': 'rf', 'bagging_freq': 1, 'bagging_fraction': 0.6}
    yield 'lightgbm-forest', train(frame[NUMBERS], objective='binary', **forest)
    yield 'lightgbm-nulls', train(frame[NUMBERS], objective='binary', use_missing=False, sigmoid=2.0)
    categories = frame[[*NUMBERS, *TEXTS]].astype({text: 'category' for text in TEXTS})
    yield 'lightgbm-categories', train(categories, objective='regression', min_data_per_group=5, cat_smooth=1)


def xgboost_models(frame, late):
    categories = frame[['age', 'city']].astype({'city': 'category'})
    yield 'xgboost-categories', xgboost.XGBClassifier(n_estimators=6, max_depth=3, enable_categorical=True).fit(categories, late)


def init(kind, name, path, shard):
    main = ROOT.parent.parent / 'dist/bundle/main.js'
    output = ROOT / f'init-{name}'
    subprocess.run(['node', main, 'init', shard, f'--{kind}', path, '--output', output, '--overwrite'], check=True, stdout=sys.stderr)


if __name__ == '__main__':
    chosen = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        train, late = people(1500, 1, ['Basel', 'Bern', 'Genf'], [1, 2.5, numpy.nan])
        shard = f'{folder}/people.parquet'
        others = people(150, 2, ['Basel', 'Bern', 'Genf', 'Chur'], [1, 2.5, numpy.nan, 9])[0]
        write(others, shard)
        odd = f'{folder}/odd.parquet'
        others.rename(columns=ODD).to_parquet(odd, index=False)
        for name, model in sklearn_models(train, late):
            joblib.dump(model, f'{folder}/model.joblib', compress=3)
            if not chosen or name in chosen:
                init('sklearn', name, f'{folder}/model.joblib', odd if name == 'sklearn-names' else shard)
        for name, model in lightgbm_models(train, late):
            model.save_model(f'{folder}/model.txt')
            if not chosen or name in chosen:
                init('lightgbm', name, f'{folder}/model.txt', shard)
        for name, model in xgboost_models(train, late):
            model.save_model(f'{folder}/model.json')
            # XGBoost refuses what it has not seen, and so does the contract.
            known = f'{folder}/known.parquet'
            people(150, 3, ['Basel', 'Bern', 'Genf'], [1, 2.5])[0].to_parquet(known, index=False)
            if not chosen or name in chosen:
                init('xgboost', name, f'{folder}/model.json', known)
