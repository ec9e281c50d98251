"""Handwritten digits: a class-conditional gated PixelCNN on MNIST, 256 levels."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="gated_pixel_cnn_mnist",
    model="gated_pixel_cnn.mnist",
    source="mnist",
    shipped="shipped:digits",
    about="Handwritten digits in 256 levels, with or without their class.",
    batch_size=16,
    epochs=16,
    optimizer="muon",
    learning_rate=1e-2,
    labels=True,
    warmup_steps=200,
    weight_decay=0.1,
    average=0.998,
    licence="CC-BY-SA-3.0 (MNIST: LeCun, Cortes)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
