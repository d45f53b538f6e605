"""Optimizers: pure update rules in tensor operations, for parameters and for data alike."""

from chainrule.optim.adam import Adam
from chainrule.optim.momentum import Momentum
from chainrule.optim.nesterov import Nesterov
from chainrule.optim.optimizer import Optimizer, Rate
from chainrule.optim.sgd import SGD

__all__ = ["SGD", "Adam", "Momentum", "Nesterov", "Optimizer", "Rate"]
