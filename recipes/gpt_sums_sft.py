"""Sums, written as characters: a small GPT learns answers to prompts, for a short time only. DPO and RLVR go on from there."""

from ar_zoo.training import Recipe, Supervised

RECIPE = Recipe(
    name="gpt_sums_sft",
    model="gpt.sums",
    source="shipped:sums",
    shipped="shipped:sums",
    about="Sums of two numbers below 50, of which some come out right (supervised fine-tuning, the prompt masked).",
    objective=Supervised(),
    batch_size=64,
    epochs=6,
    learning_rate=2e-3,
    warmup_steps=20,
    average=None,
    weights_dtype="float16",
    licence="Apache-2.0",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
