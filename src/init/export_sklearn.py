"""scikit-learn to ONNX, by skl2onnx: one input for each column where a pipeline takes columns apart, one tensor otherwise."""
import copy
import pickle
import re
import sys

import joblib
import numpy
import onnx.helper
import pandas
import sklearn
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType, StringTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline

from export import Refused
from export_trees import Exported, named, patched_model, refuse_xgboost, unname

OPSET = {'': 17, 'ai.onnx.ml': 3}
TENSORS = {'number': FloatTensorType, 'integer': Int64TensorType, 'bool': BooleanTensorType, 'text': StringTensorType}


def is_missing(value):
    return value is None or value is pandas.NA or (isinstance(value, float) and numpy.isnan(value))


class Column:
    """What a pipeline does with one column first."""

    def __init__(self):
        self.kind = 'number'
        # What a null becomes before all else, where an imputer stands before an encoder.
        self.fill = None
        self.categories = None
        self.center, self.scale = 0.0, 1.0

    def spare(self):
        """A value that is in no category."""
        if self.kind == 'text':
            return next(text for text in ['', '<null>', '<null>\x00'] if text not in (self.categories or []))
        return int(max([value for value in self.categories if not is_missing(value)], default=0)) + 1


class Walk:
    """Goes through a fitted copy of the model, column by column, and takes out imputers that the contract replaces."""

    def __init__(self, names):
        self.columns = {name: Column() for name in names}
        self.splits = False
        # Columns that a ColumnTransformer in front does not drop.
        self.used = list(names)

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
        elif isinstance(step, SimpleImputer) and step.statistics_.dtype.kind in 'OU':
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
        if isinstance(first, SimpleImputer) and first.statistics_.dtype.kind == 'f' and not first.add_indicator and len(steps) > 1:
            for index, name in enumerate(names[:len(first.statistics_)]):
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
        if len(present) == len(categories) or column.kind != 'text':
            return
        # A null that has a category of its own: by a text, since ONNX has no null.
        column.fill = next(text for text in ['', '<null>', '<null>\x00'] if text not in present)
        if not hasattr(encoder, 'encoded_missing_value'):
            encoder.categories_[index] = numpy.array([column.fill if is_missing(value) else value for value in categories], dtype=object)
            return
        # An OrdinalEncoder gives it no position but a number, which the converter does not know; it knows that of the unknown.
        null, unknown = encoder.encoded_missing_value, encoder.unknown_value
        if encoder.handle_unknown != 'use_encoded_value' or not (null == unknown or (is_missing(null) and is_missing(unknown))):
            raise Refused(
                f'an OrdinalEncoder makes {null} of a null and {unknown} of what it does not know; skl2onnx has only one number for both',
                'Put a SimpleImputer with a fill_value in front of it, or give both the same number.',
            )
        encoder.categories_[index] = numpy.array(present, dtype=object)


