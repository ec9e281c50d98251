"""Gaussian noise from uniform noise, in operations that every export format has."""

from __future__ import annotations

from keras import ops

# Wichura's PPND7 (algorithm AS 241, Applied Statistics 37, 1988): numerators and denominators, the highest power first,
# of a rational function of 0.180625 - q² in the middle, and of √(-log p) - 1.6 in the tails down to p = e⁻²⁵.
_MIDDLE = (59.109374720, 159.29113202, 50.434271938, 3.3871327179), (67.187563600, 78.757757664, 17.895169469, 1.0)
_TAIL = (0.17023821103, 1.3067284816, 2.7568153900, 1.4234372777), (0.12021132975, 0.73700164250, 1.0)


def normal_quantile(uniform):
    """The inverse CDF of the standard normal: float32 in (0, 1) → float32, to 4e-7 of it.

    Of one uniform number, where Box-Muller takes two and a cosine; and rising with it, so that neighbouring numbers give
    neighbouring values. (TFLite has no inverse of the error function.)
    """
    q = uniform - 0.5
    r = 0.180625 - q * q
    middle = q * _rational(ops.maximum(r, 0.0), *_MIDDLE)
    r = ops.sqrt(-ops.log(ops.minimum(uniform, 1.0 - uniform))) - 1.6
    tail = _rational(r, *_TAIL)
    return ops.where(ops.abs(q) <= 0.425, middle, ops.where(q < 0.0, -tail, tail))


def _rational(x, numerator, denominator):
    return _polynomial(x, numerator) / _polynomial(x, denominator)


def _polynomial(x, coefficients):
    """By Horner's rule, the highest power first."""
    value = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
