"""The leading steps of a scikit-learn pipeline as features of tandem.json, so that only its estimator is exported.

Texts are then looked up and numbers scaled where columns are read, and the model gets one tensor of floats. What the contract
cannot say to the last bit of float32 raises NotFolded, and the whole pipeline is exported as it is.
"""
import dataclasses
import math
import numbers

import numpy
import pandas
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer, KBinsDiscretizer, MaxAbsScaler, MinMaxScaler, OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler)

# The order in which keys of a feature apply (src/contract/features.ts).
STEP_ORDER = ['log1p', 'bucketize', 'standardize', 'minMax', 'clip']
# Larger whole numbers are not exact as float64.
WHOLE_MAX = 2**53
# No table holds it.
RARE_NUMBER = -1.7976931348623157e308


class NotFolded(Exception):
    """Says which step the contract has no words for, and why."""


def is_missing(value):
    return value is None or value is pandas.NA or (isinstance(value, (float, numpy.floating)) and numpy.isnan(value))


def rare_text(taken):
    """A text for nulls that no category is, and hardly any value."""
    return next(text for text in ('<null of the training>' + '_' * index for index in range(len(taken) + 1)) if text not in taken)


@dataclasses.dataclass(frozen=True)
class Lane:
    """What has become of a column so far: one number, or once it is encoded the whole of `encoded`."""
    name: str
    is_text: bool = False
    # What a null becomes before all else. None: nothing has replaced nulls yet.
    fill: object = None
    steps: tuple = ()
    encoded: dict | None = None
    width: int = 1

    def then(self, step):
        return dataclasses.replace(self, steps=(*self.steps, step))

    def feature(self, takes_null):
        """As facts.ts has it. takes_null: whether the whole pipeline scores a null of this column."""
        if self.encoded is not None:
            return {'name': self.name, 'kind': 'text' if self.is_text else 'number', **self.encoded}
        keys = [key for step in self.steps for key in step]
        is_ordered = keys == [key for key in STEP_ORDER if key in keys]
        rest = {key: value for step in self.steps for key, value in step.items()} if is_ordered else {'steps': list(self.steps)}
        feature = {'name': self.name, 'kind': 'number'}
        if self.fill is not None:
            feature.update(missing=self.fill, nanIsNull=True)
        elif takes_null:
            feature['missing'] = 'nan'
        return {**feature, 'contract': rest} if rest else feature


@dataclasses.dataclass(frozen=True)
class Folded:
    lanes: list
    # What is left to export: takes one tensor, `width` values a row.
    rest: object
    width: int


def fold(model, names):
    """@raises NotFolded"""
    if type(model) is not Pipeline:
        raise NotFolded('the model is no Pipeline')
    steps = [step for _, step in model.steps if step is not None and not is_word(step, 'passthrough')]
    lanes, count = [Lane(name) for name in names], 0
    for step in steps[:-1]:
        try:
            lanes = through(step, lanes)
        except NotFolded:
            # What comes behind the first step may stay with the estimator.
            if count == 0:
                raise
            break
        count += 1
    if count == 0:
        raise NotFolded('nothing stands before the estimator')
    for step in steps[count:]:
        if isinstance(step, (ColumnTransformer, FeatureUnion, Pipeline)) or hasattr(step, 'categories_'):
            raise NotFolded(f'{type(step).__name__} behind {type(steps[count - 1]).__name__} takes columns apart again')
    rest = steps[-1] if count == len(steps) - 1 else Pipeline([(f'step{index}', step) for index, step in enumerate(steps[count:])])
    return Folded(lanes, rest, sum(lane.width for lane in lanes))


def is_word(step, word):
    return isinstance(step, str) and step == word


def through(step, lanes):
    """Lanes behind the step. @raises NotFolded"""
    if step is None or is_word(step, 'passthrough'):
        return lanes
    rule = RULES.get(type(step))
    if rule is None:
        raise NotFolded(f'{type(step).__name__} has no form in the contract')
    return rule(step, lanes)


def of_pipeline(pipeline, lanes):
    for _, step in pipeline.steps:
        lanes = through(step, lanes)
    return lanes


def of_columns(step, lanes):
    expect(step.transformer_weights is None, step, 'transformer_weights')
    expect(all(lane.width == 1 for lane in lanes), step, 'columns of a one-hot encoding')
    places = step._transformer_to_input_indices
    found = []
    for name, part, _ in step.transformers_:
        chosen = [lanes[place] for place in places.get(name, [])]
        if chosen and not is_word(part, 'drop'):
            found += through(part, chosen)
    width = max((indices.stop for indices in step.output_indices_.values()), default=0)
    expect(width == sum(lane.width for lane in found), step, f'{width} columns behind it')
    return found


def of_union(step, lanes):
    expect(step.transformer_weights is None, step, 'transformer_weights')
    return [lane for _, part in step.transformer_list if not is_word(part, 'drop') for lane in through(part, lanes)]


