"""Held-out densities of zuko's flows, for tools/compare_flows.py: its MAF and NSF, of the size and the data that it is given.

Takes a line of JSON: `data` (an npz file with x_train, x_stop, x_valid and batches [steps, rows]), `transform`, `activation`,
`num_transforms`, `units`, `num_bins`, `bound`, `learning_rate`, `every`, `seed`, `threads`. Prints one: `stop` and `valid`,
mean log-likelihoods every so many steps, `seconds` a step, `weights`, `version`.
"""

import json
import sys
import time

import numpy as np
import torch
import zuko


def main(size: dict) -> dict:
    torch.set_num_threads(size["threads"])
    torch.manual_seed(size["seed"])
    with np.load(size["data"]) as data:
        train, stop, valid = (torch.tensor(data[f"x_{part}"]) for part in ("train", "stop", "valid"))
        batches = data["batches"]
    activation = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[size["activation"]]
    common = dict(transforms=size["num_transforms"], hidden_features=size["units"], activation=activation)
    if size["transform"] == "affine":
        flow = zuko.flows.MAF(train.shape[1], **common)
    else:
        # NSF's own interval is [-5, 5].
        flow = zuko.flows.NSF(train.shape[1], bins=size["num_bins"], **common)
    optimizer = torch.optim.Adam(flow.parameters(), lr=size["learning_rate"], eps=1e-7)
    curves, seconds = {"stop": [], "valid": []}, []
    for first in range(0, len(batches), size["every"]):
        start = time.perf_counter()
        for rows in batches[first : first + size["every"]]:
            loss = -flow().log_prob(train[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds.append((time.perf_counter() - start) / len(batches[first : first + size["every"]]))
        with torch.no_grad():
            for name, x in (("stop", stop), ("valid", valid)):
                curves[name].append(float(flow().log_prob(x).mean()))
    weights = sum(parameter.numel() for parameter in flow.parameters())
    return curves | {"seconds": float(np.median(seconds)), "weights": weights, "version": f"zuko {zuko.__version__}"}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
