"""What skl2onnx does wrongly, or not at all, done in its place. It is changed in memory, for this process."""
import copy
import sys

import numpy
import onnx.helper
from skl2onnx import update_registered_converter

from export_trees import patched_model, refuse_xgboost, unname


def patch_skl2onnx():
    register_trees()
    plain_attributes()
    send_missing_their_way()


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
