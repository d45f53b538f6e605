"""Initializers: the scale that the paper states, and draws that depend on seed and stream alone."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.errors import OptionError
from chainrule.nn import initializers as init

SHAPE = (300, 200)
F64 = np.dtype("float64")

# name: (initializer, mean, variance, largest magnitude)
TABLE = {
    "zeros": (init.zeros, 0, 0, 0),
    "ones": (init.ones, 1, 0, 1),
    "constant": (init.constant(0.3), 0.3, 0, 0.3),
    "normal": (init.normal(2.0, mean=1.0), 1, 4, np.inf),
    "uniform": (init.uniform(0.5), 0, 0.25 / 3, 0.5),
    "xavier_uniform": (init.xavier_uniform, 0, 2 / 500, np.sqrt(6 / 500)),
    "xavier_normal": (init.xavier_normal, 0, 2 / 500, np.inf),
    "he_uniform": (init.he_uniform, 0, 2 / 300, np.sqrt(6 / 300)),
    "he_normal": (init.he_normal, 0, 2 / 300, np.inf),
}


def test_every_initializer_is_in_the_table() -> None:
    assert {name for name in init.__all__ if name[0].islower()} == TABLE.keys()


@pytest.mark.parametrize("name", TABLE)
def test_mean_variance_and_bound(name: str) -> None:
    draw, mean, variance, bound = TABLE[name]
    value = draw(SHAPE, 3, 1, F64).numpy()
    deviations = np.sqrt(variance / value.size)
    assert value.shape == SHAPE
    assert value.mean() == pytest.approx(mean, abs=4 * deviations + 1e-12)
    assert value.var() == pytest.approx(variance, rel=0.03, abs=1e-20)
    assert abs(value).max() <= bound + 1e-15
    if 0 < bound < np.inf:
        assert abs(value).max() > 0.999 * bound


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_seed_and_stream_decide(name: str, dtype: str) -> None:
    draw, _, variance, _ = TABLE[name]
    kind = np.dtype(dtype)
    value = draw((4, 5), 3, 1, kind).numpy()
    assert value.dtype == kind
    np.testing.assert_array_equal(draw((4, 5), 3, 1, kind), value)
    for seed, stream in [(4, 1), (3, 2)]:
        assert (draw((4, 5), seed, stream, kind).numpy() != value).any() == (variance > 0)


@pytest.mark.parametrize("scale", [-1.0, np.nan, np.inf])
def test_a_scale_is_finite_and_not_negative(scale: float) -> None:
    with pytest.raises(OptionError, match=r"initializers.normal: std = .*: it is finite and not negative"):
        init.normal(scale)
    with pytest.raises(OptionError, match=r"initializers.uniform: bound"):
        init.uniform(scale)
