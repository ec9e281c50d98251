"""Range coding of symbols under probabilities, with the package `constriction`.

Both sides must see the same integers: probabilities are rounded to multiples of 2**-22. In float32 those are exact, and so
are their sums, so that what `constriction` makes of them depends neither on order nor on processor.
"""

from __future__ import annotations

import numpy as np

_PARTS = np.float32(1 << 22)


def weights_of(probabilities) -> np.ndarray:
    """Probabilities [..., n] as whole numbers in float32, which add up to about 2**22.

    Raises:
        ValueError: some are not finite.

    Example: `weights_of([0.25, 0.75])` is [1048576, 3145728]
    """
    weights = np.rint(np.asarray(probabilities, np.float32) * _PARTS)
    if not np.all(np.isfinite(weights)):
        raise ValueError("The model gives probabilities that are not finite numbers; with such weights it cannot code.")
    return weights


class Encoder:
    """Symbols → bytes.

    Attributes:
        nats: the sum of `-ln` of the symbols' probabilities so far, which no coder can do better than on average.

    Example:
        >>> encoder, halves = Encoder(), np.full((3, 2), 0.5, np.float32)
        >>> encoder.code(weights_of(halves), np.log(halves), np.array([1, 0, 1], np.int32))
        >>> len(encoder.coded()), encoder.nats / np.log(2)
        (4, 3.0)
    """

    def __init__(self):
        queue, self._family = _constriction()
        self._queue = queue.RangeEncoder()
        self.nats = 0.0

    def code(self, weights: np.ndarray, log_probs: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Appends symbols [m], each under its own row of `weights` [m, n], and gives them back."""
        self._queue.encode(symbols, self._family, weights)
        self.nats -= float(np.sum(np.take_along_axis(log_probs, symbols[:, None], axis=1), dtype=np.float64))
        return symbols

    def __len__(self) -> int:
        """Bytes so far."""
        return 4 * self._queue.num_words()

    def coded(self) -> bytes:
        return self._queue.get_compressed().astype("<u4").tobytes()


class Decoder:
    """Bytes → symbols: `code` has the encoder's place in a loop that runs over the same sites."""

    def __init__(self, coded: bytes):
        if len(coded) % 4:
            raise ValueError(f"Coded symbols are a multiple of 4 bytes; got {len(coded)}.")
        queue, self._family = _constriction()
        self._queue = queue.RangeDecoder(np.frombuffer(coded, "<u4").astype(np.uint32))

    def code(self, weights: np.ndarray, log_probs: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """The next symbols [m]; the arguments after `weights` are there for the encoder.

        Raises:
            ValueError: no symbols give these bytes under these weights.
        """
        try:
            return self._queue.decode(self._family, weights)
        except (AssertionError, ValueError) as error:
            raise ValueError(f"These bytes were not coded under these probabilities ({error}).") from None


def _constriction():
    try:
        from constriction import stream
    except ImportError:
        raise ImportError("Compression needs constriction: `pip install 'ar_zoo[coding]'`.") from None
    return stream.queue, stream.model.Categorical(perfect=False)
