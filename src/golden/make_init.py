"""Makes the folders init-* beside this file: models as their libraries save them, turned into model folders by `tandem init`.

    /tmp/golden/bin/pip install xgboost==3.2.0                     # beside what make.py needs
    npm run build && /tmp/golden/bin/python src/golden/make_init.py

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
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

ROOT = Path(__file__).parent
NUMBERS = ['age', 'income', 'visits']
TEXTS = ['city', 'plan']
# Names that are no identifiers, or those of a graph's own, and one that a made-up name must not take.
ODD = {'age': 'user\'s "age"', 'income': 'spend, €', 'visits': 'variable', 'member': 'c0', 'city': 'a.b', 'plan': 'a b'}


def people(count, seed, cities):
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
    yield 'sklearn-lightgbm', Pipeline([('columns', encoder), ('model', model)]).fit(frame.drop(columns='userId'), words)
    ordinal = OrdinalEncoder(handle_unknown='use_encoded_value', unknown_value=-1, encoded_missing_value=-1)
    encoder = ColumnTransformer([('texts', ordinal, TEXTS), ('numbers', 'passthrough', NUMBERS)])
    yield 'sklearn-ordinal', make_pipeline(encoder, HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=6)).fit(frame, late)
    steps = ColumnTransformer([
        ('texts', texts, [ODD['city'], ODD['plan']]),
        ('numbers', make_pipeline(SimpleImputer(), StandardScaler()), [ODD['age'], ODD['income'], 'variable', 'c0']),
    ])
    yield 'sklearn-names', make_pipeline(steps, LogisticRegression(max_iter=1000)).fit(frame.rename(columns=ODD), late)
    yield 'sklearn-forest', RandomForestClassifier(6, max_depth=4, random_state=0).fit(frame[NUMBERS].fillna(0), late)


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
    with tempfile.TemporaryDirectory() as folder:
        train, late = people(1500, 1, ['Basel', 'Bern', 'Genf'])
        shard = f'{folder}/people.parquet'
        people(150, 2, ['Basel', 'Bern', 'Genf', 'Chur'])[0].to_parquet(shard, index=False)
        odd = f'{folder}/odd.parquet'
        pandas.read_parquet(shard).rename(columns=ODD).to_parquet(odd, index=False)
        for name, model in sklearn_models(train, late):
            joblib.dump(model, f'{folder}/model.joblib', compress=3)
            init('sklearn', name, f'{folder}/model.joblib', odd if name == 'sklearn-names' else shard)
        for name, model in lightgbm_models(train, late):
            model.save_model(f'{folder}/model.txt')
            init('lightgbm', name, f'{folder}/model.txt', shard)
        for name, model in xgboost_models(train, late):
            model.save_model(f'{folder}/model.json')
            # XGBoost refuses what it has not seen, and so does the contract.
            known = f'{folder}/known.parquet'
            people(150, 3, ['Basel', 'Bern', 'Genf'])[0].to_parquet(known, index=False)
            init('xgboost', name, f'{folder}/model.json', known)
