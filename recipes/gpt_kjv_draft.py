"""A GPT of a tenth of gpt.kjv's size, which guesses for it: `ar-zoo generate gpt.kjv --draft runs/gpt_kjv_draft/best`."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="gpt_kjv_draft",
    model="gpt.kjv",
    source="shipped:text",
    shipped="shipped:text",
    about="English text, character by character: a small model that guesses for gpt.kjv.",
    overrides=dict(num_layers=2, units=96, num_heads=4, hidden_units=256),
    batch_size=16,
    epochs=12,
    learning_rate=3e-3,
    window=256,
    warmup_steps=200,
    weight_decay=0.05,
    average=0.998,
    weights_dtype="float16",
    licence="Apache-2.0 (the text is in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
