"""Heads: from a network's parameters to a distribution over one site."""

from ar_zoo.heads.base import Head
from ar_zoo.heads.bernoulli import Bernoulli
from ar_zoo.heads.categorical import Categorical
from ar_zoo.heads.categorical_energy import CategoricalEnergy
from ar_zoo.heads.continuous_mixture import ContinuousMixture
from ar_zoo.heads.discretized_logistic_mixture import DiscretizedLogisticMixture
from ar_zoo.heads.energy import Energy
from ar_zoo.heads.mu_law_categorical import MuLawCategorical
from ar_zoo.heads.normal import Normal
from ar_zoo.heads.palette_categorical import PaletteCategorical
from ar_zoo.heads.predictive_logistic_mixture import PredictiveLogisticMixture
from ar_zoo.heads.tokens import Tokens

__all__ = [
    "Bernoulli",
    "Categorical",
    "CategoricalEnergy",
    "ContinuousMixture",
    "DiscretizedLogisticMixture",
    "Energy",
    "Head",
    "MuLawCategorical",
    "Normal",
    "PaletteCategorical",
    "PredictiveLogisticMixture",
    "Tokens",
]
