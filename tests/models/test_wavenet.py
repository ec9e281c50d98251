"""WaveNet's receptive field, its condition, and what its constructor refuses. Its values: the laws, and the layers."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.heads import Categorical, DiscretizedLogisticMixture, MuLawCategorical
from ar_zoo.models.wavenet import WaveNet
from ar_zoo.testing import laws


def make(**arguments):
    return WaveNet(
        **(dict(head=MuLawCategorical(5), num_stacks=1, layers_per_stack=2, units=4, gate_units=4) | arguments)
    )


@pytest.mark.parametrize(
    ("stacks", "layers", "kernel", "reach"),
    [(1, 1, 1, 1), (1, 3, 2, 8), (2, 3, 2, 15), (2, 2, 3, 13), (3, 10, 2, 3070)],
)
def test_receptive_field(stacks, layers, kernel, reach):
    """One for the shift, and (kernel - 1) · dilation a layer: 3 stacks of 10 see 3,070 samples (the paper's 300 ms)."""
    model = make(num_stacks=stacks, layers_per_stack=layers, kernel_size=kernel)
    assert model.receptive_field(4000)[-1].sum() == reach
    assert model.receptive_field(5).sum() == sum(min(i, reach) for i in range(5))


def test_the_condition_is_heard_and_unknown_is_a_class():
    model = laws.make(WaveNet)
    x = laws.events(model, 3)
    one, two, unknown, none = (
        np.asarray(model.log_prob(x, context)) for context in (np.full(3, 0), np.full(3, 1), np.full(3, 2), None)
    )
    assert np.abs(one - two).min() > 1e-6
    np.testing.assert_array_equal(unknown, none)
    assert np.abs(one - none).min() > 1e-6


def test_label_dropout_hides_labels_in_training():
    model = laws.make(WaveNet, label_dropout=1.0)
    x = laws.events(model, 3)
    np.testing.assert_allclose(model(x, np.zeros(3, "int32"), training=True), model(x), atol=1e-12)


@pytest.mark.parametrize("head", [Categorical(4), MuLawCategorical(6)], ids=repr)
def test_any_head_of_one_symbol(head):
    model = ar_zoo.create("wavenet.tiny", head=head)
    assert model(laws.events(model, 2)).shape == (2, 9, head.num_symbols)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(head=DiscretizedLogisticMixture(2, 5, 3)), "head"),
        (dict(num_stacks=0), "num_stacks"),
        (dict(layers_per_stack=0), "layers_per_stack"),
        (dict(units=0), "units"),
        (dict(gate_units=0), "gate_units"),
        (dict(skip_units=0), "skip_units"),
        (dict(kernel_size=0), "kernel_size"),
        (dict(num_classes=0), "num_classes"),
        (dict(label_dropout=1.5, num_classes=2), "label_dropout"),
        (dict(dropout=-0.5), "dropout"),
    ],
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        make(**arguments)
