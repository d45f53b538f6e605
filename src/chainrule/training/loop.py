"""The run over the steps, the same for every engine: chunks, records, stopping, callbacks, Ctrl-C, errors."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.history import History, TrainingState
from chainrule.sampling import Sampler
from chainrule.training.nonfinite import all_finite, explain_nonfinite
from chainrule.training.progress import Bar, Progress
from chainrule.training.record import Evaluator, Rows
from chainrule.training.step import Array, Ran, Recorder, RecordingRunner, Runner
from chainrule.training.stopping import Watch
from chainrule.training.trace import Traced

__all__ = ["Run"]

REPORT = 0.1  # seconds between two reports
CHUNK_BYTES = 2**23  # of rows gathered for one chunk


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
    recorder: Recorder | None = None
    watch: Watch | None = None
    callbacks: Sequence[Callable[[Progress], Any]] = ()
    progress: bool | None = None
    check_finite: bool = True
    best: tuple[list[Array], list[Array]] | None = None
    _losses: list[float] = field(default_factory=list)
    _chunk: int = 1
    _reported: tuple[float, int] = (0.0, 0)

    def go(self) -> History:
        """Make the steps; whatever happens, the parameters are left as they were after a whole step."""
        began = time.perf_counter()
        bar = Bar(self.progress, self.step, self.stop)
        try:
            with _interrupts() as interrupted:
                self.history.stopped = self._steps(bar, interrupted)
            if self.history.stopped != "interrupted":
                self._finish()
        except KeyboardInterrupt:
            self.history.stopped = "interrupted"
        finally:
            bar.close()
            self._publish()
            self.history.state = self._state()
            self.history.seconds = time.perf_counter() - began
        return self.history

    def _steps(self, bar: Bar, interrupted: Callable[[], bool]) -> str:
        self._reported = (time.perf_counter(), self.step)
        every = self.history.record_every
        while self.step < self.stop:
            recorded = every > 0 and self.step % every == 0
            periods = self._periods(every) if recorded and self.recorder is not None else 0
            if recorded and not periods and self._record():
                return "early"
            if interrupted():
                return "interrupted"
            if (recorded or self._due()) and self._report(bar):
                return "callback"
            self._advance(periods * every or self._count(every), periods or None)
        return "callback" if self._report(bar) else "finished"

    def _count(self, every: int) -> int:
        """How many steps to make in one go: up to the next record, for about as long as a report may wait."""
        batch = self.sampler.batch_size
        row = sum(array.nbytes // max(1, len(array)) for array in self.data) or 1
        count = min(self._chunk, self.stop - self.step, max(1, CHUNK_BYTES // (row * batch)))
        return min(count, every - self.step % every) if every else count

    def _periods(self, every: int) -> int:
        """How many whole periods, each a record and the steps up to the next, to make in one go."""
        return min(max(1, self._count(0) // every), (self.stop - self.step) // every)

    def _advance(self, count: int, periods: int | None = None) -> None:
        arrays, began = self.traced.arrays, time.perf_counter()
        indices = None if self.sampler.kind == "all" else self.sampler.draw(self.step, self.step + count)
        before = self._before(indices)
        try:
            ran = self._run(indices, count, periods)
        except BaseException:  # also an interrupt in the middle of the chunk: back to where `step` stands
            before()
            raise
        if self.check_finite and not (all_finite([ran.losses]) and all_finite(self._touched(indices))):
            self._replay(before, indices, count)
        self._keep(ran.records)
        self.step += count
        self.history.steps_done += count
        self._losses.append(float(ran.losses.mean()))
        if self.history.updates is not None:
            self.history.updates += ran.moved
        seconds = max(time.perf_counter() - began, 1e-9)
        self._chunk = max(1, min(4 * self._chunk, int(REPORT * count / seconds)))

    def _run(self, indices: NDArray[np.int64] | None, count: int, periods: int | None) -> Ran:
        arrays, every = self.traced.arrays, self.history.record_every
        if periods is None or self.recorder is None or not isinstance(self.runner, RecordingRunner):
            return self.runner.run(arrays, indices, self.step, count)
        return self.runner.run_recorded(arrays, indices, self.step, every, periods, self.recorder)

    def _keep(self, records: Array | None) -> None:
        """The records that a chunk took on its way."""
        names = [rows.name for rows in self.sets]
        for i, losses in enumerate(records if records is not None else []):
            step = self.step + i * self.history.record_every
            self.history.add(step, dict(zip(names, map(float, losses), strict=True)), {})

    def _touched(self, indices: NDArray[np.int64] | None) -> list[Array]:
        """The carried values that a chunk may have changed."""
        moving = self.traced.arrays.moving
        rows = slice(None) if indices is None or not moving else np.unique(indices)
        return [*self.traced.arrays.whole, *(array[rows] for array in moving)]

    def _before(self, indices: NDArray[np.int64] | None) -> Callable[[], None]:
        """What takes the carried values back to where they are now."""
        arrays = self.traced.arrays
        whole = list(arrays.whole)
        rows = slice(None) if indices is None or not arrays.moving else np.unique(indices)
        moving = [array[rows].copy() for array in arrays.moving]

        def back() -> None:
            arrays.whole = list(whole)
            for array, saved in zip(arrays.moving, moving, strict=True):
                array[rows] = saved

        return back

    def _replay(self, back: Callable[[], None], indices: NDArray[np.int64] | None, count: int) -> None:
        """Go through a chunk again to the step that made the first value that is not finite, and raise its error."""
        back()
        for k in range(count):
            part = None if indices is None else indices[k : k + 1]
            back = self._before(part)
            ran = self.runner.run(self.traced.arrays, part, self.step + k, 1)
            if not (all_finite([ran.losses]) and all_finite(self._touched(part))):
                back()
                self.step += k
                self.history.steps_done += k
                error = explain_nonfinite(self.called, self.traced, self.data, part, self.step, self.sampler.seed)
                error.history = self.history
                raise error

    def _record(self) -> bool:
        """Evaluate every recorded set; whether early stopping says to stop."""
        losses, metrics = self._evaluated()
        self.history.add(self.step, losses, metrics)
        return self._seen(losses)

    def _evaluated(self) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        losses: dict[str, float] = {}
        metrics: dict[str, dict[str, float]] = {}
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
            self.best = list(arrays.whole), [array.copy() for array in arrays.moving]
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
        loss = float(np.mean(self._losses)) if self._losses else float("nan")
        bar.advance(self.step - self._reported[1], loss)
        self._losses.clear()
        self._reported = (time.perf_counter(), self.step)
        if not self.callbacks:
            return False
        self._publish()
        seen = Progress(self.step, self.stop, loss, self.history, self.model)
        answers = [callback(seen) for callback in self.callbacks]
        return any(answer is True or answer == "stop" for answer in answers)

    def _publish(self) -> None:
        """Put the carried values into the model's parameters, or the moved rows into the history."""
        arrays = self.traced.arrays
        for parameter, value in zip(self.traced.parameters.values(), arrays.whole, strict=False):
            parameter.value = value
        if arrays.moving:
            self.history.data = arrays.moving[0]

    def _state(self) -> TrainingState:
        arrays, step = self.traced.arrays, self.traced.step
        names = [carry.name for carry in (*step.whole, *step.moving)]
        values = dict(zip(names, [*arrays.whole, *arrays.moving], strict=True))
        own = {*self.traced.parameters, *(carry.name for carry in step.moving[:1])}
        best = dict(zip(names, [*self.best[0], *self.best[1]], strict=True)) if self.best is not None else {}
        return TrainingState(
            step=self.step,
            seed=self.sampler.seed,
            sampling=self.sampler.kind,
            batch_size=self.sampler.batch_size,
            rows=self.sampler.rows,
            arrays={name: value for name, value in values.items() if name not in own},
            stopping=self.watch.memory() if self.watch is not None else {},
            best=best,
        )


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C is only noted, so that the step under way becomes whole; the second one interrupts."""
    seen: list[int] = []

    def note(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
