"""SPEC row 23: the worked example f = (x + y) z at (-2, 5, -4), its numbers on every engine."""

from __future__ import annotations

import numpy as np
from tests.engines import compiled

import chainrule as cr

POINT = (-2.0, 5.0, -4.0)


def test_row_23_the_numbers_of_the_worked_example(engine: str) -> None:
    x, y, z = (cr.Input(name=name) for name in "xyz")
    q = x + y
    f = q * z
    assert compiled(engine, [x, y, z], [q, f])(*map(np.asarray, POINT)) == [3.0, -12.0]
    reverse = cr.gradient(f, [x, y, z, q])
    forward = [cr.tangent([f], {leaf: 1.0})[0] for leaf in (x, y, z)]
    local = [*cr.gradient(q, [x, y]), *cr.gradient(f, [q, z])]
    assert compiled(engine, [x, y, z], reverse)(*map(np.asarray, POINT)) == [-4.0, -4.0, 3.0, -4.0]
    assert compiled(engine, [x, y, z], forward)(*map(np.asarray, POINT)) == [-4.0, -4.0, 3.0]
    assert compiled(engine, [x, y, z], local)(*map(np.asarray, POINT)) == [1.0, 1.0, -4.0, 3.0]


def test_row_23_in_one_line() -> None:
    assert cr.grad(lambda x, y, z: (x + y) * z)(*POINT) == (-4.0, -4.0, 3.0)
