"""Text, character by character: a GPT with rotary positions on the King James Bible."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="gpt_kjv",
    model="gpt.kjv",
    source="tiny_shakespeare",
    shipped="shipped:text",
    about="English text, character by character.",
    batch_size=16,
    epochs=6,
    optimizer="muon",
    learning_rate=1e-2,
    window=256,
    warmup_steps=200,
    weight_decay=0.1,
    average=0.998,
    weights_dtype="float16",
    licence="Apache-2.0 (the text is in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
