"""Binarised digits: the orderless NADE of two hidden layers, which draws and fills in in any order."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="nade_binary_mnist",
    model="nade.mnist_orderless",
    source="mnist",
    shipped="shipped:digits",
    about="Handwritten digits in black and white, in any order of the pixels.",
    batch_size=64,
    epochs=100,
    learning_rate=1e-3,
    binarize=True,
    licence="CC-BY-SA-3.0 (MNIST: LeCun, Cortes)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
