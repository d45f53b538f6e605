"""Tensors: nodes with NumPy's operators, and the leaves a user makes.

Broadcasting and promotion happen here and nowhere else: `broadcast` inserts explicit `expand` and `cast` nodes, so that
no derivative rule ever has to undo them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, ClassVar, NoReturn, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from chainrule import dispatch, dtypes, products, shaping
from chainrule.aligned import owns
from chainrule.dtypes import DType
from chainrule.errors import DTypeError, ShapeError, TraceError, explain
from chainrule.graph import Node
from chainrule.primitive import Primitive, frozen
from chainrule.primitives import axes, elementwise
from chainrule.shaping import Axis

__all__ = [
    "Input",
    "Parameter",
    "Tensor",
    "TensorLike",
    "as_float",
    "as_tensor",
    "broadcast",
    "constant",
    "promoted",
    "variable",
]

Index: TypeAlias = Any  # an int, a slice, ..., None, an integer array, or a tuple of these


class Tensor(Node):
    """A value that knows how it was computed. Made by operations and by `as_tensor`, never by hand.

    Operators and methods are NumPy's. `value` is a read-only NumPy array, or None where a placeholder is among the
    inputs.

    >>> x = variable([1.0, 2.0], name="x")
    >>> (x * x).sum()
    Tensor(5.0)
    """

    __slots__ = ()
    _SHOWN: ClassVar[int] = 8  # rows and columns of the table in a notebook
    family: ClassVar[type[Node]]

    # What it is
    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    def numpy(self) -> np.ndarray:
        """The value as a read-only NumPy array. Raises TraceError for a placeholder."""
        if self.value is None:
            self._refuse("numpy()")
        return self.value

    def item(self) -> Any:
        """The one element as a Python number."""
        return self.numpy().item()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return dispatch.call_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return dispatch.call_function(function, args, options)

    def __float__(self) -> float:
        return float(self._scalar("float()"))

    def __int__(self) -> int:
        return int(self._scalar("int()"))

    def __index__(self) -> int:
        return self._scalar("an index").__index__()

    def __bool__(self) -> bool:
        wanted = "a condition, such as `if`, `and`, `while`"
        if self.value is not None and self.size != 1:
            raise ShapeError(
                explain(
                    f"{wanted} of {self.describe()}",
                    f"it has {self.size} elements",
                    "a condition on several elements is ambiguous",
                    "Choose for each element with chainrule.where(condition, a, b), or ask one question:"
                    " chainrule.min(condition) whether all hold, chainrule.max(condition) whether any does.",
                )
            )
        return bool(self._scalar(wanted))

    def _scalar(self, wanted: str) -> Any:
        if self.value is None:
            self._refuse(wanted)
        return self.value if self.size != 1 else self.value.reshape(())[()]

    def _refuse(self, wanted: str) -> NoReturn:
        raise TraceError(
            explain(
                f"{wanted} of {self.describe()}",
                "it has no value while the graph is traced",
                "Python cannot branch on or read a placeholder's value",
                "Choose between values with chainrule.where(condition, a, b), or keep this step out of what is traced.",
            )
        )

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        if self.value is None:
            named = f", name={self.name!r}" if self.name else ""
            return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype}{named})"
        prefix = f"{type(self).__name__}("
        text = np.array2string(self.value, separator=", ", prefix=prefix) if self.shape else str(self.value)
        shown = "" if self.dtype in (np.float64, np.int64, np.bool_) else f", dtype={self.dtype}"
        return f"{type(self).__name__}({text}{shown})"

    def _repr_html_(self) -> str:
        """Name, shape and dtype, and the numbers as a table shaded by size: a corner of what is too large."""
        head = f"<b>{escape(self.label)}</b> {type(self).__name__} {self.shape} {self.dtype}"
        if self.value is None or not self.size:
            return head
        flat = self.value.reshape((-1, self.shape[-1] if self.shape else 1))
        rows = flat[: self._SHOWN, : self._SHOWN]
        finite = np.abs(rows[np.isfinite(rows)].astype(np.float64))
        top = float(finite.max(initial=0.0)) or 1.0
        body = "".join(f"<tr>{''.join(_cell(v, top) for v in row)}</tr>" for row in rows)
        cut = f"the first {rows.shape[0]} x {rows.shape[1]} of {flat.shape[0]} x {flat.shape[1]}"
        return f"{head}<table>{body}</table>{cut if rows.size < self.size else ''}"

    def named(self, name: str) -> Tensor:
        """The same value as a node called `name` in messages and pictures."""
        node: Tensor = elementwise.alias(self)
        node.name = name
        return node

    # Operators
    def __add__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.add, self, other)

    def __radd__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.add, other, self)

    def __sub__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.subtract, self, other)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.subtract, other, self)

    def __mul__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.multiply, self, other)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.multiply, other, self)

    def __truediv__(self, other: TensorLike) -> Tensor:
        return divide(self, other)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return divide(other, self)

    def __neg__(self) -> Tensor:
        return elementwise.negative(numeric("negative", self))

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return elementwise.absolute(self)

    def __pow__(self, other: TensorLike) -> Tensor:
        return power(self, other)

    def __rpow__(self, other: TensorLike) -> Tensor:
        return power(other, self)

    def __matmul__(self, other: TensorLike) -> Tensor:
        return products.matmul(*promoted(self, other))

    def __rmatmul__(self, other: TensorLike) -> Tensor:
        return products.matmul(*promoted(other, self))

    def __eq__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return binary(elementwise.equal, self, other)

    def __ne__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return binary(elementwise.not_equal, self, other)

    def __lt__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.less, self, other)

    def __le__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.less_equal, self, other)

    def __gt__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.greater, self, other)

    def __ge__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.greater_equal, self, other)

    __hash__ = object.__hash__  # a node is itself, whatever its value

    def __getitem__(self, key: Index) -> Tensor:
        return shaping.index(self, key)

    # Methods, as NumPy's
    @property
    def T(self) -> Tensor:
        """The tensor with its axes reversed."""
        return shaping.transpose(self)

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one size may be -1."""
        return shaping.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order (none given: reversed)."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return shaping.transpose(self, order)

    def astype(self, dtype: DTypeLike) -> Tensor:
        """The values in another dtype."""
        return cast_to(self, dtypes.checked(dtype))

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The sum over `axis` (None: over all). Booleans and small integers are summed as int64 or uint64."""
        return shaping.reduce(axes.total, widened(self), axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The mean over `axis` (None: over all). Raises ShapeError where there is nothing to average."""
        x = as_average(self)
        count = math.prod([self.shape[i] for i in shaping.axes_of(self, axis, "mean")])
        if not count:
            raise ShapeError(explain(shaping.call_site("mean", self), shaping.shapes_of(self), "the mean of nothing"))
        return shaping.reduce(axes.total, x, axis, keepdims) / count

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The largest element over `axis` (None: over all). Ties share the gradient equally."""
        if any(self.shape[i] == 0 for i in shaping.axes_of(self, axis, "max")):
            raise ShapeError(
                explain(shaping.call_site("max", self), shaping.shapes_of(self), "the largest element of nothing")
            )
        return shaping.reduce(axes.reduce_max, self, axis, keepdims)


def _cell(value: Any, top: float) -> str:
    """A cell of a notebook's table: blue for positive, orange for negative, stronger for larger."""
    text = f"{value:.4g}" if isinstance(value, np.floating) else str(value)
    strength = min(abs(float(value)) / top, 1.0) if np.isfinite(value) else 0.0
    color = "0,114,178" if value > 0 else "213,94,0"
    return f'<td style="background:rgba({color},{0.5 * strength:.2f})">{text}</td>'


