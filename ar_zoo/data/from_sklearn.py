"""Tables that scikit-learn ships (`load_iris`, `load_breast_cancer`, …), where it is installed."""

from __future__ import annotations

import numpy as np

from ar_zoo.data import dataset, splits

_TABLES = ("breast_cancer", "diabetes", "iris", "linnerud", "wine")
_TRAIN = 80  # per cent of the rows


def read_sklearn(name: str, split: str) -> dataset.Data:
    """One part of a table: of its rows, in an order drawn from seed 0, the first 80 % are "train", the rest "valid".

    Targets that are classes become labels; others are left out.

    Args:
        name: "breast_cancer" for `sklearn.datasets.load_breast_cancer`; so diabetes, iris, linnerud and wine.
        split: "train" or "valid".

    Raises:
        ValueError: if scikit-learn is not installed, or ships no table of that name.

    Example: `read_sklearn("breast_cancer", "valid").values.shape` is (114, 30)
    """
    source = f"sklearn:{name}"
    if name not in _TABLES:
        raise ValueError(f"source {source!r} is no table that scikit-learn ships; those are {', '.join(_TABLES)}.")
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ValueError(f"source {source!r} needs scikit-learn: `pip install scikit-learn`.") from error
    parts = shuffled_parts(getattr(datasets, f"load_{name}")())
    part = splits.choose_part(("train", "valid"), split, source)
    x, labels = parts[f"x_{part.name}"], parts.get(f"y_{part.name}")
    return dataset.table(x, parts["x_train"], labels, parts.get("classes"), parts["columns"], source=source)


def shuffled_parts(found) -> dict[str, np.ndarray]:
    """A scikit-learn data set as the arrays of an npz file, `x_train`, `y_train`, …, which `from_npz` reads the same."""
    order = np.random.default_rng(0).permutation(len(found["data"]))
    cut = len(order) * _TRAIN // 100
    arrays = {"columns": np.array(found["feature_names"], str)}
    classes = found.get("target_names") if found["target"].dtype.kind in "iu" else None
    if classes is not None:
        arrays["classes"] = np.array(classes, str)
    for part, rows in (("train", order[:cut]), ("valid", order[cut:])):
        arrays[f"x_{part}"] = found["data"][rows]
        if classes is not None:
            arrays[f"y_{part}"] = found["target"][rows]
    return arrays
