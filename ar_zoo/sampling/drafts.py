"""Where guesses come from: another model, heads of the model's own, what was written before, or the last round's draws.

A draft is hashable, and has four members. Its state is nested dicts of tensors, batch first.

    check(model, num_sites, lookahead)              refuses a model that it cannot guess for
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

    def check(self, model, num_sites, lookahead):
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
        """One site after the other. Where the cache that this leaves only has to be overwritten, it reads its last guess, too:
        then it knows all that the model may accept."""
        model, context = self.model, self._context(now.context)
        spec, rank = verify.spec_of(model, now.num_sites, now.lookahead), len(model.head.site_shape)
        ahead = self.overwrites(now.num_sites, now.lookahead)

        def site(k, prev, cache, guesses):
            index = now.slot + k
            params, new = model.step(prev, caches.taken(spec, cache, index), index, context)
            drawn = model.head.sample(params, tf.gather(now.noise, [k], axis=1), now.temperature)
            cache = caches.put_back(spec, cache, new, generate.after(drawn, index))
            known, values = (tf.gather(given, [k], axis=1) for given in (now.known, now.values))
            drawn = verify.where(known, values, drawn)
            return k + 1, drawn, cache, ops.slice_update(guesses, [0, k] + [0] * rank, drawn)

        first = (tf.constant(0), now.prev, state, tf.zeros_like(now.values))
        _, _, cache, guesses = tf.while_loop(lambda k, *_: k < now.lookahead + ahead, site, first)
        return guesses[:, :-1], cache if ahead else state

    def learn(self, state, now, drawn, accepted):
        if self.overwrites(now.num_sites, now.lookahead):
            return state
        return verify.verify(self.model, state, now, self._context(now.context))[2](drawn, accepted)


@dataclasses.dataclass(frozen=True)
class OwnHeads:
    """The model's own draft heads guess from its features: no second model, and no second cache.

    They draw from the same noise, as `ModelDraft` does. In the first round, before there are features, they guess from none.

    Args:
        model: the model that they guess for, one with `draft_heads`.
    """

    model: AutoregressiveModel

    def check(self, model, num_sites, lookahead):
        heads = getattr(model, "draft_heads", 0)
        if model is not self.model or not heads:
            raise ValueError(
                "`draft` must be the heads of the model itself, OwnHeads(model), and it must have some: "
                f"{type(model).__name__} has draft_heads={heads}. A recipe trains them: gpt_kjv_medusa, say."
            )
        if lookahead > heads:
            raise ValueError(f"`lookahead` must be at most {heads}, the model's draft heads; got {lookahead}.")

    def overwrites(self, num_sites, lookahead):
        return True

    def start(self, values, stop, lookahead, context):
        return {"features": tf.zeros((values.shape[0], self.model.units), self.model.compute_dtype)}

    def guess(self, state, now):
        model, symbol, guesses = self.model, now.prev[:, 0], []
        hidden = [state["features"]]
        for k in range(now.lookahead):
            hidden.append(model.draft(k, hidden, symbol))
            drawn = model.head.sample(model.project(hidden[-1]), now.noise[:, k], now.temperature)
            symbol = tf.where(now.known[:, k], now.values[:, k], drawn)
            guesses.append(symbol)
        return tf.stack(guesses, axis=1), state

    def learn(self, state, now, drawn, accepted):
        return {"features": verify.gathered(now.features, accepted[:, None] - 1)[:, 0]}


class _OfWhatWasWritten:
    """A draft that guesses for any model."""

    def check(self, model, num_sites, lookahead):
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
