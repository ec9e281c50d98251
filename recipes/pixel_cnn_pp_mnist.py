"""Handwritten digits: PixelCNN++ on MNIST, 256 levels."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="pixel_cnn_pp_mnist",
    model="pixel_cnn_pp.mnist",
    source="mnist",
    shipped="shipped:digits",
    about="Handwritten digits in 256 levels, by a network that looks at them at three scales.",
    batch_size=16,
    epochs=16,
    learning_rate=2e-3,
    warmup_steps=200,
    average=0.998,
    licence="CC-BY-SA-3.0 (MNIST: LeCun, Cortes)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
