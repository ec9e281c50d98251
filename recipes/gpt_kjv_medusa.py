"""Draft heads for gpt.kjv, which itself stays as it is: four side by side (Medusa), for speculation without a second model."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="gpt_kjv_medusa",
    model="gpt.kjv",
    source="shipped:text",
    shipped="shipped:text",
    about="Heads that guess four characters ahead (Medusa), on a model that is not changed.",
    start="gpt.kjv",
    overrides=dict(draft_heads=4),
    freeze="^(?!draft_)",
    batch_size=16,
    epochs=1,
    learning_rate=2e-3,
    window=256,
    warmup_steps=50,
    average=0.99,
    weights_dtype="float16",
    licence="Apache-2.0 (the text is in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
