"""Measurements of biopsies: an autoregressive energy machine over 30 of them."""

from ar_zoo.training import Recipe

RECIPE = Recipe(
    name="aem_cancer",
    model="aem.cancer",
    source="sklearn:breast_cancer",
    shipped="shipped:cancer",
    about="Thirty measurements of the cell nuclei of a biopsy, standardised.",
    batch_size=64,
    epochs=60,
    learning_rate=1e-3,
    average=0.99,
    licence="CC-BY-4.0 (Wolberg, Mangasarian, Street & Street)",
)

if __name__ == "__main__":
    raise SystemExit(RECIPE.main())
