"""Draft heads for gpt.kjv, which itself stays as it is: four in a chain (Hydra), which guess better than side by side."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="gpt_kjv_hydra",
    model="gpt.kjv",
    source="shipped:text",
    shipped="shipped:text",
    about="Heads that guess four characters ahead in a chain (Hydra), on a model that is not changed.",
    start="gpt.kjv",
    overrides=dict(draft_heads=4, draft_kind="chained"),
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
