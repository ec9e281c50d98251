"""Language models of keras-hub (keras-nlp) under the zoo's contract.

    model = wrap(keras_hub.models.CausalLM.from_preset("gpt2_base_en"))
    model.log_prob(model.encode("The grass is green.")[None])

The wrapped model computes as it does in keras-hub, and keeps its cache in keras-hub's layout; what is derived from the contract
(`log_prob`, `sample`, `fit`, exports, all of `ar_zoo.sampling`) comes on top.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from ar_zoo.core.cache import State, is_scalar, site_by_site
from ar_zoo.core.likelihood import BitsPerDimension, Perplexity
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.heads import Categorical


def wrap(causal_lm, start_symbol: int | None = None, max_sites: int | None = None) -> HubLanguageModel:
    """A `CausalLM` of keras-hub, or the name of one of its presets, as a model of the zoo. Its weights are shared, not copied.

    Args:
        causal_lm: the object, or a preset's name, address or folder.
        start_symbol: what text starts with; by default what its tokenizer starts with, or else ends with.
        max_sites: the longest event; by default what its backbone says.

    Example:
        >>> model = ar_zoo.interop.keras_hub.wrap("gpt2_base_en")
    """
    if isinstance(causal_lm, str):
        causal_lm = _hub().models.CausalLM.from_preset(causal_lm)
    if not isinstance(causal_lm, keras.Model) or not hasattr(causal_lm, "call_with_cache"):
        raise ValueError(
            "`causal_lm` must be a keras_hub.models.CausalLM with `call_with_cache`, or the name of a preset of one; got "
            f"{type(causal_lm).__name__}."
        )
    if start_symbol is None:
        start_symbol = _start(causal_lm)
    return HubLanguageModel(causal_lm, start_symbol, max_sites or _longest(causal_lm))


def _hub():
    try:
        import keras_hub
    except ImportError:
        raise ImportError("Models of keras-hub need it: `pip install 'ar_zoo[hub]'`.") from None
    return keras_hub


def _start(causal_lm) -> int:
    tokenizer = _tokenizer(causal_lm)
    for name in ("start_token_id", "end_token_id"):
        if getattr(tokenizer, name, None) is not None:
            return int(getattr(tokenizer, name))
    raise ValueError("`start_symbol` must be given: the model has no tokenizer that says what text starts with.")


def _tokenizer(causal_lm):
    return getattr(causal_lm.preprocessor, "tokenizer", None)


def _longest(causal_lm) -> int:
    length = getattr(causal_lm.backbone, "max_sequence_length", None)
    return 1024 if length is None else int(length)


def _cache_of(causal_lm) -> tuple[tuple, int, str]:
    """Shape of its cache without the batch, the axis along which it holds sites, and its dtype: tried out on two lengths."""
    one, two = (
        causal_lm._build_cache(np.zeros((1, length), "int32"))[1] for length in (2, 3)
    )  # of one, Keras would warn
    if not hasattr(one, "shape"):
        raise ValueError(
            f"{type(causal_lm).__name__} keeps several tensors as its cache, which is not read; models whose cache is one "
            "tensor, as GPT-2, Llama, Mistral, Gemma and OPT have, are."
        )
    (axis,) = [axis for axis, size in enumerate(one.shape[1:]) if two.shape[axis + 1] != size]
    return tuple(one.shape[1:]), axis, keras.backend.standardize_dtype(one.dtype)


class HubLanguageModel(AutoregressiveModel):
    """See `wrap`."""

    metric_classes = (BitsPerDimension, Perplexity)

    def __init__(self, causal_lm, start_symbol, max_sites, **kwargs):
        super().__init__(Categorical(int(causal_lm.backbone.vocabulary_size)), (None,), **kwargs)
        self.causal_lm, self.start_symbol, self._longest = causal_lm, start_symbol, max_sites
        self._cache = _cache_of(causal_lm)
        self.build()

    @property
    def max_sites(self):
        return self._longest

    def encode(self, values):
        tokenizer = _tokenizer(self.causal_lm)
        if isinstance(values, str) and tokenizer is not None:
            return np.asarray(tokenizer(values), np.int32)
        return super().encode(values)

    def decode(self, symbols):
        """Text of symbols, where the model has a tokenizer."""
        tokenizer = _tokenizer(self.causal_lm)
        return self.head.decode(symbols) if tokenizer is None else str(tokenizer.detokenize(np.asarray(symbols)))

    def _tokens(self, prev):
        return ops.where(ops.less(prev, 0), self.start_symbol, prev)

    def call(self, x, context=None, training=False):
        prev = ops.pad(x, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
        tokens = self._tokens(prev)
        return self.causal_lm({"token_ids": tokens, "padding_mask": ops.ones_like(tokens)}, training=training)

    def cache_spec(self, max_sites):
        """Keys and values of all layers in one tensor."""
        shape, axis, dtype = self._cache
        return {"cache": State((*shape[:axis], max_sites, *shape[axis + 1 :]), dtype)}

    @site_by_site(chunks=True)
    def step(self, prev, cache, index, context=None):
        tokens = self._tokens(prev)
        if is_scalar(index):
            logits, _, new = self.causal_lm.call_with_cache(tokens, cache["cache"], index)
            return logits, {"cache": new}
        # keras-hub knows one index for all rows: rows at places of their own go one by one.
        rows = [
            self.causal_lm.call_with_cache(
                tokens[row : row + 1], cache["cache"][row : row + 1], ops.maximum(index[row], 0)
            )
            for row in range(tokens.shape[0])
        ]
        return ops.concatenate([row[0] for row in rows]), {"cache": ops.concatenate([row[2] for row in rows])}
