"""Element types: which there are, and what results when they mix (NumPy's promotion)."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import DTypeLike

from chainrule.errors import DTypeError, explain

__all__ = ["DType", "Scalar", "checked", "is_float", "is_whole", "promote", "to_float"]

DType: TypeAlias = np.dtype[Any]
Scalar: TypeAlias = bool | int | float

FLOATS = (np.dtype("float32"), np.dtype("float64"))
INTEGERS = tuple(np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))
_WHOLE = (int, np.integer)
SUPPORTED = frozenset((*FLOATS, *INTEGERS, np.dtype("bool")))


def checked(dtype: DTypeLike, called: str = "dtype") -> DType:
    """`dtype` as a NumPy dtype in native byte order, if it is one of ours: float32, float64, integers, bool.

    >>> checked("float32")
    dtype('float32')
    """
    found = np.dtype(dtype).newbyteorder("=")
    if found not in SUPPORTED:
        raise DTypeError(
            explain(
                called,
                f"the dtype is {found}",
                "values are float32, float64, integers or booleans",
                "Convert first, for example with x.astype('float64').",
            )
        )
    return found


def is_float(dtype: DType) -> bool:
    """Whether values of `dtype` can carry a derivative."""
    return dtype.kind == "f"


def is_whole(value: object) -> TypeGuard[int]:
    """Whether `value` is a whole number, Python's or NumPy's; a boolean is none.

    >>> is_whole(3), is_whole(np.uint8(3)), is_whole(3.0), is_whole(True)
    (True, True, False, False)
    """
    return isinstance(value, _WHOLE) and not isinstance(value, bool)


def promote(*operands: DType | Scalar) -> DType:
    """The dtype of an operation on `operands` (NumPy's rule; a Python number never widens a float array).

    >>> promote(np.dtype("float32"), 2.0)
    dtype('float32')
    >>> promote(np.dtype("float32"), np.dtype("int64"))
    dtype('float64')
    """
    return checked(np.result_type(*operands), "mixing dtypes")


def to_float(dtype: DType) -> DType:
    """The float dtype that exp, sqrt, ... give for `dtype`.

    NumPy's, but for integers of 8 bits and booleans, where NumPy's float16 is not one of ours: float32.
    """
    if is_float(dtype):
        return dtype
    return np.dtype("float32") if dtype.itemsize <= 2 else np.dtype("float64")
