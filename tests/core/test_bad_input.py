"""Bad input is refused where it enters, by an error that names the argument."""

from __future__ import annotations

import types

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.core import checks
from ar_zoo.core.context import ContextSpec
from tests.core.models import image, sound, text

TOKENS = np.zeros((4, 6), "int32")
IMAGES = np.zeros((4, 4, 5, 2), "int32")
NAN, INFINITY = float("nan"), float("inf")


def compiled(model):
    if not model.compiled:
        model.compile("sgd", jit_compile=False)
    return model


WRONG_X = [
    (text, TOKENS.astype("float32"), r"`x` must hold integer symbols; got dtype float32.*model\.head\.encode"),
    (text, TOKENS.astype(bool), "`x` must hold integer symbols; got dtype bool"),
    (text, TOKENS + 5, r"`x` must hold symbols in 0\.\.4; got 5\.\.5"),
    (text, TOKENS - 1, r"`x` must hold symbols in 0\.\.4; got -1\.\.-1"),
    (text, TOKENS.astype("int64") + 2**32, r"`x` must hold symbols in 0\.\.4"),
    (text, TOKENS[0], r"`x` must have shape \[batch, any\]; got \[6\]"),
    (text, IMAGES, r"`x` must have shape \[batch, any\]; got \[4, 4, 5, 2\]"),
    (text, np.zeros((1, 13), "int32"), "`x` has 13 sites; this model takes at most 12"),
    (image, IMAGES[:, :3], r"`x` must have shape \[batch, 4, 5, 2\]; got \[4, 3, 5, 2\]"),
    (image, IMAGES[..., 0], r"`x` must have shape \[batch, 4, 5, 2\]; got \[4, 4, 5\]"),
]


@pytest.mark.parametrize(("model", "x", "message"), WRONG_X)
@pytest.mark.parametrize("method", ["log_prob", "fit", "evaluate", "predict"])
def test_x(model, x, message, method):
    model = compiled(model())
    before = [np.asarray(weight) for weight in model.trainable_weights]
    for value in (x, tf.constant(x)):
        with pytest.raises(ValueError, match=message):
            getattr(model, method)(value, **({} if method == "log_prob" else {"verbose": 0}))
    assert all(np.array_equal(*pair) for pair in zip(before, model.trainable_weights, strict=True))


@pytest.mark.parametrize(
    ("model", "x", "message"),
    [WRONG_X[0], WRONG_X[4 + 2], WRONG_X[7], WRONG_X[8]],
)
def test_x_from_a_data_set(model, x, message):
    """What shapes and dtypes tell is refused in the compiled step too."""
    with pytest.raises(ValueError, match=message):
        compiled(model()).fit(tf.data.Dataset.from_tensors(x), verbose=0, shuffle=False)


CONTEXT = [
    (image, np.array([0, 1, 2, 4]), r"`context\['label'\]` must hold integers in 0\.\.2 \(3 for unknown\); got 0\.\.4"),
    (image, np.array([0, 1, 2, -1]), r"`context\['label'\]` must hold integers in 0\.\.2.*got -1\.\.2"),
    (image, np.zeros(4), r"`context\['label'\]` must hold integers in 0\.\.2.*got dtype float64"),
    (image, np.zeros(3, int), r"`context\['label'\]` must have shape .*got \[3\]"),
    (image, np.zeros((4, 1), int), r"`context\['label'\]` must have shape .*got \[4, 1\]"),
    (image, {"speaker": np.zeros(4, int)}, r"`context` holds \['speaker'\]; this GatedPixelCNN knows \['label'\]"),
    (text, np.zeros(4, int), "`context` was given, but this GPT takes none"),
    (text, {"label": np.zeros(4, int)}, r"`context` holds \['label'\]; this GPT knows none"),
]


