"""Sums, written as characters: what gpt_sums_sft leaves draws answers, and learns from which of them are right (GRPO)."""

from ar_zoo.training import PolicyGradient, Recipe

RECIPE = Recipe(
    name="gpt_sums_rlvr",
    model="gpt.sums",
    source="shipped:sums",
    shipped="shipped:sums",
    about="Sums of two numbers below 50, learnt from whether answers are right (policy gradient, a reward that is checked).",
    start="gpt_sums_sft",
    objective=PolicyGradient(prompts=64, group=8, updates=2, rounds=20, kl=0.01),
    batch_size=512,
    epochs=10,
    learning_rate=5e-4,
    final_rate=0.1,
    warmup_steps=40,
    average=None,
    weights_dtype="float16",
    licence="Apache-2.0",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
