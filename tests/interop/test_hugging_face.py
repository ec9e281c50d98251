"""Hugging Face folders: the same logits and gradients as transformers, there and back, and errors that say what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import ar_zoo
from ar_zoo.core.pretrained import named_weights
from ar_zoo.interop import hugging_face

FOLDERS = sorted(path for path in (Path(__file__).parents[1] / "references" / "hugging_face").iterdir())
each = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)


@pytest.fixture
def copied(tmp_path):
    return lambda name: Path(shutil.copytree(next(path for path in FOLDERS if path.name == name), tmp_path / name))


def changed(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
    return folder


@each
def test_logits_and_gradients_equal_transformers(folder):
    """Their logits at a token describe the next one; the first token is the start, which is fed and is no site."""
    model, stored = hugging_face.load(folder), np.load(folder / "reference.npz")
    tokens, logits = stored["tokens"], stored["logits"]
    with tf.GradientTape() as tape:
        params = model(tokens[:, 1:])
        likelihood = tf.reduce_mean(model.head.distribution(params).log_prob(tokens[:, 1:]))
    np.testing.assert_allclose(np.asarray(params), logits[:, :-1], atol=1e-4)
    sources, ours, compared = hugging_face.names(model), named_weights(model), 0
    paths = [path for path in sources if f"gradient {sources[path].name}" in stored]
    gradients = tape.gradient(likelihood, [ours[path].value for path in paths])
    for path, gradient in zip(paths, gradients, strict=True):
        theirs = stored[f"gradient {sources[path].name}"]
        if sources[path].part:
            theirs = np.split(theirs, sources[path].part[1], axis=-1)[sources[path].part[0]]
        theirs = theirs.T if sources[path].transposed else theirs
        np.testing.assert_allclose(
            np.asarray(tf.convert_to_tensor(gradient)), theirs, atol=1e-5, rtol=1e-3, err_msg=path
        )
        compared += 1
    assert compared > 8


@each
def test_cached_in_chunks_and_ragged(folder):
    """Chunks of all sizes; then rows that wait in turn, as those of a batch padded on the left do."""
    model, stored = hugging_face.load(folder), np.load(folder / "reference.npz")
    tokens, logits = stored["tokens"], stored["logits"][:, :-1]
    prev = np.concatenate([np.full((2, 1), -1), tokens[:, 1:-1]], axis=1).astype("int32")
    cache, parts = model.init_cache(2), []
    for start, stop in ((0, 1), (1, 8), (8, 9), (9, 19)):
        params, cache = model.step(tf.constant(prev[:, start:stop]), cache, tf.constant(start))
        parts.append(np.asarray(params))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), logits, atol=1e-4)
    waits = np.array([0, 3])  # the second row comes three slots later
    at = np.arange(22)[None] - waits[:, None]
    at = np.where((at >= 0) & (at < 19), at, -1).astype("int32")
    taken = np.take_along_axis(prev, np.maximum(at, 0), axis=1)
    cache = model.init_cache(2)
    for start, stop in ((0, 5), (5, 6), (6, 22)):
        positions = tf.constant(at[:, start:stop])
        params, cache = model.step(tf.constant(taken[:, start:stop]), cache, tf.constant(start), positions=positions)
        for row, k in np.argwhere(at[:, start:stop] >= 0):
            np.testing.assert_allclose(np.asarray(params)[row, k], logits[row, at[row, start + k]], atol=1e-4)


def test_draft_heads_are_new_and_left_out(copied, tmp_path, capsys):
    folder, x = copied("mistral"), np.arange(1, 9)[None]
    model = ar_zoo.load(folder, draft_heads=1)
    assert "mistral: no weights for draft_1/expand/kernel, draft_1/expand/bias" in capsys.readouterr().err
    np.testing.assert_array_equal(model(x), ar_zoo.load(folder)(x))
    np.testing.assert_array_equal(ar_zoo.load(hugging_face.save(model, tmp_path / "written"))(x), model(x))


@each
def test_written_as_it_was_read(folder, tmp_path):
    """The same tensors under the same names, and a configuration that gives the same model."""
    model = hugging_face.load(folder)
    written = hugging_face.save(model, tmp_path / "written")
    ours, theirs = (safetensors.numpy.load_file(path / "model.safetensors") for path in (written, folder))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
    again = hugging_face.load(written)
    assert again.get_config() | {"name": None} == model.get_config() | {"name": None}
    old, new = (json.loads((path / "config.json").read_text()) for path in (folder, written))
    skipped = {"dtype", "transformers_version"}
    for name in (old.keys() & new.keys()) - skipped:
        assert new[name] == old[name] or (new[name] or None) is old[name], name


def test_stored_in_shards_and_in_half_the_width(copied):
    import ml_dtypes

    folder = copied("llama")
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    expected = hugging_face.load(folder)
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        part = {name: tensors[name].astype(ml_dtypes.bfloat16) for name in names if files[name] == file}
        safetensors.numpy.save_file(part, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    loaded = named_weights(hugging_face.load(folder))
    for path, weight in named_weights(expected).items():
        np.testing.assert_allclose(np.asarray(loaded[path].value), np.asarray(weight.value), rtol=2**-8, atol=1e-30)
    missing = folder / files[names[0]]
    missing.unlink()
    with pytest.raises(ValueError, match=f"lacks the shard {missing.name}, which model.safetensors.index.json names"):
        hugging_face.load(folder)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("llama", {"architectures": ["MambaForCausalLM"]}, r"is of MambaForCausalLM; known: GPT2LMHeadModel, .*Llama"),
        ("llama", {"hidden_act": "relu"}, "'hidden_act' is 'relu'; the zoo has 'silu'"),
        ("llama", {"hidden_size": None}, "lacks 'hidden_size'"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic"}},
            "`rope_scaling` must have a 'rope_type' of .*'dynamic'",
        ),
        ("llama", {"rope_parameters": {"rope_type": "linear"}}, "needs a number 'factor' above 0; got None"),
        (
            "llama",
            {"vocab_size": 60},
            r"'model.embed_tokens.weight' should have the shape \[60, 32\] .* has \[61, 32\]",
        ),
        ("llama", {"num_hidden_layers": 3}, "has no weight 'model.layers.2.self_attn.q_proj.weight'"),
        ("llama", {"bos_token_id": None, "eos_token_id": None}, "neither 'bos_token_id' nor 'eos_token_id'"),
        ("llama", {"bos_token_id": "x"}, r"config\.json .*`bos_token_id` must be an integer of at least 0; got 'x'"),
        ("llama", {"bos_token_id": None, "eos_token_id": []}, "neither 'bos_token_id' nor 'eos_token_id'"),
        ("llama", {"rope_parameters": "x"}, r"config\.json .*`rope_parameters` .* must be an object, or null; got 'x'"),
        ("llama", {"hidden_size": "x"}, r"config\.json .*: unsupported operand"),
        ("llama", {"num_hidden_layers": -1}, r"config\.json .*: `num_layers` must be an integer of at least 1; got -1"),
        ("llama", {"architectures": 3}, r"config\.json is of 3; known: "),
        ("qwen2", {"use_sliding_window": True}, "'use_sliding_window' is True"),
        ("llama", {"quantization_config": {"quant_method": "bitsandbytes"}}, r"are quantised \(bitsandbytes\)"),
        (
            "llama",
            {"num_hidden_layers": 1},
            r"holds 'model\.layers\.1\.input_layernorm\.weight', .* does not compute with",
        ),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "'scale_attn_by_inverse_layer_idx' is True"),
    ],
)
def test_what_cannot_be_read_is_named(copied, name, values, says):
    with pytest.raises(ValueError, match=says):
        hugging_face.load(changed(copied(name), **values))


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("model.norm.weight", np.ones(32, np.int8), r"'model\.norm\.weight' holds I8, and weights are read as F64"),
        (
            "model.layers.0.self_attn.q_proj.bias",
            np.ones(32, np.float32),
            r"holds 'model\.layers\.0\.self_attn\.q_proj",
        ),
    ],
)
def test_weights_that_mean_something_else(copied, name, values, says):
    folder = copied("llama")
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    safetensors.numpy.save_file(tensors | {name: values}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=says):
        hugging_face.load(folder)


def test_constants_of_older_files_and_a_part_of_the_layers(copied):
    folder = copied("llama")
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(4, np.float32)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    assert hugging_face.load(folder).num_layers == 2
    assert hugging_face.load(folder, num_layers=1).num_layers == 1


def test_rope_scaling_under_its_older_name(copied, tmp_path):
    """It is read, written under its name of today, and as it was in a model that is saved anew."""
    older = {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 8.0}}
    model = hugging_face.load(changed(copied("llama"), **older))
    assert model.rope_scaling == {"rope_type": "linear", "factor": 8.0}
    again = hugging_face.load(hugging_face.save(model, tmp_path / "saved"))
    assert again.rope_scaling == model.rope_scaling
    model.rope_scaling = {"type": "linear", "factor": 8.0}
    again = hugging_face.load(hugging_face.save(model, tmp_path / "saved"))
    assert again.rope_scaling == {"rope_type": "linear", "factor": 8.0}
    model.rope_scaling = {"type": "ntk", "factor": 2.0}
    with pytest.raises(ValueError, match="rope scaling of the type 'ntk', which transformers does not know"):
        hugging_face.save(model, tmp_path / "other")


def test_mistral_has_a_window_unless_it_is_null(copied):
    folder = copied("mistral")
    config = json.loads((folder / "config.json").read_text())
    config.pop("sliding_window")
    (folder / "config.json").write_text(json.dumps(config))
    assert hugging_face.load(folder).window == 4096
    assert hugging_face.load(changed(folder, sliding_window=None)).window is None


@pytest.mark.parametrize("index", [{"weight_map": {"a": 3}}, {"weight_map": []}, {}])
def test_an_index_that_names_no_files(copied, index):
    folder = copied("llama")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"model.safetensors.index.json has no 'weight_map' of files"):
        hugging_face.load(folder)


def test_a_head_that_is_none(copied):
    with pytest.raises(ValueError, match="`head` must draw one symbol a site, as Categorical does; got 3"):
        hugging_face.load(copied("llama"), head=3)


def test_damaged_and_absent_files(copied, tmp_path):
    folder = copied("gpt2")
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    for cut in (0, 7, 100, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"cannot be read as safetensors \(.*\): it was cut short or damaged"):
            hugging_face.load(folder)
    file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"code")
    with pytest.raises(ValueError, match=r"neither model.safetensors nor .* can hold code and are not read"):
        hugging_face.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        hugging_face.load(folder)
    with pytest.raises(ValueError, match="no Hugging Face folder"):
        hugging_face.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "overrides", "says"),
    [
        ("gpt.tiny", dict(num_kv_heads=None), "starts from an embedding of its own"),
        ("gpt.tiny", dict(start_symbol=0), "is no GPT-2: it has {'num_kv_heads': 2}"),
        ("mistral.tiny", dict(start_symbol=0), "a window with sinks"),
        ("mistral.tiny", dict(start_symbol=0, num_sinks=0, qkv_bias=True), "a mistral's biases"),
        ("llama.tiny", dict(start_symbol=0, window=3), "a llama's window"),
        ("llama.tiny", dict(start_symbol=0, rope_scaling={"rope_type": "ntk", "factor": 2.0}), "of the type 'ntk'"),
        ("wavenet.tiny", {}, "`model` must be of gpt, llama, mistral; got wavenet"),
    ],
)
def test_models_that_transformers_does_not_know(name, overrides, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        hugging_face.save(ar_zoo.create(name, **overrides), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_model_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="`model` must be of gpt, llama, mistral; got NoneType"):
        hugging_face.save(None, tmp_path / "out")
