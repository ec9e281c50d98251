"""NeuralLM: the feed-forward neural language model (Bengio et al. 2003, "A Neural Probabilistic Language Model").

    x_t = (E w_{t-n+1}, …, E w_{t-1}),   params_t = b + W x_t + U tanh(d + H x_t)        (the paper's equation 1)

W connects the symbols' vectors to the output directly, and may be left out, as in the paper.

Deviation: places before the first symbol have a vector of their own.
"""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.likelihood import BitsPerDimension, Perplexity
from ar_zoo.core.markov import MarkovModel
from ar_zoo.core.registry import register
from ar_zoo.heads import Categorical
from ar_zoo.layers import SymbolEmbedding


@register("neural_lm")
class NeuralLM(MarkovModel):
    """Characters, tokens or sound, of any length: each depends on the `order - 1` before it.

    Args:
        head: a head whose site is one symbol; a `Categorical` with an `alphabet` reads and writes text.
        order: the paper's n: the symbol that is predicted, and those before it that it depends on.
        embedding_units: size of a symbol's vector.
        units: of the hidden layer.
        direct: whether the vectors are connected to the output directly, too.
    """

    metric_classes = (BitsPerDimension, Perplexity)

    def __init__(self, head, order=6, embedding_units=60, units=100, direct=False, **kwargs):
        arguments.one_symbol(head)
        arguments.whole(at_least=2, order=order)
        arguments.whole(embedding_units=embedding_units, units=units)
        super().__init__(head, (None,), **kwargs)
        self.order, self.embedding_units, self.units, self.direct = order, embedding_units, units, direct
        policy = {"dtype": self.dtype_policy}
        self._embed = SymbolEmbedding(head.num_symbols, embedding_units, name="embedding", **policy)
        self._hidden = keras.layers.Dense(units, activation="tanh", name="hidden", **policy)
        self._output = keras.layers.Dense(head.params_size, name="output", **policy)
        if direct:
            self._direct = keras.layers.Dense(head.params_size, use_bias=False, name="direct", **policy)
        self.build()

    def params_after(self, seen, sites):
        count, vectors = ops.shape(seen)[1] - (self.order - 2), self._embed(seen)
        x = ops.concatenate([vectors[:, first : first + count] for first in range(self.order - 1)], axis=-1)
        params = self._output(self._hidden(x))
        return params + self._direct(x) if self.direct else params

    PRESETS = {
        "tiny": dict(head=Categorical(5), order=4, embedding_units=6, units=8, direct=True),
        "kjv": dict(head=Categorical(62), order=12, embedding_units=32, units=512, direct=True),
    }
