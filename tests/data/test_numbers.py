"""Tables and series: what is read, and how the train part standardises it."""

import types

import numpy as np
import pytest

from ar_zoo.data import Examples, from_sklearn, read

ROWS = np.random.default_rng(0).normal([5.0, -2.0, 1e4], [2.0, 0.1, 1e3], (20, 3))
SERIES = np.sin(np.arange(50.0)) * 40 + 50


def write_csv(path, rows, header=None, separator=","):
    lines = [separator.join(map(repr, row)) for row in np.reshape(rows, (len(rows), -1)).tolist()]
    path.write_text("\n".join(([header] if header else []) + lines) + "\n")
    return path


def standardised(rows, train):
    return (rows - train.mean(0)) / train.std(0)


# Shipped.


def test_the_shipped_table_is_standardised_by_its_train_part_alone():
    train, valid = (read("shipped:cancer", split) for split in ("train", "valid"))
    assert train.values.shape == (455, 30)
    assert train.classes == ("malignant", "benign")
    assert train.columns[:2] == ("mean radius", "mean texture")
    assert sum(np.bincount(part.labels) for part in (train, valid)).tolist() == [212, 357]
    np.testing.assert_allclose(train.values.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.values.std(0), 1, atol=1e-6)
    assert np.abs(valid.values.mean(0)).max() > 0.01
    np.testing.assert_array_equal(valid.mean, train.mean)
    np.testing.assert_array_equal(valid.scale, train.scale)
    np.testing.assert_allclose(valid.values * valid.scale + valid.mean, valid.raw, rtol=1e-5, atol=1e-4)


def test_the_shipped_series_goes_on_in_time():
    train, valid = (read("shipped:sunspots", split) for split in ("train", "valid"))
    assert (len(train.values), len(valid.values), train.lengths.tolist()) == (247, 62, [247])
    assert train.raw[:5].tolist() == [5, 11, 16, 23, 36]
    assert (valid.raw.max(), valid.raw[-1]) == (190.2, 2.9)
    np.testing.assert_allclose(valid.values, (valid.raw - train.raw.mean()) / train.raw.std(), rtol=1e-6)


def test_log_scale_turns_a_density_of_values_into_one_of_raw_numbers():
    data = read("shipped:sunspots")
    normal = lambda x, mean, scale: -0.5 * ((x - mean) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))  # noqa: E731
    standard = normal(data.values.astype(float), 0, 1) - data.log_scale
    np.testing.assert_allclose(standard, normal(data.raw, data.mean, data.scale), rtol=1e-5)
    table = read("shipped:cancer")
    assert table.log_scale == pytest.approx(np.log(table.raw.std(0)).sum())


# Files.


@pytest.mark.parametrize(("header", "separator"), [(None, ","), ("a, b,c", ","), ("a;b;c", ";"), (None, "\t")])
def test_csv_with_and_without_names(tmp_path, header, separator):
    path = write_csv(tmp_path / "a.csv", ROWS, header, separator)
    train, valid = (read(path, split) for split in ("train", "valid"))
    np.testing.assert_array_equal(train.raw, ROWS[:18])
    np.testing.assert_array_equal(valid.raw, ROWS[18:])
    np.testing.assert_allclose(valid.values, standardised(ROWS[18:], ROWS[:18]), rtol=1e-5)
    assert (train.kind, train.columns) == ("table", header and ("a", "b", "c"))
    assert train.values.dtype == np.float32


def test_csv_finds_its_neighbours_and_standardises_by_the_train_part(tmp_path):
    path = write_csv(tmp_path / "wine_train.csv", ROWS[:5])
    write_csv(tmp_path / "wine_valid.csv", ROWS[5:])
    valid = read(path, "valid")
    np.testing.assert_allclose(valid.values, standardised(ROWS[5:], ROWS[:5]), rtol=1e-5)
    assert valid.source.endswith("wine_valid.csv")


def test_one_column_is_a_series_unless_a_table_is_wanted(tmp_path):
    path = write_csv(tmp_path / "a.csv", SERIES, "spots")
    train, valid = (read(path, split) for split in ("train", "valid"))
    assert (train.kind, train.lengths.tolist(), len(valid.values)) == ("series", [45], 5)
    np.testing.assert_array_equal(np.concatenate([train.raw, valid.raw]), SERIES)
    assert read(path, kind="table").values.shape == (45, 1)
    with pytest.raises(ValueError, match="a series must be one column; it has 3"):
        read(write_csv(tmp_path / "b.csv", ROWS), kind="series")


@pytest.mark.parametrize("others", [("valid",), ()])
def test_npz_table(tmp_path, others):
    parts = {f"x_{name}": ROWS[:6] for name in others}
    np.savez(tmp_path / "a.npz", x_train=ROWS, y_train=np.arange(20) % 2, columns=["a", "b", "c"], **parts)
    train, valid = (read(tmp_path / "a.npz", split) for split in ("train", "valid"))
    whole = ROWS if others else ROWS[:18]
    np.testing.assert_array_equal(train.raw, whole)
    np.testing.assert_allclose(valid.values, standardised(ROWS[:6] if others else ROWS[18:], whole), rtol=1e-5)
    assert (train.kind, train.columns, len(train.labels)) == ("table", ("a", "b", "c"), len(whole))
    assert (valid.labels is None) == bool(others)