def expect(is_so, step, what):
    if not is_so:
        raise NotFolded(f'{type(step).__name__} with {what} has no form in the contract')


def expect_numbers(step, lanes):
    expect(all(lane.encoded is None for lane in lanes), step, 'an encoder before it')


def of_imputer(step, lanes):
    expect_numbers(step, lanes)
    expect(not step.add_indicator, step, 'add_indicator')
    expect(step.missing_values is not None and is_missing(step.missing_values), step, f'missing_values={step.missing_values!r}')
    expect(len(step.statistics_) == len(lanes) and not any(map(is_missing, step.statistics_)), step, 'a column that was empty')
    filled = []
    for lane, value in zip(lanes, step.statistics_):
        # Which may give NaN of what is none, such as a logarithm.
        expect(not lane.steps, step, 'arithmetic before it')
        # A value that was put in is not missing any more.
        filled.append(lane if lane.fill is not None else dataclasses.replace(lane, fill=plain_value(step, value)))
    return filled


def plain_value(step, value):
    """As JSON has it: a text or a number."""
    if isinstance(value, str):
        expect('\x00' not in value, step, 'a text that holds NUL')
        return str(value)
    expect(isinstance(value, (numbers.Number, numpy.bool_)) and not isinstance(value, complex), step, f'{type(value).__name__} values')
    number = float(value)
    expect(math.isfinite(number) and (abs(number) <= WHOLE_MAX or not isinstance(value, numbers.Integral)), step, f'the value {value}')
    return int(number) if number.is_integer() and abs(number) <= WHOLE_MAX else number


def scaled(step, lanes, means, deviations):
    """(x - mean) / deviation, column by column."""
    expect_numbers(step, lanes)
    count = len(lanes)
    means = numpy.zeros(count) if means is None else means
    deviations = numpy.ones(count) if deviations is None else deviations
    expect(numpy.isfinite(means).all() and numpy.isfinite(deviations).all() and (deviations > 0).all(), step, 'a column that was empty')
    pairs = [{'mean': float(mean), 'std': float(deviation)} for mean, deviation in zip(means, deviations)]
    return [lane if pair == {'mean': 0, 'std': 1} else lane.then({'standardize': pair}) for lane, pair in zip(lanes, pairs)]


def of_standard(step, lanes):
    return scaled(step, lanes, step.mean_ if step.with_mean else None, step.scale_ if step.with_std else None)


def of_robust(step, lanes):
    return scaled(step, lanes, step.center_ if step.with_centering else None, step.scale_ if step.with_scaling else None)


def of_min_max(step, lanes):
    low, high = map(float, step.feature_range)
    if (low, high) == (0, 1) and (step.data_max_ > step.data_min_).all():
        expect_numbers(step, lanes)
        bounds = zip(step.data_min_, step.data_max_)
        lanes = [lane.then({'minMax': [float(least), float(most)]}) for lane, (least, most) in zip(lanes, bounds)]
    else:
        # scikit-learn computes x * scale_ + min_.
        lanes = scaled(step, lanes, -step.min_ / step.scale_, 1 / step.scale_)
    return [lane.then({'clip': [low, high]}) for lane in lanes] if step.clip else lanes


def of_function(step, lanes):
    expect_numbers(step, lanes)
    expect(step.func in (None, numpy.log1p) and not step.kw_args, step, getattr(step.func, '__name__', 'a function'))
    return lanes if step.func is None else [lane.then({'log1p': True}) for lane in lanes]


def of_bins(step, lanes):
    expect_numbers(step, lanes)
    expect(step.encode == 'ordinal', step, f'encode="{step.encode}" (only "ordinal" has one)')
    # Before, values near an edge were moved.
    expect(tuple(int(part) for part in sklearn.__version__.split('.')[:2]) >= (1, 3), step, f'scikit-learn {sklearn.__version__}')
    inner = [[float(edge) for edge in edges[1:-1]] for edges in step.bin_edges_]
    expect(all(edges and numpy.isfinite(edges).all() and (numpy.diff(edges) > 0).all() for edges in inner), step, 'a column of one bin')
    return [lane.then({'bucketize': edges}) for lane, edges in zip(lanes, inner)]


@dataclasses.dataclass(frozen=True)
class Categories:
    """Of one column of an encoder, as JSON has them, without what stands for a null."""
    values: list
    is_text: bool
    has_null: bool

    def null(self):
        return rare_text(self.values) if self.is_text else RARE_NUMBER


