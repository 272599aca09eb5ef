"""The benchmark's trees in libraries made for trees: LightGBM's own predictor, lleaves and Treelite's compiler. Each gets
the model as LightGBM's text, which is written once from the ONNX file. What is compiled is kept beside the model."""

import os
import shutil
import tempfile

import numpy as np
from common import RUN_ROWS, Features, mark_first_batch


class TreeScorer:
    """As common.Scorer, without ONNX Runtime."""

    def __init__(self, job, library):
        self.predict = PREDICTORS[library](job["model"])
        self.features = Features(job)
        self.job = job
        self.began = False

    def __call__(self, columns):
        if not self.began:
            mark_first_batch(self.job)
            self.began = True
        scores = np.empty(len(columns[0]), np.float32)
        for start in range(0, len(scores), RUN_ROWS):
            rows = slice(start, start + RUN_ROWS)
            scores[rows] = self.predict(self.features([column[rows] for column in columns])).ravel()
        return scores


def lightgbm_predictor(model):
    import lightgbm

    booster = lightgbm.Booster(model_file=text_model(model))
    return lambda matrix: booster.predict(matrix, num_threads=1)


def lleaves_predictor(model):
    import lleaves

    compiled = lleaves.Model(model_file=text_model(model))
    made(f"{model}.lleaves", lambda path: compiled.compile(cache=path))
    compiled.compile(cache=f"{model}.lleaves")
    return lambda matrix: compiled.predict(matrix, n_jobs=1)


def treelite_predictor(model):
    import tl2cgen
    import treelite

    def compile_to(path):
        trees = treelite.frontend.load_lightgbm_model(text_model(model))
        tl2cgen.export_lib(trees, toolchain="gcc", libpath=path, params={"parallel_comp": 8})

    predictor = tl2cgen.Predictor(made(f"{model}.treelite.so", compile_to), nthread=1)
    # It converts by itself only with NumPy 1.
    return lambda matrix: predictor.predict(tl2cgen.DMatrix(matrix.astype(np.float64), dtype="float64"))


PREDICTORS = {"lightgbm": lightgbm_predictor, "lleaves": lleaves_predictor, "treelite": treelite_predictor}


def made(path, make):
    """Makes the file where it is missing or older than the model, in one step: processes do so at once."""
    model = path[: path.index(".onnx") + len(".onnx")]
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(model):
        with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
            temporary = os.path.join(folder, os.path.basename(path))
            make(temporary)
            shutil.move(temporary, path)
    return path


def text_model(model):
    return made(f"{model}.lightgbm.txt", lambda path: write_text(model, path))


def write_text(model, path):
    """LightGBM's format, version 4: of each tree the splits in order, then the leaves; a leaf as a child is ~its number."""
    import onnx

    (node,) = onnx.load(model).graph.node
    assert node.op_type == "TreeEnsembleRegressor", node.op_type
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    weight_of = dict(zip(zip(values["target_treeids"], values["target_nodeids"]), values["target_weights"]))
    trees = {}
    for index, tree in enumerate(values["nodes_treeids"]):
        trees.setdefault(tree, {})[values["nodes_nodeids"][index]] = index
    features = max(values["nodes_featureids"]) + 1
    head = {
        "version": "v4",
        "num_class": 1,
        "num_tree_per_iteration": 1,
        "label_index": 0,
        "max_feature_idx": features - 1,
        "objective": "regression",
        "feature_names": " ".join(f"f{index}" for index in range(features)),
        "feature_infos": " ".join(["[-1e300:1e300]"] * features),
    }
    parts = [
        f"Tree={number}\n{lines(tree_text(values, tree, nodes, weight_of))}\n\n"
        for number, (tree, nodes) in enumerate(trees.items())
    ]
    sizes = lines({"tree_sizes": joined(map(len, parts))})
    with open(path, "w") as file:
        file.write(f"tree\n{lines(head)}{sizes}\n{''.join(parts)}end of trees\n\npandas_categorical:null\n")


def tree_text(values, tree, nodes, weight_of):
    modes = values["nodes_modes"]
    splits = [node for node, index in nodes.items() if modes[index] != b"LEAF"]
    leaves = [node for node, index in nodes.items() if modes[index] == b"LEAF"]
    assert all(modes[nodes[node]] == b"BRANCH_LEQ" for node in splits)
    place = {node: at for at, node in enumerate(splits)} | {node: ~at for at, node in enumerate(leaves)}

    def of_splits(name):
        return [values[name][nodes[node]] for node in splits]

    return {
        "num_leaves": len(leaves),
        "num_cat": 0,
        "split_feature": joined(of_splits("nodes_featureids")),
        "split_gain": joined([1] * len(splits)),
        "threshold": joined(map(repr, of_splits("nodes_values"))),
        "decision_type": joined([2] * len(splits)),
        "left_child": joined(place[node] for node in of_splits("nodes_truenodeids")),
        "right_child": joined(place[node] for node in of_splits("nodes_falsenodeids")),
        "leaf_value": joined(repr(weight_of[tree, node]) for node in leaves),
        "leaf_weight": joined([1] * len(leaves)),
        "leaf_count": joined([1] * len(leaves)),
        "internal_value": joined([0] * len(splits)),
        "internal_weight": joined([0] * len(splits)),
        "internal_count": joined([1] * len(splits)),
        "is_linear": 0,
        "shrinkage": 1,
    }


def joined(values):
    return " ".join(map(str, values))


def lines(values):
    return "".join(f"{name}={value}\n" for name, value in values.items())
