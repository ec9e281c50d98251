"""A GPT of a tenth of gpt.kjv's size, which learns what gpt.kjv says of each next character, and not the text alone."""

from ar_zoo.training import Distill, Recipe

RECIPE = Recipe(
    name="gpt_kjv_distil",
    model="gpt.kjv",
    source="shipped:text",
    shipped="shipped:text",
    about="English text, character by character: a small model that learns from gpt.kjv (knowledge distillation).",
    overrides=dict(num_layers=2, units=96, num_heads=4, hidden_units=256),
    objective=Distill(teacher="gpt.kjv", temperature=1.0, share=0.9),
    batch_size=16,
    epochs=3,
    learning_rate=3e-3,
    window=128,
    warmup_steps=20,
    weight_decay=0.05,
    average=0.98,
    weights_dtype="float16",
    licence="Apache-2.0 (the King James Bible is in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
