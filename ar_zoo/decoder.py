"""What transformer language models share: everything. A family is a choice of arguments."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments, checks
from ar_zoo.core.cache import numbers
from ar_zoo.core.likelihood import BitsPerDimension, Perplexity
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.layers import DraftHead, RotaryPositions, SymbolEmbedding, TransformerBlock, get_positions
from ar_zoo.layers.transformer import make_norm

IN_ATTENTION = ("rotary", "alibi")
DRAFT_KINDS = ("medusa", "chained")


class Decoder(AutoregressiveModel):
    """Tokens or characters through a stack of `TransformerBlock`s.

    Args:
        head: a `Categorical` over the vocabulary; with an `alphabet` it reads and writes text.
        max_sites: the longest event.
        num_layers, units, num_heads: of the decoder.
        num_kv_heads: heads of keys and values; `None` for `num_heads`.
        head_size: channels of a head; `None` for `units` over `num_heads`.
        hidden_units: of the feed-forward networks; `None` for four times `units`.
        positions: `"learned"`, `"sinusoidal"`, `"rotary"`, `"alibi"` or `"none"`.
        max_wavelength, rope_scaling: of rotary positions, as in `RotaryPositions`.
        window: how many entries an entry sees, itself included; `None` for all. In loops a cache keeps no more.
        num_sinks: how many first entries it sees in spite of a window.
        norm, epsilon, order, feed_forward, use_bias, qkv_bias, attention_cap: of the blocks, as in `TransformerBlock`.
        tied: whether the embedding is the output layer too.
        logit_cap: logits are bent to lie within ± this; `None` for as they are.
        start_symbol: the symbol fed before the first; `None` for an embedding of its own.
        dropout: rate on embeddings, attention weights and both branches.
        draft_heads: how many heads guess the symbols after the next, for `ar_zoo.sampling.speculate`; their mean loss, times
            `draft_weight`, is learnt with the model's.
        draft_kind: `"medusa"`, each from the features alone, or `"chained"`, each also from the symbol before its own.
    """

    metric_classes = (BitsPerDimension, Perplexity)
    XLA_ON_CPU = True

    def __init__(
        self,
        head,
        max_sites=1024,
        num_layers=12,
        units=768,
        num_heads=12,
        num_kv_heads=None,
        head_size=None,
        hidden_units=None,
        positions="learned",
        max_wavelength=10_000,
        rope_scaling=None,
        window=None,
        num_sinks=0,
        norm="layer",
        epsilon=1e-5,
        order="pre",
        feed_forward="gelu",
        use_bias=True,
        qkv_bias=None,
        tied=True,
        attention_cap=None,
        logit_cap=None,
        start_symbol=None,
        dropout=0.0,
        draft_heads=0,
        draft_kind="medusa",
        draft_weight=0.3,
        **kwargs,
    ):
        _check(head, num_heads, num_kv_heads, head_size, positions, units)
        arguments.whole(max_sites=max_sites, num_layers=num_layers)
        arguments.whole(0, num_sinks=num_sinks, draft_heads=draft_heads)
        arguments.positive(draft_weight=draft_weight)
        if draft_kind not in DRAFT_KINDS:
            raise ValueError(f"`draft_kind` must be one of {', '.join(map(repr, DRAFT_KINDS))}; got {draft_kind!r}.")
        arguments.whole_or_none(window=window, hidden_units=hidden_units)
        arguments.positive(max_wavelength=max_wavelength, epsilon=epsilon)
        arguments.rates(dropout=dropout)
        super().__init__(head, (None,), **kwargs)
        self._max_sites = max_sites
        self.num_layers, self.units, self.num_heads, self.num_kv_heads = num_layers, units, num_heads, num_kv_heads
        self.head_size, self.hidden_units, self.positions = head_size, hidden_units, positions
        self.max_wavelength, self.rope_scaling = max_wavelength, rope_scaling and dict(rope_scaling)
        self.window, self.num_sinks, self.norm, self.epsilon, self.order = window, num_sinks, norm, epsilon, order
        self.feed_forward, self.use_bias, self.qkv_bias, self.tied = feed_forward, use_bias, qkv_bias, tied
        self.attention_cap, self.logit_cap = attention_cap, logit_cap
        self.start_symbol, self.dropout = start_symbol, dropout
        self.draft_heads, self.draft_kind, self.draft_weight = draft_heads, draft_kind, draft_weight
        policy = {"dtype": self.dtype_policy}
        self._embed = SymbolEmbedding(head.num_symbols, units, start_symbol, name="embedding", **policy)
        added = "none" if positions in IN_ATTENTION else positions
        self._positions = get_positions(added, max_sites, name="positions", **policy)
        self._drop = keras.layers.Dropout(dropout, name="dropout", **policy)
        self._blocks = [
            TransformerBlock(
                num_heads,
                num_kv_heads,
                self._attention_positions(),
                window,
                dropout,
                num_sinks,
                head_size,
                norm,
                epsilon,
                order,
                feed_forward,
                hidden_units,
                use_bias,
                qkv_bias,
                attention_cap,
                name=f"block_{i}",
                **policy,
            )
            for i in range(num_layers)
        ]
        self._norm = None if order == "post" else make_norm(norm, epsilon, name="norm", **policy)
        self._output = None
        if not tied:
            self._output = keras.layers.Dense(head.num_symbols, use_bias=False, name="output", **policy)
        chained = draft_kind == "chained"
        self._drafts = [DraftHead(chained, name=f"draft_{k + 1}", **policy) for k in range(draft_heads)]
        for each in self._drafts:
            each.build((None, units))
        self._draft_bits = BitsPerDimension(name="draft_bits") if draft_heads else None
        self.build()

    def _attention_positions(self):
        """What the blocks' attention takes; each block a layer of its own."""
        if self.positions == "rotary":
            return RotaryPositions(self.max_wavelength, self.rope_scaling, name="positions", dtype=self.dtype_policy)
        return self.positions if self.positions in IN_ATTENTION else "none"

    @property
    def max_sites(self):
        return self._max_sites

    def _inputs(self, prev, at):
        return self._positions(self._embed(prev), at)

    def project(self, features):
        """Logits [..., num_symbols] of features [..., units]."""
        logits = self._embed.logits(features) if self._output is None else self._output(features)
        return logits if self.logit_cap is None else self.logit_cap * ops.tanh(logits / self.logit_cap)

    def features(self, x, texts=None, training=False):
        """What the blocks make of sites [B, S], normalised: feature i, of [B, S, units], is of the sites before i.

        `texts` as in `call`.
        """
        prev, at = ops.pad(x, ((0, 0), (1, 0)), constant_values=-1)[:, :-1], ops.arange(ops.shape(x)[1])
        given = {}
        if texts is not None:
            texts = checks.texts(x, texts)
            same = ops.equal(ops.expand_dims(texts, -1), ops.expand_dims(texts, -2))
            earlier = ops.logical_and(same, ops.expand_dims(at, 0) < ops.expand_dims(at, 1))
            at = ops.sum(ops.cast(earlier, "int32"), axis=-1)
            prev, given = ops.where(at == 0, -1, prev), {"at": at, "texts": texts}
        x = self._drop(self._inputs(prev, at), training=training)
        for block in self._blocks:
            x = block(x, training=training, **given)
        return x if self._norm is None else self._norm(x)

    def call(self, x, context=None, texts=None, training=False, drafts=False):
        """Logits [B, S, num_symbols]; with `drafts` [B, S, 1 + draft_heads, num_symbols], of site i and of the ones after it,
        all from the sites before i, but that chained heads know those between.

        Rows may hold several texts, one after the other: `texts` int [B, S] says which one a site belongs to. Each is then
        as if it stood alone.
        """
        hidden = self.features(x, texts, training=training)
        if not drafts:
            return self.project(hidden)
        every, x = [hidden], ops.convert_to_tensor(x)
        for k in range(self.draft_heads):
            between = ops.pad(x, ((0, 0), (0, k)), constant_values=-1)[:, k:]
            every.append(self.draft(k, every, between))
        return self.project(ops.stack(every, axis=2))

    def draft(self, k, hidden, symbols):
        """What head `k` makes of the features [..., units] and of what the heads before it made of them, `hidden`, a list.

        `symbols` [...] is the one before its own, of which a head of its kind may know nothing.
        """
        if self.draft_kind == "medusa":
            return self._drafts[k](hidden[0])
        return self._drafts[k](hidden[k], self._embed(symbols))

    # The loss of heads that guess further ahead, added to the model's own.

    def _outputs_of(self, inputs, training):
        return super()._outputs_of(inputs | {"drafts": self.draft_heads > 0}, training)

    def _arguments_of(self, inputs):
        more = {"drafts": True} if inputs.get("drafts") else {}
        return super()._arguments_of(inputs) | more

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True, mask=None):
        loss = super().compute_loss(x, y, _own(y_pred), sample_weight, training, mask)
        if _has_drafts(y_pred):
            losses = [self._mean(*each) for each in self._draft_nll(x, y_pred, mask, sample_weight)]
            loss = loss + self.draft_weight * sum(losses) / self.draft_heads
        return loss

    def _update_metrics(self, inputs, outputs):
        if _has_drafts(outputs):
            for total, count in self._draft_nll(inputs["x"], outputs, inputs["mask"], inputs["sample_weight"]):
                self._draft_bits.update_state(total / ops.maximum(count, 1e-9), sample_weight=count)
        return super()._update_metrics(inputs, _own(outputs))

    def _draft_nll(self, x, outputs, mask, sample_weight):
        """What `_nll` gives for each head: the k-th at site i is of site i + k, if none from i to there is padding."""
        length = x.shape[1]
        for k in range(1, self.draft_heads + 1):
            real = None
            if mask is not None:
                real = ops.all(ops.stack([mask[:, j : length - k + j] for j in range(k + 1)]), axis=0)
            yield self._nll(x[:, k:], outputs[:, :-k, k], real, sample_weight)

    def receptive_field(self, num_sites=None):
        # An entry holds the site before it: one layer with a window of w reaches w sites back, each further one w - 1.
        field = super().receptive_field(num_sites)
        if self.window is None:
            return field
        distance = np.arange(num_sites)[:, None] - np.arange(num_sites)[None]
        near = distance <= 1 + self.num_layers * (self.window - 1)
        # Entry n, of the sinks seen from everywhere, holds site n - 1; what it saw itself came before it.
        return field & (near | (np.arange(num_sites) < self.num_sinks - 1))

    def cache_spec(self, max_sites):
        spec = {block.name: block.cache_spec(max_sites) for block in self._blocks}
        return spec | {"positions": self._blocks[0].attention.positions_spec(max_sites)}

    def step(self, prev, cache, index, context=None, positions=None):
        features, cache = self.step_features(prev, cache, index, positions)
        return self.project(features), cache

    def step_features(self, prev, cache, index, positions=None):
        """`step` up to the features, [B, K, units]."""
        at = numbers(index, prev.shape[1]) if positions is None else positions
        filled = ops.broadcast_to(at, (prev.shape[0], prev.shape[1]))
        held = cache["positions"]
        kind = self._blocks[0].attention.positions_spec(self._max_sites)
        x, new = self._inputs(prev, ops.maximum(at, 0)), {"positions": kind.write(held, filled, index, at)}
        key_at = kind.read(held)
        for block in self._blocks:
            x, new[block.name] = block.step(x, cache[block.name], index, filled, key_at)
        return (x if self._norm is None else self._norm(x)), new


