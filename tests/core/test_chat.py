"""Chats as prompts: as transformers renders them, and templates that would do harm."""

from __future__ import annotations

import json
import types
from pathlib import Path

import pytest

from ar_zoo.core import chat, chat_process
from ar_zoo.core.chat import apply_chat

REFERENCE = json.loads((Path(__file__).parents[1] / "references" / "chats.json").read_text())
HELLO = [{"role": "user", "content": "Hällo"}]


def head(template, special_tokens=None):
    return types.SimpleNamespace(chat_template=template, special_tokens=special_tokens)


@pytest.fixture
def in_this_process(monkeypatch):
    """Without the tenth of a second that a process takes, and without its bounds."""

    def answer(asked):
        found = chat_process.render(chat_process.environment(), *json.loads(asked).values(), 10_000)
        if "error" in found:
            raise ValueError(found["error"])
        return found["text"]

    monkeypatch.setattr(chat, "_answer", answer)


@pytest.mark.parametrize("name", REFERENCE["templates"])
def test_as_transformers(name, in_this_process):
    cases = [case for case in REFERENCE["cases"] if case["template"] == name]
    assert len(cases) == 4
    for case in cases:
        of, given = head(REFERENCE["templates"][name], REFERENCE["special_tokens"]), dict(case["chat"])
        messages = given.pop("messages")
        if case["text"] is None:
            with pytest.raises(ValueError, match="does not take these messages"):
                apply_chat(of, messages, **given)
        else:
            assert apply_chat(of, messages, **given) == case["text"]


def test_tools_that_are_not_given_are_none(in_this_process):
    template = "{% if tools is not none %}T{% endif %}{% if documents is defined %}D{% endif %}{{ cls_token }}"
    assert apply_chat(head(template, {"cls_token": "<c>"}), HELLO) == "D<c>"
    assert apply_chat(head(template), HELLO, tools=[]) == "TD"


def test_in_a_process_of_its_own():
    (case,) = (
        case
        for case in REFERENCE["cases"]
        if case["template"] == "smollm2"
        and case["text"]
        and len(case["chat"]) == 1
        and len(case["chat"]["messages"]) == 1
    )
    assert apply_chat(head(REFERENCE["templates"]["smollm2"]), **case["chat"]) == case["text"]
    assert apply_chat(head("{{ strftime_now('%Y-%m') }} {{ odd }}"), HELLO, odd="é")[4:] in {
        f"-{m:02} é" for m in range(1, 13)
    }


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ ''.__class__.__mro__ }}", "reaches for what it may not .*'__class__' of 'str'"),
        ("{{ cycler.__init__.__globals__.os.system('id') }}", "reaches for what it may not"),
        ("{{ messages.append(1) }}", "reaches for what it may not"),
        ("{{ messages[0].update(role='system') }}", "reaches for what it may not"),
        ("{{ open('/etc/passwd').read() }}", "'open' is undefined"),
        ("{% include '/etc/passwd' %}", "failed: TypeError: no loader"),
        ("{% import 'os' as os %}", "failed: TypeError: no loader"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself without end"),
        ("{% for i in range(100000) %}0123456789{% endfor %}", "writes more than 10,000 characters"),
        ("a\n{% if %}", "is not Jinja: line 2"),
        ("{{ 1 / 0 }}", "failed: ZeroDivisionError"),
    ],
)
def test_what_a_template_may_not(template, says, in_this_process):
    with pytest.raises(ValueError, match=says):
        apply_chat(head(template), HELLO)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (
            "{% for i in range(99999) %}{% for k in range(99999) %}{% endfor %}{% endfor %}",
            "runs for more than 1 seconds",
        ),
        ("{{ ('a' * 1500000000) | length }}", "uses more than 1,073,741,824 bytes of memory"),
        ("{{ 'a' * 2000000 }}", "writes more than 1,000,000 characters"),
    ],
)
def test_what_a_template_may_use(template, says, monkeypatch):
    monkeypatch.setattr(chat, "SECONDS", 1)
    with pytest.raises(ValueError, match=f"The chat template .*{says}"):
        apply_chat(head(template), HELLO)


@pytest.mark.parametrize("messages", [[], "Hello", [{"content": "Hello"}], ["Hello"], {"role": "user"}])
def test_what_is_no_conversation(messages):
    with pytest.raises(ValueError, match="`messages` must be a list of dicts such as"):
        apply_chat(head("x"), messages)


def test_what_cannot_be_sent_and_heads_without_a_template():
    with pytest.raises(ValueError, match="must be in JSON's types"):
        apply_chat(head("x"), HELLO, tools=[object()])
    with pytest.raises(ValueError, match="`head` has no chat template"):
        apply_chat(head(None), HELLO)


def test_where_time_is_not_bounded(monkeypatch):
    """Nor memory, on some systems: then the wait is."""
    monkeypatch.setattr(chat, "PATIENCE", 0.5)
    monkeypatch.setattr(chat, "_COMMAND", ["-c", "import time; time.sleep(60)"])
    with pytest.raises(ValueError, match=r"was stopped: it is not done after 0\.5 seconds"):
        apply_chat(head("x"), HELLO)


def test_without_jinja(monkeypatch):
    monkeypatch.setattr(chat, "_COMMAND", ["-c", "print('{\"missing\": true}')"])
    with pytest.raises(ImportError, match=r"pip install 'ar_zoo\[text\]'"):
        apply_chat(head("x"), HELLO)
