"""From model, loss and optimizer to the graph of one step: each is called once, on placeholders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.autodiff import gradient
from chainrule.dtypes import checked, is_float
from chainrule.errors import DTypeError, OptionError, ShapeError, explain
from chainrule.functions import reshape
from chainrule.graph import walk
from chainrule.nn import Module, training
from chainrule.optim import Optimizer
from chainrule.tensor import Input, Parameter, Tensor, as_tensor
from chainrule.training.step import Arrays, Carry, Step
from chainrule.vectorize import vmap

__all__ = ["Traced", "named_parameters", "per_row_loss", "trace_data_step", "trace_step"]

Array = NDArray[Any]
_RETURN = "Add the `return` that is missing at the end of what it computes."
Clip = Callable[[list[Tensor]], list[Tensor]]


class Traced(NamedTuple):
    """A step, the values it starts from, and what its parts are to the user.

    Attributes:
        parameters: what the first carried values belong to, by path; empty where data are moved.
        gradients: the gradient of everything that is moved, by path.
        outputs: what the model gave.
        loss: the name of the loss.
        rules: the optimizer of everything that is moved, by path.
    """

    step: Step
    arrays: Arrays
    parameters: Mapping[str, Parameter]
    gradients: Mapping[str, Tensor]
    outputs: Sequence[Tensor]
    loss: str
    rules: Mapping[str, Optimizer]

    def begun(self, x: Array | None = None) -> Traced:
        """The same step, to be run from the values that the parameters have now (or from `x`, which is to be moved)."""
        step, rules = self.step, self.rules
        if x is not None:
            states = _first_states(rules["x"], x).values() if len(step.moving) > 1 else ()
            arrays = Arrays([], [x, *map(np.array, states)])
        else:
            arrays = Arrays([parameter.value for parameter in self.parameters.values()])
            if len(step.whole) > len(arrays.whole):
                for path, rule in rules.items():
                    arrays.whole += _first_states(rule, self.parameters[path].value).values()
        return Traced(step, arrays, self.parameters, self.gradients, self.outputs, self.loss, rules)


def placeholders(name: str, arrays: Sequence[Array], batch: int) -> list[Tensor]:
    """Leaves for `batch` rows of each of `arrays`."""
    names = [name] if len(arrays) == 1 else [f"{name}[{i}]" for i in range(len(arrays))]
    return [
        Input((batch, *array.shape[1:]), checked(array.dtype), name=label)
        for label, array in zip(names, arrays, strict=True)
    ]


def as_argument(leaves: Sequence[Any]) -> Any:
    """The one array or tensor, or the tuple of several, as the user gave it."""
    return leaves[0] if len(leaves) == 1 else tuple(leaves)


def tensors_in(output: Any) -> list[Tensor]:
    """The tensors that a model gave: its output, or those of its tuple."""
    return [y for y in (output if isinstance(output, tuple) else (output,)) if isinstance(y, Tensor)]


def named_parameters(model: Any, output: Any = None) -> dict[str, Parameter]:
    """The parameters of a module by path, or those that a plain function's output is computed from."""
    if isinstance(model, Module):
        return dict(model.named_parameters())
    leaves = [node for node in walk(tensors_in(output)) if isinstance(node, Parameter)]
    labels = [leaf.name or f"parameter{i}" for i, leaf in enumerate(leaves)]
    return {
        label if labels.count(label) == 1 else f"{label}{i}": leaf
        for i, (label, leaf) in enumerate(zip(labels, leaves, strict=True))
    }


def name_of(function: Any) -> str:
    """What to call a model or a loss in a message."""
    return str(getattr(function, "__name__", None) or getattr(function, "func", function))


def output_of(model: Any, xs: Sequence[Tensor]) -> Any:
    """What the model gives for these placeholders; None is refused."""
    y = model(*xs)
    if y is None:
        raise DTypeError(
            explain(f"the model {name_of(model)}", "it returned None", "a model gives its output", _RETURN)
        )
    return y


def per_row_loss(loss: Any, y: Any, t: Any, batch: int) -> Tensor:
    """The loss of every row, (batch,), or one number; whatever else a loss returns is refused."""
    found, called = loss(y, t), f"the loss {name_of(loss)}"
    if found is None:
        raise DTypeError(explain(called, "it returned None", "a loss gives one number a row", _RETURN))
    values = as_tensor(found)
    if not is_float(values.dtype):
        raise DTypeError(explain(called, f"it returned {values.dtype}", "a loss is a float"))
    if values.shape not in ((), (batch,)):
        raise ShapeError(
            explain(
                called,
                f"for {batch} rows it returned {values.shape}",
                f"a loss is one number a row, ({batch},), or one number, ()",
                "Sum over the other axes, for example values.sum(axis=1).",
            )
        )
    return values


