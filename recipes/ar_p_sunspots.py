"""Yearly sunspot numbers: linear, from the nine years before."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="ar_p_sunspots",
    model="ar_p.sunspots",
    source="shipped:sunspots",
    shipped="shipped:sunspots",
    about="The yearly mean number of sunspots.",
    batch_size=2,
    epochs=300,
    learning_rate=0.1,
    window=60,
    warmup_steps=0,
    average=0.9,
    licence="Apache-2.0 (the numbers, of WDC-SILSO, are in the public domain)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
