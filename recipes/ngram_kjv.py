"""Text, character by character: interpolated Kneser-Ney counts of six characters on the King James Bible."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="ngram_kjv",
    model="ngram.kjv",
    source="tiny_shakespeare",
    shipped="shipped:text",
    about="English text, character by character.",
    batch_size=64,
    epochs=1,
    window=1024,
    average=None,
    weights_dtype="float16",
    licence="Apache-2.0 (the text is in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
