"""`ar-zoo`: list, train, sample, score, export and compress with models from a terminal.

    ar-zoo sample gated_pixel_cnn.mnist --label 3 --out threes.png

Results go to standard output and into files, everything else to standard error. A user's mistake is one line that says
what to do, and exit status 2. Each file of this package has a group of commands: what they take, and what they do.
"""

from __future__ import annotations

import argparse
import os
import sys

from ar_zoo.cli import convert, draw, generate, measure, models, predict, show, text
from ar_zoo.cli.start import load, start_tensorflow

__all__ = ["load", "main", "start_tensorflow"]


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except BrokenPipeError:  # `ar-zoo list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as error:  # the last: an extra that is not installed
        return _say(error)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's
            raise
        return _say(
            f"memory is not enough for what was asked: take less at once, or a smaller model. {str(error).rpartition('}} ')[2]:.80}"
        )


def _say(error) -> int:
    print("error:", " ".join(str(error).split()), file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    """One line for a mistake, and examples with their line breaks."""

    def __init__(self, **kwargs):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)

    def error(self, message):
        self.exit(2, f"error: {message}. `{self.prog} --help` shows how.\n")


def _parser() -> argparse.ArgumentParser:
    from ar_zoo import __version__

    parser = _Parser(prog="ar-zoo", description="Autoregressive models: list, train, sample, score, export, compress.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands (each has --help)")

    def command(name, run, summary, *examples):
        epilog = "\n".join(["examples:", *(f"  ar-zoo {name} {example}".rstrip() for example in examples)])
        description = f"{summary[0].upper()}{summary[1:]}."
        added = commands.add_parser(name, help=summary, description=description, epilog=epilog)
        added.set_defaults(run=run)
        return added

    for group in (models, draw, generate, predict, measure, text, convert, show):
        group.add_to(command)
    return parser
