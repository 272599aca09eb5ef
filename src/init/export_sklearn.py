"""scikit-learn to ONNX, by skl2onnx: one input for each column where a pipeline takes columns apart, one tensor otherwise."""
import copy
import pickle
import re

import joblib
import numpy
import onnx
import pandas
import scipy.sparse
import sklearn
from skl2onnx import to_onnx
from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType, StringTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline

from export_trees import Exported, named
from fold_sklearn import NotFolded, fold, is_missing, rare_text
from patch_skl2onnx import patch_skl2onnx
from refused import Refused

OPSET = {'': 17, 'ai.onnx.ml': 3}
TENSORS = {'number': FloatTensorType, 'integer': Int64TensorType, 'bool': BooleanTensorType, 'text': StringTensorType}


class Column:
    """What a pipeline does with one column first."""

    def __init__(self):
        self.kind = 'number'
        # What a null becomes before all else, where an imputer stands before an encoder.
        self.fill = None
        # How the table of the training had them: an encoder that has seen None does not know NaN.
        self.is_object, self.null = False, numpy.nan
        self.categories = None
        self.center, self.scale = 0.0, 1.0

    def dtype(self):
        """Where there are nulls."""
        return object if self.is_object or self.kind == 'text' else numpy.float64

    def spare(self):
        """A value that is in no category."""
        if self.kind == 'text':
            return rare_text(self.categories or [])
        return int(max([value for value in self.categories if not is_missing(value)], default=0)) + 1


class Walk:
    """Goes through a fitted copy of the model, column by column, and takes out imputers that the contract replaces."""

    def __init__(self, names):
        self.columns = {name: Column() for name in names}
        self.splits = False
        # Columns that a ColumnTransformer in front does not drop.
        self.used = list(names)
        # Why the converter would be wrong, if it is asked.
        self.refused = None

    def visit(self, step, names):
        if isinstance(step, Pipeline):
            self.visit_pipeline(step, names)
        elif isinstance(step, ColumnTransformer):
            self.splits = True
            if len(names) == len(self.columns):
                self.used = self.used_by(step, names)
            for name, (transformer, places) in self.parts(step).items():
                self.visit(transformer, [names[place] for place in places])
            # By number: inputs of the graph are not always called as the columns are.
            places = step._transformer_to_input_indices
            step.transformers_ = [(name, part, [int(place) for place in places.get(name, [])]) for name, part, _ in step.transformers_]
        elif isinstance(step, FeatureUnion):
            for _, transformer in step.transformer_list:
                self.visit(transformer, names)
        elif hasattr(step, 'categories_'):
            for index, name in enumerate(names[:len(step.categories_)]):
                self.note_categories(step, index, self.columns[name])
        elif hasattr(step, 'vocabulary_'):
            for name in names:
                self.columns[name].kind = 'text'
        elif isinstance(step, SimpleImputer) and is_of_texts(step):
            for name in names:
                self.columns[name].kind = 'text'
        elif getattr(step, 'mean_', None) is not None and getattr(step, 'scale_', None) is not None:
            for index, name in enumerate(names[:len(step.mean_)]):
                self.columns[name].center, self.columns[name].scale = float(step.mean_[index]), float(step.scale_[index])

    def parts(self, step):
        places = step._transformer_to_input_indices
        return {name: (part, places[name]) for name, part, _ in step.transformers_ if name in places and not isinstance(part, str)}

    def used_by(self, step, names):
        places = step._transformer_to_input_indices
        used = {place for name, part, _ in step.transformers_ if name in places and part != 'drop' for place in places[name]}
        return [name for index, name in enumerate(names) if index in used]

    def visit_pipeline(self, pipeline, names):
        steps = [step for step in pipeline.steps if step[1] not in (None, 'passthrough')]
        if len(steps) > 1 and self.is_replaceable(steps[0][1], steps[1][1]):
            imputer = steps[0][1]
            for index, name in enumerate(names[:len(imputer.statistics_)]):
                self.columns[name].fill = imputer.statistics_[index]
            pipeline.steps = steps = steps[1:]
        first = steps[0][1]
        self.visit(first, names)
        # Statistics of an imputer say where the values of a column lie; a scaler behind it says it better.
        if isinstance(first, SimpleImputer) and not is_of_texts(first) and not first.add_indicator and len(steps) > 1:
            for index, name in enumerate(names[:len(first.statistics_)]):
                if not is_missing(first.statistics_[index]):
                    self.columns[name].center = float(first.statistics_[index])
            self.visit(steps[1][1], names)

    def is_replaceable(self, step, following):
        """skl2onnx has no imputer of texts; in front of an encoder the contract's "missing" is the same."""
        return isinstance(step, SimpleImputer) and not step.add_indicator and hasattr(following, 'categories_') \
            and is_missing(step.missing_values) and not any(is_missing(value) for value in step.statistics_)

    def note_categories(self, encoder, index, column):
        categories = list(encoder.categories_[index])
        present = [value for value in categories if not is_missing(value)]
        if any(isinstance(value, str) for value in present):
            column.kind = 'text'
        elif present and all(isinstance(value, (bool, numpy.bool_)) for value in present):
            column.kind = 'bool'
        elif all(float(value).is_integer() for value in present):
            column.kind = 'integer'
        column.categories = categories
        column.is_object = encoder.categories_[index].dtype == object
        if any(value is None for value in categories):
            column.null = None
        if len(present) == len(categories):
            return
        if column.kind != 'text':
            self.refused = Refused(
                f'{type(encoder).__name__} has a null among categories that are numbers, which skl2onnx does not know',
                'Put a SimpleImputer with a fill_value in front of it.',
            )
            return
        # A null that has a category of its own: by a text, since ONNX has no null.
        column.fill = rare_text(present)
        if not hasattr(encoder, 'encoded_missing_value'):
            encoder.categories_[index] = numpy.array([column.fill if is_missing(value) else value for value in categories], dtype=object)
            return
        # An OrdinalEncoder gives it no position but a number, which the converter does not know; it knows that of the unknown.
        null, unknown = encoder.encoded_missing_value, encoder.unknown_value
        if encoder.handle_unknown != 'use_encoded_value' or not (null == unknown or (is_missing(null) and is_missing(unknown))):
            self.refused = Refused(
                f'an OrdinalEncoder makes {null} of a null and {unknown} of what it does not know; skl2onnx has only one number for both',
                'Put a SimpleImputer with a fill_value in front of it, or give both the same number.',
            )
        encoder.categories_[index] = numpy.array(present, dtype=object)


