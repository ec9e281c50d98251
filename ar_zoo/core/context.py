"""What an event is generated from."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ContextSpec:
    """One input that an event may be conditioned on.

    Attributes:
        shape: of one event's value; `()` for a class.
        dtype: of the value.
        null: the value that stands for "unknown", used where no context is given. Labels are trained with it too; a vector
            or an image is not, and should be given.
        num_classes: for classes, how many there are (0 … num_classes - 1); `null` comes on top.
    """

    shape: tuple[int, ...] = ()
    dtype: str = "int32"
    null: float = 0
    num_classes: int | None = None


def label_spec(num_classes: int | None) -> dict[str, ContextSpec]:
    """The context "label", of which class `num_classes` is "unknown"; none without classes.

    Example: `label_spec(10)["label"].null` is 10
    """
    return {"label": ContextSpec((), "int32", num_classes, num_classes)} if num_classes else {}


def vector_spec(size: int | None) -> dict[str, ContextSpec]:
    """The context "vector", numbers of any meaning (an embedding, attributes); none without a size."""
    return {"vector": ContextSpec((size,), "float32")} if size else {}


def image_spec(shape: tuple[int, int, int] | None) -> dict[str, ContextSpec]:
    """The context "image", a picture that is known, in [-1, 1] (`ar_zoo.data.known_image` makes it); none without a shape."""
    return {"image": ContextSpec(tuple(shape), "float32")} if shape else {}