class Parameter(Tensor):
    """A leaf with storage that optimizers update: `p.value = array` replaces what it holds.

    Args:
        value: the first value; copied, with its dtype kept if it is a float, else as float32.
        name: what pictures, messages and `state_dict` call it where no module names it.
        trainable: whether `Module.parameters()` lists it (a running mean of a normalization layer is not).

    >>> w = Parameter([1.0, 2.0], name="w")
    >>> w.value = [0.5, 0.0]
    >>> w
    Parameter([0.5, 0. ])
    """

    __slots__ = ("_stored", "trainable")

    def __init__(self, value: ArrayLike, name: str | None = None, *, trainable: bool = True):
        array = as_array(value)
        self._stored = frozen(np.asarray(array, array.dtype if dtypes.is_float(array.dtype) else np.float32, order="C"))
        self.trainable = trainable
        super().__init__(None, (), {}, self._stored.shape, self._stored.dtype, None, tracked=True, name=name)

    @property
    def value(self) -> np.ndarray:
        """What it holds, read-only, row by row. What is assigned must have its shape, and is copied in its dtype."""
        return self._stored

    @value.setter
    def value(self, value: ArrayLike | None) -> None:
        if value is None:
            return
        array = np.array(value, dtype=self.dtype, order="C")
        if array.shape != self.shape:
            raise ShapeError(
                explain(
                    f"assigning to {self.describe()}",
                    f"the value is {array.shape}",
                    "a parameter keeps its shape",
                )
            )
        self._stored = frozen(array)

    def adopt(self, array: np.ndarray) -> None:
        """Hold `array` itself, of the same shape and dtype: it becomes read-only, and nobody may write to it again.

        >>> w, array = Parameter([1.0, 2.0]), np.zeros(2)
        >>> w.adopt(array)
        >>> w.value is array, array.flags.writeable
        (True, False)
        """
        if array.shape == self.shape and array.dtype == self.dtype and array.flags.c_contiguous and owns(array):
            array.setflags(write=False)
            self._stored = array
        else:
            self.value = array


