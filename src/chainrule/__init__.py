"""Any acyclic graph of operations, differentiable with respect to any of its leaves, parameters and data."""

from chainrule import errors, random
from chainrule.autodiff import grad, gradient, hessian, hvp, jacobian, jvp, tangent, value_and_grad, vjp
from chainrule.functions import *
from chainrule.tensor import Input, Parameter, Tensor, as_tensor, variable

ENGINES = ("reference",)
