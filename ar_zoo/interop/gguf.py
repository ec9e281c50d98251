"""GGUF files (llama.cpp): float and quantised weights with their configuration, read with the `gguf` package.

The file is mapped, and its tensors are taken one after the other: quantised blocks become floats of the model's dtype. Files
of the architectures `llama` (which Mistral and SmolLM2 use too) and `qwen2`.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from ar_zoo.core.files import naming
from ar_zoo.core.filling import filled, report_fresh, report_unused
from ar_zoo.core.pretrained import named_weights
from ar_zoo.core.registry import families
from ar_zoo.interop.tokenizer import head_of_gguf

ARCHITECTURES = ("llama", "qwen2")
_AT_ONCE = 2**20  # numbers that are made from quantised blocks at a time
_BESIDE = re.compile(r"^rope_freqs\.weight$")  # what is read with the arguments
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")


def load(path, dtype=None, **overrides):
    """A model from a GGUF file.

    Args:
        path: of the file.
        dtype: a dtype policy, `"bfloat16"` say; float32 by default, whatever is stored.
        **overrides: constructor arguments in place of the file's, `max_sites` say.

    Raises:
        ValueError: a damaged file, an architecture or a type of tensor that is not known, a tensor that is missing.

    Example:
        >>> model = ar_zoo.load("SmolLM2-135M-Instruct.Q4_1.gguf")
    """
    path = Path(path)
    with naming(path):
        arguments, tensors, pairs = _described(path, overrides)
    arguments |= {} if dtype is None else {"dtype": dtype}

    def make():
        with naming(path):
            return families()["llama"](**arguments)

    whole = "num_layers" not in overrides
    return filled(make, lambda model: _values(model, tensors, pairs, path, whole))


@dataclasses.dataclass(frozen=True)
class _Stored:
    """A tensor in the file: ggml's kind, sizes as ggml has them (the last of ours first), and where its bytes are."""

    kind: object
    sizes: tuple[int, ...]
    bytes_shape: tuple[int, ...]
    dtype: np.dtype
    offset: int


def _described(path, overrides):
    """Constructor arguments, tensors by name, and whether rotary pairs are neighbours. The reader's memory is given back."""
    reader = _opened(path)
    facts, tensors = _Facts(reader, path), {}
    for tensor in reader.tensors:
        kind = tensor.tensor_type
        if kind.name not in TYPES:
            raise ValueError(
                f"{path}: {tensor.name!r} is of type {kind.name}, which is not read; known: {', '.join(TYPES)}."
            )
        sizes, data = tuple(int(size) for size in tensor.shape), tensor.data
        tensors[tensor.name] = _Stored(kind, sizes, data.shape, data.dtype, int(tensor.data_offset))
    arguments = _arguments(facts, tensors, path)
    if "head" not in overrides:
        arguments["head"] = head_of_gguf(facts, tensors["token_embd.weight"].sizes[1])
    return arguments | overrides, tensors, facts.architecture == "llama"


def _opened(path):
    try:
        from gguf import GGUFReader
    except ImportError:
        raise ImportError("GGUF files need the package gguf: `pip install 'ar_zoo[gguf]'`.") from None
    if not path.is_file():
        raise ValueError(f"{path} is no file.")
    size = path.stat().st_size
    try:
        reader = GGUFReader(path)
        ends = [int(tensor.data_offset + tensor.n_bytes) for tensor in reader.tensors]
    except Exception as error:  # the package checks little, and raises whatever its arrays do
        raise ValueError(
            f"{path} cannot be read as GGUF ({type(error).__name__}: {error}): it was cut short or damaged."
        ) from None
    if not ends or max(ends) > size:
        raise ValueError(f"{path} cannot be read as GGUF: it holds {size:,} bytes of {max(ends, default=0):,}.")
    return reader


class _Facts:
    """The file's key-values, of which those that are missing are named."""

    def __init__(self, reader, path):
        self._fields, self._path = reader.fields, path
        self.architecture = self["general.architecture"]
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"{path} is of {self.architecture!r}; known: {', '.join(map(repr, ARCHITECTURES))}.")

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise ValueError(f"{self._path} lacks {name!r}.")
        return value

    def get(self, name, default=None):
        field = self._fields.get(name)
        return default if field is None else field.contents()

    def own(self, name, default=None):
        """Of the architecture."""
        name = f"{self.architecture}.{name}"
        return self[name] if default is None else self.get(name, default)


