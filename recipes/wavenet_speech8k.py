"""Speech at 8 kHz: a WaveNet over 8-bit μ-law."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="wavenet_speech8k",
    model="wavenet.speech8k",
    source="spoken_digit",
    shipped="shipped:speech",
    about="Speech at 8 kHz in 256 μ-law levels.",
    batch_size=4,
    epochs=3,
    learning_rate=2e-3,
    window=4000,
    sample_rate=8000,
    warmup_steps=100,
    average=0.99,
    licence="CC-BY-SA-3.0 (Allison Smith for Digium)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
