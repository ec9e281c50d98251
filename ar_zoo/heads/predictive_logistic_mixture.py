"""A discretised logistic mixture whose components start at what the pixels around a site predict.

PNG and its kin code a pixel as its difference from a neighbour or from a plane through three of them. Here each
component of a mixture starts from one such prediction p, and the network says which to trust and what to change:

    exact components      μ = p + s o, narrow: the colour itself, up to rounding
    lines, from p to q    μ = p + (q - p) / 2 + s o: somewhere between two colours, as along an anti-aliased edge. Red is
                          wide; where it falls says how far along the line green and blue are
    free ones             μ = p + s o, wide

where s is the component's scale and o the network's: an offset of so many scales has gradients of about one. Offsets in levels
would have them in the hundreds for narrow components, and their noise drives a network's rectifiers off within an epoch.

Channels are coupled by how far those before lie from their prediction, where PixelCNN++ takes the channels themselves:

    m_G = μ_G + α (R - p_R),   m_B = μ_B + β (R - p_R) + γ (G - p_G)

with slopes of least squares along a line, of changes in brightness for free ones, plus a tenth of what the network says.

The logistics end at the outermost levels. PixelCNN++ gives these the tails, and so a share of every wide component to pure
white and black, which backgrounds are made of: what is drawn then fades into the background.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core import arguments
from ar_zoo.heads.discretized_logistic_mixture import DiscretizedLogisticMixture, rescale

_SAME = (2.0 / 127.5) ** 2  # colours nearer than this, of 256 levels, say nothing about a line's direction


@keras.saving.register_keras_serializable(package="ar_zoo")
class PredictiveLogisticMixture(DiscretizedLogisticMixture):
    """For images with flat colours and edges: drawings, icons, screens.

    The model hands the head the colours of `PixelNeighbours`: families that take such a head do.

    Args:
        num_levels: levels of one channel.
        channels: 1 or 3.
        outside: the level of all that lies outside the image, usually the background's; the highest by default.
        mirror: whether the mirrored pixel predicts too, for things that look alike left and right.
        num_free: components that are wide from the start.
    """

    predicts = True

    def __init__(self, num_levels=256, channels=3, outside=None, mirror=True, num_free=2):
        arguments.whole(2, num_levels=num_levels)
        arguments.whole(0, num_free=num_free)
        outside = num_levels - 1 if outside is None else outside
        arguments.whole(0, outside=outside)
        if outside >= num_levels:
            raise ValueError(f"`outside` must be a level, 0..{num_levels - 1}; got {outside}.")
        self.outside, self.mirror, self.num_free = outside, mirror, num_free
        exact = ["left", "up", "up_left", "up_right", "plane"] + ["mirror", "mirror_plane"] * mirror
        lines = [("left", "up"), ("left", "up_right"), ("left", "outside"), ("up", "outside")]
        lines += [("mirror", "left")] * mirror
        free = [("left", "up")[i % 2] for i in range(num_free)]
        self._starts = exact + [start for start, _ in lines] + free
        self._ends = exact + [end for _, end in lines] + free
        counts = (len(exact), len(lines), num_free)
        narrow, along, wide = [-6.0] * channels, [-2.0] + [-4.0] * (channels - 1), [-2.0] * channels
        self._log_scales = np.repeat(np.array([narrow, along, wide], "float32"), counts, axis=0)
        self._slopes = np.repeat(np.array([[0, 0, 0], [0, 0, 0], [1, 0, 1]], "float32"), counts, axis=0)
        super().__init__(len(self._starts), num_levels, channels)

    # Narrower than PixelCNN++'s: an exact colour should cost nothing. Wider than e^3, all levels are alike.
    log_scale_range = (-8.0, 3.0)
    truncated = True

    @staticmethod
    def _coupled(raw):
        return raw

    def around(self, params, neighbours):
        """Parameters as `split` reads them, from the network's and the colours [..., 6, channels] of `PixelNeighbours`."""
        k, c = self.num_components, self.channels
        params = ops.cast(params, neighbours.dtype)
        rest = ops.reshape(params[..., k:], (*ops.shape(params)[:-1], k, 2 * c + self.num_couplings))
        start, way = self._predictions(neighbours)
        log_scales = ops.clip(rest[..., c : 2 * c] + self._log_scales, *self.log_scale_range)
        means = start + 0.5 * way * np.eye(c)[0].astype("float32") + ops.exp(log_scales) * rest[..., :c]
        couplings = 0.1 * rest[..., 2 * c :]
        if c == 3:
            couplings = couplings + _slopes(way) + self._slopes
            red, green, _ = ops.split(start, 3, axis=-1)
            alpha, beta, gamma = ops.split(couplings, 3, axis=-1)
            none = ops.zeros_like(red)
            means = means - ops.concatenate([none, alpha * red, beta * red + gamma * green], axis=-1)
        rest = ops.concatenate([means, log_scales, couplings], axis=-1)
        flat = ops.reshape(rest, (*ops.shape(params)[:-1], k * (2 * c + self.num_couplings)))
        return ops.concatenate([params[..., :k], flat], axis=-1)

    def _predictions(self, neighbours):
        """Where each component starts, and the way from there to the end of its line, [..., K, channels] each."""
        names = ("left", "up_left", "up", "up_right", "mirror", "up_mirror")
        colour = {n: ops.squeeze(v, -2) for n, v in zip(names, ops.split(neighbours, 6, axis=-2), strict=True)}
        colour["plane"] = ops.clip(colour["left"] + colour["up"] - colour["up_left"], -1.0, 1.0)
        colour["mirror_plane"] = ops.clip(colour["mirror"] + colour["up"] - colour["up_mirror"], -1.0, 1.0)
        colour["outside"] = ops.full_like(colour["left"], rescale(self.outside, self.num_levels, neighbours.dtype))
        starts, ends = (ops.stack([colour[n] for n in each], axis=-2) for each in (self._starts, self._ends))
        return starts, ends - starts


def _slopes(way):
    """How green follows red, and blue both, along a line: 0 where it has no direction."""
    red, green, blue = ops.split(way, 3, axis=-1)
    both = red * red + green * green + _SAME
    return ops.concatenate([red * green / (red * red + _SAME), red * blue / both, green * blue / both], axis=-1)
