"""`ar-zoo export` as a tool: writes a model as SavedModel, TFLite and ONNX.

python tools/export.py --help
python tools/export.py gated_pixel_cnn.mnist digits --formats tflite
"""

from __future__ import annotations

import sys

from ar_zoo import cli


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    return cli.main(["export", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    raise SystemExit(main())
