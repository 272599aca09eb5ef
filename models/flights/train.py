"""Trains the flights model: how likely a flight is to be more than 15 minutes late.

Writes, next to this file:
    model.onnx      the network
    tandem.json     the contract: how its inputs are made from the columns of the data
    golden.parquet  2,000 rows with the scores Flax (not ONNX) gave them

To run it, with Python 3.11 or later, from the root of the repository (about a minute on two cores):
    pip install jax==0.10.2 flax==0.12.8 optax==0.2.8 onnx==1.23.2 onnxruntime==1.31.1 \\
        duckdb==1.5.6 pyarrow==26.0.1 numpy==2.4.6 scikit-learn==1.9.1
    python models/flights/train.py [flights-3m.parquet]

The network is a perceptron over the distance, the weekday and learned embeddings of the hour,
the origin and the destination. The data is that of the npm package vega-datasets: 3,000,000
flights within the United States, January to June 2001.

The times in this data look like actual departures rather than scheduled ones: of the 66 flights
that left Washington's DCA between 22:00 and 03:00, all 66 were late. The hour therefore gives some
late flights away, and the scores are better than a forecast made the day before could be.
"""

import json
import re
import sys
import textwrap
from pathlib import Path

import duckdb
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnx.parser
import onnxruntime
import optax
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import log_loss, roc_auc_score

DATA = sys.argv[1] if len(sys.argv) > 1 else "node_modules/vega-datasets/data/flights-3m.parquet"
HERE = Path(__file__).resolve().parent
SEED = 2001
EPOCHS, BATCH, RATE = 16, 4096, 0.01
LISTED = 100  # an airport with fewer departures counts as unknown
HIDDEN = 0.01  # share of the airports hidden in training, so that "unknown" comes to mean "an average airport"
GOLDEN = 2000


# --- the contract ---------------------------------------------------------------------------------


def make_contract(rows):
    counts = rows["origin"].value_counts().to_pylist()
    airports = sorted(c["values"] for c in counts if c["counts"] >= LISTED)
    distance = rows["distance"].to_numpy()
    scale = {"mean": round(float(distance.mean()), 1), "std": round(float(distance.std()), 1)}
    return {
        "version": 1,
        "model": "model.onnx",
        "inputs": {
            "x": [
                {"column": "distance", "standardize": scale, "clip": [-3, 3]},
                {"sql": "dayofweek(date)", "minMax": [0, 6]},
                {"sql": "hour(date)"},
            ],
            "origin": [{"column": "origin", "index": airports, "unknown": "own"}],
            "dest": [{"column": "destination", "index": airports, "unknown": "own"}],
        },
        "outputs": {"p_late": {"column": "p_late"}},
        "keep": ["date", "origin", "destination", "delay"],
    }


def feature(rows, f):
    """One feature of the contract for every row: float64, or an integer index."""
    expression = f.get("sql") or '"' + f["column"] + '"'
    values = duckdb.sql(f"SELECT {expression} AS v FROM rows").to_arrow_table()["v"]
    if "index" in f:
        place = {value: i for i, value in enumerate(f["index"])}
        return np.array([place.get(v, len(place)) for v in values.to_pylist()], np.int64)
    v = values.to_numpy().astype(np.float64)
    if "standardize" in f:
        v = (v - f["standardize"]["mean"]) / f["standardize"]["std"]
    if "minMax" in f:
        low, high = f["minMax"]
        v = (v - low) / (high - low)
    if "clip" in f:
        v = np.clip(v, *f["clip"])
    return v


def assemble(rows, contract):
    inputs = contract["inputs"]
    return {
        "x": np.stack([feature(rows, f) for f in inputs["x"]], axis=1).astype(np.float32),
        "origin": feature(rows, inputs["origin"][0]),
        "dest": feature(rows, inputs["dest"][0]),
    }


def pretty(contract):
    """JSON with the innermost lists and objects on one line, the long ones filled."""

    def join(match):
        line = " ".join(match[0].split()).replace("[ ", "[").replace(" ]", "]")
        if len(line) < 90:
            return line
        pad = " " * 10
        return "[\n" + textwrap.fill(line[1:-1], 100, initial_indent=pad, subsequent_indent=pad) + "\n" + pad[2:] + "]"

    return re.sub(r"[\[{][^\[\]{}]*[\]}]", join, json.dumps(contract, indent=2))


# --- the network ----------------------------------------------------------------------------------


class Network(nn.Module):
    airports: int  # one more than the contract lists: the last is the unknown one

    @nn.compact
    def __call__(self, x, origin, dest):
        hour = nn.Embed(24, 8, name="hour")(x[:, 2].astype(jnp.int32))
        origin = nn.Embed(self.airports, 16, name="origin")(origin)
        dest = nn.Embed(self.airports, 16, name="dest")(dest)
        z = jnp.concatenate([x[:, :2], hour, origin, dest], axis=1)
        z = nn.relu(nn.Dense(48, name="dense1")(z))
        z = nn.relu(nn.Dense(24, name="dense2")(z))
        return nn.Dense(1, name="dense3")(z)  # the logit


def train(inputs, late, unknown):
    network = Network(unknown + 1)
    params = network.init(jax.random.key(SEED), **{k: v[:1] for k, v in inputs.items()})
    steps = len(late) // BATCH
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, steps * EPOCHS))

    def loss(params, batch, late):
        return optax.sigmoid_binary_cross_entropy(network.apply(params, **batch)[:, 0], late).mean()

    def step(carry, data):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params, *data), state)
        return (optax.apply_updates(params, updates), state), None

    epoch = jax.jit(lambda carry, data: jax.lax.scan(step, carry, data)[0])
    random = np.random.default_rng(SEED)
    carry = (params, optimizer.init(params))
    for _ in range(EPOCHS):
        order = random.permutation(len(late))[: steps * BATCH].reshape(steps, BATCH)
        batches = {name: values[order] for name, values in inputs.items()}
        for name in ("origin", "dest"):
            batches[name][random.random(order.shape) < HIDDEN] = unknown
        carry = epoch(carry, (batches, late[order]))
    return network, carry[0]


