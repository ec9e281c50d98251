"""Makes the small table and series that travel inside the package, `ar_zoo/data/shipped/`, from what others ship.

    python tools/make_shipped_tables.py

It needs scikit-learn (1.9.1 was used) and statsmodels (0.15.0). The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np

from ar_zoo.core.files import sha256_of
from ar_zoo.data import write_npz
from ar_zoo.data.from_sklearn import shuffled_parts

SHIPPED = pathlib.Path(__file__).resolve().parents[1] / "ar_zoo" / "data" / "shipped"


def make_cancer(target: pathlib.Path) -> None:
    """All rows, in the order and parts of "sklearn:breast_cancer"."""
    from sklearn.datasets import load_breast_cancer

    write_npz(target, shuffled_parts(load_breast_cancer()))


def make_sunspots(target: pathlib.Path) -> None:
    """All years in their order, the last fifth of them for validation."""
    import statsmodels.api

    table = statsmodels.api.datasets.sunspots.load_pandas().data
    numbers, first = table["SUNACTIVITY"].to_numpy(np.float64), int(table["YEAR"].iloc[0])
    cut = len(numbers) * 80 // 100
    years = {"train_first_year": np.int32(first), "valid_first_year": np.int32(first + cut)}
    write_npz(target, {"train_series": numbers[:cut], "valid_series": numbers[cut:], **years})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="Example: python tools/make_shipped_tables.py",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--to", type=pathlib.Path, default=SHIPPED, metavar="FOLDER", help="folder to write")
    target = parser.parse_args().to
    make_cancer(target / "cancer.npz")
    make_sunspots(target / "sunspots.npz")
    for name in ("cancer.npz", "sunspots.npz"):
        print(f"{sha256_of(target / name)}  {(target / name).stat().st_size:7d}  {name}")


if __name__ == "__main__":
    main()
