"""PixelRNN against a reading of the paper in NumPy, pixel by pixel; the laws of Row LSTM; what reaches what."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import ar_zoo
from ar_zoo.core.pretrained import named_weights
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture, PredictiveLogisticMixture
from ar_zoo.models.pixel_rnn import PixelRNN
from ar_zoo.testing import laws
from tests.export.families import randomised
from tests.layers import image_lstm


def variant(**overrides):
    """A family whose tiny model has other arguments."""
    return type("Variant", (PixelRNN,), {"PRESETS": {"tiny": PixelRNN.PRESETS["tiny"] | overrides}})


ROW = variant(kind="row")


def reference(model, image):
    """Parameters [H, W, groups, size] of one image of symbols [H, W, channels]."""
    weights = {name: np.asarray(value) for name, value in named_weights(model).items()}
    height, width, channels = image.shape
    groups = 1 if model.head.site_shape else channels
    x = np.concatenate([image * 2.0 / (model.head.num_symbols - 1) - 1, np.ones_like(image)], axis=-1)

    def point(name, y):
        return y @ image_lstm.see(groups, weights[f"{name}/kernel"][0, 0]) + weights[f"{name}/bias"]

    def first(kernel):
        y, middle = np.zeros((height, width, kernel.shape[-1])) + weights["input/bias"], kernel.shape[1] // 2
        of_input, of_output = np.indices(kernel.shape[2:]) % groups
        for r, c in np.ndindex(height, width):
            for k, j in np.ndindex(kernel.shape[:2]):
                row, column = r + k - middle, c + j - middle
                if row < 0 or not 0 <= column < width or (row == r and column > c):
                    continue
                itself = (row, column) == (r, c)
                y[r, c] += x[row, column] @ np.where(
                    of_input < of_output, kernel[k, j], 0.0 if itself else kernel[k, j]
                )
        return y

    def recurrent(name, y):
        part = lambda path: weights[f"{name}/{path}"]  # noqa: E731
        state = part("state_to_state/kernel")
        if model.kind == "row":
            return image_lstm.row_lstm(y, groups, part("input_to_state/kernel"), part("input_to_state/bias"), state)
        kernels, biases = (
            [part(f"input_to_state_{side}/{what}") for side in ("left", "right")] for what in ("kernel", "bias")
        )
        return image_lstm.diagonal_lstm(y, groups, kernels, biases, state)

    h = first(weights["input/kernel"])
    for i in range(model.num_layers):
        h = h + point(f"expand_{i}", recurrent(f"lstm_{i}", h))
    for name in ("hidden_0", "hidden_1", "output"):
        h = point(name, np.maximum(h, 0))
    return np.swapaxes(h.reshape(height, width, -1, groups), -1, -2)


@pytest.mark.parametrize("kind", ["row", "diagonal"])
@pytest.mark.parametrize(
    "arguments", [{}, dict(head=DiscretizedLogisticMixture(2, 4, 3), image_shape=(3, 4, 3))], ids=["channels", "pixels"]
)
def test_values(kind, arguments):
    model = laws.make(PixelRNN, kind=kind, kernel_size=5, input_kernel_size=5, **arguments)
    x = laws.events(model, 2)
    expected = np.stack([reference(model, image) for image in x])
    found = np.asarray(model(x)).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("law", [laws.causality, laws.completeness, laws.gradients], ids=lambda law: law.__name__)
def test_laws_of_rows(law):
    """The other kind is `tiny`, which has all laws; the small models of laws 4 and 5 are of both."""
    law(ROW)


@pytest.mark.slow
@pytest.mark.parametrize(
    "law",
    [laws.step_equals_call, laws.ragged_rows, laws.one_noise_one_sample, laws.replicas, laws.precision],
    ids=lambda law: law.__name__,
)
def test_slow_laws_of_rows(law):
    law(ROW)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["row", "diagonal"])
def test_laws_with_neighbours(kind):
    """A head that starts from the pixels around a site is handed them."""
    family = variant(kind=kind, image_shape=(3, 5, 3), head=PredictiveLogisticMixture(5, 3, num_free=1))
    for law in (laws.causality, laws.completeness, laws.step_equals_call, laws.one_noise_one_sample):
        law(family)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_export_of_rows(engine, tmp_path):
    """`tiny`, of the other kind, is in the tests of all exports."""
    model = randomised(ar_zoo.create("pixel_rnn.tiny", kind="row"))
    format = {"litert": "tflite", "onnx": "onnx"}[engine]
    ar_zoo.export(model, tmp_path, format, batch_size=2, progress=False)
    runtime = ar_zoo.runtime.load(tmp_path, engine)
    for seed in range(5):
        x = model.sample(2, seed=seed)
        np.testing.assert_array_equal(runtime.sample(2, seed=seed), x)
        np.testing.assert_allclose(runtime.score(x)[0], model.log_prob(x), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["row", "diagonal"])
def test_gradients_compiled(kind):
    """Training goes through XLA, which differentiates loops by rules of its own."""
    model = laws.make(PixelRNN, kind=kind)
    x = laws.events(model, 4)

    def slopes():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model.log_prob(x))
        return tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    for compiled, eager in zip(tf.function(slopes, jit_compile=True)(), slopes(), strict=True):
        np.testing.assert_allclose(compiled, eager, atol=1e-12)


def fields(**arguments):
    """Which pixels the parameters of each pixel of a 7x7 image depend on, [7, 7, 7, 7]."""
    small = dict(image_shape=(7, 7, 1), head=Categorical(3), units=2, output_units=2, input_kernel_size=3)
    return PixelRNN(**small, **arguments).receptive_field().reshape(7, 7, 7, 7)


def test_row_lstm_sees_a_triangle():
    """One column more to the right in each row above, however many layers there are; to the left all of them."""
    rows, columns = np.indices((7, 7))
    up, right = 5 - rows, columns - 3
    earlier = (up > 0) | ((up == 0) & (right < 0))
    np.testing.assert_array_equal(fields(kind="row", num_layers=4)[5, 3], earlier & (right <= up))
    one = fields(kind="row", num_layers=1)[5, 3]
    assert not one[5, 0]  # two to the left: by the first layer's kernel and by the masked one
    assert one[5, 1]


def test_diagonal_lstm_sees_all_but_the_end_of_the_row_above():
    """The last pixel of a row is in no feature of that row, so only from where the first layer reaches it on."""
    for layers in (1, 4):
        for column, field in enumerate(fields(num_layers=layers)[5]):
            missing = np.argwhere((np.arange(49) < 5 * 7 + column).reshape(7, 7) & ~field).tolist()
            assert missing == ([[4, 6]] if column < 5 else [])


@pytest.mark.parametrize(
    ("head", "channels", "kind"),
    [(Bernoulli(), 1, "diagonal"), (Categorical(4), 3, "row"), (DiscretizedLogisticMixture(2, 4, 3), 3, "row")],
    ids=str,
)
def test_heads(head, channels, kind):
    """A mixture draws the pixel at once; the others channel after channel."""
    model = ar_zoo.create("pixel_rnn.tiny", kind=kind, image_shape=(3, 4, channels), head=head, output_units=6)
    x = laws.events(model, 2)
    assert model.num_sites == (12 if head.site_shape else 12 * channels)
    assert model.block_sizes == (model.num_sites // 3,) * 3
    assert model.log_prob(x, reduce="coordinate").shape == x.shape
    assert model.log_prob(x, reduce="site").shape == ((2, 3, 4) if head.site_shape else x.shape)


@pytest.mark.parametrize("kind", ["row", "diagonal"])
def test_the_paper_s_size(kind):
    """Seven layers of 16 channels and a stream of 32, on binary MNIST: by hand, from the equations."""
    first = (3 * 7 + 3 + 1) * 2 * 32 + 32  # the right half of the last row is not stored
    first += 3 * 2 * 32  # but for a square kernel it is
    state = {"row": (2 * 32 * 64 + 64) + 3 * 16 * 64, "diagonal": 2 * ((32 * 64 + 64) + 2 * 16 * 64)}[kind]
    last = 2 * (32 * 32 + 32) + 32 + 1
    count = ar_zoo.create(f"pixel_rnn.mnist_{kind}", image_shape=(2, 2, 1)).count_params()
    assert count == first + 7 * (state + 16 * 32 + 32) + last


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(image_shape=(4, 4)), "image_shape"),
        (dict(kind="column"), "kind"),
        (dict(head=DiscretizedLogisticMixture(2, 4, 3)), "head"),
        (dict(num_layers=-1), "num_layers"),
        (dict(units=0), "units"),
        (dict(units=5), "units"),
        (dict(output_units=5), "output_units"),
        (dict(input_kernel_size=4), "input_kernel_size"),
        (dict(kernel_size=1), "kernel_size"),
    ],
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        PixelRNN(**(PixelRNN.PRESETS["tiny"] | arguments))
