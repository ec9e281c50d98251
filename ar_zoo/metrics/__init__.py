"""Metrics over negative log-likelihoods; every model of the zoo reports them by itself."""

from ar_zoo.core.likelihood import BitsPerDimension, Perplexity

__all__ = ["BitsPerDimension", "Perplexity"]
