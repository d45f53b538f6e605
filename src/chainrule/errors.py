"""The errors of chainrule: every one says what was called, what it got, the rule broken, and the likely repair."""

from __future__ import annotations

__all__ = [
    "ChainruleError",
    "CompileError",
    "DTypeError",
    "DataError",
    "FileFormatError",
    "GradientError",
    "MissingExtraError",
    "NonFiniteError",
    "OptionError",
    "ShapeError",
    "TargetError",
    "TraceError",
    "VerificationError",
    "explain",
]


class ChainruleError(Exception):
    """The parent of all errors that chainrule raises on purpose."""


class ShapeError(ChainruleError, ValueError):
    """Shapes, axes or indices that do not fit together."""


class DTypeError(ChainruleError, TypeError):
    """An element type that the operation does not take."""


class GradientError(ChainruleError, ValueError):
    """A derivative that does not exist or does not fit (a vector loss, a wrong custom rule, ...)."""


class TraceError(ChainruleError, TypeError):
    """Python asked a placeholder for a value it does not have (`if x > 0:`, `float(x)`, ...)."""


class DataError(ChainruleError, ValueError):
    """Data that cannot be trained on: empty, NaN or infinite, rows that do not match."""


class TargetError(DataError):
    """Targets outside the range that the loss is defined for."""


class OptionError(ChainruleError, ValueError):
    """An option outside its range (a negative step size, a batch larger than the data, ...)."""


class NonFiniteError(ChainruleError, ArithmeticError):
    """A value became NaN or infinite while training; carries the partial `history`, and the message without repair."""

    history: object | None = None
    found: str = ""


class FileFormatError(ChainruleError, ValueError):
    """A file that is corrupt, truncated, or not one of ours."""


class CompileError(ChainruleError, NotImplementedError):
    """A graph that cannot be compiled; names the node."""


class VerificationError(ChainruleError, AssertionError):
    """The compiled engine and the reference differ by more than rounding."""


class MissingExtraError(ChainruleError, ImportError):
    """An optional dependency is not installed."""

    @classmethod
    def of(cls, package: str, extra: str, what: str) -> MissingExtraError:
        """The error for `what`, which needs `package` from the optional group `extra`."""
        return cls(f"{what} needs {package}, which is not installed: pip install 'chainrule[{extra}]'")


def explain(called: str, got: str, rule: str, repair: str = "") -> str:
    """One message out of its four parts, in the order a reader needs them.

    >>> explain("matmul(x, w) at train.py:14", "x is (32, 3), w is (4, 5)", "the inner sizes 3 and 4 differ")
    'matmul(x, w) at train.py:14: x is (32, 3), w is (4, 5): the inner sizes 3 and 4 differ'
    """
    message = f"{called}: {got}: {rule}" if got else f"{called}: {rule}"
    return f"{message}. {repair}" if repair else message
