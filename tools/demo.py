"""What `make demo` runs: trains, loads, draws, exports and checks, in a few minutes and without a network.

    python tools/demo.py [--out demo_out]

A small GatedPixelCNN learns digits while you watch; the four pretrained presets draw digits, emoji, speech and a
page of text; the digits model is exported to TFLite and draws the same digits there. Everything ends in one folder with a
`report.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from ar_zoo.cli import start_tensorflow

DIGITS, EMOJI = "gated_pixel_cnn.mnist", "gated_pixel_cnn.emoji"
SPEECH, TEXT = "wavenet.speech8k", "gpt.kjv"
SHIPPED = {DIGITS: "shipped:digits", EMOJI: "shipped:emoji", SPEECH: "shipped:speech", TEXT: "shipped:text"}
COLUMNS, ROWS = 10, 5
SPEECH_SECONDS = 6
PAGE_CHARACTERS, PAGE_BEGINNING, PAGE_TEMPERATURE = 1400, "In the beginning ", 0.8
EPOCHS = 5


@dataclasses.dataclass
class Notes:
    """What the report is made of: lines, in order, and the files that were written."""

    out: Path
    started: float = dataclasses.field(default_factory=time.perf_counter)
    lines: list[str] = dataclasses.field(default_factory=list)
    files: list[Path] = dataclasses.field(default_factory=list)
    ok: bool = True

    def title(self, text):
        print(f"\n== {text}  [{time.perf_counter() - self.started:.0f} s]", flush=True)
        self.lines += ["", f"## {text}", ""]

    def say(self, text):
        print(text, flush=True)
        self.lines += [text, ""]

    def wrote(self, name, caption):
        """Registers a file below `out`; a picture is shown in the report."""
        self.files.append(self.out / name)
        print(f"   wrote {name}: {caption}", flush=True)
        self.lines += [
            f"![{caption}]({name})" if name.endswith(".png") else f"[{name}]({name})",
            "",
            f"*{caption}*",
            "",
        ]


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; 0 if all went well, 1 if TFLite drew other digits than TensorFlow, 2 for a user's mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="demo_out", help="the folder for what it makes (default demo_out)")
    out = Path(parser.parse_args(arguments).out).resolve()
    notes = Notes(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".gitignore").write_text("*\n")  # what is made here is not for the repository
        print("ar_zoo: one contract for pixels, sound and text. Starting TensorFlow …", flush=True)
        start_tensorflow()
        train_small(notes)
        model, by_class = draw_digits(notes)
        draw_emoji(notes)
        draw_speech(notes)
        draw_page(notes)
        export_and_compare(notes, model, by_class)
        summarise(notes)
    except (ValueError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0 if notes.ok else 1


def train_small(notes):
    """A model small enough to learn something in half a minute."""
    from ar_zoo import drawing
    from ar_zoo.training import Recipe, train

    recipe = Recipe(
        name="demo_digits",
        model=DIGITS,
        source="shipped:digits",
        shipped="shipped:digits",
        about="A small model of digits that learns while you watch.",
        overrides=dict(num_layers=3, units=24, dropout=0.0),
        batch_size=16,
        epochs=EPOCHS,
        learning_rate=5e-3,
        labels=True,
        warmup_steps=20,
        average=None,
    )
    notes.title("A small GatedPixelCNN learns the 1,800 shipped digits")
    print("An even guess over 256 levels costs 8 bits per dimension (a pixel, here). Watch `val_bits_per_dim` fall.\n")
    folder = notes.out / "training"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier demo, which would have nothing left to learn
    clock = time.perf_counter()
    model = train(recipe, out=folder, jit_compile=False, verbose=1 if sys.stdout.isatty() else 2)
    took = time.perf_counter() - clock
    falling = np.genfromtxt(folder / "log.csv", delimiter=",", names=True)["val_bits_per_dim"]
    notes.say(
        f"{model.count_params():,} weights, {EPOCHS} passes, {took:.0f} s. Bits per dimension on 200 unseen digits: "
        f"{', '.join(f'{value:.3f}' for value in falling)}."
    )
    x = model.sample(COLUMNS, seed=0, context=np.arange(COLUMNS))
    drawing.write_drawn(model, x, notes.out / "digits_small_model.png", columns=COLUMNS)
    notes.wrote("digits_small_model.png", f"what it draws for 0 to 9 after {took:.0f} s: strokes, not yet digits")


def draw_digits(notes):
    """The pretrained digits: free, by class, and completed from their top halves."""
    import ar_zoo
    from ar_zoo import drawing

    notes.title(f"Digits from the pretrained {DIGITS}")
    model, count = ar_zoo.load(DIGITS), COLUMNS * ROWS

    def draw(name, columns, caption, arrange=lambda x: x, **arguments):
        clock = time.perf_counter()
        x = model.sample(count, **arguments)
        took = time.perf_counter() - clock
        drawing.write_drawn(model, arrange(x), notes.out / name, columns=columns)
        notes.wrote(name, caption)
        return x, took

    _, first = draw("digits_free.png", COLUMNS, "drawn pixel by pixel, no class given", seed=0)
    labels = np.arange(count) % COLUMNS
    by_class, again = draw("digits_by_class.png", COLUMNS, "one class a column, 0 to 9", seed=1, context=labels)
    originals, kept = halves(model)
    draw(
        "digits_completed.png",
        2 + ROWS,
        f"left a real digit, then the half of it that is kept, then {ROWS} completions",
        lambda x: np.concatenate(
            [
                np.stack([original, np.where(kept, original, 127), *drawn])
                for original, drawn in zip(originals, x.reshape(COLUMNS, ROWS, *model.event_shape), strict=True)
            ]
        ),
        seed=2,
        given=np.repeat(originals, ROWS, axis=0),
        mask=np.broadcast_to(kept, model.grid_shape),
    )
    notes.say(
        f"{count} digits took {first:.1f} s the first time, with compilation, and {again:.1f} s the next "
        f"({count / again:.0f} digits/s, {count / again * model.num_sites:,.0f} pixels/s)."
    )
    return model, by_class


def halves(model):
    """A shipped digit of each class, as symbols, and which of their rows are kept, [H, 1, 1]."""
    from ar_zoo import data

    shipped = data.read("shipped:digits", "valid")
    chosen = [np.flatnonzero(shipped.labels == label)[0] for label in range(COLUMNS)]
    height = model.event_shape[0]
    return model.head.encode(shipped.values[chosen]), (np.arange(height) < height // 2)[:, None, None]


def draw_emoji(notes):
    import ar_zoo
    from ar_zoo import drawing

    notes.title(f"Emoji from the pretrained {EMOJI}")
    model = ar_zoo.load(EMOJI)
    clock = time.perf_counter()
    x = model.sample(COLUMNS * ROWS, seed=0)
    took = time.perf_counter() - clock
    drawing.write_drawn(model, x, notes.out / "emoji.png", columns=COLUMNS)
    notes.wrote("emoji.png", "in full colour: flat shapes and outlines, though nobody's emoji")
    notes.say(f"{len(x)} emoji took {took:.1f} s with compilation.")


def draw_speech(notes):
    import ar_zoo
    from ar_zoo import drawing

    notes.title(f"Speech from the pretrained {SPEECH}")
    model = ar_zoo.load(SPEECH)
    clock = time.perf_counter()
    x = model.sample(1, seed=0, num_sites=SPEECH_SECONDS * model.sample_rate)
    took = time.perf_counter() - clock
    drawing.write_drawn(model, x, notes.out / "speech.wav")
    notes.wrote(
        "speech.wav", f"{SPEECH_SECONDS} s at {model.sample_rate} Hz: a voice that has no words, for it was given none"
    )
    notes.wrote("speech.png", "its waveform")
    notes.say(f"{x.size:,} samples, one by one, took {took:.1f} s with compilation.")


def draw_page(notes):
    import ar_zoo
    from ar_zoo import data, drawing

    notes.title(f"A page from the pretrained {TEXT}")
    model = ar_zoo.load(TEXT)
    clock = time.perf_counter()
    page = drawing.draw_text(model, PAGE_CHARACTERS, seed=0, temperature=PAGE_TEMPERATURE, prefix=PAGE_BEGINNING)[0]
    took = time.perf_counter() - clock
    data.write_text(notes.out / "page.txt", page + "\n")
    print("\n".join(f"   | {line}" for line in page[:300].splitlines()), "…")
    notes.wrote(
        "page.txt", f"{len(page):,} characters at temperature {PAGE_TEMPERATURE}; {PAGE_BEGINNING.strip()!r} was given"
    )
    notes.lines += ["```text", page, "```", ""]
    notes.say(f"It took {took:.1f} s with compilation, window by window of {model.max_sites} characters.")


def export_and_compare(notes, model, expected):
    """TFLite, driven by NumPy alone, draws what TensorFlow drew: the noise depends on seed, row and site alone."""
    import ar_zoo
    from ar_zoo import drawing

    notes.title("The same digits in TFLite")
    clock = time.perf_counter()
    folder = ar_zoo.export(model, notes.out / "digits_tflite", formats=("tflite",), batch_size=COLUMNS)
    took = time.perf_counter() - clock
    size = (folder / "sample_step.tflite").stat().st_size
    notes.say(f"Exporting took {took:.0f} s; the file that draws has {size / 1e6:.1f} MB.")
    runtime = ar_zoo.runtime.load(folder)
    drawn, clock = runtime.sample(COLUMNS, seed=1, context=np.arange(COLUMNS)), time.perf_counter()
    drawn = runtime.sample(COLUMNS, seed=1, context=np.arange(COLUMNS))
    took = time.perf_counter() - clock
    expected = expected[:COLUMNS]
    same = int(np.sum(np.all(drawn == expected, axis=(1, 2, 3))))
    apart = np.abs(runtime.params(expected, np.arange(COLUMNS)) - _params(model, expected)).max()
    drawing.write_drawn(model, drawn, notes.out / "digits_tflite.png", columns=COLUMNS)
    notes.wrote("digits_tflite.png", "drawn by the TFLite file on one thread: the first row of digits_by_class.png")
    notes.ok = same == COLUMNS
    notes.say(
        f"{same} of {COLUMNS} digits are TensorFlow's, pixel for pixel; logits differ by at most {apart:.1e}. "
        f"{COLUMNS / took:.0f} digits/s on one thread."
    )
    if not notes.ok:
        first = min(int(np.argmax(one)) for one in (drawn != expected).reshape(COLUMNS, -1) if one.any())
        notes.say(f"The engines parted at pixel {first} first. Please report it, with your processor.")


def _params(model, x):
    params = np.asarray(model(x, context=np.arange(len(x)))).astype(np.float32)
    return params.reshape(len(x), model.num_sites, -1)


def summarise(notes):
    """Bits per dimension, as the manifests state them and as measured here, and where everything is."""
    import ar_zoo
    from ar_zoo import data
    from ar_zoo.core.paths import shipped_folder
    from ar_zoo.core.pretrained import read_manifest
    from ar_zoo.training.evaluate import evaluate

    notes.title("Bits per dimension")
    table = ["| preset | weights | its card says | measured here on | bits per dimension |", "|---|---|---|---|---|"]
    for name, source in SHIPPED.items():
        manifest = read_manifest(shipped_folder("exported") / name)
        model, part = ar_zoo.load(name), data.read(source, "valid")
        found = evaluate(model, part, limit=100 if name in (DIGITS, EMOJI) else None)
        stated = ", ".join(str(value) for value in manifest.get("metrics", {}).values()) or "–"
        measured = f"{source} (valid), {found['dimensions']:,} symbols"
        table.append(f"| {name} | {manifest['num_weights']:,} | {stated} | {measured} | {found['bits_per_dim']:.4f} |")
    print("\n".join(table))
    notes.lines += [*table, ""]
    notes.title("Done")
    notes.say(f"All of it took {time.perf_counter() - notes.started:.0f} s.")
    report = notes.out / "report.md"
    title = "# ar_zoo: what the demo made\n\nMade by `make demo`.\n"
    data.write_text(report, title + "\n".join(notes.lines) + "\n")
    for path in (*notes.files, report):
        print(path)


if __name__ == "__main__":
    raise SystemExit(main())
