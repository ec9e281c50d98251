"""RecurrentLM's other cells and its tied table through the laws that bear on them, and what its constructor refuses."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo
from ar_zoo.core.pretrained import named_weights
from ar_zoo.heads import Bernoulli, Categorical, DiscretizedLogisticMixture, MuLawCategorical
from ar_zoo.models.recurrent_lm import RecurrentLM
from ar_zoo.testing import laws

VARIANTS = [dict(cell="rnn"), dict(cell="gru", tied=True, embedding_units=None)]


def variant(arguments):
    return type("Variant", (RecurrentLM,), {"PRESETS": {"tiny": RecurrentLM.PRESETS["tiny"] | arguments}})


@pytest.mark.parametrize("law", [laws.causality, laws.completeness, laws.step_equals_call, laws.gradients])
@pytest.mark.parametrize("arguments", VARIANTS, ids=lambda arguments: arguments["cell"])
def test_laws_of_the_other_cells(law, arguments):
    law(variant(arguments))


def test_a_tied_table_is_the_output_layer():
    tied, own = (ar_zoo.create("recurrent_lm.tiny", embedding_units=8, tied=tied) for tied in (True, False))
    assert set(named_weights(own)) - set(named_weights(tied)) == {"output/kernel", "output/bias"}
    table = np.asarray(named_weights(tied)["embedding/table"].value)
    hidden = np.random.default_rng(0).normal(size=(2, 3, 8)).astype("float32")
    np.testing.assert_allclose(tied._project(hidden), hidden @ table[:5].T, rtol=1e-5)  # the start is never next


def test_what_is_remembered_does_not_grow():
    model = ar_zoo.create("recurrent_lm.tiny")
    assert {name: state.shape for name, state in model.init_cache(3, 1000)["lstm_1"].items()} == {
        "hidden": (3, 8),
        "memory": (3, 8),
    }


@pytest.mark.parametrize("head", [Bernoulli(), MuLawCategorical(6)], ids=repr)
def test_any_head_of_one_symbol(head):
    model = ar_zoo.create("recurrent_lm.tiny", head=head)
    assert model(laws.events(model, 2)).shape == (2, 9, head.params_size)


def test_dropout_is_in_training_alone():
    model = ar_zoo.create("recurrent_lm.tiny", dropout=0.5)
    x = np.zeros((1, 8), "int32")
    assert np.array_equal(model(x), model(x))
    assert not np.array_equal(model(x, training=True), model(x, training=True))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(head=DiscretizedLogisticMixture(2, 5, 3)), "head"),
        (dict(cell="LSTM"), "cell"),
        (dict(num_layers=0), "num_layers"),
        (dict(units=0), "units"),
        (dict(embedding_units=0), "embedding_units"),
        (dict(dropout=1.5), "dropout"),
        (dict(tied=True, embedding_units=3), "tied"),
        (dict(tied=True, head=Bernoulli()), "tied"),
    ],
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        RecurrentLM(**(dict(head=Categorical(5), num_layers=1, units=4) | arguments))
