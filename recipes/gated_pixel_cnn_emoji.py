"""Emoji: a gated PixelCNN whose mixture starts from the colours around a pixel, 32x32 in full colour."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="gated_pixel_cnn_emoji",
    model="gated_pixel_cnn.emoji",
    source="shipped:emoji",
    shipped="shipped:emoji",
    about="Emoji in full colour, which must predict flat colours, edges and symmetry.",
    batch_size=16,
    epochs=13,
    learning_rate=3e-3,
    weight_decay=0.01,
    average=0.998,
    weights_dtype="float16",
    licence="CC-BY-4.0 (Twemoji: Twitter, Inc. and other contributors)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