@pytest.mark.parametrize(("model", "context", "message"), CONTEXT)
def test_context(model, context, message):
    model = compiled(model())
    x = TOKENS if model.num_sites is None else IMAGES
    with pytest.raises(ValueError, match=message):
        model.log_prob(x, context)
    with pytest.raises(ValueError, match=message):
        model.sample(4, context=context)
    for method in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=message):
            method({"x": x, "context": context}, verbose=0)


def test_none_in_a_context_is_unknown():
    expected = np.asarray(image().log_prob(IMAGES))
    np.testing.assert_array_equal(np.asarray(image().log_prob(IMAGES, {"label": None})), expected)
    np.testing.assert_array_equal(np.asarray(image().log_prob(IMAGES, np.full(4, 3))), expected)


@pytest.mark.parametrize("model", [image, sound])
def test_one_label_for_all(model):
    model = model()
    x = IMAGES if model.num_sites else TOKENS
    for label in (1, np.int64(1), {"label": 1}):
        np.testing.assert_allclose(
            np.asarray(model.log_prob(x, label)), np.asarray(model.log_prob(x, np.full(4, 1))), rtol=1e-6
        )


@pytest.mark.parametrize(
    ("model", "mask", "message"),
    [
        (text, np.ones((4, 5), bool), r"`mask` must be bool of shape \[4, 6\].*got bool \[4, 5\]"),
        (text, np.ones((4, 6), "int32"), r"`mask` must be bool of shape \[4, 6\].*got int32"),
        (image, np.ones((4, 40), bool), "`mask` marks padding, and events of GatedPixelCNN have the fixed shape"),
    ],
)
def test_mask(model, mask, message):
    model = compiled(model())
    x = TOKENS if model.num_sites is None else IMAGES
    with pytest.raises(ValueError, match=message):
        model.log_prob(x, mask=mask)
    with pytest.raises(ValueError, match=message):
        model.fit({"x": x, "mask": mask}, verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(x=TOKENS, y=TOKENS), r"`y` must be None: .*'context': {'label': y}"),
        (dict(x=(TOKENS, TOKENS)), "`x` must be an array, a dict .* or a data set; got a tuple"),
        (dict(x=[TOKENS]), "`x` must be an array, a dict .* or a data set; got a list"),
        (dict(x={"x": TOKENS, "label": TOKENS}), r"A batch must have the keys x, context.*got \['label', 'x'\]"),
        (dict(x={"context": TOKENS}), r"A batch must have the keys x, context.*got \['context'\]"),
        (dict(x=TOKENS, sample_weight=np.ones(3)), r"`sample_weight` must have shape \[4\].*got \[3\]"),
        (dict(x={"x": TOKENS, "sample_weight": np.ones((4, 6))}), r"`sample_weight` must have shape \[4\].*\[4, 6\]"),
    ],
)
def test_training_arguments(method, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(compiled(text()), method)(**arguments, verbose=0)


def test_targets_in_a_data_set():
    with pytest.raises(ValueError, match="`y` must be None"):
        compiled(text()).fit(tf.data.Dataset.from_tensors((TOKENS, TOKENS)), verbose=0, shuffle=False)


def test_validation_data_is_checked_too():
    for validation in ((TOKENS, TOKENS), TOKENS + 5, {"x": TOKENS, "y": TOKENS}, (TOKENS + 5, None)):
        with pytest.raises(ValueError, match=r"`y` must be None|`x` must hold symbols|A batch must have the keys"):
            compiled(text()).fit(TOKENS, validation_data=validation, verbose=0)


@pytest.mark.parametrize("temperature", [-1, -0.1, NAN, INFINITY, None, "1", True])
def test_temperature(temperature):
    with pytest.raises(ValueError, match="`temperature` must be above 0, or exactly 0"):
        text().sample(1, temperature=temperature)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_samples=0), "`num_samples` must be an integer of at least 1; got 0"),
        (dict(num_samples=2.0), r"`num_samples` must be an integer of at least 1; got 2\.0"),
        (dict(num_samples=True), "`num_samples` must be an integer of at least 1; got True"),
        (dict(seed=-1), "`seed` must be an integer of at least 0; got -1"),
        (dict(seed=None), "`seed` must be an integer of at least 0; got None"),
        (dict(batch_size=0), "`batch_size` must be an integer of at least 1, or None; got 0"),
        (dict(batch_size=1.5), r"`batch_size` must be an integer of at least 1, or None; got 1\.5"),
        (dict(num_sites=13), "`num_sites` has 13 sites; this model takes at most 12"),
        (dict(num_sites=0), "`num_sites` must be an integer of at least 1; got 0"),
        (dict(num_sites=3.0), r"`num_sites` must be an integer of at least 1; got 3\.0"),
        (dict(prefix=[0] * 13), "`prefix` has 13 sites, more than the 12 of an event"),
        (dict(prefix=[0] * 4, num_sites=3), "`prefix` has 4 sites, more than the 3 of an event"),
        (dict(prefix=[0, 5]), r"`prefix` must hold symbols in 0\.\.4; got 0\.\.5"),
        (dict(prefix=[-1]), r"`prefix` must hold symbols in 0\.\.4; got -1\.\.-1"),
        (dict(prefix=np.array([2**32])), r"`prefix` must hold symbols in 0\.\.4"),
        (dict(prefix=[0.5]), "`prefix` must hold integer symbols; got dtype float64"),
        (dict(prefix="ab"), "`prefix` must hold integer symbols"),
        (dict(prefix=np.zeros((3, 2), int), num_samples=2), r"`prefix` must be \[sites\] or \[2, sites\].*got shape"),
        (dict(prefix=np.zeros((2, 2, 2), int), num_samples=2), "`prefix` must be"),
        (dict(given=[0] * 12), "`given` and `mask` go together"),
        (dict(mask=[True] * 12), "`given` and `mask` go together"),
        (dict(given=[0] * 12, mask=[True] * 12, prefix=[0]), "`prefix` and `given` exclude each other"),
        (dict(given=[0] * 11, mask=[True] * 12), r"`given` must have shape \[12\] or \[1, 12\]; got \[11\]"),
        (dict(given=[0] * 12, mask=[True] * 11), r"`mask` must have shape \[12\] or \[1, 12\]; got \[11\]"),
        (dict(given=[0] * 12, mask=[1] * 12), "`mask` must be bool, True where `given` is known; got dtype int64"),
        (dict(given=[7] * 12, mask=[True] * 12), r"`given` must hold symbols in 0\.\.4; got 7\.\.7"),
        (dict(given=[0.0] * 12, mask=[True] * 12), "`given` must hold integer symbols; got dtype float64"),
    ],
)
def test_sample(arguments, message):
    with pytest.raises(ValueError, match=message):
        text().sample(**({"num_samples": 1} | arguments))


def test_lengths():
    with pytest.raises(ValueError, match="`num_sites` must be given: the model's events have no fixed length"):
        sound().sample(1)
    with pytest.raises(ValueError, match="`num_sites` is fixed at 40 for this model; got 39"):
        image().sample(1, num_sites=39)


def test_reduce():
    with pytest.raises(ValueError, match="`reduce` must be 'event', 'site' or 'coordinate'; got 'sum'"):
        text().log_prob(TOKENS, reduce="sum")


@pytest.mark.parametrize(("number", "said"), [(NAN, "nan"), (-INFINITY, "-inf")])
def test_numbers_in_a_context_must_be_finite(number, said):
    spec = {"pitch": ContextSpec((2,), "float32")}
    model = types.SimpleNamespace(context_spec=spec)
    assert checks.context(model, [0.5, 1.0]) == {"pitch": [0.5, 1.0]}
    with pytest.raises(ValueError, match=rf"`context\['pitch'\]` must hold finite numbers; got {said}"):
        checks.context(model, {"pitch": [0.5, number]})
