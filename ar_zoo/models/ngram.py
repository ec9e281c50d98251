"""NGram: interpolated modified Kneser-Ney smoothing (Kneser & Ney 1995; Chen & Goodman 1998, equation 26).

    p(w | h) = max(a(hw) - D(a(hw)), 0) / a(h·) + γ(h) p(w | h'),     γ(h) = Σ_w min(D(a(hw)), a(hw)) / a(h·)

h' is h without its oldest symbol. a counts how often hw was seen, at the longest h and where h begins with the start of
an event; elsewhere, of how many symbols hw was seen to follow (the start is one). D takes three values at each length of
h, for 1, 2, and 3 or more. The empty h goes back to the uniform distribution. A context that was not seen has its h'.

Deviation: where the data are too few to estimate a D (Chen & Goodman, equation 17), it is 0.5, 1 or 1.5.

Nothing is trained: `fit` counts, and writes each context that it saw into a sorted table, beside the log-probabilities of
what follows. A step looks the last symbols up, in all lengths at once, and takes the row of the longest that is there. The
rows go through the head like any logits, so that whatever they hold is a distribution.
"""

from __future__ import annotations

import itertools

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments, checks
from ar_zoo.core.likelihood import BitsPerDimension, Perplexity
from ar_zoo.core.markov import MarkovModel
from ar_zoo.core.registry import register
from ar_zoo.heads import Categorical

_NO_CONTEXT = np.iinfo(np.int64).max
_ROUGH_DISCOUNTS = np.array([0.5, 1.0, 1.5])
_BUFFER = 2**22  # n-grams that are held before they are counted together


@register("ngram")
class NGram(MarkovModel):
    """Characters, of any length: each depends on the `order - 1` before it.

    Contexts are numbered as numerals without a zero are, the newest symbol last: the start of an event is 1, symbol s
    is s + 2, and no context is 0. So a context's number is above that of its own end, and there are no gaps: before it
    is fitted, a table holds the first contexts, all of them uniform.

    Args:
        head: a `Categorical`; with an `alphabet` it reads and writes text.
        order: symbols of an n-gram: that which is predicted, and those before it that it depends on.
        max_contexts: rows of the table; `fit` says how many the data need.
    """

    EXEMPT = {7: "n-grams are counted: there are no gradients"}
    metric_classes = (BitsPerDimension, Perplexity)

    def __init__(self, head, order=5, max_contexts=65536, **kwargs):
        arguments.one_symbol(head)
        if head.params_size != head.num_symbols:
            raise ValueError(f"`head` must take a logit for each symbol, as Categorical does; got {head!r}.")
        arguments.whole(at_least=2, order=order)
        arguments.whole(max_contexts=max_contexts)
        base = head.num_symbols + 1
        longest = max(n for n in range(64) if base**n < 2**62)
        if order > longest:
            raise ValueError(f"`order` must be at most {longest} with {head.num_symbols} symbols; got {order}.")
        super().__init__(head, (None,), **kwargs)
        self.order, self.max_contexts = order, max_contexts
        self._base = base
        # Always one key more than there are contexts, so that a search ends at a key that is none.
        self._num_halvings = max_contexts.bit_length()
        self._keys = self.add_weight(
            name="contexts",
            shape=(2**self._num_halvings,),
            dtype="int64",
            trainable=False,
            initializer=self._first_keys,
        )
        self._rows = self.add_weight(
            name="log_probs", shape=(max_contexts, head.num_symbols), trainable=False, initializer="zeros"
        )
        self.build()

    def _first_keys(self, shape, dtype=None):
        return ops.convert_to_tensor(_padded(np.arange(self.max_contexts), shape[0]), dtype)

    def params_after(self, seen, sites):
        count = ops.shape(seen)[1] - (self.order - 2)
        numerals = ops.cast(seen, "int64") + 2
        number, numbers = 0, []
        for back in range(self.order - 1):
            newest = self.order - 2 - back
            number = number + numerals[:, newest : newest + count] * self._base**back
            numbers.append(number)
        numbers = ops.stack(numbers, axis=-1)
        place = self._places(numbers)
        found = ops.equal(ops.take(self._keys, place), numbers)
        longest = ops.max(place * ops.cast(found, "int32"), axis=-1)  # a longer context has the higher place
        return ops.take(ops.cast(self._rows, self.compute_dtype), longest, axis=0)

    def _places(self, numbers):
        """How many keys are smaller: a binary search in which each number takes the same steps."""
        place = ops.zeros_like(numbers, dtype="int32")
        for i in reversed(range(self._num_halvings)):
            middle = ops.take(self._keys, place + (2**i - 1))
            place = place + ops.cast(ops.less(middle, numbers), "int32") * 2**i
        return place

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_data=None,
        shuffle=True,
        initial_epoch=0,
        steps_per_epoch=None,
        sample_weight=None,
    ):
        """Counts the n-grams of the data, and forgets those of earlier data. Nothing has to be compiled for it.

        Args:
            x: as for other models: an array, a dict of `x` and `mask`, or a data set of them.
            epochs: 1, since another pass would count everything twice.
            validation_data: evaluated at the end.
            steps_per_epoch: batches to count; all by default.
            batch_size, shuffle, verbose, initial_epoch, callbacks: as for other models.
            sample_weight: refused, since counts are whole.

        Returns:
            the `keras.callbacks.History`.

        Example:
            >>> model.fit(np.array([[0, 1, 2, 0, 1]]))
        """
        data = checks.training_data(self, x, y, sample_weight)
        if epochs != 1:
            raise ValueError(f"`epochs` must be 1: another pass would count all n-grams again; got {epochs}.")
        history = keras.callbacks.History()
        callbacks = keras.callbacks.CallbackList([callbacks or [], history], model=self, epochs=1, verbose=0)
        callbacks.on_train_begin()
        if initial_epoch == 0:
            callbacks.on_epoch_begin(0)
            self._learn(*_counted(self._ngrams(data, steps_per_epoch)))
            logs = {}
            if validation_data is not None:
                found = self.evaluate(validation_data, batch_size=batch_size, verbose=0, return_dict=True)
                logs = {f"val_{name}": value for name, value in found.items()}
            callbacks.on_epoch_end(0, logs)
        callbacks.on_train_end()
        return history

    def _ngrams(self, data, steps):
        """The n-grams of each batch, as numbers: digits 0 for the start and s + 1 for symbol s, the oldest first."""
        batches = [data] if isinstance(data, dict) else itertools.islice(iter(data), steps)
        for batch in batches:
            inputs = checks.batch(self, batch)
            if inputs["sample_weight"] is not None:
                raise ValueError("`sample_weight` must be left out: n-grams are counted, and counts are whole.")
            x, mask = np.asarray(inputs["x"], np.int64) + 1, inputs["mask"]
            real = np.ones(x.shape, bool) if mask is None else np.asarray(mask)
            order = np.argsort(~real, axis=1, kind="stable")  # padding goes behind what is real
            x, real = np.take_along_axis(x, order, axis=1), np.take_along_axis(real, order, axis=1)
            x = np.pad(x, ((0, 0), (self.order - 1, 0)))
            number = 0
            for first in range(self.order):
                number = number * self._base + x[:, first : x.shape[1] - self.order + 1 + first]
            yield number[real]

    def _learn(self, ngrams, counts):
        """Writes the table from the numbers of n-grams and how often each was seen."""
        numbers, probabilities = [], []
        for length, (contexts, rows) in enumerate(_kneser_ney(ngrams, counts, self.order, self._base)):
            numbers.append(contexts + (self._base**length - 1) // (self._base - 1))  # digits from 1 on
            probabilities.append(rows)
        numbers, rows = np.concatenate(numbers), np.log(np.concatenate(probabilities))
        if len(numbers) > self.max_contexts:
            raise ValueError(
                f"`max_contexts` must be at least {len(numbers)} for these data; got {self.max_contexts}. Create the "
                "model with so many, or with a lower `order`."
            )
        self._keys.assign(_padded(numbers, self._keys.shape[0]))
        self._rows.assign(np.pad(rows, ((0, self.max_contexts - len(rows)), (0, 0))))

    PRESETS = {
        "tiny": dict(head=Categorical(5), order=4, max_contexts=259),  # all contexts of up to three symbols
        "kjv": dict(head=Categorical(62), order=6, max_contexts=200_000),
    }


def _padded(keys, size):
    return np.pad(keys.astype(np.int64), (0, size - len(keys)), constant_values=_NO_CONTEXT)


def _counted(batches):
    """All numbers of all batches, sorted, each once, and how often each came."""
    total, held = (np.zeros(0, np.int64), np.zeros(0, np.int64)), []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) > _BUFFER:
            total, held = _merged(total, held), []
    numbers, counts = _merged(total, held)
    if not len(numbers):
        raise ValueError("`x` must hold at least one symbol; there is nothing to count.")
    return numbers, counts


