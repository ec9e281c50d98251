"""Speculative decoding: whatever is guessed, the symbols are those of drawing site by site."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.core import generate
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.noise import uniform_noise
from ar_zoo.core.registry import families
from ar_zoo.heads import Categorical, DiscretizedLogisticMixture
from ar_zoo.heads.base import draw_index
from ar_zoo.sampling import generate as generate_tokens
from ar_zoo.sampling import processors
from ar_zoo.sampling.drafts import Jacobi, ModelDraft, OwnHeads, PromptLookup
from ar_zoo.sampling.speculative import Report, run, speculate
from ar_zoo.sampling.verify import Round, gathered, overwrites, seen
from ar_zoo.testing import laws

SITES = 7
# One family for each kind of state: keys and values, all or those of a window; queues; states that are replaced whole.
FAMILIES = ("gpt", "mistral", "wavenet", "recurrent_lm")


@functools.cache
def tiny(family, seed=0, **overrides):
    return laws.make(families()[family], seed, **overrides)


@pytest.fixture
def eager(monkeypatch):
    """Without compilation, which takes longer than all of these draws."""
    monkeypatch.setattr(generate, "compiled", lambda model, key, function: functools.partial(function, model))


@dataclasses.dataclass(frozen=True, eq=False)
class Scripted(PromptLookup):
    """Guesses the truth [B, S], but for the sites that are marked as `wrong` [B, S]."""

    truth: np.ndarray = None
    wrong: np.ndarray = None

    def guess(self, state, now):
        guesses = np.where(self.wrong, (self.truth + 1) % 5, self.truth)
        return gathered(tf.constant(guesses), now.index[:, None] + tf.range(now.lookahead)), state


def drafts(family):
    return {
        "prompt_lookup": PromptLookup(2),
        "jacobi": Jacobi(),
        "another": tiny(family, seed=1),
        "itself": tiny(family),
    }


PREFIXES = ([1, 3, 1], [], [2, 2, 4, 0, 1])  # of different lengths


def ragged():
    mask = np.arange(SITES) < np.array([[len(row)] for row in PREFIXES])
    given = np.zeros((3, SITES), np.int32)
    given[mask] = list(itertools.chain(*PREFIXES))
    return {"given": given, "mask": mask}


@functools.cache
def plain(family, batch, temperature):
    given = ragged() if batch == 3 else {}
    return tiny(family).sample(batch, 3, temperature=temperature, num_sites=SITES, **given)


# "prompt_lookup" has no state of its own, as "jacobi" has, and the two of "another" are those of its family.
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("family", "draft"),
    [*itertools.product(FAMILIES, ("jacobi", "another")), ("gpt", "prompt_lookup"), ("gpt", "itself")],
)
def test_the_same_symbols(family, draft):
    """Drawn and likeliest, rows of different lengths and one row."""
    model, draft = tiny(family), drafts(family)[draft]
    drawn, report = speculate(model, 3, 3, draft, 3, prefix=PREFIXES, num_sites=SITES)
    np.testing.assert_array_equal(drawn, plain(family, 3, 1.0))
    assert report.drawn == 3 * SITES - 8
    assert report.calls <= report.drawn
    drawn, report = speculate(model, 1, 3, draft, 2, temperature=0, num_sites=SITES)
    np.testing.assert_array_equal(drawn, plain(family, 1, 0.0))
    assert report.rounds == report.calls <= report.drawn == SITES


class CheckedHeads(OwnHeads):
    """Guesses, and holds that against `call` on all that is written, one guess after the other."""

    def guess(self, state, now):
        guesses, state = super().guess(state, now)
        last, going = tf.maximum(now.index - 1, 0), np.asarray(now.index < now.num_sites)
        features = tf.gather(self.model.features(now.written), last, batch_dims=1)
        if not np.any(state["features"]):  # of the first round
            return guesses, state
        np.testing.assert_allclose(state["features"][going], features[going], rtol=1e-9)
        written = now.written
        for k in range(now.lookahead):
            params = tf.gather(self.model(written, drafts=True)[:, :, k + 1], last, batch_dims=1)
            drawn = self.model.head.sample(params, now.noise[:, k], now.temperature)
            drawn = tf.where(now.known[:, k], now.values[:, k], drawn)
            np.testing.assert_array_equal(guesses[:, k][going], drawn[going])
            here = tf.range(written.shape[1])[None] == (now.index + k)[:, None]
            written = tf.where(here, drawn[:, None], written)
        return guesses, state


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("kind", [pytest.param("medusa", marks=pytest.mark.slow), "chained"])
def test_heads_of_its_own(kind):
    """They change nothing else of the model, and guess what `call` says that they do."""
    model = tiny("gpt", draft_heads=3, draft_kind=kind)
    for batch, given in ((3, ragged()), (1, {})):
        # Random weights are sure of themselves: hot draws tell one wrong feature from the next.
        arguments = {"seed": 3, "num_sites": SITES, "temperature": 12.0, **given}
        drawn, report = speculate(model, batch, draft=CheckedHeads(model), lookahead=3, **arguments)
        np.testing.assert_array_equal(drawn, model.sample(batch, **arguments))
        assert report == speculate(model, batch, lookahead=3, **arguments)[1]
    x = model.sample(2, num_sites=SITES)
    np.testing.assert_allclose(model(x, drafts=True)[:, :, 0], model(x), rtol=1e-9, atol=1e-12)


BENDING = [
    processors.repetition_penalty(1.5),
    processors.frequency_penalty(0.4, new_only=True),
    processors.no_repeat_ngram(2),
    processors.force({1: 3}),
    processors.top_k(3),
]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("draft", ["jacobi", "another"])
def test_with_processors(draft):
    """What `generate` draws: each guess is bent by what was written before it, of which other guesses are a part."""
    model, draft = tiny("gpt"), drafts("gpt")[draft]
    prompts, num_sites = [[1, 3, 1], [], [2, 2, 4]], SITES
    for temperature in (0.0, 4.0):
        arguments = {"seed": 3, "temperature": temperature, "processors": BENDING}
        drawn, _ = speculate(model, 3, draft=draft, lookahead=3, prefix=prompts, num_sites=num_sites, **arguments)
        expected = generate_tokens(model, prompts, num_sites, **arguments).tokens
        for row, prompt, tokens in zip(drawn, prompts, expected, strict=True):
            np.testing.assert_array_equal(row[len(prompt) :], tokens[: num_sites - len(prompt)])
    with pytest.raises(ValueError, match=r"`processors` left nothing to draw in row 0"):
        speculate(model, 2, draft=draft, num_sites=3, processors=[lambda logits, tokens, index: logits * 0 - np.inf])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_perfect_draft(family):
    """Every guess is right, in rows of any length: as many sites a call as there are guesses, and one."""
    draft = tiny(family)
    report = speculate(tiny(family), 2, num_sites=8, draft=draft, lookahead=3)[1]
    assert report == Report(rounds=2, drawn=16, calls=4, guessed=12, accepted=12)
    assert (report.acceptance, report.sites_per_call) == (1, 4)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_draft_that_is_always_wrong(family):
    model = tiny(family)
    truth = model.sample(2, seed=1, num_sites=SITES)
    draft = Scripted(truth=truth, wrong=np.ones_like(truth, bool))
    drawn, report = speculate(model, 2, 1, draft, 3, num_sites=SITES)
    np.testing.assert_array_equal(drawn, truth)
    assert (report.acceptance, report.sites_per_call, report.rounds) == (0, 1, SITES)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_wrong_leaves_no_trace(family, batch):
    """Rows that accept different numbers of guesses: the report counts them, and the cache goes on as a fresh one does."""
    model, lookahead = tiny(family), 3
    wrong = np.random.default_rng(0).random((batch, SITES)) < 0.5
    truth = model.sample(batch, seed=1, num_sites=SITES)
    noise = uniform_noise(1, range(batch), 0, SITES + lookahead, (1,))
    nothing, context = np.zeros((batch, SITES), np.int32), model.full_context(None, batch)
    x, *counts, cache, _ = run(
        model, Scripted(truth=truth, wrong=wrong), lookahead, noise, nothing, nothing > 0, context, 1.0
    )
    np.testing.assert_array_equal(x, truth)
    expected = np.sum([paced(row, lookahead) for row in wrong], axis=0)
    np.testing.assert_array_equal([np.sum(count) for count in counts[1:]], expected)
    assert counts[0] == max(paced(row, lookahead)[1] for row in wrong)
    fresh = seen(model, tf.constant(truth), SITES, 1, context)
    last, end = tf.constant(truth[:, -1:]), tf.constant(SITES)
    params, wanted = (np.asarray(model.step(last, held, end, context)[0]) for held in (cache, fresh))
    np.testing.assert_allclose(params, wanted, atol=1e-10 * np.abs(wanted).max())


def test_whether_what_was_wrong_only_has_to_be_overwritten():
    """Not in a ring, which holds five entries here: all of them, or, with room for a guess, one less than all."""
    found = [overwrites(tiny(*case[:1]), *case[1:]) for case in (("gpt", 5, 1), ("mistral", 4, 1), ("mistral", 5, 1))]
    assert found == [True, True, False]


def paced(wrong, lookahead):
    """(drawn, calls, guessed, accepted) of one row, whose guesses are wrong at these sites."""
    index = calls = guessed = accepted = 0
    while index < len(wrong):
        guesses = list(wrong[index : index + lookahead])
        right = guesses.index(True) if True in guesses else len(guesses)
        calls, guessed, accepted, index = calls + 1, guessed + len(guesses), accepted + right, index + right + 1
    return len(wrong), calls, guessed, accepted


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_given_sites_anywhere():
    model = tiny("gpt")
    mask = np.random.default_rng(0).random((3, SITES)) < 0.4
    arguments = {"seed": 2, "num_sites": SITES, "given": np.full((3, SITES), 3), "mask": mask}
    expected = model.sample(3, **arguments)
    for draft in (Jacobi(), tiny("gpt", seed=1)):
        drawn, report = speculate(model, 3, draft=draft, lookahead=3, **arguments)
        np.testing.assert_array_equal(drawn, expected)
        assert report.drawn == (~mask).sum()
    full, report = speculate(model, 3, **arguments | {"mask": np.ones_like(mask)})
    assert (full == 3).all()
    assert report == Report()


@pytest.mark.usefixtures("eager")
def test_batches_and_contexts():
    """Copies that fill up the last batch are not counted."""
    model = tiny("wavenet")
    arguments = {"seed": 2, "num_sites": 4, "context": np.array([0, 1, 1])}
    drawn, report = speculate(model, np.int64(3), draft=model, lookahead=np.int64(3), batch_size=2, **arguments)
    np.testing.assert_array_equal(drawn, model.sample(3, **arguments))
    assert report == Report(rounds=2, drawn=12, calls=3, guessed=9, accepted=9)


@pytest.mark.parametrize(
    ("family", "batch", "draft"),
    [
        ("gpt", 3, "jacobi"),
        *(pytest.param("gpt", n, "another", marks=pytest.mark.slow) for n in (1, 3)),
        pytest.param("mistral", 3, "another", marks=pytest.mark.slow),
    ],
)
def test_compiled(family, batch, draft):
    """With XLA, to the model's last site: guesses past it do no harm."""
    model, draft = tiny(family), drafts(family)[draft]
    for temperature in (0.0, 1.0):
        arguments = {"seed": 3, "temperature": temperature, "num_sites": 12}
        drawn, _ = speculate(model, batch, draft=draft, lookahead=3, **arguments)
        np.testing.assert_array_equal(drawn, model.sample(batch, **arguments))


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("draft", [PromptLookup(), Jacobi()], ids=lambda draft: type(draft).__name__)
def test_images(draft, batch):
    """A pixel of one symbol, and one of three at once."""
    whole = {"image_shape": (3, 4, 3), "head": DiscretizedLogisticMixture(2, 5, 3)}
    for model in (tiny("image_gpt"), tiny("pixel_snail", **whole)):
        drawn, report = speculate(model, batch, 3, draft, 3)
        np.testing.assert_array_equal(drawn, model.sample(batch, seed=3))
        assert report.drawn == 12 * batch


