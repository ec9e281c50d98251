"""Handwritten digits: a small PixelSNAIL on MNIST, 256 levels."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="pixel_snail_mnist",
    model="pixel_snail.mnist",
    source="mnist",
    shipped="shipped:digits",
    about="Handwritten digits in 256 levels, by gated convolutions and attention.",
    batch_size=16,
    epochs=12,
    learning_rate=1e-3,
    warmup_steps=200,
    average=0.998,
    licence="CC-BY-SA-3.0 (MNIST: LeCun, Cortes)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
