"""Chats as prompts, by the Jinja template that came with a model.

A template is a program by a stranger. It runs in Jinja's sandbox, which gives it the messages and no way to Python's objects
or files, and in a process of its own, whose time, memory and output are bounded: a loop without end is an error.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SECONDS, MEMORY, CHARACTERS = 2, 1 << 30, 1_000_000
PATIENCE = 30  # seconds in all, where the system cannot count those of the processor, or is busy
_UNSAID = {"tools": None, "documents": None}  # as transformers gives them
# The folder of the file is not on the path (-P): nothing there takes the place of a module.
_COMMAND = ["-P", str(Path(__file__).with_name("chat_process.py"))]


def apply_chat(head, messages, add_generation_prompt: bool = True, **variables) -> str:
    """The prompt that a model expects for a conversation, equal to that of `apply_chat_template` of transformers.

    Args:
        head: one with a `chat_template`.
        messages: dicts of `"role"` (`"system"`, `"user"`, `"assistant"`, …) and `"content"`, the oldest first.
        add_generation_prompt: end with what an answer begins with.
        **variables: what else the template reads, in JSON's types: `tools`, `documents`, `enable_thinking`, …

    Raises:
        ValueError: no template, messages that are none, or a template that fails, says that it does not take these
            messages, reaches for what it may not, or uses more than 2 seconds of the processor, 1 GB of memory or a
            million characters.
        ImportError: `jinja2` is not installed.

    Example:
        >>> prompt = apply_chat(model.head, [{"role": "user", "content": "What is the capital of France?"}])
    """
    template = getattr(head, "chat_template", None)
    if template is None:
        raise ValueError(
            "`head` has no chat template: write the prompt as a text, or give `chat_template` to `Tokens`."
        )
    _check(messages)
    given = {"messages": list(messages), "add_generation_prompt": bool(add_generation_prompt)}
    try:
        asked = json.dumps(
            {"template": template, "variables": _UNSAID | (head.special_tokens or {}) | variables | given}
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"`messages` and what else a template reads must be in JSON's types: {error}.") from None
    return _answer(asked)


def _check(messages):
    fits = isinstance(messages, (list, tuple)) and messages
    if not fits or not all(isinstance(message, dict) and "role" in message for message in messages):
        raise ValueError(
            "`messages` must be a list of dicts such as {'role': 'user', 'content': 'Hello'}, at least one; got "
            f"{messages!r:.100}."
        )


def _answer(asked: str) -> str:
    """What the process that renders says."""
    try:
        ended = subprocess.run(
            [sys.executable, *_COMMAND, str(SECONDS), str(MEMORY), str(CHARACTERS)],
            input=asked.encode(),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        answer = json.loads(ended.stdout) if ended.stdout else None
    except subprocess.TimeoutExpired:
        raise ValueError(f"The chat template was stopped: it is not done after {PATIENCE} seconds.") from None
    except ValueError:  # killed while it answered
        answer = None
    if answer is None:
        raise ValueError(f"The chat template was stopped: it runs for more than {SECONDS} seconds of the processor.")
    if answer.get("missing"):
        raise ImportError("Chat templates need the package jinja2: `pip install 'ar_zoo[text]'`.")
    if "error" in answer:
        raise ValueError(f"The chat template {answer['error']}")
    return answer["text"]
