"""`ar-zoo perplexity` and `ar-zoo choose` on a tiny model of tokens."""

from __future__ import annotations

import json

import pytest

import ar_zoo
from ar_zoo import cli, uses
from ar_zoo.heads import Tokens
from tests.uses.models import randomised

TEXT = "the cat sat on the mat, and the other cat sat on the hat; é! " * 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """(model, its preset folder, a folder of texts)."""
    folder = tmp_path_factory.mktemp("texts")
    model = randomised("neural_lm.tiny", head=Tokens.train(TEXT, 275))
    ar_zoo.save(model, folder / "tokens")
    ar_zoo.save(ar_zoo.create("neural_lm.tiny"), folder / "bare")
    (folder / "cats_train.txt").write_text(TEXT)
    (folder / "cats_valid.txt").write_text("the hat")
    (folder / "latin.txt").write_bytes("é".encode("latin1"))
    (folder / "empty.txt").write_text("")
    return model, folder


@pytest.fixture
def run(model, monkeypatch, capsys):
    monkeypatch.chdir(model[1])

    def command(*arguments):
        status = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


def test_perplexity(run, model):
    status, output, _ = run("perplexity", "tokens", "cats_train.txt", "--window", 16, "--stride", 4, "--json")
    assert status == 0
    (row,) = json.loads(output)
    expected = uses.perplexity(model[0], TEXT, 16, 4)
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert (row["model"], row["text"], row["split"]) == ("tokens", "cats_train.txt", None)
    status, output, _ = run("perplexity", "tokens", "cats_train.txt", "cats_valid.txt", "--window", 16, "--stride", 4)
    assert status == 0
    head, first, second = output.splitlines()
    assert head.split() == ["text", "tokens", "bytes", "perplexity", "bits/token", "bits/char", "bits/byte"]
    figures = [row["perplexity"], row["bits_per_token"], row["bits_per_character"], row["bits_per_byte"]]
    assert first.split()[:3] == ["cats_train.txt", str(row["tokens"]), str(len(TEXT.encode()))]
    assert [float(number) for number in first.split()[3:]] == pytest.approx(figures, abs=1e-3)
    assert second.split()[2] == "7"


def test_perplexity_of_a_part(run):
    status, output, _ = run("perplexity", "tokens", "cats_train.txt", "--split", "valid", "--json")
    assert status == 0
    assert json.loads(output)[0]["characters"] == len("the hat")


def test_choose(run, model):
    arguments = [
        "choose",
        "tokens",
        "--prompt",
        "the",
        "--choice",
        " cat",
        "--choice",
        " other cat sat",
        "--choice",
        "!",
    ]
    found = uses.continuations(model[0], "the", [" cat", " other cat sat", "!"])
    ranked = {}
    for by, name in (("sum", "log_prob"), ("token", "per_token"), ("byte", "per_byte")):
        status, output, _ = run(*arguments, "--by", by, "--json")
        assert status == 0
        ranked[by] = [each["choice"] for each in json.loads(output)]
        assert ranked[by] == [each["choice"] for each in sorted(found, key=lambda each: -each[name])]
    assert len({tuple(order) for order in ranked.values()}) > 1
    status, output, _ = run(*arguments)
    assert status == 0
    assert [line.split("  ")[-1] for line in output.splitlines()[1:]] == [repr(choice) for choice in ranked["sum"]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["perplexity", "tokens", "cats_train.txt", "empty.txt"], "empty.txt is empty: it has no perplexity"),
        (["perplexity", "nowhere", "cats_train.txt", "--window", 0], "`window` must be an integer of at least 1"),
        (["choose", "nowhere", "--choice", "a", "--batch-size", 0], "`batch_size` must be an integer of at least 1"),
        (["perplexity", "bare", "cats_train.txt"], "`perplexity` needs a model of text; bare draws symbols"),
        (["choose", "bare", "--choice", "a"], "`choose` needs a model of text; bare draws symbols"),
        (["perplexity", "tokens", "latin.txt"], "latin.txt is not UTF-8: byte 0 is 0xe9"),
        (["perplexity", "tokens", "no.txt"], "there is no such file"),
        (["perplexity", "tokens", "cats_train.txt", "--window", 4, "--stride", 5], "`stride` must be at most `window`"),
        (["choose", "tokens", "--choice", ""], "`choices`: one of them is empty"),
    ],
)
def test_mistakes_are_one_line(run, arguments, says):
    status, output, errors = run(*arguments)
    assert (status, output) == (2, "")
    assert says in errors
    assert errors.count("\n") == 1


def test_bundle_starts_quietly(run, monkeypatch):
    """The engine's package imports TensorFlow, with all its notes."""
    started = []
    monkeypatch.setattr("ar_zoo.cli.convert.start_tensorflow", lambda: started.append("quietly"))
    assert run("bundle", "nowhere", "nowhere.litertlm")[0] == 2
    assert started == ["quietly"]
