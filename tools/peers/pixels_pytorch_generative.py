"""pytorch-generative's GatedPixelCNN of a given size, `sample`: seconds for a batch of images. `tools/benchmark.py` runs it.

It runs the whole network once a pixel: one sample is a mean over hundreds of runs, and is taken once.
"""

import json
import sys
import time

import torch
from pytorch_generative.models import GatedPixelCNN
from torch.distributions import Categorical

size = json.loads(sys.argv[1])
torch.set_num_threads(size["threads"])
torch.manual_seed(0)
height, width, _ = size["image_shape"]
model = GatedPixelCNN(
    in_channels=1,
    out_channels=size["num_symbols"],
    n_gated=size["num_layers"],
    gated_channels=size["units"],
    head_channels=size["units"],
    sample_fn=lambda logits: Categorical(logits=logits).sample().float() / (size["num_symbols"] - 1),
).eval()
with torch.no_grad():
    model(torch.zeros(size["batch_size"], 1, height, width))  # it keeps the shape
start = time.perf_counter()
model.sample(size["batch_size"])
print(json.dumps({"seconds": time.perf_counter() - start, "version": f"pytorch-generative, torch {torch.__version__}"}))
