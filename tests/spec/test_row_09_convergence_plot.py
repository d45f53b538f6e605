"""SPEC row 9: one line of user code; linear or log; PNG and SVG without a display."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim


def run(engine: str) -> cr.History:
    x, t = cr.datasets.two_gaussians(50, seed=0)
    model = nn.Linear(2, 1, seed=0)
    return cr.fit(model, losses.squared, optim.SGD(1e-3), x, t, steps=40, batch_size=1, record_every=4, engine=engine)


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_row_09_one_line_draws_the_record(engine: str, scale: str, tmp_path: Path) -> None:
    history = run(engine)
    ax = cr.plot.convergence(history, scale=scale, path=tmp_path / "curve.png")
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), np.arange(0, 40, 4))
    np.testing.assert_array_equal(line.get_ydata(), history.loss)
    assert ax.get_yscale() == scale and ax.get_xlabel() == "step" and ax.get_ylabel() == "mean loss"


def test_row_09_png_and_svg(engine: str, tmp_path: Path) -> None:
    history = run(engine)
    cr.plot.convergence(history, path=tmp_path / "curve.png")
    cr.plot.convergence(history, path=tmp_path / "curve.svg")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert ElementTree.parse(tmp_path / "curve.svg").getroot().tag.endswith("svg")


def test_row_09_no_display_is_needed_and_pyplot_is_not_touched(tmp_path: Path) -> None:
    program = (
        "import sys, chainrule as cr\n"
        f"cr.plot.convergence([3.0, 2.0, 1.0], path={str(tmp_path / 'a.svg')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PATH": "", "HOME": str(tmp_path)})
    assert (tmp_path / "a.svg").stat().st_size > 1000
