"""Scores Parquet shards with pyarrow and PyTorch, as their documentation recommends: batches of a dataset read ahead by
Arrow's threads, features computed on the GPU, pinned memory, copies that do not block, inference mode. The task comes
as JSON, the figures go out as JSON."""
import json
import os
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch

task = json.loads(sys.argv[1])
device = torch.device(task.get("device", "cuda"))
torch.backends.cuda.matmul.allow_tf32 = False
widths = task["widths"]
layers = []
for index, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
    layer = torch.nn.Linear(inputs, outputs)
    weights = np.fromfile(os.path.join(task["weights"], f"w{index}.bin"), np.float32).reshape(inputs, outputs)
    bias = np.fromfile(os.path.join(task["weights"], f"b{index}.bin"), np.float32)
    layer.weight.data = torch.from_numpy(weights.T.copy())
    layer.bias.data = torch.from_numpy(bias)
    layers += [layer, torch.nn.Sigmoid() if index == len(widths) - 2 else torch.nn.ReLU()]
model = torch.nn.Sequential(*layers).to(device).eval()
columns = [feature["column"] for feature in task["features"]]
mean = torch.tensor([feature["standardize"]["mean"] for feature in task["features"]], device=device)
std = torch.tensor([feature["standardize"]["std"] for feature in task["features"]], device=device)

os.makedirs(task["output"], exist_ok=True)
schema = pa.schema([("id", pa.int64()), ("score", pa.float32())])
rows = 0
started = time.perf_counter()
with torch.inference_mode():
    for index, shard in enumerate(task["shards"]):
        if time.perf_counter() - started > task["secondsMax"]:
            break
        with pq.ParquetWriter(os.path.join(task["output"], f"{index}.parquet"), schema) as writer:
            waiting = None
            scanner = ds.dataset(shard).scanner(columns=["id", *columns], batch_size=task["batchRows"])
            for batch in scanner.to_batches():
                features = np.stack([batch.column(name).to_numpy() for name in columns], axis=1)
                x = torch.from_numpy(features)
                x = (x.pin_memory() if device.type == "cuda" else x).to(device, non_blocking=True)
                y = model(((x - mean) / std).clamp(-3, 3))
                # The scores of the batch before are written while the device works on this one.
                if waiting is not None:
                    writer.write_table(pa.table([waiting[0], waiting[1].cpu().numpy().ravel()], schema=schema))
                waiting = (batch.column("id"), y)
                rows += batch.num_rows
            if waiting is not None:
                writer.write_table(pa.table([waiting[0], waiting[1].cpu().numpy().ravel()], schema=schema))
seconds = time.perf_counter() - started
versions = {"python": sys.version.split()[0], "torch": torch.__version__, "pyarrow": pa.__version__}
print(json.dumps({"rows": rows, "seconds": seconds, "rowsPerSecond": rows / seconds, "versions": versions}))
