"""Multi-token prediction: a GPT learns the next character and the four after it, through chained heads of its own."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="gpt_kjv_mtp",
    model="gpt.kjv",
    source="tiny_shakespeare",
    shipped="shipped:text",
    about="English text, character by character, and heads that guess four characters ahead (multi-token prediction).",
    overrides=dict(draft_heads=4, draft_kind="chained"),
    batch_size=16,
    epochs=3,
    learning_rate=2e-3,
    window=256,
    weight_decay=0.05,
    warmup_steps=200,
    average=0.998,
    weights_dtype="float16",
    licence="Apache-2.0 (the text is in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
