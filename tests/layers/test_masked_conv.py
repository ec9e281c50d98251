"""MaskedConv2D against a loop in NumPy that knows the rule of each mask type and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from ar_zoo.core.cache import hold
from ar_zoo.layers import MaskedConv2D
from ar_zoo.layers.masked_conv import compose_reach
from tests.layers.cases import randomised

_HEIGHT, _WIDTH = 4, 6
TYPES = ("A", "B", "above", "above_and_row")
CASES = [
    (mask_type, size, groups, dilation)
    for mask_type in TYPES
    for size in (1, 3, 5, (1, 5))
    for groups in (1, 2, 3)
    for dilation in (1, 2)
    if not (mask_type == "above" and size in (1, (1, 5)))
]
SEQUENTIAL = [case for case in CASES if case[0] in ("A", "B") and case[1] != 5 and case[2] != 2]


def sees(mask_type, dr, dc, group_in, group_out):
    """Whether an output may see the input dr rows down and dc columns right of it."""
    if dr != 0:
        return dr < 0
    if mask_type in ("above", "above_and_row"):
        return mask_type == "above_and_row"
    if dc != 0:
        return dc < 0
    return group_in < group_out if mask_type == "A" else group_in <= group_out


def naive(layer, x):
    """The convolution, tap by tap, pixel by pixel."""
    kernel, bias = np.asarray(layer.kernel.value), np.asarray(layer.bias.value)
    above, left = layer.kernel_size[0] // 2, layer.kernel_size[1] // 2
    _, height, width, channels = x.shape
    y = np.zeros((*x.shape[:3], layer.filters)) + bias
    for k, row in enumerate(kernel):
        for j, tap in enumerate(row):
            dr, dc = (k - above) * layer.dilation, (j - left) * layer.dilation
            seen = np.array(
                [
                    [sees(layer.mask_type, dr, dc, c % layer.groups, f % layer.groups) for f in range(layer.filters)]
                    for c in range(channels)
                ]
            )
            for r in range(height):
                for c in range(width):
                    if 0 <= r + dr < height and 0 <= c + dc < width:
                        y[:, r, c] += x[:, r + dr, c + dc] @ (tap * seen)
    return y


def make(mask_type, size, groups, dilation, height=_HEIGHT, width=_WIDTH):
    layer = MaskedConv2D(2 * groups, size, mask_type, groups, dilation, dtype="float64")
    x = np.random.default_rng(1).normal(size=(2, height, width, 2 * groups))
    layer(x)
    return randomised(layer), x


@pytest.mark.parametrize(("mask_type", "size", "groups", "dilation"), CASES)
def test_values(mask_type, size, groups, dilation):
    layer, x = make(mask_type, size, groups, dilation)
    np.testing.assert_allclose(np.asarray(layer(x)), naive(layer, x), atol=1e-12)


@pytest.mark.parametrize(("mask_type", "size", "groups", "dilation"), CASES)
def test_reach_is_the_mask_that_is_used(mask_type, size, groups, dilation):
    """The layer is linear: which outputs each basis vector moves is read off, group-pixel by group-pixel."""
    height, width = 4, 4
    layer, _ = make(mask_type, size, groups, dilation, height, width)
    inputs = height * width * 2 * groups
    moved = np.asarray(layer(np.eye(inputs).reshape(inputs, height, width, 2 * groups))) - np.asarray(layer.bias.value)
    # [pixel in, 2, group in, pixel out, 2, group out]: channel c belongs to group c % groups.
    moved = moved.reshape(height * width, 2, groups, height * width, 2, groups)
    influence = (moved != 0).any(axis=(1, 4)).transpose(2, 3, 0, 1).reshape(height * width * groups, -1)
    np.testing.assert_array_equal(layer.reach(height, width), influence)


def zeros(spec, batch=2):
    return ops.zeros((batch, *spec.shape), dtype=spec.dtype)


def links_by_row(layer, x):
    """What the rows above contribute to each row, from the once-a-row form."""
    links = [np.zeros((*x[:, 0].shape[:2], layer.filters))]
    rows = zeros(layer.rows_spec(x.shape[2]))
    for r in range(x.shape[1] - 1):
        if layer.kernel_size[0] == 1:
            links.append(links[0])
        else:
            link, rows = layer.step_row(x[:, r], rows)
            links.append(np.asarray(link))
    return links


@pytest.mark.parametrize(
    ("mask_type", "size", "groups", "dilation"), [case for case in SEQUENTIAL if case[0] == "B" or case[2] == 1]
)
def test_pixel_by_pixel(mask_type, size, groups, dilation):
    """`step_row` once a row and `step` once a site give what `call` gives. A pixel's channels arrive group by group."""
    layer, x = make(mask_type, size, groups, dilation)
    expected = np.asarray(layer(x))
    links = links_by_row(layer, x)
    channel_group = np.arange(2 * groups) % groups
    for r in range(_HEIGHT):
        left = zeros(layer.left_spec())
        for c in range(_WIDTH):
            for g in range(groups):
                y, left = layer.step(x[:, r, c] * (channel_group <= g), left, links[r][:, c], g == 0)
                np.testing.assert_allclose(
                    np.asarray(y)[:, channel_group == g], expected[:, r, c, channel_group == g], atol=1e-12
                )


