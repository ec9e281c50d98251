"""Super-resolution and colourisation: draws from a model that is given a smaller or a grey picture of the image."""

from __future__ import annotations

import numpy as np

from ar_zoo.core import arguments
from ar_zoo.data import known_image
from ar_zoo.uses.inpaint import cells_of, rows_of_cells


def draw_from_known(
    model, images, num: int = 4, seed: int = 0, context=None, temperature=1.0, batch_size=None
) -> np.ndarray:
    """Draws images that look like given ones to the model's context "image": what it knows of them.

    Args:
        model: of images, made with `known_shape`.
        images: int symbols [N, *event_shape]; of them the model is told only what `ar_zoo.data.known_image` keeps.
        num: draws of each.
        seed, temperature, batch_size: as in `sample`.
        context: other contexts by name, a row for each image.

    Returns:
        int32 [N, num, *event_shape].

    Example: `draw_from_known(model, model.head.encode(photos), num=2).shape` is (N, 2, 32, 32, 3)
    """
    arguments.whole(num=num)
    told = {"image": known_of(model, images)} | (context or {})
    told = {name: np.repeat(value, num, axis=0) for name, value in told.items()}
    how = dict(temperature=temperature, batch_size=batch_size, progress=batch_size is not None)
    drawn = model.sample(len(images) * num, seed, told, **how)
    return drawn.reshape(len(images), num, *images.shape[1:])


def known_of(model, images) -> np.ndarray:
    """The model's context "image" of images given as symbols."""
    spec = model.context_spec.get("image")
    if spec is None:
        raise ValueError(
            "`model` must be given images: create it with `known_shape`, as GatedPixelCNN can be; this one has the contexts "
            f"{sorted(model.context_spec) or 'none'}."
        )
    from ar_zoo.data.encoded import image_levels

    return known_image(model.head.decode(images), spec.shape, image_levels(model))


def picture(model, images, drawn) -> np.ndarray:
    """A row for each image: what the model was told of it, the draws, and the original. uint8 [H', W', C].

    Example: `write_png("coloured.png", picture(model, images, draw_from_known(model, images)))`
    """
    original, draws = cells_of(model, images), cells_of(model, drawn.reshape(-1, *images.shape[1:]))
    known = np.clip(np.round((known_of(model, images) + 1) * 127.5), 0, 255).astype(np.uint8)
    for axis in (1, 2):
        known = known.repeat(original.shape[axis] // known.shape[axis], axis=axis)
    known = np.broadcast_to(known, original.shape)
    draws = draws.reshape(*drawn.shape[:2], *original.shape[1:])
    return rows_of_cells(np.concatenate([known[:, None], draws, original[:, None]], axis=1))
