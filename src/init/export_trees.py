"""LightGBM and XGBoost to ONNX, by onnxmltools, where that is right; its faults are mended here or refused."""
import copy
import json
import math

import numpy
import onnx
import pandas

from refused import Refused

OPSET = 15
# Without it the exporters make up another one each time, and an output folder takes that for another model.
GRAPH = 'model'


class Exported:
    """What export.py asks of a model.

    library: name and version. inputs: [{"name", "features"}], a feature: {"name", "kind": "number" | "text" | "category",
    and as the contract has them "missing", "categories"}; features null: the model knows no names, only how many.
    score_names: outputs of the ONNX model that scores() gives. notes: what a person should know. objects: features that
    are Python's objects in the table that scores() takes, and what a null of them is there; of texts that are not here NaN.
    """
    score_names = ()
    objects = {}

    def __init__(self):
        self.notes = []


def named(model, names):
    """The model file keeps the names too, for whoever meets it without its contract."""
    entry = model.metadata_props.add()
    entry.key, entry.value = 'feature_names', json.dumps(names)
    return model


def declare_width(model, output, width):
    """onnxmltools declares [N, 1] for the probabilities of two classes."""
    for value in model.graph.output:
        if value.name == output:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            shape.dim.add().dim_param = 'N'
            shape.dim.add().dim_value = width
    return model


def float_floor(value):
    """The largest float32 that is not above: then `x <= value` and `x <= float_floor(value)` are the same for every float32 x."""
    rounded = numpy.float32(value)
    return float(rounded if float(rounded) <= value else numpy.nextafter(rounded, numpy.float32(-numpy.inf)))


# LightGBM

IDENTITY = ('regression', 'regression_l1', 'huber', 'fair', 'quantile', 'mape', 'lambdarank', 'rank_xendcg', 'custom')
EXPONENTIAL = ('poisson', 'gamma', 'tweedie')


class PatchedBooster:
    """A booster whose dump says for ONNX what LightGBM does; onnxmltools takes it for a mock."""
    is_mock = True
    params = {}

    def __init__(self, booster):
        self._names = booster.feature_name()
        self._dump = patched_dump(booster)

    def dump_model(self, **_):
        # onnxmltools writes into it.
        return copy.deepcopy(self._dump)

    def feature_name(self):
        return self._names


def patched_dump(booster):
    dump = booster.dump_model()
    words = (dump.get('objective') or 'custom').split(' ')
    objective, options = words[0], dict(word.split(':', 1) for word in words[1:] if ':' in word)
    other = 'Predict raw scores elsewhere, or train with another objective.'
    if objective in IDENTITY and 'sqrt' not in words:
        dump['objective'] = 'regression'
    elif objective in EXPONENTIAL:
        dump['objective'] = 'poisson'
    elif objective in ('binary', 'multiclass'):
        dump['objective'] = objective
    else:
        raise Refused(f"LightGBM's objective {' '.join(words)} has no form in ONNX that onnxmltools writes rightly", other)
    trees = dump['tree_info']
    if '\nis_linear=1' in booster.model_to_string():
        raise Refused('trees with linear leaves (linear_tree) have no form in ONNX', 'Train with linear_tree=false.')
    # A random forest (boosting=rf) gives the mean of its trees.
    scale = float(dump['num_tree_per_iteration']) / len(trees) if dump.get('average_output') else 1.0
    if objective == 'binary':
        scale *= float(options.get('sigmoid', 1))
    for tree in trees:
        patch_node(tree['tree_structure'], scale)
    return dump


def patch_node(root, scale):
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if 'leaf_value' in node:
            node['leaf_value'] *= scale
            continue
        nodes += [node['left_child'], node['right_child']]
        if node['missing_type'] == 'Zero':
            raise Refused(
                'the model was trained with zero_as_missing=true, which ONNX cannot say',
                'Train with NaN for what is missing, and zero_as_missing=false.',
            )
        if node['decision_type'] == '==':
            # NaN, and whatever is in no category, goes to the right (Tree::CategoricalDecision).
            node['default_left'] = False
        else:
            threshold = float(node['threshold'])
            if node['missing_type'] == 'None':
                # NaN counts as 0 (Tree::NumericalDecision).
                node['default_left'], node['missing_type'] = 0 <= threshold, 'NaN'
            node['threshold'] = float_floor(threshold)


