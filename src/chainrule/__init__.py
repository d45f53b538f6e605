"""Any acyclic graph of operations, differentiable with respect to any of its leaves."""
