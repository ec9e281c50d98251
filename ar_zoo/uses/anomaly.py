"""Anomalies by likelihood: three scores of how odd an event is, higher for odder, and how well they tell.

    raw         −log2 p(x)                                       bits
    corrected   −log2 p(x) − L(x)                                 Serrà et al. 2020, arXiv:1909.11480 (there −S)
    typicality  |−log2 p(x) − mean over training of −log2 p|     Nalisnick et al. 2019, arXiv:1906.02994

A smooth image is likelier than a busy one, whatever it shows, so raw likelihood takes simple pictures for normal ones. L(x),
the bits that the best of some lossless coders needs, measures how busy it is. The typicality test was made for batches, whose
mean is tested; with one event a batch it is |log-likelihood − entropy|.

Deviation: L is the least of PNG, WebP, JPEG 2000 (all as whole files), Deflate and LZMA (without headers) in place of PNG,
JPEG 2000 and FLIF.
"""

from __future__ import annotations

import io
import lzma
import math
import zlib

import numpy as np

from ar_zoo.core import arguments
from ar_zoo.uses.nats import event_nats

_LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 20}]
_FILES = (dict(format="PNG", optimize=True), dict(format="WEBP", lossless=True, quality=100), dict(format="JPEG2000"))


def grouped(nats, size: int, seed: int = 0) -> np.ndarray:
    """Means over groups of events, drawn by lot; what is left over is left out. For typicality tests of batches.

    Example: `grouped([1.0, 3.0], 2)` is [2.0]
    """
    arguments.whole(size=size)
    nats = np.asarray(nats, np.float64)
    if len(nats) < size:
        raise ValueError(f"`size` must be at most the number of events, {len(nats)}; got {size}.")
    if size == 1:
        return nats
    mixed = np.random.default_rng(seed).permutation(nats)
    return mixed[: len(mixed) // size * size].reshape(-1, size).mean(axis=1)


def compressed_bits(images) -> np.ndarray:
    """Bits of each image, uint8 [N, H, W, C], in the smallest of several lossless forms: float64 [N].

    Example: `compressed_bits(np.zeros((1, 28, 28, 1), np.uint8))` is below 200 bits
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"`images` must be uint8 [N, H, W, C] of 1 or 3 channels; got {images.dtype} {list(images.shape)}."
        )
    return np.array([8.0 * min(_sizes(image)) for image in images])


def _sizes(image):
    from PIL import Image, features

    plain = image.tobytes()
    deflate = zlib.compressobj(9, wbits=-15)
    yield len(deflate.compress(plain) + deflate.flush())
    yield len(lzma.compress(plain, format=lzma.FORMAT_RAW, filters=_LZMA))
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    for how in _FILES:
        if how["format"] == "JPEG2000" and not features.check("jpg_2000"):
            continue
        file = io.BytesIO()
        picture.save(file, **how)
        yield file.tell()


def auroc(normal, odd) -> float:
    """The probability that an odd event's score is above a normal one's; of equal ones half: 0.5 is chance, 1 is perfect.

    Args:
        normal, odd: scores, [N] and [M].

    Example: `auroc([1, 2], [2, 3])` is 0.875
    """
    normal, odd = _checked(normal, odd)
    ordered = np.sort(normal)
    below = np.searchsorted(ordered, odd, "left") + np.searchsorted(ordered, odd, "right")
    return float(below.sum() / (2 * len(normal) * len(odd)))


def roc_curve(normal, odd) -> tuple[np.ndarray, np.ndarray]:
    """(share of normal events above a threshold, share of odd ones), over all thresholds, from (0, 0) to (1, 1).

    Example: `plot(*roc_curve(normal, odd))`
    """
    normal, odd = _checked(normal, odd)
    thresholds = np.unique(np.concatenate([normal, odd]))[::-1]
    shares = [
        np.concatenate([[0.0], 1 - np.searchsorted(np.sort(each), thresholds, "left") / len(each)])
        for each in (normal, odd)
    ]
    return shares[0], shares[1]


def _checked(normal, odd):
    both = []
    for name, values in (("normal", normal), ("odd", odd)):
        values = np.asarray(values, np.float64)
        if values.ndim != 1 or not len(values) or np.isnan(values).any():
            raise ValueError(
                f"`{name}` must be at least one score, [N], none of them NaN; got shape {list(values.shape)}."
            )
        both.append(values)
    return both


def scores_of(
    model, normal, odd: dict, typical, group: int = 1, batch_size: int = 16, seed: int = 0, progress=False
) -> dict:
    """Scores of normal images and of kinds of odd ones, by each of the three.

    Args:
        model: of images.
        normal, typical: uint8 [N, H, W, C], of the kind that the model was trained on; the mean of −log p over the second
            is what is typical, so they should be training images.
        odd: kind → uint8 [M, H, W, C].
        group: how many images, drawn by lot, have their mean scored as one event.
        batch_size, progress: as in `event_nats`.
        seed: of the groups.

    Returns:
        kind → score → (of the normal ones, of the odd ones), float64 arrays.

    Example: `scores_of(model, digits, {"letters": look_alike("letters", digits)}, train_digits)["letters"]["raw"]`
    """

    from ar_zoo.core import checks

    for images in (normal, *odd.values()):  # refused here, and not after minutes
        grouped(np.zeros(len(images)), group)
        checks.symbols(model, model.head.encode(images[:1]), "images")

    def nats(images):
        return event_nats(model, model.head.encode(images), batch_size, progress)

    def scored(images):
        bits = nats(images) / math.log(2)
        found = {"raw": bits, "corrected": bits - compressed_bits(images)}
        found = {name: grouped(values, group, seed) for name, values in found.items()}
        return found | {"typicality": np.abs(found["raw"] - typical_bits)}

    typical_bits = nats(typical).mean() / math.log(2)
    of_normal = scored(normal)
    found = {}
    for kind, images in odd.items():
        of_odd = scored(images)
        found[kind] = {name: (of_normal[name], of_odd[name]) for name in of_normal}
    return found


def rows(scores: dict) -> list[dict]:
    """AUROC of each kind and score, and how many events there are. Example: `rows(scores_of(…))[0]["raw"]`"""
    return [
        {"odd": kind, "normal_events": len(each["raw"][0]), "odd_events": len(each["raw"][1])}
        | {name: auroc(*pair) for name, pair in each.items()}
        | {"bits": float(each["raw"][1].mean()), "normal_bits": float(each["raw"][0].mean())}
        for kind, each in scores.items()
    ]


def table(rows: list[dict]) -> str:
    """What `rows` gave, in Markdown."""
    lines = [
        "| odd events | number | their bits (normal: {:,.0f}) | raw | corrected | typicality |".format(
            rows[0]["normal_bits"]
        )
    ]
    lines += ["|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        lines.append(
            "| {odd} | {odd_events:,} | {bits:,.0f} | {raw:.4f} | {corrected:.4f} | {typicality:.4f} |".format(**row)
        )
    return "\n".join(
        [*lines, "", "AUROC of each score: 0.5 is chance, 1 perfect; below 0.5 odd events look more normal."]
    )


def plot_roc(path, scores: dict, title: str) -> None:
    """Curves of false against true positives, a panel for each kind of odd events, a line for each score.

    Args:
        path: the file, `.png`.
        scores: kind → score → (of normal ones, of odd ones), as `scores_of` gives them.
        title: above all.

    Example: `plot_roc("roc.png", {"noisy": {"raw": (normal, odd)}}, "digits")`
    """
    from ar_zoo.data.writers import figure_into

    columns = min(3, len(scores))
    rows = math.ceil(len(scores) / columns)
    with figure_into(path, 3.2 * columns, 0.5 + 3.2 * rows) as figure:
        figure.suptitle(title)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for ax, (kind, each) in zip(axes, scores.items(), strict=False):
            ax.plot((0, 1), (0, 1), color="#bbbbbb", linewidth=0.8)
            for name, (normal, odd) in each.items():
                ax.plot(*roc_curve(normal, odd), label=f"{name} {auroc(normal, odd):.3f}", linewidth=1.4)
            ax.set_title(kind, fontsize=10)
            ax.set(aspect="equal", xlim=(0, 1), ylim=(0, 1.01))
            ax.legend(loc="lower right", fontsize=8, frameon=False)
        for ax in axes[len(scores) :]:
            ax.set_visible(False)
        figure.supxlabel("normal events that are taken for odd", fontsize=9)
        figure.supylabel("odd events that are found", fontsize=9)
