"""Linear probes: how well a linear map of a model's features tells classes apart (Image GPT, Chen et al. 2020, section 3.4)."""

from __future__ import annotations

import numpy as np

from ar_zoo.core import arguments, checks

_RIDGE = 1e-3  # of the features' mean variance, which is 1: enough where features depend on each other


def pooled_features(model, x, layer: int | None = None, batch_size: int = 64) -> np.ndarray:
    """A model's features of each event, averaged over its sites.

    Args:
        model: one with `features(x, layer)`, such as `ImageGPT`.
        x: int symbols [N, *event_shape].
        layer: after how many blocks; `None` for the last, as the logits see it.
        batch_size: events at once.

    Returns:
        float64 [N, units].

    Example: `pooled_features(model, model.head.encode(images), layer=model.num_layers // 2)`
    """
    import tensorflow as tf

    if not hasattr(model, "features"):
        raise ValueError(f"`model` must offer `features`, as ImageGPT does; got {type(model).__name__}.")
    arguments.whole(batch_size=batch_size)
    x = np.asarray(checks.symbols(model, x))
    if not len(x):
        raise ValueError("`x` must hold at least one event; got none.")
    model.features(x[:1], layer=layer)  # here a `layer` that there is not is refused in one line
    features = tf.function(lambda rows: model.features(rows, layer=layer))
    pooled = []
    for start in range(0, len(x), batch_size):
        found = np.asarray(features(tf.constant(x[start : start + batch_size])), np.float64)
        pooled.append(found.reshape(len(found), -1, found.shape[-1]).mean(axis=1))
    return np.concatenate(pooled)


def linear_probe(train: tuple, valid: tuple) -> float:
    """The share of held-out events whose class a linear map finds, fitted by least squares to one-hot classes.

    Args:
        train, valid: (features [N, units], int classes [N]).

    Returns:
        accuracy on `valid`, 0 … 1.

    Example: `linear_probe((pooled_features(model, x), labels), (pooled_features(model, other_x), other_labels))`
    """
    (features, labels), (other_features, other_labels) = train, valid
    for name, (given, classes) in (("train", train), ("valid", valid)):
        if np.ndim(given) != 2 or np.shape(classes) != np.shape(given)[:1] or not np.size(given):
            raise ValueError(
                f"`{name}` must hold features [N, units] and classes [N], at least one; got shapes {np.shape(given)}, "
                f"{np.shape(classes)}."
            )
    if features.shape[1] != other_features.shape[1]:
        raise ValueError(
            f"`valid` must hold as many features as `train`, {features.shape[1]}; got {other_features.shape[1]}."
        )
    classes = np.unique(labels)
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
    features, other_features = ((given - mean) / deviation for given in (features, other_features))
    wanted = np.equal(np.asarray(labels)[:, None], classes).astype(np.float64)
    ridge = _RIDGE * len(features) * np.eye(features.shape[1])
    weights = np.linalg.solve(features.T @ features + ridge, features.T @ (wanted - wanted.mean(axis=0)))
    found = classes[np.argmax(other_features @ weights + wanted.mean(axis=0), axis=1)]
    return float(np.mean(found == np.asarray(other_labels)))