class Exact(Categorical):
    """Draws in float64: a fine noise finds the edges between symbols where they are."""

    def sample(self, params, noise, temperature=1.0):
        return draw_index(params, noise[..., 0])


class Table(AutoregressiveModel):
    """Probabilities of each symbol after each prefix, in a table; cached by the default step."""

    def __init__(self, seed, sites=3, symbols=3):
        super().__init__(Exact(symbols), (sites,), dtype="float64")
        logits = np.random.default_rng(seed).normal(size=(sites, symbols ** (sites - 1), symbols))
        self.table = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        self.build()

    def call(self, x, context=None, training=False):
        sites, places = self.num_sites, [x[:, 0] * 0]
        for i in range(sites - 1):
            places.append(places[-1] * self.num_symbols + x[:, i])
        return tf.stack([tf.gather(tf.constant(self.table[i]), places[i]) for i in range(sites)], axis=1)

    def law(self):
        """p(x) of all x, in the order of `itertools.product`."""
        every = np.array(list(itertools.product(range(self.num_symbols), repeat=self.num_sites)), np.int32)
        return every, np.exp(np.take_along_axis(np.asarray(self(every)), every[..., None], axis=-1)).prod(axis=(1, 2))


def cells(table):
    """Noise [N, S, 1] for each cell that the edges between symbols, after whatever prefix, cut the cube into, and its volume."""
    sides = []
    for i, rows in enumerate(np.exp(table.table)):
        edges = np.cumsum(rows[: table.num_symbols**i], axis=-1)[:, :-1].ravel()
        edges = np.unique(np.concatenate([[0.0], edges, [1.0]]))
        sides.append([((low + high) / 2, high - low) for low, high in itertools.pairwise(edges)])
    every = np.array(list(itertools.product(*sides)))
    return every[..., :1], every[..., 1].prod(axis=1)


