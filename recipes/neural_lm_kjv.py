"""Text, character by character: a feed-forward network over eleven characters of the King James Bible."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="neural_lm_kjv",
    model="neural_lm.kjv",
    source="tiny_shakespeare",
    shipped="shipped:text",
    about="English text, character by character.",
    batch_size=8,
    epochs=2,
    learning_rate=2e-3,
    window=256,
    warmup_steps=50,
    average=0.99,
    licence="Apache-2.0 (the text is in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
