"""Emoji from their brightness alone: colourisation."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="gated_pixel_cnn_emoji_color",
    model="gated_pixel_cnn.emoji",
    source="shipped:emoji",
    shipped="shipped:emoji",
    about="Emoji in full colour, given their brightness: colourisation.",
    overrides=dict(known_shape=(32, 32, 1)),
    batch_size=16,
    epochs=13,
    learning_rate=3e-3,
    weight_decay=0.01,
    average=0.998,
    licence="CC-BY-4.0 (Twemoji: Twitter, Inc. and other contributors)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
