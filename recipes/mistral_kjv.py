"""Text, character by character: a Mistral, whose attention has a window of 64, on the King James Bible."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="mistral_kjv",
    model="mistral.kjv",
    source="tiny_shakespeare",
    shipped="shipped:text",
    about="English text, character by character.",
    batch_size=16,
    epochs=3,
    learning_rate=2e-3,
    window=256,
    warmup_steps=200,
    weight_decay=0.05,
    average=0.998,
    weights_dtype="float16",
    licence="Apache-2.0 (the text is in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