def test_npz_series_of_several_clips(tmp_path):
    np.savez(tmp_path / "a.npz", train_series=SERIES, train_lengths=[5] * 10)
    train, valid = (read(tmp_path / "a.npz", split) for split in ("train", "valid"))
    assert (train.kind, train.lengths.tolist(), valid.lengths.tolist()) == ("series", [5] * 9, [5])
    np.testing.assert_allclose(valid.values, standardised(SERIES[45:], SERIES[:45]), rtol=1e-5)


def test_lone_arrays_of_numbers(tmp_path):
    np.savez(tmp_path / "table.npz", ROWS)
    np.savez(tmp_path / "series.npz", SERIES)
    assert read(tmp_path / "table.npz").values.shape == (20, 3)
    assert read(tmp_path / "series.npz", kind="series").values.shape == (50,)
    with pytest.raises(ValueError, match=r"samples must lie in \[-1, 1\]"):
        read(tmp_path / "series.npz")


def test_npz_of_sound_and_series_asks_for_the_kind(tmp_path):
    np.savez(tmp_path / "a.npz", train_series=SERIES, train_samples=SERIES / 100)
    with pytest.raises(ValueError, match="holds sound and series: pass kind='sound' or kind='series'"):
        read(tmp_path / "a.npz")
    assert [read(tmp_path / "a.npz", kind=kind).kind for kind in ("sound", "series")] == ["sound", "series"]


def test_series_are_cut_into_windows():
    examples = Examples(read("shipped:sunspots").values, window=60)
    batch = next(iter(examples.evaluation(2)))
    assert batch["x"].shape == (2, 60)
    assert batch["x"].dtype == "float32"


# What is refused.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2\n3,nan\n5,6", r"all numbers must be finite; row 2, column 2 is nan"),
        ("a,b\n1,2\n3,inf\n5,6", r"must be finite; row 2, column 2 \(b\) is inf"),
        ("1,2\n3\n4,5", "every row must have 2 cells, as the first; row 2 has 1"),
        ("a,b\n1,2\n3,\n5,6", "every cell must be a number; row 2, column 2 is ''"),
        ("a,b\n1,2\n3,red\n5,6", "row 2, column 2 is 'red'. Leave out columns of words"),
        ("a,b\n1,2\n1,3\n1,4", r"column 1 \(a\) of the train part holds one number throughout"),
        ("7\n7\n7", "the train part holds one number throughout"),
        (f'1,2\n"{"3" * 200_000}",4', "cannot be read as comma-separated values: field larger"),
        ("", "there is nothing in it"),
        ("a,b\n", "there is nothing in it"),
    ],
)
def test_csv_that_is_no_table_of_numbers_is_refused(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        read(tmp_path / "a.csv")


def test_numbers_without_a_train_part_are_refused(tmp_path):
    write_csv(tmp_path / "a_valid.csv", ROWS)
    with pytest.raises(ValueError, match="no 'train': numbers are standardised by their train part"):
        read(tmp_path / "a_valid.csv", "valid")
    write_csv(tmp_path / "a_train.csv", ROWS[:, :2])
    with pytest.raises(ValueError, match="has 3 columns, and its train part 2"):
        read(tmp_path / "a_valid.csv", "valid")
    (tmp_path / "b.csv").write_bytes(b"caf\xe9,1\n1,2\n")
    with pytest.raises(ValueError, match="is not UTF-8: byte 3 is 0xe9"):
        read(tmp_path / "b.csv")


# scikit-learn, of which the tests need nothing.


@pytest.fixture
def sklearn(monkeypatch):
    found = {"data": ROWS, "target": np.arange(20) % 3, "target_names": ["x", "y", "z"], "feature_names": list("abc")}
    regression = found | {"target": ROWS[:, 0]}
    datasets = types.SimpleNamespace(load_iris=lambda: found, load_diabetes=lambda: regression)
    monkeypatch.setitem(__import__("sys").modules, "sklearn", types.SimpleNamespace(datasets=datasets))


@pytest.mark.usefixtures("sklearn")
def test_sklearn_tables_are_shuffled_once_and_cut():
    train, valid = (read("sklearn:iris", split) for split in ("train", "valid"))
    assert (len(train), len(valid), train.classes, train.columns) == (16, 4, ("x", "y", "z"), ("a", "b", "c"))
    order = np.random.default_rng(0).permutation(20)
    np.testing.assert_array_equal(np.concatenate([train.raw, valid.raw]), ROWS[order])
    np.testing.assert_array_equal(valid.labels, order[16:] % 3)
    assert read("sklearn:diabetes").labels is None
    with pytest.raises(ValueError, match=r"is no table that scikit-learn ships; those are breast_cancer"):
        read("sklearn:cats")


def test_sklearn_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(ValueError, match=r"needs scikit-learn: `pip install scikit-learn`"):
        from_sklearn.read_sklearn("iris", "train")
