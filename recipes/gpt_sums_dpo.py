"""Sums, written as characters: what gpt_sums_sft leaves learns to prefer the right sum to a near miss (DPO)."""

from ar_zoo.training import DPO, Recipe

RECIPE = Recipe(
    name="gpt_sums_dpo",
    model="gpt.sums",
    source="shipped:sums",
    shipped="shipped:sums",
    about="Sums of two numbers below 50, learnt from pairs of the right answer and a wrong one (DPO).",
    start="gpt_sums_sft",
    objective=DPO(beta=0.5, likelihood=0.2),
    batch_size=64,
    epochs=10,
    learning_rate=5e-4,
    warmup_steps=10,
    average=None,
    weights_dtype="float16",
    licence="Apache-2.0",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
