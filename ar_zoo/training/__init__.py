"""Training by recipe: `Recipe` says what, `train` does it, over `keras.Model.fit`."""

from ar_zoo.training.probe import linear_probe, pooled_features
from ar_zoo.training.quantization import quantization_aware
from ar_zoo.training.recipe import Recipe, find_recipe, list_recipes
from ar_zoo.training.train import train

__all__ = ["Recipe", "find_recipe", "linear_probe", "list_recipes", "pooled_features", "quantization_aware", "train"]
