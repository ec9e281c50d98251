"""Where the folders are that come with the zoo but lie outside the package in a checkout."""

from __future__ import annotations

from pathlib import Path


def shipped_folder(name: str) -> Path:
    """`recipes`, `exported` or `tools/web`: beside the package in a checkout, inside it (`_recipes`, …) when installed."""
    package = Path(__file__).resolve().parents[1]
    installed = package / f"_{Path(name).name}"
    return installed if installed.is_dir() else package.parent / name
