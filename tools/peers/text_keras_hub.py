"""keras-hub's GPT-2 of a given size, `generate` compiled by XLA: seconds for a batch of texts. `tools/benchmark.py` runs it."""

import json
import sys
import time

import keras
import keras_hub
import numpy as np
from hub_model import hub_model

size = json.loads(sys.argv[1])
model = hub_model(size, size["num_sites"] + 1)
model.compile(sampler="greedy", jit_compile=True)
prompt = np.zeros((size["batch_size"], size["num_sites"] + 1), "int32")
prompt[:, 0] = size["num_symbols"]
mask = (np.arange(size["num_sites"] + 1) == 0)[None] * np.ones_like(prompt)
seconds = []
for _ in range(1 + size["repeats"]):  # the first one compiles
    start = time.perf_counter()
    model.generate({"token_ids": prompt, "padding_mask": mask}, stop_token_ids=None)
    seconds.append(time.perf_counter() - start)
version = f"keras-hub {keras_hub.__version__}, keras {keras.__version__}"
print(json.dumps({"seconds": min(seconds[1:]), "version": version}))
