"""How well a linear map of each layer's features tells the data's classes apart: a model that has `features`, say ImageGPT.

python tools/probe.py runs/image_gpt_mnist/best --data mnist
python tools/probe.py MODEL --data FILE.npz --layers 2 3 4 --train 2000 --valid 1000
"""

from __future__ import annotations

import argparse

from ar_zoo.cli import start_tensorflow


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a preset, as `ar_zoo.load` takes it")
    parser.add_argument("--data", required=True, help="images with labels, as recipes take them")
    parser.add_argument("--layers", type=int, nargs="+", help="after how many blocks (default: each)")
    parser.add_argument("--train", type=int, default=10_000, help="images the probe is fitted to (default 10000)")
    parser.add_argument("--valid", type=int, default=2_000, help="images it is tried on (default 2000)")
    options = parser.parse_args(arguments)
    start_tensorflow()
    import ar_zoo
    from ar_zoo.training import linear_probe, pooled_features

    model = ar_zoo.load(options.model)
    parts = []
    for split, count in (("train", options.train), ("valid", options.valid)):
        data = ar_zoo.data.read(options.data, split)
        if data.labels is None:
            parser.error(f"--data {options.data} has no labels.")
        parts.append((model.head.encode(data.values[:count]), data.labels[:count]))
    for layer in options.layers or range(model.num_layers + 1):
        (x, classes), (other_x, other_classes) = parts
        train, valid = (pooled_features(model, given, layer) for given in (x, other_x))
        print(f"layer {layer}: {100 * linear_probe((train, classes), (valid, other_classes)):.1f} % of classes found")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