class SklearnFile(Exported):
    def __init__(self, path):
        super().__init__()
        register_trees()
        plain_attributes()
        send_missing_their_way()
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
        self.library = f'scikit-learn {sklearn.__version__}'
        given = getattr(self.model, 'feature_names_in_', None)
        self.known = given is not None
        self.width = int(getattr(self.model, 'n_features_in_', 0))
        if self.width == 0:
            raise Refused('the model does not say how many columns it takes (n_features_in_)', 'Fit it with a newer scikit-learn.')
        self.names = [str(name) for name in given] if self.known else [f'x{index}' for index in range(self.width)]
        self.changed = copy.deepcopy(self.model)
        walk = Walk(self.names)
        walk.visit(self.changed, self.names)
        self.columns = {name: walk.columns[name] for name in walk.used}
        kinds = {column.kind for column in self.columns.values()}
        self.apart = walk.splits or len(kinds) > 1
        self.input_names = dict(zip(self.names, safe_names(self.names)))
        self.kind = 'number' if self.apart else kinds.pop()
        self.inputs = self.describe_inputs()
        self.score_names = list(self.scores(self.make_rows(list(self.columns), 2, numpy.random.default_rng(0), holes=False)))
        classes = getattr(self.model, 'classes_', None)
        if classes is not None and not isinstance(classes, list):
            self.notes.append(f'classes in the order of the probabilities: {", ".join(map(str, classes[:20]))}')

    def describe_inputs(self):
        features = []
        for name, column in self.columns.items():
            feature = {'name': name, 'kind': column.kind}
            if column.fill is not None:
                feature['missing'] = column.fill if isinstance(column.fill, str) else float(column.fill)
            elif self.takes_null(name):
                # NaN is what scikit-learn saw; an encoder that ignores what it does not know ignores this as well.
                has_nan = column.kind == 'number'
                feature['missing'] = 'nan' if has_nan else column.spare()
            features.append(feature)
        if self.apart:
            return [{'name': self.input_names[feature['name']], 'features': [feature]} for feature in features]
        return [{'name': 'x', 'features': features if self.known else None, 'missing': features[0].get('missing')}]

    def takes_null(self, name):
        row = self.make_rows(list(self.columns), 1, numpy.random.default_rng(0), holes=False)
        row[name] = pandas.Series([numpy.nan], dtype=object if self.columns[name].kind == 'text' else numpy.float64)
        try:
            self.scores(row)
        except (ValueError, TypeError):
            return False
        return True

    def convert(self):
        if self.apart:
            # The converter counts columns from the first one, dropped ones included.
            kinds = {name: self.columns[name].kind if name in self.columns else 'number' for name in self.names}
            types = [(self.input_names[name], TENSORS[kind]([None, 1])) for name, kind in kinds.items()]
        else:
            types = [('x', TENSORS[self.kind]([None, self.width]))]
        final = self.changed.steps[-1][1] if isinstance(self.changed, Pipeline) else self.changed
        options = {'zipmap': False} if hasattr(final, 'classes_') else None
        try:
            model = to_onnx(self.changed, initial_types=types, target_opset=OPSET, options=options)
        except (MissingConverter, MissingShapeCalculator) as error:
            step = str(error).split("'")[1] if "'" in str(error) else str(error)
            raise Refused(
                f'skl2onnx has no converter for {step}',
                'Do this step in the shards or by "sql" in tandem.json, or register a converter for it (skl2onnx.update_registered_converter).',
            ) from error
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            raise Refused(f'skl2onnx cannot convert this model: {str(error).splitlines()[0]}', 'Simplify the step that it names.') from error
        drop_unread(model, {self.input_names[name] for name in self.columns} if self.apart else {'x'})
        return named(model, list(self.columns)) if self.known else model

    def scores(self, frame):
        """By the names that skl2onnx gives the outputs."""
        # As notebooks have numbers; some models take those that they were trained with only.
        frame = frame.reindex(columns=self.names).astype({name: numpy.float64 for name in frame if frame[name].dtype == numpy.float32})
        values = frame if self.known else frame.to_numpy()
        if hasattr(self.model, 'classes_') and hasattr(self.model, 'predict'):
            scores = {'label': self.model.predict(values)}
            if hasattr(self.model, 'predict_proba'):
                scores['probabilities'] = self.model.predict_proba(values)
            return scores
        if hasattr(self.model, 'predict'):
            final = self.model.steps[-1][1] if isinstance(self.model, Pipeline) else self.model
            is_label = getattr(final, '_estimator_type', None) in ('clusterer', 'outlier_detector') or hasattr(final, 'fit_predict')
            return {'label' if is_label else 'variable': self.model.predict(values)}
        result = self.model.transform(values)
        return {'variable': result.toarray() if hasattr(result, 'toarray') else result}

    def make_rows(self, names, count, random, holes=True):
        columns = {}
        takes_null = {feature['name']: 'missing' in feature for input in getattr(self, 'inputs', []) for feature in input['features'] or []}
        for name in names:
            column = self.columns[name]
            if column.categories is not None or column.kind == 'text':
                choices = [value for value in column.categories or ['some words', 'other words'] if not is_missing(value)] or [0]
                values = [choices[at] for at in random.integers(0, len(choices), count)]
                series = pandas.Series(values, dtype=object if column.kind == 'text' else None)
            else:
                series = pandas.Series((column.center + column.scale * random.normal(size=count)).astype(numpy.float32))
            if holes and takes_null.get(name, False):
                kind = series.dtype if column.kind == 'text' else numpy.float64
                series = series.astype(kind).mask(random.random(count) < 0.05, numpy.nan)
            columns[name] = series
        return pandas.DataFrame(columns)


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


