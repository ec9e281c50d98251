"""Training by recipe: `Recipe` says what, `train` does it, over `keras.Model.fit`."""

from ar_zoo.training.distillation import Distill
from ar_zoo.training.policy import PolicyGradient
from ar_zoo.training.preference import DPO, pairs_of
from ar_zoo.training.probe import linear_probe, pooled_features
from ar_zoo.training.quantization import quantization_aware
from ar_zoo.training.recipe import Recipe, find_recipe, list_recipes
from ar_zoo.training.supervised import Supervised
from ar_zoo.training.token_objective import answers_of
from ar_zoo.training.train import train

__all__ = [
    "DPO",
    "Distill",
    "PolicyGradient",
    "Recipe",
    "Supervised",
    "answers_of",
    "find_recipe",
    "linear_probe",
    "list_recipes",
    "pairs_of",
    "pooled_features",
    "quantization_aware",
    "train",
]