def _arguments(facts, tensors, path) -> dict:
    heads, units = facts.own("attention.head_count"), facts.own("embedding_length")
    size = facts.own("rope.dimension_count", units // heads)
    if "token_embd.weight" not in tensors:
        raise ValueError(f"{path} has no tensor 'token_embd.weight', which every model needs.")
    return dict(
        max_sites=facts.own("context_length"),
        num_layers=facts.own("block_count"),
        units=units,
        num_heads=heads,
        num_kv_heads=facts.own("attention.head_count_kv", heads),
        head_size=None if size * heads == units else size,
        hidden_units=facts.own("feed_forward_length"),
        max_wavelength=float(facts.own("rope.freq_base", 10_000.0)),
        rope_scaling=_scaling(facts, tensors, path),
        epsilon=float(
            str(np.float32(facts.own("attention.layer_norm_rms_epsilon")))
        ),  # 1e-6, and not its nearest float32
        qkv_bias="blk.0.attn_q.bias" in tensors,
        tied="output.weight" not in tensors,
        start_symbol=_start(facts),
    )


def _start(facts) -> int:
    start = facts.get("tokenizer.ggml.bos_token_id")  # Qwen2 has none: text starts after the end of another
    return facts["tokenizer.ggml.eos_token_id"] if start is None else start


def _scaling(facts, tensors, path):
    if "rope_freqs.weight" in tensors:  # Llama 3's, as what each frequency is divided by
        return {"rope_type": "factors", "factors": _floats(tensors["rope_freqs.weight"], path).tolist()}
    kind = facts.own("rope.scaling.type", "none")
    if kind == "none":
        return None
    scaling = {"rope_type": kind, "factor": facts.own("rope.scaling.factor", 1.0)}
    length = facts.own("rope.scaling.original_context_length", 0)
    if facts.own("rope.scaling.attn_factor", 1.0) != 1:
        raise ValueError(f"{path}: 'rope.scaling.attn_factor' is not 1, and is not computed.")
    ramp = {f"beta_{end}": facts.own(f"rope.scaling.yarn_beta_{end}", 0.0) for end in ("fast", "slow")}
    scaling |= {name: value for name, value in ramp.items() if value}
    return scaling | ({"original_max_position_embeddings": length} if length else {})


def _names(model) -> dict[str, tuple[str, str]]:
    """Our path → their tensor's name, and how it lies: as ours, or transposed, or with the pairs of rotary channels in turn."""
    names = {"embedding/table": ("token_embd.weight", "same"), "norm/scale": ("output_norm.weight", "same")}
    if not model.tied:
        names["output/kernel"] = ("output.weight", "transposed")
    layers = {
        "attention/query": ("attn_q", "query"),
        "attention/key": ("attn_k", "key"),
        "attention/value": ("attn_v", "transposed"),
        "attention/out": ("attn_output", "transposed"),
        "gate": ("ffn_gate", "transposed"),
        "expand": ("ffn_up", "transposed"),
        "reduce": ("ffn_down", "transposed"),
    }
    for i in range(model.num_layers):
        for name, (other, how) in layers.items():
            names[f"block_{i}/{name}/kernel"] = (f"blk.{i}.{other}.weight", how)
            if model.qkv_bias and other in ("attn_q", "attn_k", "attn_v"):
                names[f"block_{i}/{name}/bias"] = (f"blk.{i}.{other}.bias", how if how != "transposed" else "same")
        names[f"block_{i}/norm_1/scale"] = (f"blk.{i}.attn_norm.weight", "same")
        names[f"block_{i}/norm_2/scale"] = (f"blk.{i}.ffn_norm.weight", "same")
    return names


def _values(model, tensors, pairs, path, whole):
    """Our path → its value."""
    ours, names = named_weights(model), _names(model)
    report_fresh(path, ours, names)
    for place, (name, how) in names.items():
        if name not in tensors:
            raise ValueError(f"{path} has no tensor {name!r}, which {type(model).__name__} needs.")
        expected = tuple(ours[place].shape)
        if tensors[name].sizes != (expected[::-1] if how == "same" else expected):
            sizes = list(tensors[name].sizes)
            raise ValueError(f"{path}: {name!r} should hold {list(expected)} in our order; it has {sizes} in theirs.")
    report_unused(path, set(tensors) - {name for name, _ in names.values()} if whole else (), _BESIDE)
    heads = {"query": model.num_heads, "key": model.num_kv_heads or model.num_heads}

    def value_of(place):
        if place not in names:
            return None
        name, how = names[place]
        value = _floats(tensors[name], path)
        value = _halves(value, heads[how]) if how in heads and pairs else value
        return value if how == "same" or value.ndim == 1 else value.T

    return value_of


def _floats(tensor, path):
    """A tensor in float32, some rows at a time. Read and not taken from the mapping, whose pages would stay in memory."""
    from gguf.quants import dequantize

    values = np.empty(tensor.sizes[::-1], np.float32)
    rows = values.reshape(-1, values.shape[-1])
    width = int(np.prod(tensor.bytes_shape[-1:]))
    at_once = max(1, _AT_ONCE // rows.shape[1])
    for first in range(0, len(rows), at_once):
        part = rows[first : first + at_once]
        offset = tensor.offset + first * width * tensor.dtype.itemsize
        stored = np.fromfile(path, tensor.dtype, len(part) * width, offset=offset)
        part[:] = dequantize(stored.reshape(len(part), width), tensor.kind)
    return values


def _halves(value, heads):
    """Of llama.cpp's order, in which the two channels of a rotary pair are neighbours, the one of two halves."""
    pairs = value.reshape(heads, -1, 2, *value.shape[1:])
    return np.swapaxes(pairs, 1, 2).reshape(value.shape)