def _merged(total, held):
    numbers, counts = np.unique(np.concatenate([total[0][:0], *held]), return_counts=True)
    return _added(np.concatenate([total[0], numbers]), np.concatenate([total[1], counts]))


def _added(numbers, counts):
    """Equal numbers once, with the sum of their counts."""
    numbers, which = np.unique(numbers, return_inverse=True)
    return numbers, np.bincount(which, counts, len(numbers)).astype(np.int64)


def _kneser_ney(ngrams, counts, order, base):
    """Yields (contexts, p(w | context) [contexts, num_symbols]) for contexts of 0, 1, … `order - 1` digits."""
    levels = [(ngrams, counts)]  # (n-grams, a), the longest first
    for length in range(order - 1, 0, -1):
        ends = ngrams % base**length
        kinds = _added(ends, np.ones_like(ends))[1]
        ngrams, counts = _added(ends, counts)
        begins = ngrams < base ** (length - 1)  # the oldest digit is 0: a start
        levels.append((ngrams, np.where(begins, counts, kinds)))
    rows, contexts = np.full((1, base - 1), 1 / (base - 1)), np.zeros(1, np.int64)
    for length, (ngrams, a) in enumerate(reversed(levels)):
        shorter, below = contexts, rows
        contexts, row = np.unique(ngrams // base, return_inverse=True)
        size = len(contexts)
        discount = np.minimum(_discounts(a)[np.minimum(a, 3) - 1], a)
        total = np.bincount(row, a, size)
        back = np.bincount(row, discount, size) / total
        ends = contexts % base ** (length - 1) if length else contexts
        rows = back[:, None] * below[np.searchsorted(shorter, ends)]
        rows[row, ngrams % base - 1] += (a - discount) / total[row]
        yield contexts, rows


def _discounts(a):
    """D for 1, 2, and 3 or more (Chen & Goodman 1998, equation 17)."""
    ones, twos, threes, fours = (int((a == i).sum()) for i in (1, 2, 3, 4))
    if not min(ones, twos, threes):
        return _ROUGH_DISCOUNTS
    y = ones / (ones + 2 * twos)
    found = np.array([1 - 2 * y * twos / ones, 2 - 3 * y * threes / twos, 3 - 4 * y * fours / threes])
    return np.where((found > 0) & (found <= [1, 2, 3]), found, _ROUGH_DISCOUNTS)
