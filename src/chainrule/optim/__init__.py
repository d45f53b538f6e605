"""Optimizers: pure update rules in tensor operations, for parameters and for data alike."""

from chainrule.optim.adagrad import Adagrad
from chainrule.optim.adam import Adam
from chainrule.optim.adamw import AdamW
from chainrule.optim.clipping import ClipByGlobalNorm, ClipByNorm, ClipByValue
from chainrule.optim.momentum import Momentum
from chainrule.optim.nesterov import Nesterov
from chainrule.optim.optimizer import Optimizer, Rate
from chainrule.optim.rmsprop import RMSProp
from chainrule.optim.schedules import CosineDecay, ExponentialDecay, Piecewise, StepDecay, Warmup
from chainrule.optim.sgd import SGD

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "ClipByGlobalNorm", "ClipByNorm", "ClipByValue", "CosineDecay",
    "ExponentialDecay", "Momentum", "Nesterov", "Optimizer", "Piecewise", "RMSProp", "Rate", "StepDecay", "Warmup",
]  # fmt: skip
