"""How well a model predicts text: perplexity and bits per byte over long texts, and which continuation is likeliest."""

from __future__ import annotations

import math

import numpy as np

from ar_zoo.core import arguments
from ar_zoo.core.text import per_text, prompt_symbols
from ar_zoo.uses.nats import compiled_log_prob

_WINDOW = 1024  # where a model takes more, or any number: its logits grow with it
_ROUND = 32  # lengths are filled up to multiples of this, so that few shapes are compiled


def perplexity(
    model, text, window: int | None = None, stride: int | None = None, batch_size: int = 1, progress=False
) -> dict:
    """What a text of any length costs, token by token, each given what comes before it.

    A window moves over the text by `stride`. Each token is scored once, in the first window that reaches it: there it has at
    least `window - stride` tokens before it, or the whole beginning of the text. A smaller stride gives more context, takes
    more time, and so comes nearer to what a model says that reads all.

    Args:
        model: of symbols in events [T] of any length.
        text: a string, or symbols [T].
        window: tokens that the model reads at once; by default as many as it takes, at most 1,024.
        stride: how far the window moves; by default half of it.
        batch_size: windows at once.
        progress: show a bar.

    Returns:
        `tokens`, `nats` (of all), `nats_per_token`, `bits_per_token`, `perplexity` (e to the nats per token), `window`,
        `stride`; of models of text also `characters`, `bytes`, `bits_per_character`, and `bits_per_byte`, by which models
        with different tokenizers compare.

    Raises:
        ValueError: another kind of model, an empty text, a window longer than the model takes, or a stride longer than it.

    Example: `perplexity(ar_zoo.load("gpt.kjv"), Path("psalms.txt").read_text(), stride=64)["bits_per_byte"]`
    """
    _check_model(model)
    symbols = _symbols(model, text, "text")
    log_probs, window, stride = _sliding(model, symbols, window, stride, batch_size, progress)
    nats, tokens = -float(log_probs.sum()), len(symbols)
    found = {"tokens": tokens, "nats": nats, "nats_per_token": nats / tokens}
    found |= {"bits_per_token": nats / tokens / math.log(2), "perplexity": float(np.exp(nats / tokens))}
    if model.head.reads_text:
        found |= per_text(nats, text if isinstance(text, str) else model.head.decode(symbols))
    return found | {"window": window, "stride": stride}


def token_log_probs(
    model, text, window: int | None = None, stride: int | None = None, batch_size: int = 1
) -> np.ndarray:
    """Of each token of a text its log-probability in nats, float64 [tokens]. Arguments as of `perplexity`.

    Example: `token_log_probs(model, "In the beginning").sum()`
    """
    _check_model(model)
    return _sliding(model, _symbols(model, text, "text"), window, stride, batch_size, False)[0]


def continuations(model, prompt, choices, batch_size: int = 8) -> list[dict]:
    """How likely each continuation of a prompt is: how questions with several answers are put to a model.

    Prompt and choice are cut into tokens together, as they would stand in a text. Where that cuts the prompt's end
    differently, what is common to all is the prompt.

    Args:
        model: of symbols in events [T] of any length.
        prompt: a string, or symbols [T]; may be empty.
        choices: strings, or symbols, at least one. Where words are parted by spaces, a choice begins with one.
        batch_size: choices at once.

    Returns:
        for each choice, in their order: `choice`, `tokens`, `log_prob` (nats, of the whole), `per_token`, and of models of
        text `per_byte` (both divided by the choice's length: otherwise short choices are favoured).

    Raises:
        ValueError: another kind of model, no choice, an empty one, or a prompt that is too long for the model.

    Example:
        >>> found = continuations(model, "The capital of France is", [" Paris", " Rome"])
        >>> max(found, key=lambda each: each["log_prob"])["choice"]
        ' Paris'
    """
    _check_model(model)
    arguments.whole(batch_size=batch_size)
    if isinstance(choices, (str, bytes)) or not hasattr(choices, "__len__") or not len(choices):
        raise ValueError(f"`choices` must be a sequence of at least one continuation; got {choices!r}.")
    rows, start = _rows(model, prompt, choices)
    longest = max(map(len, rows))
    if model.max_sites is not None and longest > model.max_sites:
        raise ValueError(
            f"`prompt` and the longest choice have {longest} tokens; the model takes at most {model.max_sites}. Shorten the prompt."
        )
    length = _rounded(longest, model)
    x = np.stack([np.pad(row, (0, length - len(row))) for row in rows])
    log_probs = _in_batches(model, x, batch_size)
    found = []
    for choice, row, each in zip(choices, rows, log_probs, strict=True):
        total, tokens = float(each[start : len(row)].sum()), len(row) - start
        made = {"choice": choice, "tokens": tokens, "log_prob": total, "per_token": total / tokens}
        if model.head.reads_text:
            text = choice if isinstance(choice, str) else model.head.decode(choice)
            made["per_byte"] = total / len(text.encode("utf-8"))
        found.append(made)
    return found