def is_of_texts(imputer):
    """Its statistics are objects too where it was given a whole number for columns of another type."""
    return any(isinstance(value, str) for value in imputer.statistics_)


# What made-up numbers become until the model takes them: behind a logarithm some would be NaN.
CHANGES = (numpy.copy, numpy.abs, numpy.ones_like)


class SklearnFile(Exported):
    def __init__(self, path):
        super().__init__()
        patch_skl2onnx()
        try:
            self.model = joblib.load(path)
        except ModuleNotFoundError as error:
            raise Refused(
                f'the file needs the Python module {error.name}, which this environment does not have',
                'Export it where it was trained (skl2onnx.to_onnx), and give model.onnx to `tandem init --model`.',
            ) from error
        except (pickle.UnpicklingError, EOFError, ValueError, KeyError, AttributeError) as error:
            raise Refused(f'the file cannot be loaded: {type(error).__name__}: {error}', 'Save the model anew with joblib.dump.') from error
        if not hasattr(self.model, 'fit'):
            raise Refused(f'the file holds a {type(self.model).__name__}, not a model', 'Save the fitted pipeline itself with joblib.dump.')
        if getattr(getattr(self.model, 'booster_', None), 'pandas_categorical', None):
            raise Refused(
                f'the file holds a {type(self.model).__name__} that was trained with categories of pandas, which skl2onnx does not know',
                'Write it with model.booster_.save_model("model.txt"), then: tandem init --lightgbm model.txt.',
            )
        # A search is what it has found.
        self.model = getattr(self.model, 'best_estimator_', self.model)
        self.library = f'scikit-learn {sklearn.__version__}'
        given = getattr(self.model, 'feature_names_in_', None)
        self.known = given is not None
        self.width = int(getattr(self.model, 'n_features_in_', 0))
        if self.width == 0:
            raise Refused('the model does not say how many columns it takes (n_features_in_)', 'Fit it with a newer scikit-learn.')
        self.names = [str(name) for name in given] if self.known else [f'x{index}' for index in range(self.width)]
        refuse_sklearn(self.final(self.model))
        self.changed = copy.deepcopy(self.model)
        walk = Walk(self.names)
        walk.visit(self.changed, self.names)
        self.folded = self.fold()
        if self.folded is None and walk.refused is not None:
            raise walk.refused
        self.columns = {name: walk.columns[name] for name in walk.used}
        kinds = {column.kind for column in self.columns.values()}
        self.apart = walk.splits or len(kinds) > 1
        self.input_names = dict(zip(self.names, safe_names(self.names)))
        self.kind = 'number' if self.apart else kinds.pop()
        self.objects = {name: column.null for name, column in self.columns.items() if column.is_object}
        self.nullable = set()
        self.change = next((change for change in CHANGES if self.takes(change)), CHANGES[0])
        self.nullable = {name for name in self.columns if self.takes_null(name)}
        self.inputs = self.describe_inputs() if self.folded is None else self.describe_folded()
        self.score_names = list(self.scores(self.make_rows(list(self.columns), 2, numpy.random.default_rng(0), holes=False)))
        classes = getattr(self.model, 'classes_', None)
        if classes is not None and not isinstance(classes, list):
            self.notes.append(f'classes in the order of the probabilities: {", ".join(map(str, classes[:20]))}')

    def final(self, model):
        return model.steps[-1][1] if isinstance(model, Pipeline) else model

    def fold(self):
        """None where the pipeline is exported whole; a note says why."""
        if not isinstance(self.model, Pipeline) or not self.known:
            return None
        try:
            return fold(self.model, self.names)
        except NotFolded as reason:
            self.notes.append(f'the steps before the estimator are part of model.onnx, which is slower where they take texts: {reason}')
            return None

    def describe_folded(self):
        return [{'name': 'x', 'features': [lane.feature(lane.name in self.nullable) for lane in self.folded.lanes]}]

    def describe_inputs(self):
        features = []
        for name, column in self.columns.items():
            feature = {'name': name, 'kind': column.kind}
            if column.fill is not None:
                feature['missing'] = column.fill if isinstance(column.fill, str) else float(column.fill)
            elif name in self.nullable:
                # NaN is what scikit-learn saw; an encoder that ignores what it does not know ignores this as well.
                has_nan = column.kind == 'number'
                feature['missing'] = 'nan' if has_nan else column.spare()
            features.append(feature)
        if self.apart:
            return [{'name': self.input_names[feature['name']], 'features': [feature]} for feature in features]
        return [{'name': 'x', 'features': features if self.known else None, 'missing': features[0].get('missing')}]

    def takes(self, change):
        self.change = change
        try:
            self.scores(self.make_rows(list(self.columns), 1_000, numpy.random.default_rng(0), holes=False))
        except ValueError:
            return False
        return True

    def takes_null(self, name):
        row = self.make_rows(list(self.columns), 1, numpy.random.default_rng(0), holes=False)
        row[name] = pandas.Series([self.columns[name].null], dtype=self.columns[name].dtype())
        try:
            self.scores(row)
        except (ValueError, TypeError):
            return False
        return True

    def convert(self):
        source = self.changed
        if self.folded is not None:
            source, types = self.folded.rest, [('x', FloatTensorType([None, self.folded.width]))]
        elif self.apart:
            # The converter counts columns from the first one, dropped ones included.
            kinds = {name: self.columns[name].kind if name in self.columns else 'number' for name in self.names}
            types = [(self.input_names[name], TENSORS[kind]([None, 1])) for name, kind in kinds.items()]
        else:
            types = [('x', TENSORS[self.kind]([None, self.width]))]
        final = self.final(source)
        options = {'zipmap': False} if hasattr(final, 'classes_') else None
        try:
            model = to_onnx(source, initial_types=types, target_opset=OPSET, options=options)
        except (MissingConverter, MissingShapeCalculator) as error:
            step = str(error).split("'")[1] if "'" in str(error) else str(error)
            raise Refused(
                f'skl2onnx has no converter for {step}',
                'Do this step in the shards or by "sql" in tandem.json, or register a converter for it (skl2onnx.update_registered_converter).',
            ) from error
        except Refused:
            raise
        except Exception as error:
            step, said = failed_step(error), str(error).splitlines()[0] if str(error) else type(error).__name__
            raise Refused(
                f'skl2onnx cannot convert {step or "this model"}: {said}',
                'Change its options, or do this step in the shards or by "sql" in tandem.json.' if step else 'Simplify the model.',
            ) from error
        if type(final).__module__.startswith('xgboost') and self.is_sparse():
            miss_zeros(model)
        drop_unread(model, {self.input_names[name] for name in self.columns} if self.apart and self.folded is None else {'x'})
        return named(model, list(self.columns)) if self.known and self.folded is None else model

    def is_sparse(self):
        """Whether the estimator gets a sparse matrix, which depends on the training."""
        if not isinstance(self.model, Pipeline) or len(self.model.steps) == 1:
            return False
        row = self.make_rows(list(self.columns), 1, numpy.random.default_rng(0), holes=False)
        return scipy.sparse.issparse(self.model[:-1].transform(self.values(row)))

    def values(self, frame):
        # As notebooks have numbers; some models take those that they were trained with only.
        frame = frame.reindex(columns=self.names).astype({name: numpy.float64 for name in frame if frame[name].dtype == numpy.float32})
        return frame if self.known else frame.to_numpy()

    def scores(self, frame):
        """By the names that skl2onnx gives the outputs."""
        values = self.values(frame)
        if hasattr(self.model, 'classes_') and hasattr(self.model, 'predict'):
            scores = {'label': self.model.predict(values)}
            if hasattr(self.model, 'predict_proba'):
                scores['probabilities'] = self.model.predict_proba(values)
            return scores
        if hasattr(self.model, 'predict'):
            final = self.final(self.model)
            is_label = getattr(final, '_estimator_type', None) in ('clusterer', 'outlier_detector') or hasattr(final, 'fit_predict')
            return {'label' if is_label else 'variable': self.model.predict(values)}
        result = self.model.transform(values)
        return {'variable': result.toarray() if hasattr(result, 'toarray') else result}

    def make_rows(self, names, count, random, holes=True):
        columns = {}
        for name in names:
            column = self.columns[name]
            if column.categories is not None or column.kind == 'text':
                choices = [value for value in column.categories or ['some words', 'other words'] if not is_missing(value)] or [0]
                values = [choices[at] for at in random.integers(0, len(choices), count)]
                series = pandas.Series(values, dtype=object if column.dtype() == object else None)
            else:
                values = column.center + column.scale * random.normal(size=count)
                series = pandas.Series(self.change(values).astype(numpy.float32))
            if holes and name in self.nullable:
                holed = [column.null if is_hole else value for value, is_hole in zip(series, random.random(count) < 0.05)]
                series = pandas.Series(holed, dtype=column.dtype())
            columns[name] = series
        return pandas.DataFrame(columns)