def patched_model(fitted):
    """An LGBMModel, or a Booster, as onnxmltools takes it."""
    from onnxmltools.convert.lightgbm._parse import WrappedBooster

    wrapped = WrappedBooster(PatchedBooster(getattr(fitted, 'booster_', fitted)))
    if hasattr(fitted, 'classes_'):
        wrapped.classes_ = fitted.classes_
    return wrapped


class LightGbmFile(Exported):
    def __init__(self, path):
        super().__init__()
        import lightgbm

        self.library = f'lightgbm {lightgbm.__version__}'
        self.booster = lightgbm.Booster(model_file=path, params={'num_threads': 1, 'verbosity': -1})
        self.dump = self.booster.dump_model()
        self.names = self.booster.feature_name()
        self.objective = (self.dump.get('objective') or 'custom').split(' ')[0]
        self.classes = max(2, self.dump['num_class']) if self.objective in ('binary', 'multiclass') else 0
        self.score_names = ['label', 'probabilities'] if self.classes else ['variable']
        splits = split_nodes(self.dump)
        self.categorical = sorted({node['split_feature'] for node in splits if node['decision_type'] == '=='})
        self.inputs = [{'name': 'x', 'features': self.features()}]
        if self.objective == 'custom':
            self.notes.append('the file names no objective: scores are raw sums of leaves, as Booster.predict gives them')

    def features(self):
        """Columns that were a pandas category are texts or numbers in the shards; LightGBM keeps their lists in order."""
        lists = self.booster.pandas_categorical or []
        places = [index for index, info in enumerate(self.feature_infos()) if info] if lists else []
        if lists and len(places) != len(lists):
            raise Refused(
                f'{len(lists)} columns were categories in pandas, and {len(places)} are in the trees: which is which is not in the file',
                'Train with categories as whole numbers.',
            )
        named_lists = dict(zip(places, lists))
        features = []
        for index, name in enumerate(self.names):
            if index in named_lists:
                # Both an unknown category and a null go where "no listed category" goes.
                features.append({'name': name, 'kind': 'category', 'categories': named_lists[index]})
            else:
                features.append({'name': name, 'kind': 'number', 'missing': 'nan'})
        return features

    def feature_infos(self):
        """For each feature whether it is categorical: the text of the model lists its categories as 1:2:3, a range as [a:b]."""
        line = next(line for line in self.booster.model_to_string().split('\n') if line.startswith('feature_infos='))
        return [info != 'none' and not info.startswith('[') for info in line.split('=', 1)[1].split(' ')]

    def convert(self):
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        types = [('x', FloatTensorType([None, len(self.names)]))]
        model = convert_lightgbm(patched_model(self.booster), initial_types=types, target_opset=OPSET, zipmap=False, name=GRAPH)
        return named(declare_width(model, 'probabilities', self.classes), self.names)

    def scores(self, frame):
        frame = frame[self.names].copy()
        for feature in self.inputs[0]['features']:
            if feature['kind'] == 'category':
                frame[feature['name']] = pandas.Categorical(frame[feature['name']], categories=feature['categories'])
            else:
                frame[feature['name']] = frame[feature['name']].astype(numpy.float64)
        scores = self.booster.predict(frame)
        if not self.classes:
            return {'variable': scores}
        if scores.ndim == 1:
            scores = numpy.stack([1 - scores, scores], axis=1)
        return {'label': scores.argmax(axis=1), 'probabilities': scores}

    def make_rows(self, names, count, random):
        return rows_around(names, self.names, thresholds_of(split_nodes(self.dump)), self.inputs[0]['features'], count, random)


