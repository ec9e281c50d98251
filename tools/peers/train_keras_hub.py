"""Training steps of keras-hub's GPT-2 of a given size, in its `fit`. `tools/measure_training.py` runs it.

Way "xla" compiles the step, "plain" does not.
"""

import json
import sys

import keras
import keras_hub
import numpy as np
from hub_model import hub_model
from pace import fitted
from rounds import resident_mb, serve


def main():
    asked, before_mb = json.loads(sys.argv[1]), resident_mb()
    size = asked["size"]
    keras.utils.set_random_seed(0)
    model = hub_model(size, size["num_sites"])
    model.compile(
        keras.optimizers.AdamW(
            asked["learning_rate"], weight_decay=asked["weight_decay"], global_clipnorm=asked["clip_norm"]
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=asked["way"] == "xla",
    )
    data = np.load(asked["data"]).astype("int32")
    before = np.pad(data, ((0, 0), (1, 0)), constant_values=size["num_symbols"])[:, :-1]
    inputs = {"token_ids": before, "padding_mask": np.ones_like(before)}
    run = fitted(model, (inputs, data), asked["batch"])
    run(3)
    version = f"keras-hub {keras_hub.__version__}, keras {keras.__version__}, {asked['way']}"
    serve(run, {"version": version, "weights": model.count_params(), "before_mb": before_mb})


if __name__ == "__main__":
    main()
