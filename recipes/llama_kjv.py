"""Text in pieces of words (byte-level BPE): a Llama on the King James Bible."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="llama_kjv",
    model="llama.kjv",
    source="tiny_shakespeare",
    shipped="shipped:text",
    about="English text, in 1,024 pieces of words.",
    vocabulary=1024,
    batch_size=16,
    epochs=3,
    learning_rate=2e-3,
    window=128,
    warmup_steps=200,
    weight_decay=0.05,
    average=0.998,
    weights_dtype="float16",
    licence="Apache-2.0 (the text is in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
