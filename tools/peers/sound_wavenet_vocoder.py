"""r9y9's wavenet_vocoder of a given size, `incremental_forward`: seconds for an event. `tools/benchmark.py` runs it.

Its sampler draws one event at a time. Times grow with the length alone, so a tenth of the samples is drawn.
"""

import json
import sys
import time

import torch
import wavenet_vocoder

size = json.loads(sys.argv[1])
if size["batch_size"] != 1:
    raise SystemExit("wavenet_vocoder 0.1 samples one event at a time")
torch.set_num_threads(size["threads"])
torch.manual_seed(0)
model = wavenet_vocoder.WaveNet(
    out_channels=size["num_symbols"],
    layers=size["num_stacks"] * size["layers_per_stack"],
    stacks=size["num_stacks"],
    residual_channels=size["units"],
    gate_channels=2 * size["gate_units"],
    skip_out_channels=size["skip_units"],
    kernel_size=size["kernel_size"],
).eval()
model.make_generation_fast_()
silence = torch.zeros(1, size["num_symbols"], 1)
silence[:, size["num_symbols"] // 2] = 1
drawn, seconds = max(size["num_sites"] // 10, 10), []
with torch.inference_mode():
    for _ in range(1 + size["repeats"]):
        start = time.perf_counter()
        model.incremental_forward(silence, T=drawn)
        seconds.append(time.perf_counter() - start)
version = f"wavenet_vocoder 0.1.1, torch {torch.__version__}"
print(json.dumps({"seconds": min(seconds[1:]) / drawn * size["num_sites"], "version": version}))
