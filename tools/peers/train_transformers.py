"""Training steps of transformers' GPT-2 of a given size in PyTorch. `tools/measure_training.py` runs it.

Way "eager", or "compiled" by `torch.compile`.
"""

import json
import sys

import numpy as np
import torch
import transformers
from rounds import resident_mb, rows_of, serve, timed


def main():
    asked, before_mb = json.loads(sys.argv[1]), resident_mb()
    size = asked["size"]
    torch.set_num_threads(asked["threads"])
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=size["num_symbols"] + 1,  # and a start token
        n_positions=size["num_sites"],
        n_embd=size["units"],
        n_layer=size["num_layers"],
        n_head=size["num_heads"],
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
        use_cache=False,
    )
    model = transformers.GPT2LMHeadModel(config)
    forward = torch.compile(model) if asked["way"] == "compiled" else model
    optimizer = torch.optim.AdamW(model.parameters(), asked["learning_rate"], weight_decay=asked["weight_decay"])
    data = torch.from_numpy(np.load(asked["data"]).astype("int64"))
    before = torch.nn.functional.pad(data, (1, 0), value=size["num_symbols"])[:, :-1]

    def step(taken):
        rows = rows_of(taken, asked["batch"], len(data))
        logits = forward(input_ids=before[rows]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), data[rows].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), asked["clip_norm"])
        optimizer.step()
        return loss.detach()

    run = timed(step)
    run(3)
    version = f"transformers {transformers.__version__}, torch {torch.__version__}, {asked['way']}"
    weights = sum(weight.numel() for weight in model.parameters())
    serve(run, {"version": version, "weights": weights, "before_mb": before_mb})


if __name__ == "__main__":
    main()
