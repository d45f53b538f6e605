"""Training: the model's parameters (`fit`) or the rows of the data (`fit_data`) are moved to lower the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chainrule.dtypes import is_float, is_whole
from chainrule.errors import DTypeError, OptionError, explain
from chainrule.graph import tracing
from chainrule.history import History, TrainingState
from chainrule.optim import Optimizer
from chainrule.tensor import Tensor
from chainrule.training.checks import (
    UnreachableTargetWarning,
    check_options,
    check_parts,
    check_targets,
    checked_rows,
    checked_sets,
    plan_steps,
    warn_unreachable,
)
from chainrule.training.engines import engine_called
from chainrule.training.loop import Run
from chainrule.training.progress import Progress
from chainrule.training.ready import Task, made_ready
from chainrule.training.record import Rows
from chainrule.training.reference import ReferenceRunner
from chainrule.training.resume import resume_from
from chainrule.training.stopping import EarlyStopping, Watch
from chainrule.training.trace import Traced, trace_data_step, trace_step
from chainrule.training.verify import verify_step

__all__ = ["EarlyStopping", "Progress", "UnreachableTargetWarning", "fit", "fit_data"]

Model = Callable[..., Any]
Loss = Callable[[Any, Any], Any]
Callback = Callable[[Progress], Any]


def fit(
    model: Model,
    loss: Loss,
    optimizer: Optimizer | Sequence[tuple[Any, Optimizer]],
    x: ArrayLike | tuple[ArrayLike, ...],
    t: ArrayLike | tuple[ArrayLike, ...],
    *,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    sampling: str | ArrayLike | None = None,
    seed: int | None = 0,
    sample_weight: ArrayLike | None = None,
    validation: tuple[Any, Any] | None = None,
    record_every: int | None = None,
    record_on: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Callable[[Any, Any], Any]] | None = None,
    clip: Callable[[list[Tensor]], list[Tensor]] | None = None,
    early_stopping: EarlyStopping | None = None,
    callbacks: Sequence[Callback] | Callback = (),
    progress: bool | None = None,
    resume: TrainingState | History | None = None,
    engine: str | None = None,
    check_finite: bool = True,
    verify: bool = False,
    fallback: bool = False,
) -> History:
    """Move the model's parameters step by step along the gradient of the loss, and return the records.

    Model, loss and optimizer are called once, on placeholders; the graph of a step that comes of it is then run. The
    loss of a step is the mean over its rows (with weights: of w l, with w scaled to the mean 1 over all rows).

    Args:
        model: a module, or a function of tensors that uses parameters. It is left with its new parameters.
        loss: (y, t) -> one value a row, or one number.
        optimizer: one for all parameters, or pairs (module or list of parameters, optimizer); those in no pair stay.
        x: (rows, ...), or a tuple of such arrays for a model of several inputs. A memory map is read row by row.
        t: (rows, ...), the targets (or a tuple of them).
        steps: how many steps to make; or
        epochs: how often to go through the data.
        batch_size: rows a step; None: all.
        sampling: "replacement" (the default with `steps`), "shuffle" (the default with `epochs`: every row once an
            epoch, in a new order), "all" (the default without a batch size), or the row numbers of every step, (steps,)
            or (steps, batch).
        seed: decides all draws; None: a fresh one, found in `history.state.seed`.
        sample_weight: (rows,), not negative.
        validation: (x, t), recorded as "validation".
        record_every: take a record before the steps 0, k, 2k, ...; None: about a hundred in all, at most one an epoch;
            0: none.
        record_on: name -> more rows to record the loss of: a slice, mask or row numbers of x, or (x, t). The
            name "train" stands for all rows of x unless it is given here.
        metrics: name -> function (y, t) of a value a row, or a number, recorded on every set.
        clip: gradients -> gradients, such as `optim.ClipByGlobalNorm(1.0)`.
        early_stopping: when to stop before the end.
        callbacks: functions of a `Progress`, called about ten times a second, at records and at the end; one that
            returns True or "stop" ends the run. The steps go on from what they assign to parameters.
        progress: whether to show a bar; None: in terminals and notebooks.
        resume: the state (or history) of a run to go on with: `steps` and `epochs` are then further ones.
        engine: "compiled" (a chunk of steps is one call of machine code, which takes results below the least normal
            number, 1e-38 in float32, for 0) or "reference" (one NumPy call an operation); None: compiled, or the
            reference where llvmlite is not installed.
        check_finite: whether a NaN or infinity ends the run with a NonFiniteError.
        verify: compare the compiled engine with the reference on the first step, operation by operation, before the
            run; the first node that differs beyond rounding is named by a VerificationError.
        fallback: where the step cannot be compiled (or llvmlite is missing), warn (FallbackWarning) of the node it is
            for, and make the whole run on the reference engine.

    Ctrl-C ends the run after the step under way; the history says `stopped == "interrupted"`.

    Raises ShapeError, DTypeError, DataError (empty data, NaN, infinity), TargetError (targets the loss does not take),
    OptionError, and CompileError, which names the node that has no machine code, all before anything is changed;
    NonFiniteError, which carries the partial `history`, while running.
    Warns (UnreachableTargetWarning) of targets that the last layer cannot reach.

    >>> from chainrule import losses, nn, optim
    >>> model = nn.Linear(1, 1, seed=0, dtype="float64")
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> history = fit(model, losses.squared, optim.SGD(0.1), x, 3 * x + 1, steps=500, record_every=100)
    >>> len(history.loss), round(float(model([[4.0]]).item()), 3)
    (5, 13.0)
    """
    state = resume.state if isinstance(resume, History) else resume
    check_parts("fit", model, loss, optimizer)
    check_options(
        "fit", callbacks=callbacks, metrics=metrics, record_on=record_on, clip=clip, early_stopping=early_stopping,
        resume=state,
    )  # fmt: skip
    train = checked_rows("fit", "train", x, t, sample_weight)
    sampler, start, stop = plan_steps("fit", len(train), steps, epochs, batch_size, sampling, seed, state)

    def trace() -> Traced:
        with tracing():
            return trace_step(model, loss, optimizer, train.x, train.t, train.weights, sampler.batch_size, clip)

    return _run(
        Task("fit", model, loss, optimizer, clip, trace, train, None, sampler, start, stop),
        validation=validation, record_every=record_every, record_on=record_on, metrics=metrics, state=state,
        early_stopping=early_stopping, callbacks=callbacks, progress=progress, engine=engine, check_finite=check_finite,
        verify=verify, fallback=fallback,
    )  # fmt: skip


def fit_data(
    model: Model,
    loss: Loss,
    optimizer: Optimizer,
    x: ArrayLike,
    t: ArrayLike | tuple[ArrayLike, ...],
    *,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = 1,
    sampling: str | ArrayLike | None = None,
    seed: int | None = 0,
    sample_weight: ArrayLike | None = None,
    record_every: int | None = None,
    record_on: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Callable[[Any, Any], Any]] | None = None,
    clip: Callable[[list[Tensor]], list[Tensor]] | None = None,
    early_stopping: EarlyStopping | None = None,
    callbacks: Sequence[Callback] | Callback = (),
    progress: bool | None = None,
    resume: TrainingState | History | None = None,
    engine: str | None = None,
    check_finite: bool = True,
    verify: bool = False,
    fallback: bool = False,
) -> History:
    """Move the rows of the data along the gradient of their loss, and leave the model as it is.

    Every row that is drawn moves by the gradient of its own loss, however many are drawn together (a row drawn twice
    in one batch moves once); the optimizer keeps a state for each row. The model runs as in evaluation (no dropout).

    Args:
        x: (rows, ...), floats; a copy is moved, and returned as `history.data`.

    The other arguments are those of `fit`. `history.updates` counts the draws whose gradient was not zero.

    >>> from chainrule import losses, nn, optim
    >>> model = nn.Linear(1, 1, seed=0, dtype="float64")
    >>> model.load_state_dict({"weight": [[1.0]], "bias": [0.0]})
    >>> history = fit_data(model, losses.hinge, optim.SGD(0.5), [[-1.0], [3.0]], [1.0, 1.0], steps=40)
    >>> history.data.tolist(), history.updates
    ([[1.0], [3.0]], 4)
    """
    state = resume.state if isinstance(resume, History) else resume
    check_parts("fit_data", model, loss, optimizer)
    check_options(
        "fit_data", callbacks=callbacks, metrics=metrics, record_on=record_on, clip=clip,
        early_stopping=early_stopping, resume=state,
    )  # fmt: skip
    train = checked_rows("fit_data", "train", x, t, sample_weight)
    if len(train.x) != 1:
        raise OptionError(explain("fit_data", f"x is a tuple of {len(train.x)} arrays", "one array is moved"))
    if not is_float(train.x[0].dtype):
        got, repair = f"x is {train.x[0].dtype}", "Convert first: x.astype('float64')."
        raise DTypeError(explain("fit_data", got, "only floats can be moved", repair))
    sampler, start, stop = plan_steps("fit_data", len(train), steps, epochs, batch_size, sampling, seed, state)
    moved = np.array(train.x[0], train.x[0].dtype.newbyteorder("="), order="C")
    train = Rows("train", (moved,), train.t, train.weights)
    if not isinstance(optimizer, Optimizer):
        raise OptionError(explain("fit_data", f"optimizer={optimizer!r}", "it is one optimizer, as optim.SGD(0.05)"))

    def trace() -> Traced:
        with tracing():
            return trace_data_step(model, loss, optimizer, moved, train.t, train.weights, sampler.batch_size, clip)

    return _run(
        Task("fit_data", model, loss, optimizer, clip, trace, train, moved, sampler, start, stop),
        validation=None, record_every=record_every, record_on=record_on, metrics=metrics, state=state,
        early_stopping=early_stopping, callbacks=callbacks, progress=progress, engine=engine, check_finite=check_finite,
        verify=verify, fallback=fallback,
    )  # fmt: skip


def _run(
    task: Task, *, validation: Any, record_every: int | None, record_on: Mapping[str, Any] | None,
    metrics: Mapping[str, Any] | None, state: TrainingState | None, early_stopping: EarlyStopping | None,
    callbacks: Sequence[Callback] | Callback, progress: bool | None, engine: str | None, check_finite: bool,
    verify: bool, fallback: bool,
) -> History:  # fmt: skip
    """What `fit` and `fit_data` share: the rest of the checks, then the run."""
    train, sampler = task.train, task.sampler
    runner = engine_called(task.called, engine)
    sets = checked_sets(task.called, train, validation, record_on)
    every = _record_every(task.called, record_every, task.stop - task.start, len(train), sampler.batch_size)
    ready = made_ready(task, sets, every, metrics or {}, runner, verify, fallback)
    for rows, shape in zip(sets, ready.shapes, strict=True):
        check_targets(task.loss, rows.t[0], shape)
    warn_unreachable(task.model, task.loss, train.t)
    history = History(record_every=every, rows=len(train), updates=0 if task.moved is not None else None)
    if verify and not isinstance(ready.runner, ReferenceRunner):
        verify_step(ready.traced, task.data, sampler, task.start)
    run = Run(
        called=task.called,
        traced=ready.traced,
        runner=ready.runner,
        data=task.data,
        sampler=sampler.apart() if callbacks else sampler,  # a callback may change the array they came from
        step=task.start,
        stop=task.stop,
        evaluator=ready.evaluator,
        sets=sets,
        history=history,
        model=task.model,
        trace=task.trace,
        looping=ready.looping,
        watch=_watch(task.called, early_stopping, sets, every),
        callbacks=(callbacks,) if callable(callbacks) else tuple(callbacks),
        progress=progress,
        check_finite=check_finite,
    )
    if state is not None:
        resume_from(run, state)
    history = run.go()
    history.compiled = getattr(ready.runner, "compiled", None)
    ready.keep()
    return history


def _record_every(called: str, wanted: int | None, steps: int, rows: int, batch_size: int) -> int:
    if wanted is None:
        return max(math.ceil(steps / 100), math.ceil(rows / batch_size))
    if not is_whole(wanted) or wanted < 0:
        raise OptionError(explain(called, f"record_every={wanted!r}", "it is a whole number, 0 for no records"))
    return int(wanted)


def _watch(called: str, rule: EarlyStopping | None, sets: Sequence[Rows], every: int) -> Watch | None:
    if rule is None:
        return None
    names = [rows.name for rows in sets]
    if rule.monitor not in names or not every:
        got = f"monitor={rule.monitor!r}, recorded: {', '.join(names) if every else 'nothing'}"
        repair = "Give validation=(x, t), or EarlyStopping(monitor='train', ...)."
        raise OptionError(explain(f"{called}(early_stopping=...)", got, "it watches a loss that is recorded", repair))
    return Watch(rule)
