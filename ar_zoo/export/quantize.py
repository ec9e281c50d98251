"""Quantised TFLite and ONNX files: fewer bits for the weights, and a refusal where that costs too much.

    Quantization(model, "int8", examples)  the figures of the model as it is
    with q.rounded(): …                    the export's files are made from weights that lie on their grids
    q.apply(folder, …)                     and then store those weights in as few bits, losing nothing; what was
                                           written is measured, and above `max_loss` refused

States, inputs and outputs stay float32. With `"int8"` and `"int4"` LiteRT and onnxruntime also round what a product takes to
eight bits while they run, LiteRT a row at a time; that is why files are measured and not only compared.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ar_zoo.core import checks, quantization
from ar_zoo.core.cache import KeyValue
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.data import Examples, read
from ar_zoo.data.encoded import encode
from ar_zoo.export import litert_lm, shrink, shrink_onnx
from ar_zoo.export.calibrate import recorded_calls
from ar_zoo.export.signatures import states

# Events that are measured: more take long on one thread, and change the third digit of the loss.
LIMITS = {"rows": 64, "windows": 16}
NUM_CALIBRATED = 8
# Events that the chain of steps is run on.
NUM_STEPPED = 4
# `score` and the steps hold the same weights, and differ by how activations are rounded, in the shipped presets by far
# less than this. A step that was quantised wrongly is off by much more.
STEPS_TOLERANCE = 0.01


class Quantization:
    """One quantised export: what is rounded, on what it is measured, how much may be lost.

    Args:
        model: what is exported.
        scheme: as in `ar_zoo.core.quantization.grids`.
        validation: a source that `ar_zoo.data.read` knows, of which the validation part is taken, or `Examples`.
        max_loss: by how much bits per dimension may rise, 0.01 for 1 %.
        limit: at most so many images or windows, the first ones; by default 64 and 16.
        num_sites: the length of windows, where it is free.
        calibration: as `validation`, for `"full_int8"`; by default the training part of `validation`.

    Example:
        >>> Quantization(model, "int8", "shipped:digits").bits_per_dim_float32
        1.0031
    """

    def __init__(
        self, model: AutoregressiveModel, scheme, validation, max_loss, limit=None, num_sites=None, calibration=None
    ):
        if model.num_symbols is None or not checks.has_steps(model):
            raise ValueError(
                "`quantize` is for models of symbols that draw site by site: what it costs is held against their bits per "
                f"dimension, and those of a density, as {model.name} gives, count from nowhere. Leave it out."
            )
        if validation is None:
            raise ValueError(
                "`validation` must name data that the quantised files are measured on (`quantize` was given): "
                "'shipped:digits', a file, a folder, or Examples."
            )
        if not isinstance(max_loss, (int, float)) or isinstance(max_loss, bool) or not max_loss > 0:
            raise ValueError(f"`max_loss` must be above 0, 0.01 for one per cent; got {max_loss!r}.")
        self.model, self.scheme, self.max_loss = model, scheme, max_loss
        self.data = validation if isinstance(validation, str) else type(validation).__name__
        self.x, self.context = _events(model, validation, limit, num_sites)
        self._calibration = None
        if scheme == "full_int8":
            self._calibration = _calibration(model, validation, calibration, num_sites)
        self.grids = quantization.grids(model, "int8" if scheme == "full_int8" else scheme)
        if not self.grids:
            raise ValueError(f"`quantize` {scheme!r} leaves every matrix of this model as it is: it has none to round.")
        self.bits_per_dim_float32 = self._bits(self._log_probs())
        self._stored = {}

    def rounded(self):
        """A context manager: the model's weights lie on their grids."""
        return quantization.rounded_weights(self.model, self.grids)

    def apply(self, folder, describe):
        """Quantises a finished export, made within `rounded`, in place.

        Args:
            folder: the export.
            describe: gives the manifest of the files as they are now; it is completed with `quality`.
        """
        manifest = Path(folder) / "manifest.json"
        grids = {(grid.bits, grid.block) for grid in self.grids.values()}
        forms = sorted(grids, key=lambda form: (form[0], form[1] or 0))
        calls = {} if self._calibration is None else recorded_calls(folder, *self._calibration)
        for file in sorted(Path(folder).glob("*.tflite")):
            self._stored[file.name] = shrink.shrink(file, forms, calls.get(file.stem))
        for file in sorted(Path(folder).glob("*.onnx")):
            self._stored[file.name] = shrink_onnx.shrink(file)
        manifest.unlink()  # it lists every file but itself
        facts = describe()
        manifest.write_text(json.dumps(facts, indent=1))
        manifest.write_text(json.dumps(facts | {"quality": self.measured(folder)}, indent=1))

    def measured(self, folder) -> dict:
        """The manifest's `quality`, of a folder that is finished: of each format, and above those of the one that lost more.

        Raises:
            ValueError: bits per dimension rise by more than `max_loss`, or the steps do not agree with `score`.
        """
        from ar_zoo import runtime
        from ar_zoo.runtime.artifact import TITLES
        from ar_zoo.runtime.engines import ENGINES

        facts = json.loads((Path(folder) / "manifest.json").read_text())
        formats = {
            format: self._measured(runtime.load(folder, engine), TITLES[format])
            for engine, (_, format) in ENGINES.items()
            if format != "saved_model" and format in facts["endpoints"]["score"]
        }
        more = {}
        if facts["litert_lm"]:
            steps = formats["tflite"]["steps"]
            more["litert_lm"] = self._bits(self._in_litert_lm(folder, facts["litert_lm"], steps["events"]))
            self._check_steps(more["litert_lm"], steps["bits_per_dim_score"], steps["events"], "LiteRT-LM")
        worst = max(formats.values(), key=lambda found: found["bits_per_dim"])
        return {
            "scheme": self.scheme,
            **{name: worst[name] for name in ("bits_per_dim", "loss")},
            "bits_per_dim_float32": self.bits_per_dim_float32,
            "max_loss": self.max_loss,
            "data": self.data,
            "events": len(self.x),
            "formats": formats,
            **more,
            "stored": self._stored,
        }

    def _measured(self, exported, title) -> dict:
        log_probs, _ = exported.score(self.x, self.context)
        bits = self._bits(log_probs)
        loss = bits / self.bits_per_dim_float32 - 1
        count = min(NUM_STEPPED, len(self.x))
        stepped, scored = self._bits(self._stepped(exported, count)), self._bits(log_probs[:count])
        if not loss <= self.max_loss:
            raise ValueError(
                f"Quantised as {self.scheme!r}, in {title}, the model needs {bits:.4f} bits per dimension of {self.data} (the "
                f"first {len(self.x)} events), {loss:+.2%} against {self.bits_per_dim_float32:.4f} in float32; `max_loss` "
                f"allows {self.max_loss:.2%}. Nothing was written. Take a scheme with more bits, keep the layers that suffer "
                "at more ({'output': 'int8', '': 'int4'}), fine-tune with `ar-zoo train … --qat`, or allow more."
            )
        self._check_steps(stepped, scored, count, title)
        steps = {"events": count, "bits_per_dim": stepped, "bits_per_dim_score": scored}
        return {"bits_per_dim": bits, "loss": loss, "steps": steps}

    def _check_steps(self, stepped, scored, count, title):
        if not abs(stepped / scored - 1) <= STEPS_TOLERANCE:
            raise ValueError(
                f"Quantised as {self.scheme!r}, in {title}, the chain of steps needs {stepped:.4f} bits per dimension of "
                f"{self.data} (the first {count} events) and `score` {scored:.4f}; {STEPS_TOLERANCE:.0%} apart are allowed. "
                "Nothing was written. Take a scheme with more bits."
            )

    def _bits(self, log_probs) -> float:
        return -float(np.sum(log_probs, dtype=np.float64)) / (np.log(2) * self.x[0].size * len(log_probs))

    def _rows(self, first, count):
        rows = slice(first, first + count)
        return self.x[rows], {name: value[rows] for name, value in self.context.items()}

    def _log_probs(self) -> np.ndarray:
        return np.concatenate([self.model.log_prob(*self._rows(first, 8)) for first in range(0, len(self.x), 8)])

    def _stepped(self, exported, count) -> np.ndarray:
        """Log-probabilities of the first events from the chain of cached steps."""
        each = []
        for first in range(0, count, exported.batch_size):
            x, context = self._rows(first, min(exported.batch_size, count - first))
            grid = x.shape[1:] if self.model.num_sites is None else self.model.grid_shape
            params = exported.params(x, context).reshape(len(x), *grid, -1)
            site = np.asarray(self.model.head.distribution(params).log_prob(x))
            each.append(site.reshape(len(x), -1).sum(axis=1, dtype=np.float64))
        return np.concatenate(each)

    def _in_litert_lm(self, folder, facts, count) -> list[float]:
        """The same from the file for LiteRT-LM, token by token on one set of buffers."""
        each = []
        with litert_lm.quietly():
            graph = litert_lm.Aliased(Path(folder) / facts["file"], facts)
            for x in self.x[:count]:
                tokens = [facts["start_token"], *x[:-1]]
                logits = np.stack([graph.run("decode", [token], place) for place, token in enumerate(tokens)])
                each.append(np.sum(self.model.head.distribution(logits).log_prob(x), dtype=np.float64))
        return each


