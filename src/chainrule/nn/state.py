"""Whether a saved state fits a model: all is looked at before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.errors import DTypeError, OptionError, ShapeError, explain
from chainrule.tensor import Parameter, Tensor, as_tensor

__all__ = ["check_state"]


def check_state(own: Mapping[str, Parameter], state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The values in `state` for the parameters `own`, if they fit in names, shapes and dtypes."""
    _check_names(own, state)
    values = {path: as_tensor(state[path]) for path in own}
    for path, p in own.items():
        _check_fits(path, p, values[path])
    return values


def _check_names(own: Mapping[str, Parameter], state: Mapping[str, Any]) -> None:
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unexpected:
        got = [
            f"{kind} {', '.join(names)}" for kind, names in (("missing", missing), ("unexpected", unexpected)) if names
        ]
        raise OptionError(
            explain(
                "load_state_dict",
                "; ".join(got),
                "it must name exactly this model's parameters",
                "Build the model as it was when the state was taken.",
            )
        )


def _check_fits(path: str, p: Parameter, value: Any) -> None:
    if value.shape != p.shape:
        raise ShapeError(
            explain(
                "load_state_dict",
                f"{path} is {p.shape}, its new value is {value.shape}",
                "the shapes differ",
                "Build the model with the sizes it had when the state was taken.",
            )
        )
    if value.dtype != p.dtype:
        raise DTypeError(
            explain(
                "load_state_dict",
                f"{path} is {p.dtype}, its new value is {value.dtype}",
                "the dtypes differ",
                f'Change the model first: model.astype("{value.dtype}").',
            )
        )
