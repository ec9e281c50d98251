"""What constructors and samplers refuse: each check names the argument, what came and what is allowed."""

from __future__ import annotations

import math
import numbers

import numpy as np

# Below it float32 cannot divide by a temperature, and the likeliest symbol is as good as certain.
_COLDEST = 1e-30


def whole(at_least: int = 1, **values) -> None:
    """Each value must be an integer of at least `at_least`. Example: `whole(units=units, num_layers=num_layers)`"""
    for name, value in values.items():
        if not _is_whole(value) or value < at_least:
            raise ValueError(f"`{name}` must be an integer of at least {at_least}; got {value!r}.")


def whole_or_none(**values) -> None:
    """Each value must be `None` or an integer of at least 1."""
    for name, value in values.items():
        if value is not None and (not _is_whole(value) or value < 1):
            raise ValueError(f"`{name}` must be an integer of at least 1, or None; got {value!r}.")


def kernels(**values) -> None:
    """Each value must be an odd integer of at least 3: a masked kernel of one row or column reaches no other pixel."""
    for name, value in values.items():
        if not _is_whole(value) or value < 3 or value % 2 == 0:
            raise ValueError(f"`{name}` must be an odd integer of at least 3; got {value!r}.")


def dilations(values) -> None:
    """At least one distance between taps."""
    if (
        not isinstance(values, (list, tuple))
        or not values
        or not all(_is_whole(value) and value >= 1 for value in values)
    ):
        raise ValueError(
            f"`dilations` must be a sequence of integers of at least 1, such as (1, 2, 4); got {values!r}."
        )


def rates(**values) -> None:
    """Each value must be a probability."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value <= 1:
            raise ValueError(f"`{name}` must lie in [0, 1]; got {value!r}.")


def temperature(value) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < float("inf"):
        raise ValueError(f"`temperature` must be above 0, or exactly 0 for the most likely symbols; got {value!r}.")
    return float(value) if value >= _COLDEST else 0.0


def multiples(of: int, reason: str, **values) -> None:
    """Each value must be a multiple of `of`."""
    for name, value in values.items():
        if value % of:
            raise ValueError(f"`{name}` must be a multiple of {of}, {reason}; got {value}.")


def image(image_shape, head, neighbours: bool = False) -> None:
    """(height, width, channels), with a head whose site is one channel or a whole pixel.

    `neighbours` says whether the family hands a head the pixels around a site.
    """
    shape = tuple(image_shape) if isinstance(image_shape, (list, tuple)) else ()
    if not is_image_shape(shape):
        raise ValueError(
            f"`image_shape` must be (height, width, channels), integers of at least 1; got {image_shape!r}."
        )
    if head.site_shape not in ((), shape[-1:]):
        raise ValueError(
            f"`head` draws sites of shape {list(head.site_shape)}, and the image has {shape[-1]} channel(s): "
            f"choose a head of one symbol, or one of {shape[-1]} channel(s). Got {head!r}."
        )
    if head.predicts and not neighbours:
        raise ValueError(
            f"`head` starts from the pixels around a site, which this family does not hand it: choose another, such as "
            f"DiscretizedLogisticMixture, or a family that does, such as GatedPixelCNN. Got {head!r}."
        )


def known_image(known_shape, image_shape) -> None:
    """`None`, or (height, width, channels) of which the image has whole multiples of rows and columns."""
    if known_shape is None:
        return
    shape = tuple(known_shape) if isinstance(known_shape, (list, tuple)) else ()
    if not is_image_shape(shape) or any(size % known for size, known in zip(image_shape[:2], shape[:2], strict=True)):
        raise ValueError(
            f"`known_shape` must be (height, width, channels), with a height and a width that go a whole number of times "
            f"into those of `image_shape`, {tuple(image_shape)}; got {known_shape!r}."
        )


def is_image_shape(shape) -> bool:
    """Whether this is (height, width, channels), integers of at least 1."""
    return isinstance(shape, tuple) and len(shape) == 3 and all(_is_whole(size) and size >= 1 for size in shape)


def positive(**values) -> None:
    """Each value must be a number above 0."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < float("inf"):
            raise ValueError(f"`{name}` must be a number above 0; got {value!r}.")


def number(hint: str = "", **values) -> None:
    """Each value must be a finite number; `hint` says more of it. Example: `number(", 1 for no guidance", scale=scale)`"""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ValueError(f"`{name}` must be a number{hint}; got {value!r}.")


def array(value, name: str) -> np.ndarray:
    """What was given as an array; an error if its rows differ in length."""
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"`{name}` must hold rows of one length; got {value!r:.100}.") from None


def event(event_shape) -> None:
    """A fixed shape of at least one axis."""
    shape = event_shape if isinstance(event_shape, (list, tuple)) else ()
    if not shape or not all(_is_whole(size) and size >= 1 for size in shape):
        raise ValueError(
            f"`event_shape` must be a sequence of integers of at least 1, such as (28, 28, 1) or (8,); "
            f"got {event_shape!r}."
        )


def widths(units) -> None:
    """Sizes of hidden layers, at least one."""
    if not isinstance(units, (list, tuple)) or not units or not all(_is_whole(size) and size >= 1 for size in units):
        raise ValueError(f"`units` must be a sequence of integers of at least 1, a hidden layer each; got {units!r}.")


def one_symbol(head) -> None:
    """A head whose site is a single symbol."""
    if getattr(head, "site_shape", None) != ():
        raise ValueError(f"`head` must draw one symbol a site, as Categorical does; got {head!r}.")


def _is_whole(value) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
