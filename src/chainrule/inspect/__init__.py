"""The glass box: what a model does, read from the graph that really runs."""

from chainrule.inspect.glass import Cost, EdgeRun, NodeRun, Trace, trace

__all__ = ["Cost", "EdgeRun", "NodeRun", "Trace", "trace"]
