"""`ar-zoo generate` on a tiny preset: the same text in each way, what is said of it, and mistakes."""

# Fixtures of the other commands' tests serve here as well.
# ruff: noqa: F401, F811
from __future__ import annotations

import json

import pytest

import ar_zoo
from tests.export.families import randomised
from tests.test_cli import presets, run

LETTERS = "\n abcdé"


@pytest.fixture(scope="module")
def text(presets):
    """A preset of text, where the commands run."""
    head = ar_zoo.heads.Categorical(len(LETTERS), alphabet=LETTERS)
    model = randomised(ar_zoo.create("gpt.tiny", head=head, max_sites=32))
    ar_zoo.save(model, presets / "text")
    return model


@pytest.fixture
def generate(run, text):
    return lambda *words: run("generate", "text", "--tokens", "20", *words)


def test_the_same_text_in_every_way(generate, text):
    expected = text.head.decode(text.sample(1, seed=3, prefix=text.encode("ab"), num_sites=22)[0, 2:])
    words = ("--prompt", "ab", "--seed", "3")
    for way in (("--stream",), ("--draft", "lookup")):
        status, output, error = generate(*words, *way)
        assert (status, output) == (0, expected + "\n"), way
        assert error.startswith("20 tokens, ")
        assert ("the first after" in error) == (way == ("--stream",))
        assert ("of the guesses right" in error) == (way[:1] == ("--draft",))


@pytest.mark.slow
def test_json_stops_and_processors(generate, text):
    greedy = text.head.decode(text.sample(1, prefix=text.encode("ab"), num_sites=22, temperature=0)[0, 2:])
    for words in (("--top-p", "1e-6", "--temperature", "2"),):
        found = json.loads(generate("--prompt", "ab", "--count", "2", "--json", *words)[1])
        assert found["texts"] == [greedy, greedy], words
        assert found["tokens"] == 40
    found = json.loads(generate("--prompt", "ab", "--json", "--temperature", "0", "--stop", greedy[4:6])[1])
    assert found["texts"] == [greedy[: greedy.index(greedy[4:6]) + 2]]
    words = ("--prompt", "ab", "--json", "--top-k", "4", "--repetition-penalty", "1.2", "--temperature", "3")
    whole = json.loads(generate(*words)[1])["texts"][0]
    for draft in ((), ("--draft", "lookup")):
        found = json.loads(generate(*words, "--stop", whole[5:7], *draft)[1])
        assert found["texts"] == [whole[: whole.index(whole[5:7]) + 2]], draft


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--prompt", "a", "--chat", "b"), "`--chat` stands in the place of `--prompt`"),
        (("--system", "a"), "`--system` goes with `--chat`"),
        (("--stream", "--count", "2"), "`--stream` prints one text; `--count` is 2"),
        (("--draft", "lookup", "--stream"), "`--stream` does not go with `--draft`"),
        (("--chat", "b"), "`head` has no chat template"),
        (("--chat", "latin.txt"), "`head` has no chat template"),  # a message is no file's name
        (("--prompt", "z"), "the alphabet of 7 does not: 'z'"),
        (("--prompt", "a" * 40), "32"),
        (("--prompt", "nowhere.txt"), "nowhere.txt is no file here"),
        (("--prompt", "latin.txt"), "latin.txt is not UTF-8: byte 3 is 0xe9"),
        (("--top-p", "2"), "`--top-p`: `p` must lie in [0, 1]; got 2.0"),
        (("--no-repeat-ngram", "0"), "`--no-repeat-ngram`: `n` must"),
        (("--temperature", "nan"), "`temperature` must be above 0, or exactly 0"),
        (("--tokens", "0"), "`tokens` must be an integer of at least 1; got 0"),
        (("--count", "0"), "`count` must be an integer of at least 1; got 0"),
        (("--lookahead", "0"), "`lookahead` must"),
        (("--stop", ""), "`stop` must hold tokens, or sequences of one or more tokens; '' is none"),
        (
            ("--max-sites", "16"),
            "`--max-sites` 16 does not fit text, which has learnt positions/table for its own length",
        ),
        (("--dtype", "int8"), "`dtype` must be a policy of floats, such as 'float32'"),
        (("--draft", "nothing"), "'nothing' is not known"),
    ],
)
def test_mistakes_are_one_line(generate, tmp_path, words, says):
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    for draft in ((), ("--draft", "lookup")) if words[0] == "--stop" else ((),):
        status, output, error = generate(*words, *draft)
        assert (status, output) == (2, "")
    assert says in error
    assert error.count("\n") == 1


def test_memory_that_is_not_enough_is_one_line(generate, monkeypatch):
    def raises(options):
        raise MemoryError("{{node}} 64 GB")

    monkeypatch.setattr("ar_zoo.cli.generate._generate", raises)
    status, output, error = generate()
    assert (status, output, error.count("\n")) == (2, "", 1)
    assert error.startswith(
        "error: memory is not enough for what was asked: take less at once, or a smaller model. 64 GB"
    )
