"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; scaled as in Liu et al. 2025, arXiv:2502.16982)."""

from __future__ import annotations

import math
import re

import keras
from keras import ops

#: Matrices that are tables of symbols, or whose outputs are parameters of a distribution: Adam's.
_ADAMS = ("table", "output", "condition", "positions", "start")


@keras.saving.register_keras_serializable(package="ar_zoo")
class Muon(keras.optimizers.Muon):
    """Steps of equal length in all directions of a matrix: `keras.optimizers.Muon`, for the kernels of convolutions too.

    A kernel [..., channels in, channels out] counts as the matrix [all taps' channels in, channels out] that it is
    multiplied as. Tables, biases, scales, and the output layer are left to Adam: `exclude_layers` are regular expressions,
    looked for in the paths of weights below their model, in upper or lower case.

    Example:
        >>> model.compile(Muon(2e-3))
    """

    def __init__(self, learning_rate=0.001, exclude_layers=_ADAMS, **kwargs):
        words = [] if exclude_layers is None else exclude_layers
        if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
            raise ValueError(
                f"`exclude_layers` must be a list of regular expressions, or None; got {exclude_layers!r}."
            )
        for word in words:
            try:
                re.compile(word)
            except re.error as error:
                raise ValueError(
                    f"`exclude_layers` must be regular expressions; {word!r} is none: {error}. "
                    f"For the name as it stands take {re.escape(word)!r}."
                ) from None
        super().__init__(learning_rate, exclude_layers=list(words), **kwargs)

    def _should_use_adamw(self, variable):
        if len(variable.shape) < 2:
            return True
        words = [*self.exclude_layers, *(["embedding"] if self.exclude_embeddings else [])]
        path = variable.path.split("/", 1)[-1]
        return any(re.search(word, path, re.IGNORECASE) for word in words)

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, ops.add(gradient, m * (self.momentum - 1)))
        step = ops.add(gradient, self.momentum * m) if self.nesterov else m
        matrix = ops.reshape(step, (math.prod(variable.shape[:-1]), variable.shape[-1]))
        update = ops.reshape(self.zeropower_via_newtonschulz5(matrix, self.ns_steps), variable.shape)
        # As long as Adam's steps are, whatever the matrix's sides; Keras's own `lr_adjust` knows float32 alone.
        scale = 1.0 if self.rms_rate is None else self.rms_rate * math.sqrt(max(matrix.shape))
        self.assign_sub(variable, ops.cast(lr, variable.dtype) * scale * update)
