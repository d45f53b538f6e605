"""The run over the steps, the same for every engine: chunks, records, stopping, callbacks, Ctrl-C, errors."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import NonFiniteError
from chainrule.history import History, TrainingState
from chainrule.sampling import Sampler
from chainrule.training.chunks import REPORT, Chunks
from chainrule.training.interrupts import Interrupts
from chainrule.training.nonfinite import explain_nonfinite
from chainrule.training.past import Past
from chainrule.training.progress import Bar, Progress
from chainrule.training.record import Evaluator, Rows
from chainrule.training.step import Array, LoopRunner, Ran, Runner
from chainrule.training.stopping import Watch
from chainrule.training.trace import Traced

__all__ = ["Run"]


@dataclass
class Run:
    """One training run: what is trained (`traced`), on what, by which engine, from `step` to `stop`."""

    called: str
    traced: Traced
    runner: Runner
    data: Sequence[Array]
    sampler: Sampler
    step: int
    stop: int
    evaluator: Evaluator
    sets: Sequence[Rows]
    history: History
    model: Any
    trace: Callable[[], Traced]  # the step once more, as the user's code makes it now
    looping: LoopRunner | None = None  # the runner, if it is one
    watch: Watch | None = None
    callbacks: Sequence[Callable[[Progress], Any]] = ()
    progress: bool | None = None
    check_finite: bool = True
    best: tuple[list[Array], list[Array]] | None = None
    _losses: list[float] = field(default_factory=list)
    _final: Array | None = None  # the losses of all sets after the last step, if a chunk took them on its way
    _sound: bool = True  # whether the carried values were checked after the last chunk
    _reported: tuple[float, int] = (0.0, 0)

    def __post_init__(self) -> None:
        self._past = Past(self.traced.arrays, self.looping is not None)
        self._drawn = self.sampler.kind != "all"
        recorded = self.looping is not None and self.looping.recorder is not None
        whole = recorded and not (self.callbacks or self.watch)  # which are asked after every record
        self._chunks = Chunks(self.looping, self.history.record_every, whole, self.sampler.batch_size, self.data)

    def go(self) -> History:
        """Make the steps; whatever happens, the parameters are left as they were after a whole step."""
        began = time.perf_counter()
        bar = Bar(self.progress, self.step, self.stop)
        with Interrupts() as interrupts:
            try:
                with interrupts.noted() as interrupted:
                    self.history.stopped = self._steps(bar, interrupted)
                if self.history.stopped != "interrupted":
                    self._finish()
            except KeyboardInterrupt:
                self.history.stopped = "interrupted"
            finally:
                bar.close()
                with interrupts.held() as disturbed:
                    self._publish(last=True)
                    self.history.state = self._state()
                if disturbed():
                    self.history.stopped = "interrupted"
                self.history.seconds = time.perf_counter() - began
        return self.history

    def _steps(self, bar: Bar, interrupted: Callable[[], bool]) -> str:
        self._reported = (time.perf_counter(), self.step)
        every = self.history.record_every
        if self.looping is not None:
            self._chunks.begin(self.looping, self.traced.arrays, self._drawn, self.stop - self.step)
        while self.step < self.stop:
            recorded = every > 0 and self.step % every == 0
            periods = self._chunks.periods(self.stop - self.step) if recorded else 0
            if recorded and not periods and self._record():
                return "early"
            if interrupted():
                return "interrupted"
            if (recorded or self._due()) and self._report(bar):
                return "callback"
            self._advance(periods * every or self._chunks.steps(self.step, self.stop), periods)
        return "callback" if self._report(bar) else "finished"

    def _advance(self, count: int, periods: int) -> None:
        began = time.perf_counter()
        indices = self._indices(self.step, self.step + count)
        self._past.keep(self.step, indices, self._sound)
        try:
            ran = self._run(indices, count, periods)
        except BaseException:  # also an interrupt in the middle of the chunk: back to where `step` stands
            self._back(self.step)
            raise
        self._sound = self._past.due() or self.step + count == self.stop or self.watch is not None
        if self.check_finite and not self._finite(ran):
            raise self._explained(self._replay(count, ran.records))
        self._keep(ran.records)
        self._final = ran.final
        self.step += count
        self.history.steps_done += count
        self._losses.append(ran.loss)
        if self.history.updates is not None:
            self.history.updates += ran.moved
        self._chunks.took(count, time.perf_counter() - began)

    def _indices(self, start: int, stop: int) -> NDArray[np.int64] | None:
        return self.sampler.draw(start, stop) if self._drawn else None

    def _run(self, indices: NDArray[np.int64] | None, count: int, periods: int) -> Ran:
        arrays, every = self.traced.arrays, self.history.record_every
        if not periods or self.looping is None:
            return self.runner.run(arrays, indices, self.step, count)
        return self.looping.run_recorded(arrays, indices, self.step, every, periods, self.step + count == self.stop)

    def _finite(self, ran: Ran) -> bool:
        return math.isfinite(ran.loss) and (not self._sound or self._past.finite())

    def _keep(self, records: Array | None, most: int | None = None) -> None:
        """The records that a chunk took on its way, or the first of them."""
        if records is not None and records.size:
            every, taken = self.history.record_every, records[:, :most].tolist()
            steps = range(self.step, self.step + every * len(taken[0]), every)
            self.history.extend(steps, {rows.name: losses for rows, losses in zip(self.sets, taken, strict=True)})

    def _again(self, start: int, stop: int) -> Ran:
        """Make steps once more."""
        return self.runner.run(self.traced.arrays, self._indices(start, stop), start, stop - start)

    def _back(self, step: int) -> None:
        """The values are again those before `step`, from the last ones that were kept."""
        self._past.back()
        if self._past.step < step:
            self._again(self._past.step, step)

    def _replay(self, count: int, records: Array | None) -> int:
        """Find the step that made the first value that is not finite, and go back to before it; its number.

        Halves: a run of steps that starts from finite values and does not end so holds such a step.
        """
        first, end = self._past.step, self.step + count
        self._past.back()
        while end - first > 1:
            middle = (first + end) // 2
            self._past.keep(first, self._indices(first, middle))
            ran = self._again(first, middle)
            if math.isfinite(ran.loss) and self._past.finite():
                first = middle
            else:
                self._past.back()
                end = middle
        bad = first
        if bad >= self.step:
            self._keep(records, 1 + (bad - self.step) // max(1, self.history.record_every))
        self.history.forget(bad)
        self.history.steps_done += bad - self.step
        self.step = bad
        return bad

    def _explained(self, bad: int) -> NonFiniteError:
        """The error of the step `bad`, before which the values stand."""
        part = self._indices(bad, bad + 1)
        traced = self.trace()._replace(arrays=self.traced.arrays)  # a kept one names the lines of an earlier call
        error = explain_nonfinite(self.called, traced, self.data, part, bad, self.sampler.seed)
        error.history = self.history
        return error

    def _record(self) -> bool:
        """Take a record of every set; whether early stopping says to stop."""
        losses, metrics = self._evaluated()
        self.history.add(self.step, losses, metrics)
        return self._seen(losses)

    def _evaluated(self) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        losses: dict[str, float] = {}
        metrics: dict[str, dict[str, float]] = {}
        if self.looping is not None and self.looping.recorder is not None:
            taken = self._final if self._final is not None else self.looping.record(self.traced.arrays)
            return {rows.name: loss for rows, loss in zip(self.sets, taken.tolist(), strict=True)}, metrics
        values = self.traced.arrays.whole[: len(self.evaluator.leaves)]
        for rows in self.sets:
            losses[rows.name], found = self.evaluator.evaluate(values, rows)
            for name, value in found.items():
                metrics.setdefault(name, {})[rows.name] = value
        return losses, metrics

    def _seen(self, losses: dict[str, float]) -> bool:
        if self.watch is None:
            return False
        if self.watch.see(losses[self.watch.rule.monitor], self.step):
            arrays = self.traced.arrays
            self.best = [array.copy() for array in arrays.whole], [array.copy() for array in arrays.moving]
        return self.watch.done

    def _finish(self) -> None:
        """The loss after the last step; the best record's values put back where they are wanted and better."""
        if not self.history.record_every:
            return
        losses, _ = self._evaluated()
        watch = self.watch
        if watch is not None and watch.rule.restore_best and self.best and not watch.better(losses[watch.rule.monitor]):
            self._restore()
            losses, _ = self._evaluated()
        self.history.final_records = losses
        self.history.final = losses.get("train")

    def _restore(self) -> None:
        assert self.best is not None and self.watch is not None
        arrays = self.traced.arrays
        arrays.whole = list(self.best[0])
        for array, saved in zip(arrays.moving, self.best[1], strict=True):
            array[...] = saved
        self.step = self.watch.step

    def _due(self) -> bool:
        return time.perf_counter() - self._reported[0] >= REPORT

    def _report(self, bar: Bar) -> bool:
        """Show where the run stands; whether a callback says to stop."""
        loss = sum(self._losses) / len(self._losses) if self._losses else math.nan
        bar.advance(self.step - self._reported[1], loss)
        self._losses.clear()
        self._reported = (time.perf_counter(), self.step)
        if not self.callbacks:
            return False
        self._publish()
        shown = [parameter.value for parameter in self.traced.parameters.values()]
        seen = Progress(self.step, self.stop, loss, self.history, self.model)
        try:
            answers = [callback(seen) for callback in self.callbacks]
        finally:
            self._take(shown)
        return any(answer is True or answer == "stop" for answer in answers)

    def _take(self, shown: Sequence[Array]) -> None:
        """Go on from what a callback assigned to parameters, which held `shown`."""
        arrays, parameters = self.traced.arrays, self.traced.parameters.values()
        given = {
            i: parameter.value
            for i, (parameter, value) in enumerate(zip(parameters, shown, strict=True))
            if parameter.value is not value
        }
        if given:
            arrays.whole = [given.get(i, array) for i, array in enumerate(arrays.whole)]
            self._past, self._sound = Past(arrays, self.looping is not None), True

    def _publish(self, last: bool = False) -> None:
        """Put the carried values into the model's parameters, or the moved rows into the history.

        The `last` time they are the run's arrays themselves.
        """
        arrays = self.traced.arrays
        for parameter, value in zip(self.traced.parameters.values(), arrays.whole, strict=False):
            if last:
                parameter.adopt(value)
            else:
                parameter.value = value
        if arrays.moving:
            self.history.data = arrays.moving[0]

    def _state(self) -> TrainingState:
        arrays, step, own = self.traced.arrays, self.traced.step, len(self.traced.parameters)
        values = zip((*step.whole[own:], *step.moving[1:]), (*arrays.whole[own:], *arrays.moving[1:]), strict=True)
        best: dict[str, Array] = {}
        if self.best is not None:
            names = [carry.name for carry in (*step.whole, *step.moving)]
            best = dict(zip(names, [*self.best[0], *self.best[1]], strict=True))
        return TrainingState(
            step=self.step,
            seed=self.sampler.seed,
            sampling=self.sampler.kind,
            batch_size=self.sampler.batch_size,
            rows=self.sampler.rows,
            arrays={carry.name: value for carry, value in values},
            stopping=self.watch.memory() if self.watch is not None else {},
            best=best,
        )