@pytest.mark.parametrize("draft", [ModelDraft(Table(1)), PromptLookup(2), Jacobi()], ids=lambda d: type(d).__name__)
def test_the_law_of_what_is_drawn(draft):
    """By enumeration, in float64: all that uniform noise can do."""
    model, lookahead = Table(0), 2
    noise, volume = cells(model)
    noise = np.pad(noise, ((0, 0), (0, lookahead), (0, 0)), constant_values=0.5)
    nothing = np.zeros((len(noise), model.num_sites), np.int32)
    x, *_, guessed, accepted, _, _ = run(model, draft, lookahead, noise, nothing, nothing > 0, {}, 1.0)
    every, wanted = model.law()
    found = np.bincount(np.asarray(x) @ [9, 3, 1], volume, len(every))
    assert 0.5 * np.abs(found - wanted).sum() < 1e-9
    assert 0 < np.sum(accepted) < np.sum(guessed)


def test_prompt_lookup():
    """Against a naive search."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        ngram, lookahead, end = generator.integers(1, 5), generator.integers(1, 6), generator.integers(1, 12)
        written = generator.integers(0, 3, 12)
        now = round_of(written, end, lookahead)
        guesses, _ = PromptLookup(int(ngram)).guess({}, now)
        np.testing.assert_array_equal(guesses[0], looked_up(list(written[:end]), ngram, lookahead))


def looked_up(text, ngram, lookahead):
    def agreeing(place):
        count = 0
        while count < min(ngram, place) and text[place - 1 - count] == text[-1 - count]:
            count += 1
        return count

    place = max(range(len(text)), key=lambda place: (agreeing(place), place))
    continuation = text[place:]
    return [continuation[k % len(continuation)] for k in range(lookahead)]


def round_of(written, end, lookahead):
    nothing = tf.zeros((1, lookahead + 1), tf.int32)
    return Round(
        tf.constant([end], tf.int32),
        tf.constant(end),
        tf.constant(written[None], tf.int32),
        None,
        None,
        nothing > 0,
        nothing,
        {},
        tf.constant(1.0),
    )


def test_jacobi_moves_its_draws_to_their_sites():
    drawn = tf.constant([[5, 6, 7, 8], [1, 2, 3, 4], [1, 2, 3, 4]])
    state = Jacobi().learn({}, round_of(np.arange(9), 2, 3), drawn, tf.constant([1, 3, 4]))
    np.testing.assert_array_equal(Jacobi().guess(state, None)[0], [[6, 7, 8], [4, 4, 4], [4, 4, 4]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lookahead": 0}, r"`lookahead` must be an integer of at least 1; got 0"),
        ({"draft": "nothing"}, r"`draft` must be another model, or one of ar_zoo.sampling.drafts; got 'nothing'"),
        ({"draft": PromptLookup}, r"`draft` must be another model, or one of ar_zoo.sampling.drafts; got <class"),
        ({"prefix": [[1], [1, 2]]}, r"`prefix` must be a list of 3 prefixes.*got 2, the longest of 2 sites"),
        ({"prefix": [[1], [1] * 9, []]}, r"of at most 7 sites; got 3, the longest of 9 sites"),
        ({"prefix": [[1], [7, 2], []]}, r"`given` must hold symbols in 0..4; got 1..7"),
        ({"prefix": [[1], [7, 2], []], "given": [0], "mask": [True]}, r"`prefix` and `given` exclude each other"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        speculate(tiny("gpt"), 3, **{"num_sites": SITES} | arguments)


def test_models_that_it_is_not_for():
    with pytest.raises(ValueError, match=r"`model` must draw its sites in one order and without blocks.*GatedPixelCNN"):
        speculate(tiny("gated_pixel_cnn"))
    with pytest.raises(ValueError, match=r"`model` must be of symbols"):
        speculate(tiny("ar_p"), num_sites=SITES)
    with pytest.raises(ValueError, match=r"`draft` must have a head like the model's.*num_symbols is 3, not 5"):
        speculate(tiny("gpt"), num_sites=SITES, draft=tiny("gpt", head=Categorical(3)))
    with pytest.raises(ValueError, match=r"`draft` must be the heads of the model itself.*GPT has draft_heads=0"):
        speculate(tiny("gpt"), num_sites=SITES, draft=OwnHeads(tiny("gpt")))
    with pytest.raises(ValueError, match=r"`lookahead` must be at most 1, the model's draft heads; got 4"):
        speculate(tiny("gpt", draft_heads=1), num_sites=SITES)
    with pytest.raises(ValueError, match=r"`draft` must take the model's context.*or none"):
        speculate(tiny("gpt"), num_sites=SITES, draft=tiny("wavenet"))
    with pytest.raises(ValueError, match=r"`num_sites`.*12"):
        speculate(tiny("wavenet"), num_sites=30, draft=tiny("gpt"))
