"""The process in which `ar_zoo.core.chat` renders a template: a request in JSON comes in, an answer in JSON goes out.

Run as a file and not as a module, so that it starts without the rest of the package.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import sys


def main(seconds: int, memory: int, characters: int) -> dict:
    """`text`, or `error`, or `missing`."""
    asked = json.load(sys.stdin)
    try:
        made = environment()
    except ImportError:
        return {"missing": True}
    _bound(seconds, memory)
    try:
        return render(made, asked["template"], asked["variables"], characters)
    except (MemoryError, OverflowError):
        return {"error": f"was stopped: it uses more than {memory:,} bytes of memory."}


def render(environment, template: str, variables: dict, characters: int) -> dict:
    """`text`, or `error`."""
    import jinja2

    try:
        pieces, length = [], 0
        for piece in environment.from_string(template).generate(**variables):
            pieces.append(piece)
            length += len(piece)
            if length > characters:
                return {"error": f"writes more than {characters:,} characters."}
        return {"text": "".join(pieces)}
    except jinja2.exceptions.SecurityError as error:
        return {"error": f"was stopped: it reaches for what it may not ({error})."}
    except jinja2.TemplateSyntaxError as error:
        return {"error": f"is not Jinja: line {error.lineno}: {error.message}"}
    except jinja2.TemplateError as error:  # what `raise_exception` says is meant for people
        return {"error": f"does not take these messages: {error}"}
    except RecursionError:
        return {"error": "was stopped: it calls itself without end."}
    except (MemoryError, OverflowError):
        raise
    except Exception as error:
        return {"error": f"failed: {type(error).__name__}: {error}"}


def environment():
    """Jinja as transformers sets it up for chat templates."""
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}…{% endgeneration %}`, which marks what a model is trained on: here its body."""

        tags = {"generation"}

        def parse(self, parser):
            next(parser.stream)
            return parser.parse_statements(["name:endgeneration"], drop_needle=True)

    def raise_exception(message):
        raise jinja2.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda format: datetime.datetime.now().strftime(format)
    return made


def _bound(seconds: int, memory: int) -> None:
    """Where the system can: there the time of the processor, and the memory, are held to these."""
    with contextlib.suppress(ImportError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        end = int(used.ru_utime + used.ru_stime) + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (end, end + 1))
        with contextlib.suppress(ValueError, OSError):  # macOS knows this limit and does not take it
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*(int(number) for number in sys.argv[1:]))))
