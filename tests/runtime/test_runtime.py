"""Law 6 on exports: the same noise gives the same sample in TFLite and in SavedModel as in the model."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import ar_zoo
from ar_zoo.runtime import load, request
from ar_zoo.runtime.draw import filtered_draw
from ar_zoo.runtime.loop import Loop
from tests.export.families import FAMILIES, SITES, model

every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(params=["litert", "onnx", "saved_model"])
def opened(request, exported):
    """family → its `Runtime` on the engine under test."""
    return lambda family: load(exported(family), engine=request.param)


def context_of(family, rows):
    return {name: np.arange(rows) % spec.num_classes for name, spec in model(family).context_spec.items()} or None


@every_family
def test_same_noise_same_sample(opened, family):
    runtime = opened(family)
    for seed, temperature in ((0, 1.0), (1, 1.0), (2, 1.0), (3, 0.0), (4, 0.6)):
        arguments = dict(num_samples=3, seed=seed, temperature=temperature, context=context_of(family, 3))
        expected = model(family).sample(**arguments, num_sites=SITES[family])
        drawn = runtime.sample(**arguments)
        assert drawn.dtype == np.int32
        assert temperature == 0 or len(np.unique(expected)) > 1
        np.testing.assert_array_equal(drawn, expected)


@every_family
def test_known_sites_are_kept_and_inform_the_rest(opened, family):
    runtime, random = opened(family), np.random.default_rng(0)
    whole = model(family).sample(3, seed=9, num_sites=SITES[family])
    beginning = whole[:, :2] if family == "gated_pixel_cnn" else whole[:, :5]
    mask = random.random(whole.shape[1:] if family != "gated_pixel_cnn" else whole.shape) < 0.4
    for arguments in ({"prefix": beginning}, {"prefix": beginning[0].ravel()}, {"given": whole, "mask": mask}):
        arguments = arguments | dict(num_samples=3, seed=10)
        expected = model(family).sample(**arguments, num_sites=SITES[family])
        assert not np.array_equal(expected, whole)
        np.testing.assert_array_equal(runtime.sample(**arguments), expected)


@every_family
def test_scores(opened, family):
    runtime, context = opened(family), context_of(family, 3)
    x = model(family).sample(3, seed=1, num_sites=SITES[family])
    event, site = runtime.score(x, context)
    np.testing.assert_allclose(event, model(family).log_prob(x, context), rtol=1e-5)
    np.testing.assert_allclose(site, model(family).log_prob(x, context, reduce="site"), atol=1e-4)
    if model(family).num_sites is None:
        np.testing.assert_allclose(runtime.score(x[:, :7], context)[0], site[:, :7].sum(1), rtol=1e-5)


@every_family
def test_chained_steps_equal_the_whole(opened, family):
    x, context = model(family).sample(2, seed=2, num_sites=SITES[family]), context_of(family, 2)
    expected = np.asarray(model(family)(x, context=context))
    found = opened(family).params(x, context)
    np.testing.assert_allclose(found, expected.reshape(found.shape), atol=1e-4)
    np.testing.assert_array_equal(
        opened(family).params(x[:1], {n: v[:1] for n, v in (context or {}).items()}), found[:1]
    )


@pytest.mark.parametrize("family", ["wavenet", "gpt"])
def test_chunks_equal_single_steps(opened, family):
    x, context = model(family).sample(2, seed=2, num_sites=SITES[family])[:, :11], context_of(family, 2)
    runtime = opened(family)
    np.testing.assert_allclose(runtime.params(x, context, chunk=3), runtime.params(x, context), atol=1e-5)
    with pytest.raises(ValueError, match=r"`chunk` must be one of \[3\], which were exported; got 5"):
        runtime.params(x, context, chunk=5)


@pytest.mark.parametrize("family", ["wavenet", "gpt"])
def test_a_known_beginning_is_read_in_chunks(exported, family, monkeypatch):
    runtime, read = load(exported(family)), []
    whole = runtime.sample(2, seed=4)
    expected = runtime.sample(2, seed=5, prefix=whole[:, :10])
    real = Loop.read
    monkeypatch.setattr(Loop, "read", lambda loop, *rest: read.append(real(loop, *rest)) or read[-1])
    np.testing.assert_array_equal(runtime.sample(2, seed=5, prefix=whole[:, :10]), expected)
    assert read == [4, 4]


@every_family
def test_generate_in_saved_model_is_the_sample(exported, family):
    generate = tf.saved_model.load(str(exported(family) / "saved_model")).signatures["generate"]
    context = {name: value[:2].astype(np.int32) for name, value in (context_of(family, 2) or {}).items()}
    for seed, temperature, known in ((3, 1.0, 0), (2**40, 0.7, 5)):
        expected = model(family).sample(2, seed=seed, temperature=temperature, context=context, num_sites=SITES[family])
        sites = expected.reshape(2, -1)
        if known:
            expected = model(family).sample(
                2, seed=9, temperature=temperature, context=context, num_sites=SITES[family], prefix=sites[:, :known]
            )
        inputs = dict(prefix=sites, prefix_length=known, **context)
        inputs = {name: tf.constant(value, tf.int32) for name, value in inputs.items()}
        drawn = generate(
            seed=tf.constant(9 if known else seed, tf.int64), temperature=tf.constant(temperature), **inputs
        )
        np.testing.assert_array_equal(drawn["x"], expected)


@every_family
def test_drawing_among_the_likeliest(exported, family):
    runtime, context = load(exported(family)), context_of(family, 2)
    whole = runtime.sample(2, seed=4, context=context)
    np.testing.assert_array_equal(runtime.sample(2, seed=4, context=context, top_k=99, top_p=1.0), whole)
    greedy = runtime.sample(2, seed=4, context=context, temperature=0)
    for cold in (1e-38, 1e-40, 1e-300):  # by which float32 cannot divide
        np.testing.assert_array_equal(runtime.sample(2, seed=4, context=context, temperature=cold), greedy)
    np.testing.assert_array_equal(runtime.sample(2, seed=7, context=context, top_k=1), greedy)
    np.testing.assert_array_equal(runtime.sample(2, seed=7, context=context, top_p=1e-6), greedy)
    drawn = runtime.sample(2, seed=7, context=context, top_k=2)
    params = runtime.params(drawn, context)
    flat = drawn.reshape(2, -1, 1)
    rank = np.sum(params > np.take_along_axis(params, flat, axis=-1), axis=-1)
    assert rank.max() == 1
    np.testing.assert_array_equal(
        np.concatenate(list(runtime.stream(2, seed=7, context=context, top_k=2))), flat.T.ravel()
    )


def test_filtered_draw_by_hand():
    logits = np.log(np.array([[0.1, 0.4, 0.2, 0.3]], np.float32))
    draw = lambda u, **filters: int(filtered_draw(logits, np.array([u], np.float32), 1.0, **filters)[0])  # noqa: E731
    assert [draw(u) for u in (0.05, 0.3, 0.6, 0.9)] == [0, 1, 2, 3]
    assert [draw(u, top_k=2) for u in (0.01, 0.56, 0.58, 0.99)] == [1, 1, 3, 3], "of 4 to 3"
    assert [draw(u, top_p=0.7) for u in (0.01, 0.56, 0.58, 0.99)] == [1, 1, 3, 3], "0.4 and 0.3 are enough"
    assert {draw(u, top_p=0.71) for u in np.linspace(0.01, 0.99, 30)} == {1, 2, 3}
    assert {draw(u, top_k=3, top_p=0.5) for u in np.linspace(0.01, 0.99, 30)} == {1, 3}


@every_family
def test_stream_is_the_sample_site_by_site(exported, family):
    runtime = load(exported(family))
    whole = runtime.sample(2, seed=4)
    drawn = np.stack(list(runtime.stream(2, seed=4)), axis=1)
    np.testing.assert_array_equal(drawn.reshape(whole.shape), whole)
    after = np.stack(list(runtime.stream(2, seed=4, prefix=whole.reshape(2, -1)[:, :7])), axis=1)
    np.testing.assert_array_equal(after, whole.reshape(2, -1)[:, 7:])


def test_sound_may_be_longer_than_what_was_exported(exported):
    longer = load(exported("wavenet")).sample(1, seed=3, num_sites=40)
    np.testing.assert_array_equal(longer, model("wavenet").sample(1, seed=3, num_sites=40))


def test_a_stream_that_is_overtaken_stops(exported):
    runtime = load(exported("gpt"))
    stream = runtime.stream()
    next(stream)
    runtime.sample()
    with pytest.raises(RuntimeError, match="This stream was cut off"):
        next(stream)


def test_a_filtered_stream_is_overtaken_by_params(exported):
    """Both run on the step, whose state there is only once."""
    runtime = load(exported("gpt"))
    stream = runtime.stream(top_k=2)
    next(stream)
    runtime.params([[0, 1]])
    with pytest.raises(RuntimeError, match="This stream was cut off"):
        next(stream)


def test_decode(exported):
    symbols = np.array([[0, 1, 4], [2, 2, 3]])
    assert load(exported("gpt")).decode(symbols) == ["abe", "ccd"]
    assert load(exported("gpt")).decode(symbols[0]) == "abe"
    np.testing.assert_array_equal(load(exported("wavenet")).decode(symbols), model("wavenet").head.decode(symbols))
    np.testing.assert_array_equal(load(exported("gated_pixel_cnn")).decode(symbols % 4), symbols % 4)
    with pytest.raises(ValueError, match=r"`symbols` must be integers in 0\.\.4"):
        load(exported("gpt")).decode([5])


def test_sampling_needs_neither_tensorflow_nor_keras(exported):
    program = (
        "import sys, ar_zoo.runtime as r\n"
        f"for family in {list(FAMILIES)}:\n"
        "    for engine in ('litert', 'onnx'):\n"
        f"        runtime = r.load({str(exported('gpt').parent)!r} + '/' + family, engine)\n"
        "        runtime.score(runtime.sample(3, seed=1)); runtime.decode(next(runtime.stream()))\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    for family in FAMILIES:
        exported(family)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert {"tensorflow", "keras", "tensorflow_probability", "tf_keras"}.isdisjoint(result.stdout.split())


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        ("gpt", {"num_samples": 0}, "`num_samples` must be an integer of at least 1; got 0"),
        ("gpt", {"seed": -1}, "`seed` must be an integer of at least 0"),
        ("gpt", {"temperature": -0.5}, "`temperature` must be above 0, or exactly 0"),
        ("gated_pixel_cnn", {"context": "a"}, r"`context\['label'\]` must hold integers in .*; got <U1 'a'"),
        ("gated_pixel_cnn", {"context": []}, r"`context\['label'\]` must hold integers in .*; got float64 \[\]"),
        ("gpt", {"temperature": float("nan")}, "`temperature` must be above 0"),
        ("gpt", {"num_sites": 13}, "`num_sites` must be at most 12, which was exported; got 13"),
        ("gpt", {"prefix": [0] * 13}, "`prefix` has 13 sites, more than the 12"),
        ("gpt", {"prefix": [0, 5]}, r"`prefix` must hold symbols in 0\.\.4; got 0\.\.5"),
        ("gpt", {"prefix": [0.5]}, "`prefix` must hold integer symbols"),
        ("gpt", {"given": np.zeros(12, int)}, "`given` and `mask` go together"),
        ("gpt", {"given": np.zeros(11, int), "mask": np.ones(12, bool)}, r"`given` must have shape \[12\]"),
        ("gpt", {"top_p": float("nan")}, r"`top_p` must lie in \(0, 1\]; got nan"),
        ("gpt", {"prefix": [float("nan")]}, "`prefix` must hold integer symbols; got dtype float64"),
        ("gated_pixel_cnn", {"context": float("nan")}, r"`context\['label'\]` must hold integers in 0\.\.2 .*nan"),
        ("gpt", {"top_k": 0}, "`top_k` must be an integer of at least 1, or None; got 0"),
        ("gpt", {"top_p": 0.0}, r"`top_p` must lie in \(0, 1\]; got 0.0"),
        ("gpt", {"context": 1}, "this model takes no context"),
        ("gated_pixel_cnn", {"num_sites": 7}, "`num_sites` is fixed at 40"),
        ("gated_pixel_cnn", {"context": 4}, r"`context\['label'\]` must hold integers in 0\.\.2"),
        ("gated_pixel_cnn", {"context": [0, 1, 2]}, r"must have shape \[\] or \[1\]; got \[3\]"),
        ("gated_pixel_cnn", {"context": {"speaker": 1}}, r"`context` holds \['speaker'\]"),
    ],
)
def test_bad_requests(exported, family, arguments, message):
    runtime = load(exported(family))
    with pytest.raises(ValueError, match=message):
        runtime.sample(**arguments)
    with pytest.raises(ValueError, match=message):
        runtime.stream(**arguments)


def test_a_request_that_is_too_long_disturbs_nothing(exported):
    """It is refused before any state is overwritten: a stream that is going goes on."""
    runtime = load(exported("gpt"))
    whole = runtime.sample(1, seed=6)
    stream = runtime.stream(1, seed=6)
    drawn = [next(stream), next(stream)]
    with pytest.raises(ValueError, match="`num_sites` must be at most 12"):
        runtime.sample(1, num_sites=13)
    with pytest.raises(ValueError, match="`prefix` has 13 sites"):
        runtime.stream(1, prefix=[0] * 13)
    with pytest.raises(ValueError, match="`x` has 13 sites"):
        runtime.params(np.zeros((1, 13), int))
    np.testing.assert_array_equal([*drawn, *stream], whole[0][:, None])


@pytest.mark.parametrize(("number", "said"), [(np.nan, "nan"), (-np.inf, "-inf")])
def test_numbers_in_a_context_must_be_finite(number, said):
    spec = {"pitch": {"shape": [2], "dtype": "float32", "num_classes": None, "null": 0.0}}
    assert request.rows_of_context(spec, [0.5, 1.0], 3)["pitch"].shape == (3, 2)
    with pytest.raises(ValueError, match=rf"`context\['pitch'\]` must hold finite numbers; got {said}"):
        request.rows_of_context(spec, [0.5, number], 3)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 13), int), "`x` has 13 sites; 12 were exported"),
        (np.zeros((1, 12)), "`x` must hold integer symbols; got dtype float64"),
        (np.full((1, 12), 5), r"`x` must hold symbols in 0\.\.4"),
        (np.zeros(12, int), r"`x` must have shape \[batch, any\]; got \[12\]"),
    ],
)
def test_bad_events(exported, x, message):
    runtime = load(exported("gpt"))
    with pytest.raises(ValueError, match=message):
        runtime.score(x)
    with pytest.raises(ValueError, match=message):
        runtime.params(x)


def test_a_batch_too_large_to_do_at_once(exported):
    runtime = load(exported("gpt"))
    with pytest.raises(ValueError, match="`num_samples` must be at most 2, the exported batch size"):
        runtime.stream(3)
    with pytest.raises(ValueError, match="`x` must hold at most 2 events"):
        runtime.params(np.zeros((3, 12), int))


def test_unknown_engine(exported):
    with pytest.raises(ValueError, match="`engine` must be one of 'litert', 'onnx', 'saved_model'; got 'torch'"):
        load(exported("gpt"), engine="torch")


@pytest.mark.parametrize(
    ("engine", "module", "install"),
    [
        ("litert", "ai_edge_litert.interpreter", "pip install ai-edge-litert"),
        ("onnx", "onnxruntime", r"pip install 'ar_zoo\[onnx\]'"),
        ("saved_model", "tensorflow", "pip install tensorflow"),
    ],
)
def test_engine_that_is_not_installed(exported, monkeypatch, engine, module, install):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=install):
        load(exported("gpt"), engine).sample()


def test_top_k_needs_logits(exported):
    runtime = load(exported("gpt"))
    runtime.manifest["head"] = runtime.manifest["head"] | {"logits": False}
    with pytest.raises(ValueError, match="need a head with logits, such as Categorical; this one is Categorical"):
        runtime.sample(top_k=2)


def test_the_runtime_is_reached_from_the_front(exported):
    assert ar_zoo.runtime.load(exported("gpt")).num_sites == 12


def test_steps_with_more_slots_are_opened_when_they_are_needed(exported):
    runtime, opened = load(exported("gpt")), []
    real = runtime._open
    runtime._open = lambda name: opened.append(name) or real(name)
    stream = runtime.stream(1, seed=3)
    for _ in range(3):
        next(stream)
    assert opened == ["sample_step_3"]
    assert len(list(stream)) == 12 - 3
    assert opened == ["sample_step_3", "sample_step_7", "sample_step"]
    runtime.sample(1, seed=4)
    assert len(opened) == 3, "once"


@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_threads_change_nothing_but_the_speed(exported, engine):
    runtime = load(exported("gpt"), engine, threads=2)
    np.testing.assert_array_equal(runtime.sample(2, seed=3), load(exported("gpt"), engine).sample(2, seed=3))


def test_threads_that_cannot_be_had(exported):
    with pytest.raises(ValueError, match="`threads` must be an integer of at least 1; got 0"):
        load(exported("gpt"), threads=0)
    with pytest.raises(ValueError, match="`threads` is for the engines 'litert' and 'onnx'; got 2 for 'saved_model'"):
        load(exported("gpt"), "saved_model", threads=2)
