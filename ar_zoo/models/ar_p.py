"""ARp: the linear autoregressive model AR(p) with Gaussian noise, after Yule (1927).

    x_t = c + φ_1 x_{t-1} + … + φ_p x_{t-p} + σ ε_t,   ε_t standard normal

The exact likelihood takes the first p values from the stationary distribution (Box & Jenkins 1970). Its conditionals are
Gaussian, the best linear predictions from fewer values, and the Durbin-Levinson recursion (Durbin 1960) gives them from
the partial autocorrelations r_1 … r_p:

    φ^k_k = r_k,   φ^k_j = φ^{k-1}_j - r_k φ^{k-1}_{k-j},   v_{k-1} = v_k / (1 - r_k²),   v_p = σ²

So r = tanh(weights) makes any weights a stationary model (Barndorff-Nielsen & Schou 1973). The conditional likelihood
leaves the first p values to a mean and a scale of their own: φ is any number, and nothing but the later values says which.

A step costs p products. Least squares, and forecasts with their intervals, are computed in float64.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

import numpy as np
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.core.markov import MarkovModel
from ar_zoo.core.registry import register
from ar_zoo.heads import Normal


class LeastSquares(NamedTuple):
    """What `ARp.fit_least_squares` found. `standard_errors` [1 + lags] are of the intercept and of the coefficients."""

    intercept: float
    coefficients: np.ndarray
    scale: float
    standard_errors: np.ndarray


class Forecast(NamedTuple):
    """Expected values and the bounds of an interval, float64 [steps] or [B, steps]."""

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@register("ar_p")
class ARp(MarkovModel):
    """A series of any length: each value depends linearly on the `lags` before it.

    `fit` starts at a mean of 0 and a scale of 1. Standardise what it learns from, as `ar_zoo.data.read` does, or begin with
    `fit_least_squares`: from a mean far off it may end at a series that wanders.

    Args:
        head: `Normal()`.
        lags: p, how many values back.
        initial: of what the first p values are drawn: `"exact"`, of the stationary distribution, which there always is;
            `"conditional"`, of Gaussians of their own.

    Example:
        >>> model = ar_zoo.create("ar_p.tiny", lags=9)
        >>> model.fit_least_squares(sunspots)
        >>> model.forecast(sunspots, steps=11).mean.shape
        (11,)
    """

    CONTINUOUS = True

    def __init__(self, head, lags=1, initial="exact", **kwargs):
        if not isinstance(head, Normal):
            raise ValueError(f"`head` must be Normal(): the noise is Gaussian; got {head!r}.")
        arguments.whole(lags=lags)
        if initial not in ("exact", "conditional"):
            raise ValueError(f"`initial` must be 'exact' or 'conditional'; got {initial!r}.")
        super().__init__(head, (None,), **kwargs)
        self.lags, self.initial, self.order = lags, initial, lags + 1
        weight = lambda name, shape=(): self.add_weight(name=name, shape=shape, initializer="zeros")  # noqa: E731
        self._log_scale = weight("log_scale")
        if initial == "exact":
            self._level, self._partials = weight("mean"), weight("partials", (lags,))
        else:
            self._intercept, self._coefficients = weight("intercept"), weight("coefficients", (lags,))
            self._first_means, self._first_log_scales = (
                weight("first_means", (lags,)),
                weight("first_log_scales", (lags,)),
            )
        self.build()

    def params_after(self, seen, sites):
        rows = ops.take(self._table(self.compute_dtype), ops.clip(sites, 0, self.lags), axis=0)
        coefficients, constant, log_scale = ops.split(rows, [self.lags, self.lags + 1], axis=-1)
        first = ops.arange(ops.shape(seen)[1] - (self.lags - 1))
        windows = ops.take(seen, ops.expand_dims(first, 1) + ops.arange(self.lags), axis=1)
        windows = ops.cast(windows, self.compute_dtype)
        mean = ops.sum(windows * coefficients, axis=-1, keepdims=True) + constant
        return ops.concatenate([mean, ops.broadcast_to(log_scale, ops.shape(mean))], axis=-1)

    def _table(self, dtype):
        """[1 + p, p + 2]: what 0, 1, … p known values tell of the next: coefficients, the oldest value's first, the
        constant, the log-scale of the noise."""
        return (self._exact if self.initial == "exact" else self._conditional)(dtype)

    def _exact(self, dtype):
        weights = ops.cast(self._partials, dtype)
        each = ops.split(ops.tanh(weights), self.lags) if self.lags > 1 else [ops.tanh(weights)]
        row, rows = ops.zeros((0,), dtype), []
        for k, partial in enumerate([None, *each]):
            if k:
                row = ops.concatenate([partial, row - partial * ops.flip(row)])
            rows.append(ops.concatenate([ops.zeros((self.lags - k,), dtype), row]))
        rows = ops.stack(rows)
        constants = ops.cast(self._level, dtype) * (1.0 - ops.sum(rows, axis=-1, keepdims=True))
        # -log √(1 - r²) = log cosh w, without cancellation; added over the partial autocorrelations that are not used yet.
        widths = ops.abs(weights) + ops.log1p(ops.exp(-2.0 * ops.abs(weights))) - float(np.log(2.0))
        later = ops.matmul(ops.cast(np.triu(np.ones((self.lags + 1, self.lags))), dtype), ops.expand_dims(widths, 1))
        return ops.concatenate([rows, constants, later + ops.cast(self._log_scale, dtype)], axis=-1)

    def _conditional(self, dtype):
        column = lambda values: ops.reshape(ops.cast(values, dtype), (-1, 1))  # noqa: E731
        nothing = ops.zeros((self.lags, self.lags), dtype)
        first = ops.concatenate([nothing, column(self._first_means), column(self._first_log_scales)], axis=-1)
        later = [ops.flip(column(self._coefficients)), column(self._intercept), column(self._log_scale)]
        return ops.concatenate([first, ops.transpose(ops.concatenate(later))])

    def receptive_field(self, num_sites=None):
        reach = super().receptive_field(num_sites)
        return reach if self.initial == "exact" else reach & (np.arange(num_sites)[:, None] >= self.lags)

    # As statisticians see it.

    @property
    def coefficients(self) -> np.ndarray:
        """φ_1 … φ_p, float64: of the value before, of that before it, and so on."""
        return np.asarray(self._table("float64"))[-1, : self.lags][::-1]

    @property
    def intercept(self) -> float:
        """c of the equation above."""
        return float(self._table("float64")[-1, self.lags])

    @property
    def scale(self) -> float:
        """σ, the standard deviation of the noise."""
        return float(np.exp(self._table("float64")[-1, self.lags + 1]))

    def fit_least_squares(self, x) -> LeastSquares:
        """Sets the weights by ordinary least squares, which is where the conditional likelihood is highest.

        Args:
            x: a series [T], or several [N, T].

        Returns:
            `LeastSquares`. The scale is that of the likelihood, the root of the mean squared residual.

        Raises:
            ValueError: the series is too short, or one value is a linear function of those before it; what is found is
                not stationary, and `initial` is `"exact"`.

        Example:
            >>> ar_zoo.create("ar_p.tiny").fit_least_squares(series).coefficients.shape
            (3,)
        """
        x = np.atleast_2d(_series("x", x))
        if x.shape[0] * (x.shape[1] - self.lags) <= self.lags + 1:
            raise ValueError(
                f"`x` must have more than {2 * self.lags + 1} values for {self.lags} lags; got {list(x.shape)}."
            )
        windows = np.lib.stride_tricks.sliding_window_view(x, self.order, axis=1).reshape(-1, self.order)
        inputs = np.column_stack([np.ones(len(windows)), windows[:, -2::-1]])
        found, _, rank, _ = np.linalg.lstsq(inputs, windows[:, -1])
        scale = np.sqrt(np.mean((windows[:, -1] - inputs @ found) ** 2))
        if rank < inputs.shape[1] or not scale > 1e-9 * np.abs(x).max():
            raise ValueError("`x` must have noise: its values are linear functions of those before them, exactly.")
        errors = scale * np.sqrt(np.diag(np.linalg.inv(inputs.T @ inputs)))
        if self.initial == "exact":
            self._partials.assign(np.arctanh(_partial_autocorrelations(found[1:])))
            self._level.assign(found[0] / (1.0 - found[1:].sum()))
        else:
            self._intercept.assign(found[0])
            self._coefficients.assign(found[1:])
            self._first_means.assign(np.full(self.lags, x.mean()))
            self._first_log_scales.assign(np.full(self.lags, np.log(x.std())))
        self._log_scale.assign(np.log(scale))
        return LeastSquares(float(found[0]), found[1:], float(scale), errors)

    def forecast(self, history, steps: int, level: float = 0.95) -> Forecast:
        """What comes next, and between which bounds: exact, since all of it is Gaussian.

        Args:
            history: a series [T], or several [B, T], of which the last p values count.
            steps: how many values.
            level: the probability that a value lies within its bounds.

        Returns:
            `Forecast`: mean, lower, upper.

        Example:
            >>> mean, lower, upper = model.forecast(series, steps=12)
        """
        history = _series("history", history)
        arguments.whole(steps=steps)
        if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
            raise ValueError(f"`level` must lie between 0 and 1; got {level!r}.")
        table, length, p = np.asarray(self._table("float64")), history.shape[-1], self.lags
        values = np.concatenate([np.zeros((*history.shape[:-1], p)), history], axis=-1)[..., -p:]
        # A row for each step: how much of each step's noise is in its value.
        noise, scales = np.zeros((p + steps, steps)), np.zeros(steps)
        for step in range(steps):
            row = table[min(length + step, p)]
            value = values[..., -p:] @ row[:p] + row[p]
            values = np.concatenate([values, value[..., None]], axis=-1)
            noise[p + step] = row[:p] @ noise[step : p + step]
            noise[p + step, step], scales[step] = 1.0, np.exp(row[p + 1])
        width = statistics.NormalDist().inv_cdf((1 + level) / 2) * np.sqrt((noise[p:] ** 2) @ scales**2)
        mean = values[..., p:]
        return Forecast(mean, mean - width, mean + width)

    SMALL = (dict(lags=2), dict(lags=1, initial="conditional"))

    PRESETS = {
        "tiny": dict(head=Normal(), lags=3),
        "sunspots": dict(head=Normal(), lags=9),
    }


def _series(name, values) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "iuf" or values.ndim not in (1, 2) or not values.size:
        raise ValueError(
            f"`{name}` must be numbers [T] or [N, T], at least one; got {values.dtype} of shape {list(values.shape)}."
        )
    values = values.astype(np.float64)
    if not np.all(np.isfinite(values)):
        raise ValueError(f"`{name}` must hold finite values; got {values[~np.isfinite(values)][0]}.")
    return values


def _partial_autocorrelations(coefficients) -> np.ndarray:
    """The recursion backwards: r_1 … r_p of φ_1 … φ_p."""
    found, row = [], np.array(coefficients)
    while len(row):
        partial = row[-1]
        if not abs(partial) < 1:
            raise ValueError(
                "`x` is fitted best by coefficients that are not stationary, "
                f"{np.array2string(np.asarray(coefficients), precision=3)}: such a series grows or wanders. Take its "
                "differences, or create the model with `initial='conditional'`."
            )
        found.append(partial)
        row = (row[:-1] + partial * row[-2::-1]) / (1 - partial**2)
    return np.array(found[::-1])