def clipped(clip: Clip, gradients: list[Tensor]) -> list[Tensor]:
    """What `clip` makes of the gradients: as many, of the same shapes."""
    found = clip(gradients)
    called, rule = f"the clip {name_of(clip)}", "it gives one gradient for each it was given, of the same shape"
    if not isinstance(found, list | tuple):
        raise DTypeError(explain(called, f"it returned {type(found).__name__}", rule, _RETURN if found is None else ""))
    made = [as_tensor(g) for g in found]
    if [g.shape for g in made] != [g.shape for g in gradients]:
        shapes = ", ".join(str(g.shape) for g in made)
        raise ShapeError(explain(called, f"for {len(gradients)} gradients it returned shapes {shapes}", rule))
    return made


def batch_loss(values: Tensor, batch: int, weights: Tensor | None) -> Tensor:
    """The mean over the rows; `weights` have mean 1 over the whole data."""
    if weights is not None and not values.shape:
        raise OptionError(
            explain(
                "fit(sample_weight=...)",
                "the loss returned one number for the batch",
                "weights need a loss a row",
                "Return per-row values of shape (batch,) from the loss.",
            )
        )
    values = values if weights is None else values * weights.astype(values.dtype)
    if not values.shape:
        return values
    return reshape(values, ()) if batch == 1 else values.mean()


@dataclass(frozen=True)
class _Start:
    """Carried values under construction."""

    carries: list[Carry]
    values: list[Array]

    def add(self, name: str, before: Tensor, after: Tensor, value: Array) -> None:
        if after.shape != before.shape or after.dtype != before.dtype:
            raise ShapeError(
                explain(
                    f"the update of {name}",
                    f"from {before.shape} {before.dtype} it makes {after.shape} {after.dtype}",
                    "shape and dtype must stay",
                    "Keep the optimizer's numbers as Python floats, or cast with .astype(p.dtype).",
                )
            )
        self.carries.append(Carry(name, before, after))
        self.values.append(value)


def trace_step(
    model: Any,
    loss: Any,
    optimizer: Any,
    x: Sequence[Array],
    t: Sequence[Array],
    weights: Array | None,
    batch: int,
    clip: Clip | None,
) -> Traced:
    """The step that moves the model's parameters."""
    xs, ts = placeholders("x", x, batch), placeholders("t", t, batch)
    ws = placeholders("sample_weight", [weights], batch) if weights is not None else []
    step, seed = Input((), np.int64, name="step"), Input((), np.int64, name="seed")
    with training(seed, step, write=False) as opened:
        y = output_of(model, xs)
    total = batch_loss(per_row_loss(loss, y, as_argument(ts), batch), batch, ws[0] if ws else None)
    known = named_parameters(model, y)
    chosen = assigned(optimizer, known)
    gradients: list[Tensor] = gradient(total, [known[path] for path in chosen])
    if clip is not None:
        gradients = clipped(clip, gradients)
    start, states = _Start([], []), _Start([], [])
    for (path, rule), g in zip(chosen.items(), gradients, strict=True):
        _update(start, states, path, known[path], rule, g, step, known[path].value)
    paths = {parameter: path for path, parameter in known.items()}
    for i, (parameter, after) in enumerate(opened.updates.items()):
        start.add(paths.get(parameter, f"statistic{i}"), parameter, after.astype(parameter.dtype), parameter.value)
    carried = (*start.carries, *states.carries)
    traced = Step(carried, (), (*xs, *ts, *ws), step, seed, total)
    moved = {carry.name: carry.before for carry in start.carries if isinstance(carry.before, Parameter)}
    return Traced(
        traced,
        Arrays([*start.values, *states.values]),
        moved,
        dict(zip(chosen, gradients, strict=True)),
        tensors_in(y),
        name_of(loss),
        chosen,
    )