def failed_step(error):
    """Class of the step whose converter raised."""
    step, traceback = None, error.__traceback__
    while traceback is not None:
        operator = traceback.tb_frame.f_locals.get('operator')
        if hasattr(operator, 'raw_operator'):
            step = type(operator.raw_operator).__name__
        traceback = traceback.tb_next
    return step


def refuse_sklearn(final):
    """@raises Refused for what skl2onnx converts wrongly, without a word"""
    is_categorical = getattr(final, 'is_categorical_', None)
    if is_categorical is not None and numpy.any(is_categorical):
        raise Refused(
            f'skl2onnx takes the categorical_features of a {type(final).__name__} for numbers in an order',
            'Train with categorical_features=None behind an OrdinalEncoder, or with LightGBM and categories of pandas (--lightgbm).',
        )


def safe_names(names):
    """Names of the graph's inputs. skl2onnx rewrites what is no identifier for the nodes, and leaves it as it is for the graph."""
    taken = {*names, 'label', 'probabilities', 'variable'}
    safe = []
    for index, name in enumerate(names):
        # Outputs have these names.
        is_safe = re.fullmatch('[A-Za-z_][A-Za-z0-9_]*', name) and name not in ('label', 'probabilities', 'variable')
        free = f'c{index}'
        while not is_safe and free in taken:
            free += '_'
        safe.append(name if is_safe else free)
        taken.add(safe[-1])
    return safe


def miss_zeros(model):
    """XGBoost takes what a sparse matrix leaves out, its zeros, for missing values; the tensor that its trees get has them."""
    for name, value in [('zero', 0.0), ('missing', numpy.nan)]:
        model.graph.initializer.append(onnx.numpy_helper.from_array(numpy.array(value, numpy.float32), name))
    nodes = []
    for node in model.graph.node:
        if node.op_type.startswith('TreeEnsemble'):
            [values] = node.input
            node.input[:] = [f'{values}_or_missing']
            nodes += [
                onnx.helper.make_node('Equal', [values, 'zero'], [f'{values}_is_zero']),
                onnx.helper.make_node('Where', [f'{values}_is_zero', 'missing', values], [f'{values}_or_missing']),
            ]
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def drop_unread(model, names):
    """Without inputs of columns that the pipeline drops: no shard needs them."""
    kept = [value for value in model.graph.input if value.name in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)