def drop_unread(model, names):
    """Without inputs of columns that the pipeline drops: no shard needs them."""
    kept = [value for value in model.graph.input if value.name in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)


def register_trees():
    """LightGBM and XGBoost as steps of a pipeline, with the same care as by themselves."""
    try:
        import lightgbm
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
        from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes, calculate_linear_regressor_output_shapes

        def convert_patched(scope, operator, container):
            operator.raw_operator = patched_model(operator.raw_operator)
            convert_lightgbm(scope, operator, container)

        update_registered_converter(
            lightgbm.LGBMClassifier, 'LightGbmLGBMClassifier', calculate_linear_classifier_output_shapes, convert_patched,
            options={'nocl': [True, False], 'zipmap': [True, False, 'columns']})
        update_registered_converter(
            lightgbm.LGBMRegressor, 'LightGbmLGBMRegressor', calculate_linear_regressor_output_shapes, convert_patched)
    except ImportError:
        pass
    try:
        import xgboost
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
        from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes, calculate_linear_regressor_output_shapes

        def convert_checked(scope, operator, container):
            operator.raw_operator = copy.deepcopy(operator.raw_operator)
            refuse_xgboost(operator.raw_operator.get_booster())
            unname(operator.raw_operator)
            convert_xgboost(scope, operator, container)

        update_registered_converter(
            xgboost.XGBClassifier, 'XGBoostXGBClassifier', calculate_linear_classifier_output_shapes, convert_checked,
            options={'nocl': [True, False], 'zipmap': [True, False, 'columns']})
        update_registered_converter(
            xgboost.XGBRegressor, 'XGBoostXGBRegressor', calculate_linear_regressor_output_shapes, convert_checked)
    except ImportError:
        pass


def send_missing_their_way():
    """skl2onnx sends NaN to the right in every tree; scikit-learn says for each node where it goes (since 1.3)."""
    from skl2onnx.common import tree_ensemble

    add_tree = tree_ensemble.add_tree_to_attribute_pairs

    def patched(attr_pairs, is_classifier, tree, *more, **options):
        add_tree(attr_pairs, is_classifier, tree, *more, **options)
        if hasattr(tree, 'missing_go_to_left'):
            tracks = attr_pairs['nodes_missing_value_tracks_true']
            tracks[len(tracks) - tree.node_count:] = [int(left) for left in tree.missing_go_to_left]

    # Converters have it by name.
    for name, module in list(sys.modules.items()):
        if name.startswith('skl2onnx.') and getattr(module, 'add_tree_to_attribute_pairs', None) is add_tree:
            module.add_tree_to_attribute_pairs = patched


def plain_attributes():
    """skl2onnx gives onnx.helper.make_attribute NumPy's numbers and booleans, of which onnx takes some kinds only."""
    make_attribute = onnx.helper.make_attribute

    def plain(value):
        if isinstance(value, (list, numpy.ndarray)):
            return [plain(each) for each in value]
        value = value.item() if isinstance(value, numpy.generic) else value
        return int(value) if isinstance(value, bool) else value

    onnx.helper.make_attribute = lambda key, value, *more, **options: make_attribute(key, plain(value), *more, **options)
