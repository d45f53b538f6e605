"""Operations with a derivative given by hand."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import custom
from chainrule.errors import GradientError


@custom(derivative=lambda g, y, a, b: (g * y * cr.cos(a), g * cr.sin(a) * 2 * b))
def shaded(a, b):
    return cr.sin(a) * b**2


@custom(derivative=lambda g, y, a, b: (g * cr.cos(a) * b**2, g * cr.sin(a) * 2 * b))
def product(a, b):
    return cr.sin(a) * b**2


A, B = np.array([0.3, -1.2]), np.array([2.0, 0.5])


def plain(a, b):
    return cr.sin(a) * b**2


def test_both_modes_and_the_second_order_follow_from_the_rule():
    def loss_by_rule(a, b):
        return (product(a, b) ** 2).sum()

    def loss(a, b):
        return (plain(a, b) ** 2).sum()

    assert np.array_equal(plain(A, B).numpy(), product(A, B).numpy())
    for x, y in zip(cr.grad(loss)(A, B), cr.grad(loss_by_rule)(A, B), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-14)
    along = [np.array([1.0, 2.0]), np.array([-1.0, 3.0])]
    np.testing.assert_allclose(cr.jvp(plain, [A, B], along)[1], cr.jvp(product, [A, B], along)[1], rtol=1e-14)
    for x, y in zip(cr.hessian(loss)(A, B), cr.hessian(loss_by_rule)(A, B), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-13)
    np.testing.assert_allclose(cr.hvp(loss, [A, B], along)[0], cr.hvp(loss_by_rule, [A, B], along)[0], rtol=1e-13)


def test_the_rule_is_used_and_not_the_derivative_of_the_body():
    assert cr.grad(lambda a: shaded(a, 2.0))(1.0).item() == pytest.approx(np.sin(1.0) * 4 * np.cos(1.0))


def test_traced_and_eager_agree():
    a, b = cr.Input((2,), name="a"), cr.Input((2,), name="b")
    y = product(a, b)
    program = cr.evaluate.Program([a, b], [y, *cr.gradient(y.sum(), [a, b])])
    np.testing.assert_array_equal(program(A, B)[0], plain(A, B))
    np.testing.assert_array_equal(program(A, B)[2], cr.grad(lambda a, b: plain(a, b).sum())(A, B)[1])


def test_a_rule_with_too_few_gradients_is_named():
    @custom(derivative=lambda g, y, a, b: g)
    def lopsided(a, b):
        return a * b

    with pytest.raises(GradientError, match=r"derivative of lopsided.*1 gradients: there are 2 inputs"):
        cr.grad(lopsided)(1.0, 2.0)


def test_a_gradient_of_the_wrong_shape_is_named():
    @custom(derivative=lambda g, y, a: g[:1])
    def cut(a):
        return a * 2

    with pytest.raises(
        GradientError, match=r"of cut at test_control.*for input 0 .*\(2,\).*gave \(1,\).*sum over the axes"
    ):
        cr.grad(lambda a: cut(a).sum())(A)


def test_a_gradient_of_another_dtype_is_named_with_its_cast():
    @custom(derivative=lambda g, y, a, b: (g * b, (g * a).astype("float32")))
    def times(a, b):
        return a * b

    with pytest.raises(GradientError, match=r"for input 1 .*float64, it gave \(2,\) of float32.*astype\('float64'\)"):
        cr.grad(lambda a, b: times(a, b).sum())(A, B)