@pytest.mark.parametrize(("mask_type", "size", "groups", "dilation"), SEQUENTIAL)
def test_window_and_whole_row(mask_type, size, groups, dilation):
    layer, x = make(mask_type, size, groups, dilation)
    expected, links, reach = np.asarray(layer(x)), links_by_row(layer, x), layer.kernel_size[1] // 2 * dilation
    for r in range(_HEIGHT):
        np.testing.assert_allclose(np.asarray(layer.along_row(x[:, r], links[r])), expected[:, r], atol=1e-12)
        padded = np.pad(x[:, r], ((0, 0), (reach, 0), (0, 0)))
        for c in range(_WIDTH):
            y = layer.step_window(padded[:, c : c + reach + 1], links[r][:, c])
            np.testing.assert_allclose(np.asarray(y), expected[:, r, c], atol=1e-12)


@pytest.mark.parametrize(("mask_type", "size", "groups", "dilation"), [c for c in CASES if c[0].startswith("above")])
def test_row_by_row(mask_type, size, groups, dilation):
    """The vertical stack's form: "above" takes the row before the one that comes out, "above_and_row" that row."""
    layer, x = make(mask_type, size, groups, dilation)
    expected, rows = np.asarray(layer(x)), zeros(layer.rows_spec(_WIDTH))
    for r in range(_HEIGHT):
        row = x[:, r] if mask_type == "above_and_row" else x[:, r - 1] * (r > 0)
        y, rows = layer.step_row(row, rows)
        np.testing.assert_allclose(np.asarray(y), expected[:, r], atol=1e-12)


RASTER = [case for case in CASES if case[0] in ("A", "B") and case[2] == 1 and case[:2] != ("A", 1)]


def in_raster_order(mask_type, size, dilation, width):
    """(layer, the pixels that go in, what has to come out), both as sequences. Of type A the pixel before goes in."""
    layer, x = make(mask_type, size, 1, dilation, height=24 // width, width=width)
    stream, expected = (np.asarray(y).reshape(2, 24, -1) for y in (x, layer(x)))
    return layer, np.pad(stream, ((0, 0), (1, 0), (0, 0)))[:, :-1] if mask_type == "A" else stream, expected


@pytest.mark.parametrize("width", [1, 2, 3, 6])
@pytest.mark.parametrize(("mask_type", "size", "groups", "dilation"), RASTER)
def test_pixels_as_a_sequence(mask_type, size, groups, dilation, width):
    layer, stream, expected = in_raster_order(mask_type, size, dilation, width)
    spec, index = layer.line_spec(width), 0
    line = None if spec is None else spec.init(2)
    for length in (1, 1, 7, 1, 13, 1):
        inside = layer.inside((index + np.arange(length)) % width, width)
        y, line = layer.step_raster(stream[:, index : index + length], line, index, inside, width)
        np.testing.assert_allclose(np.asarray(y), expected[:, index : index + length], atol=1e-12)
        index += length


@pytest.mark.parametrize(("mask_type", "size", "groups", "dilation"), [case for case in RASTER if case[1] == 3])
def test_pixels_as_a_sequence_in_ragged_rows(mask_type, size, groups, dilation):
    """The second row is one pixel ahead of the first."""
    layer, stream, expected = in_raster_order(mask_type, size, dilation, 6)
    line, rows = layer.line_spec(6).init(2), np.arange(2)
    for first in range(-1, 23):
        at = np.array([first, first + 1])
        x, inside = stream[rows, np.maximum(at, 0)][:, None], layer.inside(at[:, None] % 6, 6)
        y, new = layer.step_raster(x, line, ops.convert_to_tensor(at), inside, 6)
        line = hold(at >= 0, new, line)
        here = rows[at >= 0]
        np.testing.assert_allclose(np.asarray(y)[here, 0], expected[here, at[here]], atol=1e-12)


def strided(mask_type, stride):
    """A layer with a stride, and the image that one without would give at its outputs' pixels."""
    dense, x = make(mask_type, 3, 1, 1)
    layer = MaskedConv2D(dense.filters, 3, mask_type, stride=stride, dtype="float64")
    layer(x)
    layer.set_weights(dense.get_weights())
    return layer, x, naive(dense, x)[:, ::stride, ::stride]


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("mask_type", TYPES)
def test_stride(mask_type, stride):
    layer, x, expected = strided(mask_type, stride)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-12)
    whole = MaskedConv2D(2, 3, mask_type)
    whole.build(x.shape)
    places = np.arange(_HEIGHT * _WIDTH).reshape(_HEIGHT, _WIDTH)[::stride, ::stride].ravel()
    np.testing.assert_array_equal(layer.reach(_HEIGHT, _WIDTH), whole.reach(_HEIGHT, _WIDTH)[places])


