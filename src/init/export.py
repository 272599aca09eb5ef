"""Turns a model of scikit-learn, XGBoost or LightGBM into ONNX, and says what its contract must know.

    export.py convert sklearn|xgboost|lightgbm MODEL FOLDER           writes FOLDER/model.onnx and FOLDER/facts.json
    export.py score   sklearn|xgboost|lightgbm MODEL FOLDER SPEC      writes FOLDER/golden.parquet, by SPEC (JSON)

`tandem init` runs it in an environment of its own. What cannot be converted rightly is refused: the reason is one line of
JSON on standard output, {"refused": ..., "remedy": ...}, and the exit code is 3.
"""
import json
import sys
import warnings
from pathlib import Path

from refused import Refused

SEED = 7


def load(kind, path):
    """The model with everything that the two commands ask of it: see Exported in export_trees.py."""
    if kind == 'lightgbm':
        from export_trees import LightGbmFile
        return LightGbmFile(path)
    if kind == 'xgboost':
        from export_trees import XgboostFile
        return XgboostFile(path)
    from export_sklearn import SklearnFile
    return SklearnFile(path)


def convert(kind, path, folder):
    exported = load(kind, path)
    (folder / 'model.onnx').write_bytes(exported.convert().SerializeToString())
    facts = {'library': exported.library, 'inputs': exported.inputs, 'scores': exported.score_names, 'notes': exported.notes}
    (folder / 'facts.json').write_text(json.dumps(facts))


def score(kind, path, folder, spec):
    """Rows of the shards, or made-up ones, with the library's own scores.

    spec: {"rows": Parquet file or null, "count": n, "features": [{"name", "column"}], "outputs": {output: {"column", "select"}}}
    """
    import numpy
    import pandas
    import pyarrow
    import pyarrow.parquet

    exported = load(kind, path)
    columns = [feature['column'] for feature in spec['features']]
    names = [feature['name'] for feature in spec['features']]
    if spec['rows'] is None:
        made = exported.make_rows(names, spec['count'], numpy.random.default_rng(SEED))
        table = pyarrow.Table.from_pandas(made.rename(columns=dict(zip(names, columns))), preserve_index=False)
    else:
        table = pyarrow.parquet.read_table(spec['rows'], columns=list(dict.fromkeys(columns)))
    # A null where the contract has no "missing" is an error of the run, as it is one of the library.
    for feature in spec['features']:
        if not feature['takesNull']:
            table = table.filter(pyarrow.compute.is_valid(table[feature['column']]))
    frame = pandas.DataFrame({name: plain(table[column], name, exported.objects) for name, column in zip(names, columns)})
    for output, values in exported.scores(frame).items():
        chosen = spec['outputs'].get(output)
        if chosen is None:
            continue
        values = numpy.asarray(values)
        if chosen.get('select') is not None:
            values = values[:, chosen['select']]
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        array = pyarrow.array(values.tolist(), pyarrow.list_(pyarrow.float64()) if values.ndim == 2 else None)
        table = table.append_column(chosen['column'], array)
    pyarrow.parquet.write_table(table, folder / 'golden.parquet', compression='zstd')


def plain(column, name, objects):
    """A column as a notebook has it: texts are objects, and nulls are NaN, unless the training had them otherwise."""
    import numpy
    import pandas
    import pyarrow

    kind = column.type
    if pyarrow.types.is_decimal(kind):
        column = column.cast(pyarrow.float64())
    if name in objects or pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_dictionary(kind):
        null = objects.get(name, numpy.nan)
        values = [null if value is None else value for value in column.to_pylist()]
        return pandas.Series(values, dtype=object)
    if column.null_count > 0 and pyarrow.types.is_boolean(kind):
        column = column.cast(pyarrow.uint8())
    return pandas.Series(column.to_numpy() if column.null_count == 0 else column.cast(pyarrow.float64()).to_numpy())


def main():
    command, kind, path, folder = sys.argv[1:5]
    warnings.simplefilter('ignore')
    sys.setrecursionlimit(20_000)
    try:
        if command == 'convert':
            convert(kind, path, Path(folder))
        else:
            score(kind, path, Path(folder), json.loads(sys.argv[5]))
    except Refused as refused:
        print(json.dumps({'refused': str(refused), 'remedy': refused.remedy}))
        sys.exit(3)


if __name__ == '__main__':
    main()
