"""Training by recipe: `Recipe` says what, `train` does it, over `keras.Model.fit`."""

from ar_zoo.training.quantization import quantization_aware
from ar_zoo.training.recipe import Recipe, find_recipe, list_recipes
from ar_zoo.training.train import train

__all__ = ["Recipe", "find_recipe", "list_recipes", "quantization_aware", "train"]
