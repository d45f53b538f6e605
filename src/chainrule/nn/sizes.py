"""The sizes of layers: whole numbers from 1 up."""

from __future__ import annotations

import numbers

from chainrule.errors import OptionError, explain

__all__ = ["whole"]


def whole(called: str, name: str, value: object) -> int:
    """`value`, the size `name` of the layer `called`, as an int. Raises OptionError for any but 1, 2, 3, ...

    >>> whole("Linear", "inputs", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        repair = f"Write {name}={int(value)}." if isinstance(value, float) and value.is_integer() and value >= 1 else ""
        raise OptionError(explain(called, f"{name} = {value!r}", "it is a whole number, at least 1", repair))
    return int(value)