class Input(Tensor):
    """A placeholder: shape and dtype, no value. Calling a function on placeholders traces its graph.

    >>> Input((32, 2), name="x")
    Input(shape=(32, 2), dtype=float64, name='x')
    """

    __slots__ = ()

    def __init__(self, shape: Sequence[int] = (), dtype: DTypeLike = np.float64, name: str | None = None):
        super().__init__(None, (), {}, tuple(map(int, shape)), dtypes.checked(dtype), None, tracked=True, name=name)


Tensor.family = Tensor
TensorLike: TypeAlias = "Tensor | ArrayLike"


def as_array(value: Any) -> np.ndarray:
    """`value` copied into a read-only array of one of our dtypes."""
    try:
        array = np.array(value)
    except ValueError as error:
        raise ShapeError(explain(shaping.call_site("as_tensor"), f"a {type(value).__name__}", str(error))) from None
    if array.dtype not in dtypes.SUPPORTED:
        array = array.astype(dtypes.checked(array.dtype, shaping.call_site("as_tensor")))
    return frozen(array)


def constant(value: Any) -> Tensor:
    """A leaf without history: nothing flows back to it."""
    array = as_array(value)
    return Tensor(None, (), {}, array.shape, array.dtype, array, tracked=False)


def variable(value: ArrayLike, name: str | None = None) -> Tensor:
    """A data leaf that holds a value and that gradients can be taken for.

    >>> variable(-2.0, name="x")
    Tensor(-2.0)
    """
    array = as_array(value)
    return Tensor(None, (), {}, array.shape, array.dtype, array, tracked=True, name=name)


def as_tensor(value: TensorLike, dtype: DTypeLike | None = None) -> Tensor:
    """`value` itself if it is a tensor, else a constant that holds a copy of it; cast to `dtype` if given.

    Raises DTypeError for complex numbers, text and objects.

    >>> as_tensor([1, 2]), as_tensor([1, 2], "float32")
    (Tensor([1, 2]), Tensor([1., 2.], dtype=float32))
    """
    x = value if isinstance(value, Tensor) else constant(value)
    return x if dtype is None else cast_to(x, dtypes.checked(dtype))


