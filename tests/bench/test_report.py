"""How figures are shown."""

from __future__ import annotations

from PIL import Image

from ar_zoo.bench import report

MEASURED = {
    "naive": {"sites_per_s": 2.0, "site_us": 5e5},
    "cached": {"sites_per_s": 500.0, "site_us": 2e3, "compared": 20, "different": 1},
    "litert float32": {
        "sites_per_s": 1000.0,
        "site_us": 1e3,
        "limit_us": 800.0,
        "share_of_bound": 0.45,
        "memory_mb": 50,
    },
    "transformers": {"sites_per_s": 40.0, "site_us": 25e3, "version": "transformers 5"},
    "keras-hub": {"left_out": "not installed: No module named 'keras_hub'"},
    "pytorch-generative": {"sites_per_s": 1.0, "site_us": 1e6, "estimate": "estimate, not installed: why"},
}
RESULT = {"title": "GPT, batch 1", "sites": 100, "measured": MEASURED}


def cells(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_comparison():
    head, _, *lines = report.comparison([RESULT]).splitlines()
    assert cells(head)[:5] == ["model", "drawn by", "events/s", "times naive", "sites/s"]
    rows = [cells(line) for line in lines]
    assert [row[1] for row in rows] == [
        "naive",
        "cached (19 of 20 symbols as naive)",
        "litert float32",
        "transformers (transformers 5)",
        "keras-hub (left out: not installed: No module named 'keras_hub')",
        "pytorch-generative (estimate, not installed: why)",
    ]
    assert rows[1][2:6] == ["5", "250.0", "500", "2,000.0"]
    assert rows[2][-4:] == ["50", "–", "1.25", "45 %"]
    assert set(rows[4][2:]) == {"–"}


def test_bars():
    bar = {"case": "A", "of": "cached", "than": "naive", "figure": 151.04, "at_least": 150, "at_most": None}
    lines = report.bars(
        [
            bar | {"met": True, "note": ""},
            bar | {"met": False, "note": "why", "at_least": None, "at_most": 1.3, "figure": 1.314},
            bar | {"met": None, "note": "left out", "figure": None},
        ]
    ).splitlines()[2:]
    assert [cells(line) for line in lines] == [
        ["A", "cached", "naive", "151.0", "–", "at least 150", "met"],
        ["A", "cached", "naive (why)", "–", "1.31", "at most 1.3", "**missed**"],
        ["A", "cached", "naive (left out)", "–", "–", "at least 150", "not measured"],
    ]


def test_plot(tmp_path):
    one = report.plot_comparison([RESULT], tmp_path / "one.png")
    two = report.plot_comparison([RESULT, RESULT], tmp_path / "two.png")
    with Image.open(one) as first, Image.open(two) as second:
        assert first.width == second.width == 960
        assert second.height > 1.5 * first.height, "a panel for each case"
