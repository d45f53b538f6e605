"""Pictures of training, of models and of graphs, with matplotlib, which is loaded when the first is drawn.

Every function draws on `ax`, or on a figure of its own, and returns what it drew on. With `path` it writes a PNG or SVG
file without a display, and no state of pyplot is touched. Nothing is shown: a notebook shows figures, a script calls
`plt.show()`.
"""

from chainrule.plot.convergence import convergence
from chainrule.plot.graph import graph
from chainrule.plot.histograms import OutputHistogram, output_histogram, parameter_histograms
from chainrule.plot.regions import decision_regions

__all__ = [
    "OutputHistogram", "convergence", "decision_regions", "graph", "output_histogram", "parameter_histograms",
]  # fmt: skip