def score(network, params, inputs):
    """The probabilities [N, 1] as Flax gives them."""
    return np.asarray(jax.nn.sigmoid(network.apply(params, **inputs)))


# --- the model as ONNX ----------------------------------------------------------------------------

GRAPH = """
<ir_version: 8, opset_import: ["" : 17], producer_name: "models/flights/train.py">
flights (float[N, 3] x, int64[N] origin, int64[N] dest) => (float[N, 1] p_late)
{
    numbers, hour_column = Split<axis = 1>(x, split)
    hour_float = Squeeze(hour_column, axis)
    hour = Cast<to = 7>(hour_float)
    hour_vector = Gather(hour_embedding, hour)
    origin_vector = Gather(origin_embedding, origin)
    dest_vector = Gather(dest_embedding, dest)
    z = Concat<axis = 1>(numbers, hour_vector, origin_vector, dest_vector)
    a1 = Gemm(z, dense1_kernel, dense1_bias)
    z1 = Relu(a1)
    a2 = Gemm(z1, dense2_kernel, dense2_bias)
    z2 = Relu(a2)
    logit = Gemm(z2, dense3_kernel, dense3_bias)
    p_late = Sigmoid(logit)
}
"""


def to_onnx(params):
    model = onnx.parser.parse_model(GRAPH)
    tensors = {"split": np.array([2, 1]), "axis": np.array([1])}
    for layer, arrays in params["params"].items():
        tensors |= {f"{layer}_{name}": np.asarray(array) for name, array in arrays.items()}
    for name, array in tensors.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.checker.check_model(model, full_check=True)
    return model


# --- how good it is -------------------------------------------------------------------------------


def report(title, p, late, base, origin):
    print(f"\n{title}: {len(late):,} rows held out, {late.mean():.4f} of them late, {p.mean():.4f} predicted")
    always = log_loss(late, np.full(len(late), base))
    print(f"  log-loss {log_loss(late, p):.4f} (always saying {base:.4f}: {always:.4f})")
    print(f"  AUC      {roc_auc_score(late, p):.4f}")
    scored = pa.table({"origin": origin, "p": p.astype(np.float64), "late": late.astype(np.float64)})
    by_origin = (
        "SELECT origin, count(*) AS n, avg(p) AS p, avg(late) AS late FROM scored GROUP BY origin HAVING n >= 1000"
    )
    n, apart, corr = duckdb.sql(
        f"SELECT count(*), sum(n * abs(p - late)) / sum(n), corr(p, late) FROM ({by_origin})"
    ).fetchone()
    print(f"  {n} airports with 1,000 rows or more: {apart:.4f} apart on average, correlation {corr:.3f}")
    for row in duckdb.sql(f"{by_origin} ORDER BY p DESC LIMIT 8").fetchall():
        print("    {} {:>7,} rows  predicted {:.3f}  late {:.3f}".format(*row))


def main():
    rows = duckdb.read_parquet(DATA).to_arrow_table()
    contract = make_contract(rows)
    airports = contract["inputs"]["origin"][0]["index"]
    inputs = assemble(rows, contract)
    late = (rows["delay"].to_numpy() > 15).astype(np.float32)
    number = np.arange(len(late))

    # Once without June, to see how it does in a month it knows nothing of; then for keeps.
    june = rows["date"].to_numpy() >= np.datetime64("2001-06-01")
    for title, held in (("June", june), ("Every tenth row", number % 10 == 9)):
        pick = lambda mask: {name: values[mask] for name, values in inputs.items()}
        network, params = train(pick(~held), late[~held], len(airports))
        p = score(network, params, pick(held))[:, 0]
        report(title, p, late[held], late[~held].mean(), rows["origin"].filter(pa.array(held)))

    # The golden rows: held-out ones in the order of the data, the last fifteen with an airport nobody knows.
    sample = np.sort(np.random.default_rng(SEED).choice(number[held], GOLDEN, replace=False))
    golden = rows.take(sample)
    for name, numbers in (("origin", range(GOLDEN - 15, GOLDEN - 5)), ("destination", range(GOLDEN - 10, GOLDEN))):
        values = ["ZZZ" if i in numbers else v for i, v in enumerate(golden[name].to_pylist())]
        golden = golden.set_column(golden.column_names.index(name), name, pa.array(values))
    golden_inputs = assemble(golden, contract)
    expected = score(network, params, golden_inputs)
    golden = golden.append_column("p_late", pa.array(expected[:, 0]))

    onnx.save(to_onnx(params), HERE / "model.onnx")
    (HERE / "tandem.json").write_text(pretty(contract) + "\n")
    pq.write_table(golden, HERE / "golden.parquet", compression="zstd")

    session = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])
    apart = lambda feed, p: np.abs(session.run(["p_late"], feed)[0] - p).max()
    print(f"\nONNX Runtime against Flax, at most: golden rows {apart(golden_inputs, expected):.1e}, ", end="")
    print(f"all rows {apart(inputs, score(network, params, inputs)):.1e}")
    for name in ("model.onnx", "tandem.json", "golden.parquet"):
        print(f"{name}: {(HERE / name).stat().st_size:,} bytes")


main()
