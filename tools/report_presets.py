"""Prints the tables of README.md: the models from the registry, the pretrained presets from their manifests.

    python tools/report_presets.py                              prints both tables
    python tools/report_presets.py --write                      puts them into README.md, between the markers
    python tools/report_presets.py --measure --data FOLDER      scores each preset on the validation data in FOLDER

FOLDER holds the files that the manifests name (mnist.npz, …). The presets are scored as training scored them; a figure
that is off by more than 0.001, or data that is other data (sha256), is marked, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ar_zoo.cli import start_tensorflow
from ar_zoo.core.paths import shipped_folder
from ar_zoo.core.pretrained import list_pretrained, read_manifest

README = Path(__file__).resolve().parents[1] / "README.md"
TOLERANCE = 1e-3


def model_rows(names: list[str] | None = None) -> list[str]:
    """A Markdown row for each model of the registry, or for those named; nothing is allocated for the weights."""
    import ar_zoo
    from ar_zoo.core.registry import find

    rows = ["| model | weights | family |", "|---|---:|---|"]
    for name in names or ar_zoo.list_models():
        about = sys.modules[find(name)[0].__module__].__doc__.strip().splitlines()[0].rstrip(".")
        rows.append(f"| `{name}` | {ar_zoo.num_weights(name):,} | {about} |")
    return rows


def preset_rows() -> list[str]:
    """A Markdown row for each pretrained preset."""
    rows = ["| preset | weights | bits per dimension | trained on | recipe | licence |", "|---|---:|---:|---|---|---|"]
    for name, manifest in manifests().items():
        bits = manifest.get("metrics", {}).get("valid_bits_per_dim", "–")
        source = manifest.get("data", {}).get("train", {}).get("source", "–")
        recipe = f"`{manifest['recipe']}`" if "recipe" in manifest else "–"
        licence = manifest.get("licence") or "not stated"
        rows.append(f"| `{name}` | {manifest['num_weights']:,} | {bits} | {source} | {recipe} | {licence} |")
    return rows


def measured_rows(folder: Path) -> tuple[list[str], bool]:
    """A Markdown row for each preset, scored on its validation data; and whether all are as stated."""
    import ar_zoo
    from ar_zoo import data
    from ar_zoo.training import find_recipe
    from ar_zoo.training.evaluate import evaluate

    rows, good = ["| preset | stated | measured | events | |", "|---|---:|---:|---:|---|"], True
    for name, manifest in manifests().items():
        recipe = find_recipe(manifest["recipe"])
        how = dict(sample_rate=recipe.sample_rate, binarize=recipe.binarize)
        full = folder / manifest["data"]["train"]["source"]
        part = data.read(full if full.exists() else recipe.shipped, "valid", **how)
        found = evaluate(
            ar_zoo.load(name),
            part,
            recipe.batch_size,
            recipe.window,
            labels=recipe.labels,
            verbose=1 if sys.stderr.isatty() else 0,
        )
        stated, measured = manifest["metrics"]["valid_bits_per_dim"], found["bits_per_dim"]
        remarks = []
        if part.sha256 != manifest["data"]["valid"]["sha256"]:
            remarks.append("other data than the manifest's")
        if abs(measured - stated) > TOLERANCE:
            remarks.append("not as stated")
        good = good and not remarks
        rows.append(
            f"| `{name}` | {stated} | {measured:.5f} | {found['events']:,} | {', '.join(remarks) or 'as stated'} |"
        )
    return rows, good


def manifests() -> dict[str, dict]:
    return {name: read_manifest(shipped_folder("exported") / name) for name in list_pretrained()}


def between(text: str, name: str) -> tuple[int, int]:
    """Where the lines between a table's markers begin and end.

    Raises:
        ValueError: the markers are not there.
    """
    start, end = f"<!-- {name}: made by tools/report_presets.py --write -->\n", f"<!-- end of {name} -->"
    if start not in text or end not in text:
        raise ValueError(f"README.md must hold the markers {start.strip()!r} and {end!r}.")
    return text.index(start) + len(start), text.index(end)


def rewritten(text: str, tables: dict[str, list[str]]) -> str:
    """The README's text with new tables."""
    for name, rows in tables.items():
        first, last = between(text, name)
        text = text[:first] + "\n".join(rows) + "\n" + text[last:]
    return text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    parser.add_argument("--measure", action="store_true", help="score the presets")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder for --measure")
    options = parser.parse_args(arguments)
    start_tensorflow()
    try:
        if options.measure:
            rows, good = measured_rows(options.data)
            print("\n".join(rows))
            return 0 if good else 1
        tables = {"presets": preset_rows(), "models": model_rows()}
        if options.write:
            README.write_text(rewritten(README.read_text(encoding="utf-8"), tables), encoding="utf-8")
            print(f"wrote the tables into {README}")
        else:
            print("\n\n".join("\n".join(rows) for rows in tables.values()))
    except (ValueError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
