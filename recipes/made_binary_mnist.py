"""Binarised digits: MADE with one hidden layer of 500 units, in a random order."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="made_binary_mnist",
    model="made.mnist",
    source="mnist",
    shipped="shipped:digits",
    about="Handwritten digits in black and white, a vector of pixels in one random order.",
    batch_size=64,
    epochs=20,
    learning_rate=1e-3,
    binarize=True,
    licence="CC-BY-SA-3.0 (MNIST: LeCun, Cortes)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
