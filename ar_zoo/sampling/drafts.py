"""Where guesses come from: another model, what was written before, or the last round's own draws.

A draft is hashable, and has four members. Its state is nested dicts of tensors, batch first.

    check(model, num_sites)                         refuses a model that it cannot guess for
    overwrites(num_sites, lookahead)                whether its state may have seen more of a row than is right
    start(values, stop, lookahead, context)         its state when the sites before `stop` are known
    guess(state, now) → (guesses [B, K, …], state)  for the round `now`
    learn(state, now, drawn, accepted) → state      what was drawn [B, K + 1, …], and how many of these each row keeps [B]
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf
from keras import ops

from ar_zoo.core import arguments, checks, generate
from ar_zoo.core import cache as caches
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.sampling import verify


@dataclasses.dataclass(frozen=True)
class ModelDraft:
    """Another model of the same alphabet, a faster one, guesses by drawing from the same noise.

    Where the two give a site nearly the same distribution, one noise draws the same symbol from both: more guesses are
    right than if the draft drew for itself.

    Args:
        model: takes the same context as the model that it guesses for, or none.
    """

    model: AutoregressiveModel

    def check(self, model, num_sites):
        verify.check_raster(self.model, "draft")
        for name in ("num_symbols", "site_shape", "noise_shape"):
            own, wanted = getattr(self.model.head, name), getattr(model.head, name)
            if own != wanted:
                raise ValueError(
                    f"`draft` must have a head like the model's, {model.head!r}: its {name} is {own}, not {wanted}."
                )
        if self.model.context_spec and self.model.context_spec != model.context_spec:
            raise ValueError(
                f"`draft` must take the model's context, {model.context_spec}, or none; got {self.model.context_spec}."
            )
        checks.num_sites(self.model, num_sites)

    def overwrites(self, num_sites, lookahead):
        return verify.overwrites(self.model, num_sites, lookahead)

    def _context(self, context):
        return {name: context[name] for name in self.model.context_spec}

    def start(self, values, stop, lookahead, context):
        return verify.seen(self.model, values, stop, lookahead, self._context(context))

    def guess(self, state, now):
        """One site after the other. The cache that this leaves is good for `learn` if it only has to be overwritten."""
        model, context = self.model, self._context(now.context)
        spec, rank = verify.spec_of(model, now.num_sites, now.lookahead), len(model.head.site_shape)

        def site(k, prev, cache, guesses):
            index = now.slot + k
            params, new = model.step(prev, caches.taken(spec, cache, index), index, context)
            drawn = model.head.sample(params, tf.gather(now.noise, [k], axis=1), now.temperature)
            cache = caches.put_back(spec, cache, new, generate.after(drawn, index))
            known, values = (tf.gather(given, [k], axis=1) for given in (now.known, now.values))
            drawn = verify.where(known, values, drawn)
            return k + 1, drawn, cache, ops.slice_update(guesses, [0, k] + [0] * rank, drawn)

        nothing_yet = tf.zeros_like(now.values[:, :-1])
        first = (tf.constant(0), now.prev, state, nothing_yet)
        _, _, cache, guesses = tf.while_loop(lambda k, *_: k < now.lookahead, site, first)
        return guesses, cache if self.overwrites(now.num_sites, now.lookahead) else state

    def learn(self, state, now, drawn, accepted):
        """It reads what the model read: one symbol more than it needs to guess."""
        return verify.verify(self.model, state, now, self._context(now.context))[1](drawn, accepted)


class _OfWhatWasWritten:
    """A draft that guesses for any model."""

    def check(self, model, num_sites):
        pass

    def overwrites(self, num_sites, lookahead):
        return True

    def start(self, values, stop, lookahead, context):
        return {}

    def learn(self, state, now, drawn, accepted):
        return state


@dataclasses.dataclass(frozen=True)
class PromptLookup(_OfWhatWasWritten):
    """What followed on the last symbols where they stood before follows again (Saxena 2023, "Prompt Lookup Decoding").

    Of all places in what is written, that counts before which the most symbols are as they are now, and the latest of
    several. Where its continuation comes to the end of what is written, it begins again.

    Args:
        ngram: how many symbols are compared at most.
    """

    ngram: int = 3

    def __post_init__(self):
        arguments.whole(ngram=self.ngram)

    def guess(self, state, now):
        end, size = now.index[:, None], now.written.shape[1]
        place = tf.range(size)[None]
        agree, length = place < end, 0
        for back in range(1, self.ngram + 1):
            now_back = verify.same(now.written, verify.window(now.written, now.index - back, 1))
            agree = agree & tf.roll(now_back, back, axis=1) & (place >= back)
            length = length + tf.cast(agree, tf.int32)
        best = tf.reduce_max(tf.where(place < end, length * size + place, 0), axis=1, keepdims=True) % size
        return verify.gathered(now.written, best + tf.range(now.lookahead) % tf.maximum(end - best, 1)), state


@dataclasses.dataclass(frozen=True)
class Jacobi(_OfWhatWasWritten):
    """What the last round drew for the same sites, on guesses of which some were wrong (Santilli et al. 2023,
    arXiv:2305.10427).

    A fixed-point iteration over a window that moves on with what is right. Each site keeps its noise, so that draws come
    to rest as the likeliest symbols do.
    """

    def start(self, values, stop, lookahead, context):
        return {
            "guesses": tf.zeros_like(values[:, :1])
            + tf.zeros((lookahead, *[1] * (len(values.shape) - 2)), values.dtype)
        }

    def guess(self, state, now):
        return state["guesses"], state

    def learn(self, state, now, drawn, accepted):
        """Sites that no round has come to yet get what the last one that was drawn has."""
        return {"guesses": verify.window(drawn, accepted, now.lookahead)}
