"""Models: modules hold parameters and compose; a forward pass is ordinary Python with splits and joins."""

from chainrule.nn import initializers
from chainrule.nn.activations import (
    ELU,
    GELU,
    Activation,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from chainrule.nn.dropout import Dropout
from chainrule.nn.embedding import Embedding
from chainrule.nn.initializers import Initialized, Initializer
from chainrule.nn.linear import Linear
from chainrule.nn.mode import Training, training
from chainrule.nn.module import Module, output_range
from chainrule.nn.normalization import BatchNorm, LayerNorm
from chainrule.nn.sequential import Flatten, Identity, Lambda, Sequential

__all__ = [
    "ELU", "GELU", "Activation", "BatchNorm", "Dropout", "Embedding", "Flatten", "Identity", "Initialized",
    "Initializer", "Lambda", "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "Module", "ReLU", "Sequential", "SiLU",
    "Sigmoid", "Softmax", "Softplus", "Tanh", "Training", "initializers", "output_range", "training",
]  # fmt: skip