class LlamaDecoder(Decoder):
    """A `Decoder` in the form that Llama gave it: rotary positions, root mean square norms, SwiGLU, no biases.

    Takes the arguments of `Decoder` that are left; the defaults are the 7 B model's.
    """

    HEAVY = True

    def __init__(
        self,
        head,
        max_sites=2048,
        num_layers=32,
        units=4096,
        num_heads=32,
        num_kv_heads=None,
        head_size=None,
        hidden_units=11008,
        max_wavelength=10_000.0,
        rope_scaling=None,
        window=None,
        num_sinks=0,
        epsilon=1e-5,
        qkv_bias=False,
        tied=False,
        start_symbol=None,
        dropout=0.0,
        draft_heads=0,
        draft_kind="medusa",
        draft_weight=0.3,
        **kwargs,
    ):
        super().__init__(
            head,
            max_sites,
            num_layers,
            units,
            num_heads,
            num_kv_heads,
            head_size,
            hidden_units,
            positions="rotary",
            max_wavelength=max_wavelength,
            rope_scaling=rope_scaling,
            window=window,
            num_sinks=num_sinks,
            norm="rms",
            epsilon=epsilon,
            feed_forward="swiglu",
            use_bias=False,
            qkv_bias=qkv_bias,
            tied=tied,
            start_symbol=start_symbol,
            dropout=dropout,
            draft_heads=draft_heads,
            draft_kind=draft_kind,
            draft_weight=draft_weight,
            **kwargs,
        )


