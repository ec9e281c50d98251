"""NeuralLM against the paper's equation in NumPy, and what its constructor refuses. Its steps: the laws."""

from __future__ import annotations

import numpy as np
import pytest

from ar_zoo.core.pretrained import named_weights
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture
from ar_zoo.models.neural_lm import NeuralLM
from ar_zoo.testing import laws


@pytest.mark.parametrize("direct", [False, True])
def test_values(direct):
    """Equation 1, one site after another; the start has the table's last row."""
    model = laws.make(NeuralLM, direct=direct)
    weights = {name: np.asarray(weight.value) for name, weight in named_weights(model).items()}
    x = laws.events(model, 2)
    padded = np.concatenate([np.full((2, 3), 5), x], axis=1)
    expected = np.zeros((2, 9, 5))
    for t in range(9):
        vectors = weights["embedding/table"][padded[:, t : t + 3]].reshape(2, 18)
        hidden = np.tanh(weights["hidden/bias"] + vectors @ weights["hidden/kernel"])
        expected[:, t] = weights["output/bias"] + hidden @ weights["output/kernel"]
        if direct:
            expected[:, t] += vectors @ weights["direct/kernel"]
    np.testing.assert_allclose(np.asarray(model(x)), expected, atol=1e-12)


@pytest.mark.parametrize("order", [2, 6])
def test_receptive_field(order):
    model = NeuralLM(Categorical(5), order, 2, 2)
    assert [int(row.sum()) for row in model.receptive_field(8)] == [min(i, order - 1) for i in range(8)]


def test_any_head_of_one_symbol():
    model = laws.make(NeuralLM, head=Bernoulli())
    assert model(laws.events(model, 2)).shape == (2, 9, 1)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(head=DiscretizedLogisticMixture(2, 5, 3)), "head"),
        (dict(order=1), "order"),
        (dict(embedding_units=0), "embedding_units"),
        (dict(units=0), "units"),
    ],
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        NeuralLM(**(dict(head=Categorical(5)) | arguments))
