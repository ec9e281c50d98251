"""Handwritten digits: a small Image GPT on MNIST, in 16 levels of grey that k-means finds."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="image_gpt_mnist",
    model="image_gpt.mnist",
    source="mnist",
    shipped="shipped:digits",
    about="Handwritten digits in 16 levels of grey, by a transformer.",
    batch_size=16,
    epochs=12,
    learning_rate=1e-3,
    warmup_steps=200,
    weight_decay=0.01,
    average=0.998,
    licence="CC-BY-SA-3.0 (MNIST: LeCun, Cortes)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
