"""Shows that the laws can fail: breaks a copy of the library, one line at a time, and runs the law that should notice.

python tools/break_laws.py            # every break; a line each, exit status 1 if one goes unnoticed
python tools/break_laws.py --law 3    # only those of one law
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# law, test, file, the line as it is, the line broken, what that means
BREAKS = (
    (
        1,
        "causality-gated_pixel_cnn",
        "layers/masked_conv.py",
        'group_in < group_out if self.mask_type == "A"',
        'group_in <= group_out if self.mask_type == "A"',
        "type A sees the pixel itself",
    ),
    (
        1,
        "causality-gpt",
        "layers/attention.py",
        "key_at <= query_at",
        "key_at <= query_at + 1",
        "attention one step ahead",
    ),
    (
        2,
        "completeness-gated_pixel_cnn",
        "models/gated_pixel_cnn.py",
        "layer.row_conv(h) + link",
        "layer.row_conv(h) + 0 * link",
        "the vertical stack is not linked in",
    ),
    (
        3,
        "step_equals_call-wavenet",
        "core/cache.py",
        "index - tap + self.depth",
        "index - tap + 1 + self.depth",
        "taps are read one step late",
    ),
    (
        3,
        "step_equals_call-mistral",
        "core/cache.py",
        "ops.where(at < self.sinks, at,",
        "ops.where(at < 0, at,",
        "a ring writes over what is seen from everywhere",
    ),
    (
        3,
        "step_equals_call-gated_pixel_cnn",
        "layers/masked_conv.py",
        "ops.transpose(kernel, (1, 0, 2, 3))",
        "kernel",
        "a row's windows meet each other's weights",
    ),
    (
        3,
        "ragged_rows-gpt",
        "layers/attention.py",
        "ops.logical_and(key_at >= 0, key_at <= query_at)",
        "key_at <= query_at",
        "slots of waiting rows are attended",
    ),
    (
        3,
        "padding-wavenet",
        "core/model.py",
        "if mask is None:\n            return",
        "if True:\n            return",
        "padding is ignored",
    ),
    (
        4,
        "normalisation-pixel_cnn",
        "heads/discretized_logistic_mixture.py",
        "ops.where(value > 1.0 - half, from_above, between)",
        "between",
        "the highest level loses its tail",
    ),
    (
        5,
        "sampling-gpt",
        "core/generate.py",
        "tf.gather(noise, index, axis=1)",
        "noise[:, 0]",
        "every site draws from one number",
    ),
    (
        6,
        "one_noise_one_sample-gated_pixel_cnn",
        "core/noise.py",
        "int(row)]",
        "position]",
        "noise depends on the batch",
    ),
    (
        7,
        "gradients-wavenet",
        "models/wavenet.py",
        "(self._condition(label), 1)",
        "(ops.stop_gradient(self._condition(label)), 1)",
        "the condition's table gets no gradient",
    ),
    (
        8,
        "round_trip-gpt",
        "core/pretrained.py",
        "weight.assign(stored.get_tensor(path))",
        "taken",
        "loading assigns nothing",
    ),
    (
        9,
        "replicas-gpt",
        "core/model.py",
        "replicas.all_reduce(tf.distribute.ReduceOp.SUM, count)",
        "count",
        "each replica divides by its own count",
    ),
    (
        10,
        "precision-gated_pixel_cnn",
        "layers/pixels.py",
        "(2.0 / (self.num_symbols - 1)) - 1.0",
        '(2.0 / (self.num_symbols - 1)) - float(self.compute_dtype == "float32")',
        "in half precision pixels are not centred",
    ),
)


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--law", type=int, default=None, help="only the breaks of this law")
    options = parser.parse_args(arguments)
    root, unnoticed = Path(__file__).resolve().parents[1], 0
    print("| law | test | break | seen |\n|---|---|---|---|")
    for law, test, file, line, broken, meaning in BREAKS:
        if options.law in (None, law):
            seen = _breaks(root, file, line, broken, test)
            unnoticed += not seen
            print(f"| {law} | {test} | {file}: {meaning} | {'red' if seen else 'NOT NOTICED'} |", flush=True)
    return int(unnoticed > 0)


def _breaks(root, file, line, broken, test) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        for part in ("ar_zoo", "tests", "recipes"):
            shutil.copytree(root / part, Path(folder) / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(root / "setup.cfg", folder)
        path = Path(folder) / "ar_zoo" / file
        text = path.read_text()
        if text.count(line) < 1:
            raise SystemExit(f"{file} no longer holds {line!r}: bring tools/break_laws.py up to date.")
        path.write_text(text.replace(line, broken))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-n0",
            "-x",
            "tests/test_contract.py",
            "-k",
            test.replace("-", " and "),
        ]
        environment = os.environ | {"PYTHONPATH": folder, "TF_CPP_MIN_LOG_LEVEL": "3"}
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode not in (0, 1) or "no tests ran" in result.stdout:
        raise SystemExit(f"pytest could not run {test}:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.returncode == 1 and "AssertionError" in result.stdout


if __name__ == "__main__":
    raise SystemExit(main())