def _has_drafts(outputs) -> bool:
    return len(outputs.shape) == 4


def _own(outputs):
    """The model's own of what `call` gives."""
    return outputs[:, :, 0] if _has_drafts(outputs) else outputs


def _check(head, num_heads, num_kv_heads, head_size, positions, units):
    arguments.one_symbol(head)
    if head.params_size != head.num_symbols:
        raise ValueError(f"`head` must take a logit for each symbol, as Categorical does; got {head!r}.")
    arguments.whole(num_heads=num_heads, units=units)
    arguments.whole_or_none(num_kv_heads=num_kv_heads, head_size=head_size)
    if (head_size is None and units % num_heads) or num_heads % (num_kv_heads or num_heads):
        raise ValueError(
            f"`num_heads` must divide `units`, and `num_kv_heads` must divide `num_heads`; got units {units}, "
            f"num_heads {num_heads}, num_kv_heads {num_kv_heads}."
        )
    if positions == "rotary" and head_size is not None:
        arguments.multiples(2, "since rotary positions turn pairs of channels", head_size=head_size)
    pairs = {"rotary": 2 * num_heads if head_size is None else 1, "sinusoidal": 2}.get(positions, 1)
    arguments.multiples(pairs, f"since {positions} positions turn pairs of channels", units=units)