@pytest.mark.parametrize("mask_type", ["B", "above_and_row"])
def test_stride_row_by_row(mask_type):
    """Rows of outputs at every second row, places at every second column, of what `call` gives."""
    layer, x, expected = strided(mask_type, 2)
    rows, above = zeros(layer.rows_spec(_WIDTH)), np.zeros((2, _WIDTH // 2, 2))
    assert layer.link_spec(_WIDTH).size == _WIDTH // 2
    for r in range(_HEIGHT):
        if mask_type == "B" and r % 2 == 0:
            np.testing.assert_allclose(np.asarray(layer.along_row(x[:, r], above)), expected[:, r // 2], atol=1e-12)
            left = zeros(layer.left_spec())
            for c in range(_WIDTH):
                y, left = layer.step(x[:, r, c], left, above[:, c // 2])
                if c % 2 == 0:
                    np.testing.assert_allclose(np.asarray(y), expected[:, r // 2, c // 2], atol=1e-12)
        y, rows = layer.step_row(x[:, r], rows)
        if mask_type == "B":
            above = np.asarray(y)
        elif r % 2 == 0:
            np.testing.assert_allclose(np.asarray(y), expected[:, r // 2], atol=1e-12)


def test_initial_scale():
    """Of the initial weights alone."""
    spread = [np.std(np.asarray(built.kernel)) for built in (_built(initial_scale=1.0), _built(initial_scale=0.1))]
    assert 0.08 < spread[1] / spread[0] < 0.12


def _built(**arguments):
    layer = MaskedConv2D(32, 3, **arguments)
    layer.build((None, 8, 8, 16))
    return layer


def test_masked_before_any_training():
    """The mask is where the kernel is used: the first call is causal, whatever the weights hold."""
    layer, x = make("A", 5, 2, 1)
    changed = x.copy()
    changed[:, 2, 3:] += 1.0
    difference = np.abs(np.asarray(layer(changed)) - np.asarray(layer(x))).reshape(2, -1, 4)
    assert difference[:, : 2 * _WIDTH + 3].max() == 0
    assert difference[:, 2 * _WIDTH + 3, ::2].max() == 0, "group 0 of the pixel saw its own pixel"
    assert difference[:, 2 * _WIDTH + 3, 1::2].min() > 0, "group 1 did not see group 0"


def test_compose_reach():
    generator = np.random.default_rng(0)
    outer, inner = generator.random((2, 12, 12)) < 0.2
    expected = np.array([[any(outer[i, k] and inner[k, j] for k in range(12)) for j in range(12)] for i in range(12)])
    np.testing.assert_array_equal(compose_reach(outer, inner), expected)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(filters=4, kernel_size=4), "kernel_size"),
        (dict(filters=4, kernel_size=(3, 3, 3)), "kernel_size"),
        (dict(filters=4, kernel_size=(1, 3), mask_type="above"), "kernel_size"),
        (dict(filters=4, mask_type="C"), "mask_type"),
        (dict(filters=4, groups=3), "groups"),
        (dict(filters=0), "filters"),
        (dict(filters=4, dilation=0), "dilation"),
        (dict(filters=4, stride=0), "stride"),
        (dict(filters=4, stride=2, dilation=2), "stride"),
    ],
)
def test_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        MaskedConv2D(**arguments)


def test_refused_inputs():
    with pytest.raises(ValueError, match="`groups` = 2 does not divide"):
        MaskedConv2D(4, groups=2)(np.zeros((1, 3, 3, 3), "float32"))
    layer, x = make("B", (1, 5), 1, 1)
    with pytest.raises(ValueError, match="no rows above"):
        layer.step_row(x[:, 0], zeros(layer.rows_spec(_WIDTH)))
    for mask_type, groups in (("above", 1), ("B", 2)):
        with pytest.raises(ValueError, match="`mask_type` 'A' or 'B' and `groups` = 1"):
            MaskedConv2D(4, 3, mask_type, groups).line_spec(_WIDTH)
