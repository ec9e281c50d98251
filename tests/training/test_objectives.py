"""The losses of post-training against NumPy, as they are published: values on batches with padding, masks and weights."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

import ar_zoo
from ar_zoo.data import read
from ar_zoo.training import DPO, Distill, PolicyGradient, Supervised, answers_of, pairs_of
from ar_zoo.training.policy import advantages, empty_rollouts, frozen_copy

HEAD = ar_zoo.heads.Categorical.from_text("\n+0123456789=")
PART = dataclasses.replace(read("shipped:sums", "valid"), values=read("shipped:sums", "valid").values[:6])


def shaken(seed, **arguments):
    """A tiny model with weights at random, so that nothing is symmetric."""
    model = ar_zoo.create("gpt.tiny", head=HEAD, **arguments)
    generator = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(scale=0.4, size=weight.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return shaken(0)


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))


def token_log_probs(model, x):
    return np.take_along_axis(log_softmax(model(x)), x[..., None], axis=-1)[..., 0]


def means(objective, model, batch, training=False):
    measured = objective.measure(model, objective.batch(model, batch, training), training)
    return {name: float(total) / float(count) for name, (total, count) in measured.items()}


def batch_of(examples, **more):
    return {"x": examples.x, "context": examples.context} | more


def test_supervised(model):
    examples = answers_of(model, PART, "\n")
    scored, weights = examples.context["scored"], np.array([1, 0.5, 0, 2, 1, 1])
    assert 0 < scored.mean() < 1
    each = scored * weights[:, None]
    wanted = -np.sum(token_log_probs(model, examples.x) * each) / each.sum()
    got = means(Supervised(), model, batch_of(examples, sample_weight=weights))
    assert got == pytest.approx({"loss": wanted, "bits_per_dim": wanted / np.log(2)}, rel=1e-5)


def test_packed_answers_are_learnt_as_if_each_stood_alone():
    """Fewer rows, the same loss."""
    model = shaken(0, max_sites=32)
    alone, packed = answers_of(model, PART, "\n"), answers_of(model, PART, "\n", pack=True)
    assert len(packed) < len(alone)
    assert {*packed.context} == {"scored", "texts"}
    expected = means(Supervised(), model, batch_of(alone))
    assert means(Supervised(pack=True), model, batch_of(packed)) == pytest.approx(expected, rel=1e-5)


def test_a_family_that_cannot_keep_texts_apart_is_not_given_them_packed():
    lstm = ar_zoo.create("recurrent_lm.tiny", head=HEAD)
    with pytest.raises(ValueError, match="`pack` must be False for RecurrentLM, which cannot keep the texts of a row"):
        Supervised(pack=True).stage(lstm, {"train": PART, "valid": PART}, None, 0)


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 1.0), (2.5, 0.3)])
def test_distillation(model, temperature, share):
    teacher = shaken(1, num_layers=1)
    examples = answers_of(model, PART, "\n")
    scored = examples.context["scored"]
    of, to = (log_softmax(np.asarray(each(examples.x)) / temperature) for each in (teacher, model))
    kl = np.sum(np.sum(np.exp(of) * (of - to), axis=-1) * scored) / scored.sum()
    nll = -np.sum(token_log_probs(model, examples.x) * scored) / scored.sum()
    got = means(Distill(teacher, temperature, share).loaded(), model, batch_of(examples))
    assert got["kl"] == pytest.approx(kl, rel=1e-4)
    assert got["loss"] == pytest.approx(share * temperature**2 * kl + (1 - share) * nll, rel=1e-4)
    assert got["bits_per_dim"] == pytest.approx(nll / np.log(2), rel=1e-4)


def test_the_teacher_stays_and_the_student_comes_to_it(model):
    teacher, student = shaken(2), shaken(3)
    before = [np.array(weight) for weight in teacher.weights]
    student.objective = Distill(teacher, share=1.0).loaded()
    student.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    x = np.random.default_rng(0).integers(0, 13, (32, 6))
    history = student.fit(x, epochs=15, verbose=0).history
    assert history["kl"][-1] < history["kl"][0] / 2
    for weight, value in zip(teacher.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_teacher_of_other_symbols_is_refused(model):
    with pytest.raises(ValueError, match="`teacher` must have the model's 13 symbols; it has 5"):
        Distill(ar_zoo.create("gpt.tiny")).batch(model, {"x": np.zeros((1, 3), "int32")}, True)


@pytest.mark.parametrize(("beta", "smoothing", "likelihood"), [(0.1, 0.0, 0.0), (0.7, 0.2, 0.5)])
def test_dpo(model, beta, smoothing, likelihood):
    """Rafailov et al.'s equation 7, between whole answers, with a reference that is another model."""
    reference = shaken(4)
    examples = pairs_of(reference, PART)
    more = examples.context

    def whole(of, x, scored):
        return np.sum(token_log_probs(of, x) * scored, axis=1)

    pairs = (examples.x, more["scored"]), (more["rejected"], more["rejected_scored"])
    chosen, rejected = (whole(model, *each) - whole(reference, *each) for each in pairs)
    margin = beta * (chosen - rejected)
    sigmoid = lambda value: 1 / (1 + np.exp(-value))  # noqa: E731
    loss = -(1 - smoothing) * np.log(sigmoid(margin)) - smoothing * np.log(sigmoid(-margin))
    loss = loss - likelihood * whole(model, *pairs[0]) / more["scored"].sum(axis=1)
    weights = np.array([1, 1, 0, 1, 0.5, 1])
    got = means(DPO(beta, smoothing, likelihood), model, batch_of(examples, sample_weight=weights))
    assert got["loss"] == pytest.approx(np.average(loss, weights=weights), rel=1e-4)
    assert got["margin"] == pytest.approx(np.average(margin, weights=weights), rel=1e-4)
    assert got["accuracy"] == pytest.approx(np.average(margin > 0, weights=weights))
    likelier = whole(model, *pairs[0]) > whole(model, *pairs[1])
    assert got["preferred"] == pytest.approx(np.average(likelier, weights=weights))
    assert 0 < got["accuracy"] < 1, "the data tell the two signs apart"