def split_nodes(dump):
    nodes, splits = [tree['tree_structure'] for tree in dump['tree_info']], []
    while nodes:
        node = nodes.pop()
        if 'split_feature' in node:
            splits.append(node)
            nodes += [node['left_child'], node['right_child']]
    return splits


def thresholds_of(splits):
    thresholds = {}
    for node in splits:
        if node['decision_type'] == '==':
            values = [float(category) for category in str(node['threshold']).split('||')]
        else:
            values = [float(node['threshold'])]
        thresholds.setdefault(node['split_feature'], []).extend(values)
    return thresholds


def rows_around(names, order, thresholds, features, count, random):
    """Made-up rows that fall on both sides of the trees' thresholds; some values are missing."""
    columns = {}
    for name in names:
        index = order.index(name)
        feature = features[index] if features is not None else {'kind': 'number', 'missing': 'nan'}
        if feature['kind'] == 'category':
            choices = [*feature['categories'], None]
            columns[name] = pandas.Series([choices[at] for at in random.integers(0, len(choices), count)], dtype=object)
            continue
        known = numpy.array(thresholds.get(index, [0.0]), numpy.float64)
        known = known[numpy.isfinite(known) & (numpy.abs(known) < 1e30)]
        known = known if len(known) > 0 else numpy.zeros(1)
        spread = max(float(numpy.std(known)), 1e-3 * float(numpy.max(numpy.abs(known))), 1e-6)
        values = random.choice(known, count)
        # Some lie on a threshold, which tells < from <=.
        values = numpy.where(random.random(count) < 0.3, values, values + spread * random.normal(size=count))
        columns[name] = numpy.where(random.random(count) < 0.05, numpy.nan, values).astype(numpy.float32)
    return pandas.DataFrame(columns)


# XGBoost

CLASSIFIERS = ('binary:logistic', 'multi:softprob', 'multi:softmax')
REGRESSORS = ('reg:squarederror', 'reg:absoluteerror', 'reg:pseudohubererror', 'reg:linear', 'count:poisson', 'reg:gamma', 'reg:tweedie')


def refuse_xgboost(booster):
    """@raises Refused for what onnxmltools converts wrongly"""
    learner = json.loads(booster.save_config())['learner']
    objective = learner['objective']['name']
    kind = learner['gradient_booster']['name']
    if kind != 'gbtree':
        raise Refused(f'booster {kind} has no form in ONNX that onnxmltools writes rightly', 'Train with booster="gbtree".')
    if objective not in CLASSIFIERS + REGRESSORS:
        raise Refused(
            f"XGBoost's objective {objective} has no form in ONNX that onnxmltools writes rightly",
            f"Train with one of {', '.join(CLASSIFIERS + REGRESSORS)}.",
        )
    trees = learner['gradient_booster']['gbtree_train_param']
    parallel = int(learner['gradient_booster'].get('gbtree_model_param', {}).get('num_parallel_tree', trees.get('num_parallel_tree', 1)))
    if parallel > 1 and objective.startswith('multi:'):
        raise Refused('several trees per class and round (num_parallel_tree) are mixed up by onnxmltools', 'Train with num_parallel_tree=1.')
    if int(learner['learner_model_param'].get('num_target', 1)) > 1:
        raise Refused('several targets are not converted rightly by onnxmltools', 'Train one model for each target.')
    if objective == 'multi:softmax':
        # It only decides what predict() gives: the trees are the same.
        booster.set_param({'objective': 'multi:softprob'})
    return objective


