"""Text, character by character: two layers of LSTM cells on the King James Bible."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="recurrent_lm_kjv",
    model="recurrent_lm.kjv",
    source="tiny_shakespeare",
    shipped="shipped:text",
    about="English text, character by character.",
    batch_size=16,
    epochs=2,
    learning_rate=5e-3,
    window=128,
    warmup_steps=50,
    average=0.99,
    licence="Apache-2.0 (the text is in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
