"""Speech at 8 kHz: a WaveNet over 8-bit μ-law."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="wavenet_speech8k",
    model="wavenet.speech8k",
    source="spoken_digit",
    shipped="shipped:speech",
    about="Speech at 8 kHz in 256 μ-law levels.",
    batch_size=2,
    epochs=7,
    optimizer="muon",
    learning_rate=8e-3,
    window=8000,
    sample_rate=8000,
    warmup_steps=100,
    weight_decay=0.01,
    average=0.998,
    licence="CC-BY-SA-4.0 (Free Spoken Digit Dataset), or of shipped:speech CC-BY-SA-3.0 (Allison Smith for Digium)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
