"""Emoji from eight by eight pixels: super-resolution."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="gated_pixel_cnn_emoji_large",
    model="gated_pixel_cnn.emoji",
    source="shipped:emoji",
    shipped="shipped:emoji",
    about="Emoji in full colour, given a picture of 8x8: super-resolution.",
    overrides=dict(known_shape=(8, 8, 3)),
    batch_size=16,
    epochs=13,
    learning_rate=3e-3,
    weight_decay=0.01,
    average=0.998,
    licence="CC-BY-4.0 (Twemoji: Twitter, Inc. and other contributors)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
