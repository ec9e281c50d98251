"""One style of text to another: gpt.kjv, whose lower layers stay as they are, goes on with Shakespeare's plays."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="gpt_shakespeare",
    model="gpt.kjv",
    source="tiny_shakespeare",
    shipped="shipped:text",
    about="From the King James Bible to Shakespeare, character by character.",
    start="gpt.kjv",
    freeze="embedding|block_[0-2]/",
    batch_size=16,
    epochs=1,
    learning_rate=5e-4,
    window=256,
    warmup_steps=50,
    average=0.99,
    weights_dtype="float16",
    licence="Apache-2.0 (both texts are in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
