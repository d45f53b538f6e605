"""SPEC row 24: sigma(w x + b) at x = 3, w = 2, b = 1 in both modes, on every engine."""

from __future__ import annotations

import numpy as np
import pytest
from tests.engines import compiled

import chainrule as cr


def test_row_24_forward_equals_reverse(engine: str) -> None:
    x, w, b = (cr.Input(name=name) for name in "xwb")
    y = cr.sigmoid(w * x + b)
    reverse = cr.gradient(y, [x, w, b])
    forward = [cr.tangent([y], {leaf: 1.0})[0] for leaf in (x, w, b)]
    value, *found = compiled(engine, [x, w, b], [y, *reverse, *forward])(*(np.asarray(v) for v in (3.0, 2.0, 1.0)))
    assert value == pytest.approx(0.99908895, abs=5e-9)
    assert found[:3] == pytest.approx([0.00182044, 0.00273066, 0.00091022], abs=5e-9)
    assert np.abs(np.subtract(found[:3], found[3:])).max() <= 1e-15
    s = 1 / (1 + np.exp(-7.0))
    np.testing.assert_allclose(found[:3], np.array([2, 3, 1]) * s * (1 - s), rtol=1e-12)
