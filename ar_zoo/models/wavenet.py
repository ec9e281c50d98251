"""WaveNet (van den Oord et al. 2016, arXiv:1609.03499).

    z_l = tanh(W_f ∗ x_l + V_f c) · σ(W_g ∗ x_l + V_g c),   x_{l+1} = x_l + R z_l,   output from Σ_l S z_l

with ∗ a causal convolution of dilation 1, 2, 4, … in each stack, and c a global condition (a speaker, a class).

Deviation: samples enter as a learned vector a level (a table, which is a 1x1 convolution of their one-hot code).
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.cache import site_by_site
from ar_zoo.core.context import label_spec
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import register
from ar_zoo.heads import MuLawCategorical
from ar_zoo.layers import Conditioning, DilatedCausalConv1D, GatedActivation, NullDropout, ResidualSkip, SymbolEmbedding


@register("wavenet")
class WaveNet(AutoregressiveModel):
    """Sound, sample by sample.

    Args:
        head: a head whose site is one symbol, `MuLawCategorical` by default in the presets.
        num_stacks: how often the dilations 1, 2, 4, … start again.
        layers_per_stack: dilations in a stack.
        units: channels of the residual stream.
        gate_units: channels of the gated activation.
        skip_units: channels of the skips and of the output network.
        kernel_size: taps of each convolution.
        num_classes: classes of the context "label" (speakers, say); `None` for none.
        label_dropout: how often training hides the label.
        dropout: rate after the gates.
    """

    XLA_ON_CPU = True

    def __init__(
        self,
        head,
        num_stacks=3,
        layers_per_stack=10,
        units=64,
        gate_units=128,
        skip_units=128,
        kernel_size=2,
        num_classes=None,
        label_dropout=0.1,
        dropout=0.0,
        **kwargs,
    ):
        arguments.one_symbol(head)
        arguments.whole(num_stacks=num_stacks, layers_per_stack=layers_per_stack, units=units, gate_units=gate_units)
        arguments.whole(skip_units=skip_units, kernel_size=kernel_size)
        arguments.whole_or_none(num_classes=num_classes)
        arguments.rates(label_dropout=label_dropout, dropout=dropout)
        super().__init__(head, (None,), **kwargs)
        self.num_stacks, self.layers_per_stack, self.units = num_stacks, layers_per_stack, units
        self.gate_units, self.skip_units, self.kernel_size = gate_units, skip_units, kernel_size
        self.num_classes, self.label_dropout, self.dropout = num_classes, label_dropout, dropout
        policy = {"dtype": self.dtype_policy}
        self._embed = SymbolEmbedding(head.num_symbols, units, name="embedding", **policy)
        self._gate = GatedActivation(name="gate", **policy)
        self._drop = keras.layers.Dropout(dropout, name="dropout", **policy)
        dilations = [2**i for _ in range(num_stacks) for i in range(layers_per_stack)]
        self._convs = [
            DilatedCausalConv1D(2 * gate_units, kernel_size, dilation, name=f"conv_{i}", **policy)
            for i, dilation in enumerate(dilations)
        ]
        self._wirings = [ResidualSkip(units, skip_units, name=f"wiring_{i}", **policy) for i in range(len(dilations))]
        if num_classes:
            self._hide_label = NullDropout(label_dropout, num_classes, name="label_dropout", **policy)
            self._condition = Conditioning(2 * gate_units * len(dilations), num_classes, name="condition", **policy)
        self._hidden = keras.layers.Dense(skip_units, activation="relu", name="hidden", **policy)
        self._output = keras.layers.Dense(head.params_size, name="output", **policy)
        self.build()

    @property
    def context_spec(self):
        return label_spec(self.num_classes)

    def receptive_field(self, num_sites=None):
        lookback = 1 + sum(conv.lookback for conv in self._convs)
        distance = np.arange(num_sites)[:, None] - np.arange(num_sites)[None]
        return (distance >= 1) & (distance <= lookback)

    def _biases(self, context, training=False):
        """What the condition adds to each layer's pre-activation, [B, 1, 2 · gate_units] each."""
        if not self.num_classes:
            return [0.0] * len(self._convs)
        label = self._hide_label(context["label"], training=training)
        return ops.split(ops.expand_dims(self._condition(label), 1), len(self._convs), axis=-1)

    def call(self, x, context=None, training=False):
        x = self._embed(ops.pad(x, ((0, 0), (1, 0)), constant_values=-1)[:, :-1])
        skips = 0.0
        for conv, wiring, bias in zip(self._convs, self._wirings, self._biases(context, training), strict=True):
            activation = self._drop(self._gate(conv(x) + bias), training=training)
            x, skip = wiring(activation, x)
            skips = skips + skip
        return self._output(self._hidden(ops.relu(skips)))

    def cache_spec(self, max_sites):
        return {conv.name: conv.cache_spec() for conv in self._convs if conv.lookback}

    @site_by_site(chunks=True)
    def step(self, prev, cache, index, context=None):
        new, both = {}, ops.pad(self._embed(prev), ((0, 0), (0, 0), (0, self.skip_units)))  # residual and skip
        for conv, wiring, bias in zip(self._convs, self._wirings, self._biases(context), strict=True):
            y, line = conv.step(both[..., : self.units], cache.get(conv.name), index)
            if conv.lookback:
                new[conv.name] = line
            both = wiring.onto(self._gate(y + bias), both)
        return self._output(self._hidden(ops.relu(both[..., self.units :]))), new

    PRESETS = {
        "tiny": dict(
            head=MuLawCategorical(5),
            num_stacks=2,
            layers_per_stack=2,
            units=6,
            gate_units=8,
            skip_units=10,
            kernel_size=3,
            num_classes=2,
        ),
        "speech8k": dict(
            head=MuLawCategorical(256), num_stacks=2, layers_per_stack=9, units=96, gate_units=96, skip_units=128
        ),
        "benchmark": dict(
            head=MuLawCategorical(256), num_stacks=3, layers_per_stack=10, units=64, gate_units=64, skip_units=128
        ),
    }
