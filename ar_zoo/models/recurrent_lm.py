"""RecurrentLM: a recurrent language model (Mikolov et al. 2010, "Recurrent neural network based language model").

With LSTM cells it is that of Graves 2013 (arXiv:1308.0850), with dropout between layers alone that of Zaremba et al. 2014
(arXiv:1409.2329).

    h⁰_t = E x_{t-1},   hˡ_t = cell(hˡ⁻¹_t, hˡ_{t-1}),   params_t = W dropout(h_t) + b,   or E h_t where the table is tied

Deviations: symbols enter through a table and not as one-hot vectors; the start has a vector of its own in it, which
takes the place of a learned first state.
"""

from __future__ import annotations

import keras
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import site_by_site
from ar_zoo.core.likelihood import BitsPerDimension, Perplexity
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import register
from ar_zoo.heads import Categorical
from ar_zoo.layers import Recurrent, SymbolEmbedding


@register("recurrent_lm")
class RecurrentLM(AutoregressiveModel):
    """Characters, tokens or sound, of any length: a state of fixed size remembers what was.

    Args:
        head: a head whose site is one symbol; a `Categorical` with an `alphabet` reads and writes text.
        cell: `"rnn"`, `"gru"` or `"lstm"`.
        num_layers, units: of the stack of cells.
        embedding_units: size of a symbol's vector; `None` for `units`.
        tied: whether the table of symbols is the output layer too (Press & Wolf 2017); it then has `units` columns.
        dropout: rate on the vectors of symbols and on what each layer gives, never on what it remembers.
    """

    metric_classes = (BitsPerDimension, Perplexity)

    def __init__(
        self, head, cell="lstm", num_layers=2, units=256, embedding_units=None, tied=False, dropout=0.0, **kwargs
    ):
        arguments.one_symbol(head)
        arguments.whole(num_layers=num_layers, units=units)
        arguments.whole_or_none(embedding_units=embedding_units)
        arguments.rates(dropout=dropout)
        if tied and (head.params_size != head.num_symbols or embedding_units not in (None, units)):
            raise ValueError(
                "`tied` needs a head that takes a logit for each symbol, as Categorical does, and `embedding_units` "
                f"None or {units}, as `units`; got {head!r} and {embedding_units}."
            )
        super().__init__(head, (None,), **kwargs)
        self.cell, self.num_layers, self.units, self.embedding_units = cell, num_layers, units, embedding_units
        self.tied, self.dropout = tied, dropout
        policy = {"dtype": self.dtype_policy}
        self._embed = SymbolEmbedding(head.num_symbols, embedding_units or units, name="embedding", **policy)
        self._drop = keras.layers.Dropout(dropout, name="dropout", **policy)
        self._layers_of_cells = [Recurrent(units, cell, name=f"{cell}_{i}", **policy) for i in range(num_layers)]
        if not tied:
            self._output = keras.layers.Dense(head.params_size, name="output", **policy)
        self.build()

    def _project(self, x):
        return self._embed.logits(x) if self.tied else self._output(x)

    def call(self, x, context=None, training=False):
        x = self._embed(ops.pad(x, ((0, 0), (1, 0)), constant_values=-1)[:, :-1])
        for layer in self._layers_of_cells:
            x = layer(self._drop(x, training=training))
        return self._project(self._drop(x, training=training))

    def cache_spec(self, max_sites):
        return {layer.name: layer.cache_spec() for layer in self._layers_of_cells}

    @site_by_site(chunks=True)
    def step(self, prev, cache, index, context=None):
        x, new = self._embed(prev), {}
        for layer in self._layers_of_cells:
            x, new[layer.name] = layer.step(x, cache[layer.name])
        return self._project(x), new

    PRESETS = {
        "tiny": dict(head=Categorical(5), cell="lstm", num_layers=2, units=8, embedding_units=6),
        "kjv": dict(head=Categorical(62), cell="lstm", num_layers=2, units=256, embedding_units=64),
    }
