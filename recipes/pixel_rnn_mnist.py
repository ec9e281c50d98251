"""Handwritten digits: a small PixelRNN with Diagonal BiLSTM layers on MNIST, 256 levels."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="pixel_rnn_mnist",
    model="pixel_rnn.mnist",
    source="mnist",
    shipped="shipped:digits",
    about="Handwritten digits in 256 levels, by recurrent layers along diagonals.",
    batch_size=16,
    epochs=6,
    learning_rate=2e-3,
    warmup_steps=200,
    average=0.998,
    licence="CC-BY-SA-3.0 (MNIST: LeCun, Cortes)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