def cast_to(x: Tensor, dtype: DType) -> Tensor:
    """`x` in `dtype`, itself if it has it."""
    return x if x.dtype == dtype else elementwise.cast(x, dtype=dtype)


def as_float(value: TensorLike) -> Tensor:
    """`value` as a float tensor: what functions such as exp and mean compute in."""
    x = as_tensor(value)
    return cast_to(x, dtypes.to_float(x.dtype))


def as_average(x: Tensor) -> Tensor:
    """`x` as what an average is computed in: its own float dtype, float64 for integers and booleans."""
    return x if dtypes.is_float(x.dtype) else cast_to(x, np.dtype("float64"))


def widened(x: Tensor) -> Tensor:
    """`x` as what it is added up in: booleans and small integers in 64 bits."""
    if dtypes.is_float(x.dtype):
        return x
    return cast_to(x, np.dtype("uint64" if x.dtype.kind == "u" else "int64"))


def numeric(called: str, x: Tensor) -> Tensor:
    """`x`, or a DTypeError if it is of booleans."""
    if x.dtype.kind == "b":
        raise DTypeError(
            explain(
                shaping.call_site(called, x),
                f"{x.label} is of booleans",
                "it is defined for numbers",
                "Use logical_not, or x.astype('int64').",
            )
        )
    return x


def promoted(*values: TensorLike) -> list[Tensor]:
    """`values` as tensors of the one dtype that NumPy's promotion gives."""
    first = values[0]
    if isinstance(first, Tensor) and all(isinstance(v, Tensor) and v.dtype == first.dtype for v in values):
        return list(values)  # type: ignore[arg-type]
    kinds = [v if type(v) in (bool, int, float) else as_tensor(v).dtype for v in values]
    dtype = dtypes.promote(*kinds)  # type: ignore[arg-type]
    return [_number(v, dtype) if type(v) in (bool, int, float) else as_tensor(v, dtype) for v in values]


def _number(value: Any, dtype: DType) -> Tensor:
    try:
        array = frozen(np.asarray(value, dtype))
    except OverflowError:
        raise DTypeError(
            explain(
                shaping.call_site("mixing dtypes"),
                f"the number {value}",
                f"it is outside {dtype}",
                "Cast the tensor to a wider dtype first.",
            )
        ) from None
    return Tensor(None, (), {}, (), dtype, array, tracked=False)


def broadcast(called: str, *values: TensorLike) -> list[Tensor]:
    """`values` as tensors of one dtype and one shape, or a ShapeError that names them."""
    return shaping.broadcast(called, *promoted(*values))


def binary(primitive: Primitive, a: TensorLike, b: TensorLike) -> Tensor:
    """An element-wise operation of two values, broadcast and promoted."""
    x, y = broadcast(primitive.name, a, b)
    if primitive is elementwise.subtract and x.dtype.kind == "b":
        raise DTypeError(
            explain(shaping.call_site("subtract", x, y), "two booleans", "it is not defined", "Use a != b.")
        )
    return primitive(x, y)


def divide(a: TensorLike, b: TensorLike) -> Tensor:
    """a / b; of integers the result is a float64, as in NumPy."""
    x, y = broadcast("divide", a, b)
    dtype = np.dtype("float64") if not dtypes.is_float(x.dtype) else x.dtype
    return elementwise.divide(cast_to(x, dtype), cast_to(y, dtype))


def power(a: TensorLike, b: TensorLike) -> Tensor:
    """a ** b. For a number b the derivative is exact at a = 0 to every order."""
    if isinstance(a, Tensor) and type(b) in (int, float):
        a = cast_to(a, np.dtype("int64")) if a.dtype.kind == "b" else a
        if type(b) is int and b >= 0:
            return elementwise.power_of(a, exponent=b)
        return elementwise.power_of(as_average(a), exponent=b)
    x, y = broadcast("power", a, b)
    if x.dtype.kind == "b":
        x, y = cast_to(x, np.dtype("int8")), cast_to(y, np.dtype("int8"))
    return elementwise.power(x, y)
