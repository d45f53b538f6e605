"""Any acyclic graph of operations, differentiable with respect to any of its leaves, parameters and data."""

from chainrule import errors, evaluate, functions, losses, nn, optim, random
from chainrule.autodiff import grad, gradient, hessian, hvp, jacobian, jvp, tangent, value_and_grad, vjp
from chainrule.control import custom
from chainrule.functions import *
from chainrule.tensor import Input, Parameter, Tensor, as_tensor, variable

__all__ = [
    "ENGINES", "Input", "Parameter", "Tensor", "as_tensor", "custom", "errors", "evaluate", "grad", "gradient",
    "hessian", "hvp", "jacobian", "jvp", "losses", "nn", "optim", "random", "tangent",
    "value_and_grad", "variable", "vjp",
]  # fmt: skip
__all__ += functions.__all__

ENGINES = ("reference",)