class XgboostFile(Exported):
    def __init__(self, path):
        super().__init__()
        import xgboost

        self.library = f'xgboost {xgboost.__version__}'
        booster = xgboost.Booster(model_file=path, params={'nthread': 1})
        self.objective = refuse_xgboost(booster)
        self.names = booster.feature_names
        self.width = booster.num_features()
        self.is_classifier = self.objective in CLASSIFIERS
        self.fitted = (xgboost.XGBClassifier if self.is_classifier else xgboost.XGBRegressor)(n_jobs=1)
        self.fitted.load_model(path)
        stopped = self.fitted.get_booster().attributes().get('best_iteration')
        if stopped is not None:
            self.notes.append(f'training stopped early: trees up to round {stopped} count, as in XGBModel.predict')
        self.score_names = ['label', 'probabilities'] if self.is_classifier else ['variable']
        self.types = booster.feature_types or []
        if 'c' in self.types and not self.names:
            raise Refused('categorical features without names cannot be told from others', 'Train with a DataFrame, whose columns have names.')
        self.inputs = [{'name': 'x', 'features': self.features() if self.names else None, 'missing': 'nan'}]

    def features(self):
        """Categories that are not their own positions become these; a null among them has no position."""
        booster = self.fitted.get_booster()
        lists = {}
        if 'c' in self.types and hasattr(booster, 'get_categories'):
            known = booster.get_categories(export_to_arrow=True).to_arrow() or []
            lists = {name: values.to_pylist() for name, values in known if values is not None}
        features = []
        for name, kind in zip(self.names, self.types or [None] * self.width):
            categories = lists.get(name)
            if categories is not None and categories != list(range(len(categories))):
                features.append({'name': name, 'kind': 'category', 'categories': categories, 'unknown': 'error'})
                continue
            if kind == 'c' and categories is None:
                self.notes.append(f'{name} holds categories whose list is not in the file: the shards must have the positions that training saw')
            features.append({'name': name, 'kind': 'number', 'missing': 'nan'})
        return features

    def scores_of_codes(self, frame):
        import xgboost

        columns = []
        for feature in self.inputs[0]['features']:
            values = frame[feature['name']]
            is_category = feature['kind'] == 'category'
            columns.append(values.map(feature['categories'].index) if is_category else values)
        codes = numpy.stack([column.to_numpy(numpy.float32) for column in columns], axis=1)
        matrix = xgboost.DMatrix(codes, feature_names=self.names, feature_types=self.types)
        booster = self.fitted.get_booster()
        stopped = booster.attributes().get('best_iteration')
        return booster.predict(matrix, iteration_range=(0, 0 if stopped is None else int(stopped) + 1))

    def convert(self):
        from onnxmltools import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType

        types = [('x', FloatTensorType([None, self.width]))]
        fitted = copy.deepcopy(self.fitted)
        unname(fitted)
        model = convert_xgboost(fitted, initial_types=types, target_opset=OPSET, name=GRAPH)
        if self.is_classifier:
            declare_width(model, 'probabilities', len(fitted.classes_))
        return named(model, self.names) if self.names else model

    def scores(self, frame):
        if 'c' in self.types:
            scores = self.scores_of_codes(frame)
            if not self.is_classifier:
                return {'variable': scores}
            scores = numpy.stack([1 - scores, scores], axis=1) if scores.ndim == 1 else scores
            return {'label': scores.argmax(axis=1), 'probabilities': scores}
        frame = (frame[self.names] if self.names else frame).astype(numpy.float32)
        values = frame if self.names else frame.to_numpy()
        if not self.is_classifier:
            return {'variable': self.fitted.predict(values)}
        return {'label': self.fitted.predict(values), 'probabilities': self.fitted.predict_proba(values)}

    def make_rows(self, names, count, random):
        thresholds = {}
        table = unnamed_copy(self.fitted).get_booster().trees_to_dataframe()
        for row in table.itertuples():
            if row.Feature == 'Leaf':
                continue
            is_category = isinstance(row.Category, list)
            thresholds.setdefault(int(row.Feature[1:]), []).extend(row.Category if is_category else [row.Split])
        features = self.inputs[0]['features']
        rows = rows_around(names, self.names or names, thresholds, features, count, random)
        for name, kind in zip(self.names or [], self.types):
            if kind == 'c' and features[self.names.index(name)]['kind'] == 'number':
                rows[name] = random.choice(thresholds.get(self.names.index(name), [0]), count).astype(numpy.float32)
        return rows


def unname(fitted):
    """onnxmltools takes features by number only."""
    fitted.get_booster().feature_names = None


def unnamed_copy(fitted):
    copied = copy.deepcopy(fitted)
    unname(copied)
    return copied