def categories_of(step, index, lane):
    found = list(step.categories_[index])
    missing = [value for value in found if is_missing(value)]
    expect(len(missing) <= 1, step, 'both None and NaN as categories')
    # An imputer of NaN leaves None as it is.
    expect(not (missing and missing[0] is None and lane.fill is not None), step, 'None as a category behind an imputer')
    # A null is the last one; otherwise positions are not those of a list without it.
    expect(not missing or is_missing(found[-1]), step, 'a null among its categories that is not the last')
    values = [plain_value(step, value) for value in found if not is_missing(value)]
    is_text = isinstance((values or [lane.fill])[0], str)
    expect(values and all(isinstance(value, str) == is_text for value in values), step, 'categories that are not all texts or numbers')
    expect(lane.fill is None or isinstance(lane.fill, str) == is_text, step, 'an imputer of another type before it')
    return Categories(values, is_text, bool(missing))


def expect_raw(step, lanes):
    expect(all(lane.encoded is None and not lane.steps for lane in lanes), step, 'arithmetic or an encoder before it')
    expect(numpy.dtype(step.dtype).kind in 'biuf', step, f'dtype={step.dtype}')


def of_one_hot(step, lanes):
    expect_raw(step, lanes)
    return [one_hot(step, index, lane) for index, lane in enumerate(lanes)]


def one_hot(step, index, lane):
    categories = categories_of(step, index, lane)
    listed = [*categories.values, *([categories.null()] if categories.has_null else [])]
    rare = (getattr(step, 'infrequent_categories_', None) or [None] * (index + 1))[index] if infrequent(step) else None
    dropped = step.drop_idx_[index] if step.drop_idx_ is not None else None
    expect(dropped is None or not infrequent(step), step, 'drop beside infrequent categories')
    unknown = 'error' if step.handle_unknown == 'error' else 'zeros'
    has_null = categories.has_null
    if rare is not None:
        # Infrequent and unknown ones share the last position: only then one "unknown" says both.
        expect(step.handle_unknown in ('infrequent_if_exist', 'warn'), step, f'infrequent categories and handle_unknown="{step.handle_unknown}"')
        unknown = 'own'
        has_null = has_null and not any(map(is_missing, rare))
        names = {plain_value(step, value) for value in rare if not is_missing(value)}
        listed = [value for value in categories.values if value not in names] + ([categories.null()] if has_null else [])
    contract = {'oneHot': listed, 'unknown': unknown}
    if dropped is not None:
        contract.update(oneHot=[value for at, value in enumerate(listed) if at != dropped] + [listed[dropped]], dropLast=True)
    width = len(listed) + (unknown == 'own') - (dropped is not None)
    expect(width > 0 and listed, step, 'a column of one category')
    encoded = {'contract': contract, **null_of(lane, categories, has_null, unknown == 'error')}
    return dataclasses.replace(lane, is_text=categories.is_text, encoded=encoded, width=width)


def infrequent(step):
    return getattr(step, '_infrequent_enabled', False)


def null_of(lane, categories, is_listed, refuses):
    """"missing" of an encoded column, and whether NaN is a null: where a null is unknown, NaN is so by itself."""
    if lane.fill is not None:
        return {'missing': lane.fill, 'nanIsNull': True}
    if is_listed:
        return {'missing': categories.null(), 'nanIsNull': True}
    return {} if refuses else {'missing': categories.null()}


def of_ordinal(step, lanes):
    expect_raw(step, lanes)
    expect(not infrequent(step), step, 'infrequent categories')
    return [ordinal(step, index, lane) for index, lane in enumerate(lanes)]


def ordinal(step, index, lane):
    """Positions from 0; a null and what is unknown have numbers of their own, which need "sql": facts.ts writes it."""
    categories = categories_of(step, index, lane)
    refuses = step.handle_unknown == 'error'
    if refuses and not categories.has_null:
        contract = {'index': categories.values}
        encoded = {'contract': contract, **null_of(lane, categories, False, True)}
    else:
        null, unknown = getattr(step, 'encoded_missing_value', math.nan), None if refuses else step.unknown_value
        if lane.fill is not None:
            null = categories.values.index(lane.fill) if lane.fill in categories.values else unknown
        elif not categories.has_null:
            null = unknown
        encoded = {'codes': {'categories': categories.values, 'null': code(null), 'unknown': code(unknown)}}
    return dataclasses.replace(lane, is_text=categories.is_text, encoded=encoded)


def code(value):
    """None: an error."""
    return None if value is None else 'nan' if is_missing(value) else float(value)


RULES = {
    Pipeline: of_pipeline,
    ColumnTransformer: of_columns,
    FeatureUnion: of_union,
    SimpleImputer: of_imputer,
    StandardScaler: of_standard,
    RobustScaler: of_robust,
    MaxAbsScaler: lambda step, lanes: scaled(step, lanes, None, step.scale_),
    MinMaxScaler: of_min_max,
    FunctionTransformer: of_function,
    KBinsDiscretizer: of_bins,
    OneHotEncoder: of_one_hot,
    OrdinalEncoder: of_ordinal,
}