def _rows(model, prompt, choices) -> tuple[list[np.ndarray], int]:
    """Prompt and choice, as symbols, for each choice; and how many of the first are the prompt."""
    texts = isinstance(prompt, str)
    if any(isinstance(choice, str) != texts for choice in choices):
        raise ValueError("`prompt` and `choices` must all be strings, or all be symbols.")
    if texts and not all(choices):
        raise ValueError("`choices`: one of them is empty, and has no probability.")
    known = prompt_symbols(model, prompt) if texts else _symbols(model, prompt, "prompt", empty=True)
    if texts:
        rows = [prompt_symbols(model, prompt + choice) for choice in choices]
        # A tokenizer that drops spaces can leave a choice without tokens of its own: it has the last one then.
        return rows, max(0, min(min(_shared(known, row), len(row) - 1) for row in rows))
    rows = [np.concatenate([known, _symbols(model, choice, "choices")]) for choice in choices]
    return rows, len(known)


def _shared(a, b) -> int:
    """How many of the first symbols are the same."""
    size = min(len(a), len(b))
    return int(np.argmin(np.append(a[:size] == b[:size], False)))


def _check_model(model):
    from ar_zoo.core import checks

    checks.has_steps(model)
    if model.num_symbols is None or model.num_sites is not None or model.head.site_shape:
        raise ValueError(
            f"`model` must be of symbols in events [T] of any length; its events are {list(model.event_shape)}."
        )


def _symbols(model, text, name, empty=False) -> np.ndarray:
    if isinstance(text, str) and not model.head.reads_text:
        raise ValueError(f"`{name}` must be symbols, as the model's head reads no text; got a string.")
    symbols = model.head.encode(text) if isinstance(text, str) else arguments.array(text, name)
    if symbols.ndim != 1 or not (len(symbols) or empty):
        raise ValueError(
            f"`{name}` must be a text or symbols [T], of at least one token; got shape {list(symbols.shape)}."
        )
    return model.head._integers(symbols, name) if len(symbols) else symbols.astype(np.int32)


def _sliding(model, symbols, window, stride, batch_size, progress):
    """Log-probabilities [T], and window and stride as they are."""
    arguments.whole_or_none(window=window, stride=stride)
    arguments.whole(batch_size=batch_size)
    limit = model.max_sites
    if window is not None and limit is not None and window > limit:
        raise ValueError(f"`window` must be at most {limit}, the model's longest; got {window}.")
    window = window or min(limit or _WINDOW, _WINDOW)
    stride = stride or max(1, window // 2)
    if stride > window:
        raise ValueError(f"`stride` must be at most `window`, {window}, so that no token is left out; got {stride}.")
    count = len(symbols)
    if count <= window:
        x = np.pad(symbols, (0, _rounded(count, model) - count))[None]
        return _in_batches(model, x, 1)[0, :count], window, stride
    ends = np.minimum(window + stride * np.arange(math.ceil((count - window) / stride) + 1), count)
    x = np.stack([symbols[end - window : end] for end in ends])
    each, found = _in_batches(model, x, batch_size, progress), np.zeros(count)
    for row, end, before in zip(each, ends, [0, *ends[:-1]], strict=True):
        found[before:end] = row[window - (end - before) :]
    return found, window, stride


def _rounded(length, model) -> int:
    """A length of which there are few; what is filled in comes after all that counts, and changes nothing before it."""
    length = math.ceil(length / _ROUND) * _ROUND
    return length if model.max_sites is None else min(length, model.max_sites)


def _in_batches(model, x, batch_size, progress=False) -> np.ndarray:
    """float64 [N, T]; the last batch is filled up, so that one shape is compiled."""
    size, rows = min(batch_size, len(x)), np.arange(len(x))
    starts, log_prob, found = range(0, len(x), size), compiled_log_prob(model, "site"), []
    if progress:
        from tqdm import tqdm

        starts = tqdm(starts, desc="scoring", unit="batch")
    for start in starts:
        batch = x[np.minimum(np.arange(start, start + size), rows[-1])].astype(np.int32)
        found.append(np.asarray(log_prob({"x": batch}), np.float64))
    return np.concatenate(found)[: len(x)]
