"""Layers that models are composed of: `keras.ops` only, so they run on every Keras backend."""

from ar_zoo.layers.attention import CausalSelfAttention
from ar_zoo.layers.causal_conv import DilatedCausalConv1D
from ar_zoo.layers.conditioning import Conditioning, ImageConditioning, NullDropout
from ar_zoo.layers.diagonal_lstm import DiagonalLSTM
from ar_zoo.layers.draft_head import DraftHead
from ar_zoo.layers.embedding import SymbolEmbedding, indicators
from ar_zoo.layers.gated import GatedActivation, ResidualSkip
from ar_zoo.layers.masked_conv import MaskedConv2D
from ar_zoo.layers.masked_dense import MaskedDense
from ar_zoo.layers.masked_network import MaskedNetwork
from ar_zoo.layers.neighbours import PixelNeighbours
from ar_zoo.layers.pixels import PixelFeatures, PixelPositions
from ar_zoo.layers.positions import LearnedPositions, NoPositions, RotaryPositions, SinusoidalPositions, get_positions
from ar_zoo.layers.recurrent import Recurrent
from ar_zoo.layers.row_lstm import RowLSTM
from ar_zoo.layers.transformer import TransformerBlock

__all__ = [
    "CausalSelfAttention",
    "Conditioning",
    "DiagonalLSTM",
    "DilatedCausalConv1D",
    "DraftHead",
    "GatedActivation",
    "ImageConditioning",
    "LearnedPositions",
    "MaskedConv2D",
    "MaskedDense",
    "MaskedNetwork",
    "NoPositions",
    "NullDropout",
    "PixelFeatures",
    "PixelNeighbours",
    "PixelPositions",
    "Recurrent",
    "ResidualSkip",
    "RotaryPositions",
    "RowLSTM",
    "SinusoidalPositions",
    "SymbolEmbedding",
    "TransformerBlock",
    "get_positions",
    "indicators",
]
