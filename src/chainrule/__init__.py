"""Any acyclic graph of operations, differentiable with respect to any of its leaves, parameters and data."""

from chainrule import errors, evaluate, functions, inspect, losses, nn, optim, plot, random, sampling
from chainrule.autodiff import grad, gradient, hessian, hvp, jacobian, jvp, tangent, value_and_grad, vjp
from chainrule.check import check_grads
from chainrule.compile import CompiledFunction, FallbackWarning, compile
from chainrule.control import custom
from chainrule.data import datasets
from chainrule.fit import EarlyStopping, Progress, UnreachableTargetWarning, fit, fit_data
from chainrule.functions import *
from chainrule.history import History, TrainingState
from chainrule.inspect import summary
from chainrule.save import load, read_metadata, save
from chainrule.tensor import Input, Parameter, Tensor, as_tensor, variable
from chainrule.training.engines import ENGINES as _ENGINES
from chainrule.vectorize import per_sample_grad, vmap

__all__ = [
    "ENGINES", "CompiledFunction", "EarlyStopping", "FallbackWarning", "History", "Input", "Parameter", "Progress",
    "Tensor", "TrainingState", "UnreachableTargetWarning", "as_tensor", "check_grads", "compile",
    "custom", "datasets", "errors", "evaluate", "fit",
    "fit_data", "grad", "gradient", "hessian", "hvp", "inspect", "jacobian", "jvp", "load", "losses", "nn", "optim",
    "per_sample_grad", "plot", "random", "read_metadata", "sampling", "save", "summary", "tangent",
    "value_and_grad", "variable", "vjp", "vmap",
]  # fmt: skip
__all__ += functions.__all__

#: The names that `engine=` takes.
ENGINES = tuple(_ENGINES)