def test_dpo_of_the_reference_itself(model):
    got = means(DPO(), model, batch_of(pairs_of(model, PART)))
    assert got["loss"] == pytest.approx(np.log(2), abs=1e-6)
    assert got["margin"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("kl", [0.0, 0.3])
def test_policy_gradient(model, kl):
    """Shao et al.'s equation 3, answer by answer and token by token, away from the model that drew the answers."""
    generator = np.random.default_rng(5)
    rows, width, group = 6, 7, 3
    x = generator.integers(0, 13, (rows, width))
    weights = np.zeros((rows, width), np.float32)
    for row, (first, stop) in enumerate([(2, 4), (3, 7), (1, 2), (2, 7), (3, 6), (4, 7)]):
        weights[row, first:stop] = 1
    now = token_log_probs(model, x)
    old, reference = (now + generator.normal(scale=0.3, size=now.shape) for _ in range(2))
    rewards = np.array([1, 0, 0, 0.5, 1, 2])
    advantage = np.concatenate([(part - part.mean()) / part.std() for part in rewards.reshape(-1, group)])
    loss, clipped = [], []
    for row in range(rows):
        tokens = []
        for site in np.flatnonzero(weights[row]):
            ratio = np.exp(now[row, site] - old[row, site])
            gain = min(ratio * advantage[row], np.clip(ratio, 0.8, 1.2) * advantage[row])
            apart = np.exp(reference[row, site] - now[row, site])
            tokens.append(-(gain - kl * (apart - np.log(apart) - 1)))
            clipped.append(abs(ratio - 1) > 0.2)
        loss.append(np.mean(tokens))
    assert 0 < np.mean(clipped) < 1
    rollouts = empty_rollouts(rows, width)
    values = dict(
        x=x, weights=weights, old=old, reference=reference, reward=rewards, advantage=advantages(rewards, group)
    )
    for name, value in values.items():
        rollouts[name].assign(value)
    objective = PolicyGradient(group=group, prompts=2, kl=kl, rollouts=rollouts)
    got = means(objective, model, {"x": np.arange(rows)[:, None]}, training=True)
    assert got["loss"] == pytest.approx(np.mean(loss), rel=1e-4)
    assert got["reward"] == pytest.approx(rewards.mean())
    assert got["kl"] >= 0


def test_advantages():
    got = advantages([1, 0, 0, 1, 1, 1, 0, 0, 3], 3)
    np.testing.assert_allclose(
        got, [2**0.5, -(0.5**0.5), -(0.5**0.5), 0, 0, 0, -(0.5**0.5), -(0.5**0.5), 2**0.5], rtol=1e-6
    )


def test_a_copy_has_weights_of_its_own(model):
    original = shaken(6)
    copy = frozen_copy(original)
    x = np.zeros((1, 4), "int32")
    before = original.log_prob(x)
    original.trainable_weights[0].assign_add(np.ones(original.trainable_weights[0].shape))
    np.testing.assert_array_equal(copy.log_prob(x), before)
    assert not copy.trainable_weights


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: DPO(beta=0), "`beta` must be a number above 0"),
        (lambda: DPO(label_smoothing=2), r"`label_smoothing` must lie in \[0, 1\]"),
        (lambda: Distill("gpt.kjv", temperature=0), "`temperature` must be a number above 0"),
        (lambda: Distill("gpt.kjv", share=1.5), r"`share` must lie in \[0, 1\]"),
        (
            lambda: PolicyGradient(reward="sum"),
            r"`reward` must be a function of \(prompt, completion, answer\); got 'sum'",
        ),
        (lambda: PolicyGradient(group=1), "`group` must be an integer of at least 2"),
        (lambda: PolicyGradient(clip=0), "`clip` must be"),
        (lambda: PolicyGradient(kl=-1), "`kl` must be"),
        (lambda: answers_of(ar_zoo.create("maf.tiny"), PART, "\n"), "`model` must be an AutoregressiveModel"),
    ],
)
def test_bad_arguments(make, says):
    with pytest.raises(ValueError, match=says):
        make()
