"""The glass box: what a model does, read from the graph that really runs."""

from chainrule.inspect.glass import Cost, EdgeRun, NodeRun, Trace, trace
from chainrule.inspect.snapshots import Snapshots
from chainrule.nn.summary import Layer, Summary, summary

__all__ = ["Cost", "EdgeRun", "Layer", "NodeRun", "Snapshots", "Summary", "Trace", "summary", "trace"]