def trace_data_step(
    model: Any, loss: Any, rule: Optimizer, x: Array, t: Sequence[Array], weights: Array | None, batch: int,
    clip: Clip | None,
) -> Traced:  # fmt: skip
    """The step that moves the rows of `x`, each by the gradient of its own loss; the model stays."""
    (rows,), ts = placeholders("x", [x], batch), placeholders("t", t, batch)
    ws = placeholders("sample_weight", [weights], batch) if weights is not None else []
    step, seed = Input((), np.int64, name="step"), Input((), np.int64, name="seed")
    y = output_of(model, [rows])
    values = per_row_loss(loss, y, as_argument(ts), batch)
    mean = batch_loss(values, batch, ws[0] if ws else None)
    total = mean if not values.shape else mean * batch
    (g,) = gradient(total, [rows])
    if clip is not None:
        g = vmap(lambda row: clipped(clip, [row])[0])(g)  # each for itself, whatever else is drawn
    start, states = _Start([], []), _Start([], [])
    _update(start, states, "x", rows, rule, g, step, x)
    for value in states.values:
        if value.shape[:1] != x.shape[:1]:
            got, repair = f"it keeps a state of {value.shape}", "Use SGD, Momentum or Adam."
            raise OptionError(explain(f"fit_data with {rule}", got, "its state is to have one entry a row", repair))
    moving = (*start.carries, *states.carries)
    changed = (g != 0).reshape((batch, -1)).max(axis=1).astype("int64").sum()
    traced = Step((), moving, (*ts, *ws), step, seed, mean, changed)
    arrays = Arrays([], [x, *map(np.array, states.values)])
    return Traced(traced, arrays, {}, {"x": g}, tensors_in(y), name_of(loss), {"x": rule})


def _update(
    start: _Start, states: _Start, path: str, leaf: Tensor, rule: Optimizer, g: Tensor, step: Tensor, value: Array
) -> None:
    """One parameter (or the data's rows) and its optimizer's state, before and after; `value` is the whole array."""
    first = _first_states(rule, value)
    sizes = {name: s.shape if s.shape != value.shape else leaf.shape for name, s in first.items()}
    before: dict[str, Tensor] = {name: Input(sizes[name], s.dtype, name=f"{path}/{name}") for name, s in first.items()}
    new, after = rule.update(leaf, g, before, step)
    start.add(path, leaf, as_tensor(new), value)
    for name, s in first.items():
        states.add(f"{path}/{name}", before[name], as_tensor(after[name]), s)


def _first_states(rule: Optimizer, value: Array) -> dict[str, Array]:
    """What an optimizer remembers of a value before the first step, by name."""
    return {name: as_tensor(s).numpy() for name, s in rule.init(_lent(value)).items()}


def _lent(value: Array) -> Tensor:
    """A constant that holds `value` itself, for a while: it may be large."""
    array = value.view()
    array.flags.writeable = False
    return Tensor(None, (), {}, array.shape, array.dtype, array, tracked=False)


def assigned(optimizer: Any, known: Mapping[str, Parameter]) -> dict[str, Optimizer]:
    """The optimizer of every parameter that has one, by path. Raises OptionError for a parameter that has two."""
    trainable = {path: p for path, p in known.items() if p.trainable}
    if not trainable:
        rule, repair = "there is nothing to train", "Assign parameters as attributes of the module."
        raise OptionError(explain("fit", "the model has no trainable parameters", rule, repair))
    if isinstance(optimizer, Optimizer):
        return dict.fromkeys(trainable, optimizer)
    paths = {parameter: path for path, parameter in trainable.items()}
    found: dict[str, Optimizer] = {}
    for part, rule_ in _pairs(optimizer):
        for parameter in part.parameters() if isinstance(part, Module) else part:
            if parameter not in paths:
                got = f"{parameter.describe()} is not among the model's trainable parameters"
                raise OptionError(explain("fit(optimizer=[...])", got, "an optimizer moves parameters of the model"))
            path = paths[parameter]
            if path in found:
                rule, repair = "two optimizers would move it", "List it once."
                raise OptionError(explain("fit(optimizer=[...])", f"parameter {path!r}", rule, repair))
            found[path] = rule_
    return {path: found[path] for path in trainable if path in found}


def _pairs(optimizer: Any) -> list[tuple[Any, Optimizer]]:
    pairs = list(optimizer) if isinstance(optimizer, list | tuple) else []
    if not pairs or not all(isinstance(p, tuple) and len(p) == 2 and isinstance(p[1], Optimizer) for p in pairs):
        raise OptionError(
            explain(
                "fit",
                f"optimizer={optimizer!r}",
                "it is an optimizer, or a list of pairs (module or list of parameters, optimizer)",
                "For example optim.SGD(1e-3), or [(net[0], optim.SGD(1e-3)), (net[2], optim.Adam(1e-3))]."
                " The order is fit(model, loss, optimizer, x, t).",
            )
        )
    return pairs