def _calibration(model, validation, calibration, num_sites):
    """Events to calibrate on, for models that can be."""
    kept = [
        name
        for name, kind in states(model.cache_spec(num_sites or model.num_sites)).items()
        if isinstance(kind, KeyValue)
    ]
    if kept:
        raise ValueError(
            f"`quantize` 'full_int8' is for models without keys and values in their cache; this one keeps {kept[0]!r}, whose "
            "range no calibration knows beforehand. Take 'int8'."
        )
    if calibration is None and not isinstance(validation, str):
        raise ValueError(
            "`calibration` must name data for `quantize` 'full_int8', where `validation` is Examples: a source, or Examples."
        )
    return _events(model, calibration or validation, NUM_CALIBRATED, num_sites, split="train")


def _events(model, validation, limit, num_sites, split="valid"):
    """(symbols [N, …], contexts by name), at most `limit` events."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ValueError(f"`limit` must be an integer of at least 1; got {limit!r}.")
    window = num_sites if model.num_sites is None else None
    if isinstance(validation, str):
        part = read(validation, split)
        labels = "label" in model.context_spec and part.labels is not None and window is None
        validation = encode(model, part, window, labels)
    elif not isinstance(validation, Examples):
        raise ValueError(
            f"`validation` must be a source that `ar_zoo.data.read` knows, or Examples; got {type(validation).__name__}."
        )
    if validation.window is None:
        count = limit or LIMITS["rows"]
        return validation.x[:count], {name: value[:count] for name, value in validation.context.items()}
    window = min(validation.window, window or validation.window, len(validation.x))
    count = min(limit or LIMITS["windows"], len(validation.x) // window)
    return validation.x[: count * window].reshape(count, window), {}
