"""The task is found from the target, and targets go to numbers and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from chainrule.data import TargetEncoder, infer_task
from chainrule.errors import OptionError, ShapeError, TargetError

pandas = pytest.importorskip("pandas")


def column(values: Any) -> Any:
    return pandas.Series(values, name="y")


TASKS = [
    (["yes", "no", "yes"], "binary"),
    ([True, False, False], "binary"),
    ([0, 1, 1, 1], "binary"),
    ([-1.0, 1.0, None], "binary"),
    (["a", "b", "c"], "multiclass"),
    ([0, 1, 2] * 5, "multiclass"),
    ([0.0, 1.0, 2.0] * 5, "multiclass"),
    ([0.5, 1.0, 2.0] * 5, "regression"),
    (list(range(20)) * 2, "multiclass"),
    (list(range(21)) * 2, "regression"),
    ([1, 2, 3], "regression"),
    (np.linspace(0, 1, 50), "regression"),
]


@pytest.mark.parametrize(("values", "task"), TASKS)
def test_the_task_is_found(values: Any, task: str) -> None:
    assert infer_task(column(values)) == task


@pytest.mark.parametrize("values", [["a", "a"], [None, None], [f"name {i}" for i in range(101)]])
def test_what_cannot_be_a_target(values: Any) -> None:
    with pytest.raises(TargetError, match="'y'"):
        infer_task(column(values))


def test_classes_go_to_numbers_and_back() -> None:
    made = TargetEncoder.fit(column(["no", "yes", "no", "maybe"]))
    assert (made.task, made.classes) == ("multiclass", ("maybe", "no", "yes"))
    codes = made.encode(column(["yes", "maybe"]))
    assert (codes.tolist(), codes.dtype) == ([2, 0], np.int64)
    assert made.decode(codes).tolist() == ["yes", "maybe"]
    assert TargetEncoder.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_numbered_classes_are_sorted_by_size_and_match_however_they_are_typed() -> None:
    made = TargetEncoder.fit(column([10, 9, -1, 10, 9, -1]))
    assert made.classes == ("-1", "9", "10")
    for later in ([10], [10.0], ["10"]):
        assert made.encode(column(later)).tolist() == [2]


def test_regression_is_standardized_and_inverted() -> None:
    values = column([1.0, 2.0, 6.0, 7.0])
    made = TargetEncoder.fit(values)
    t = made.encode(values)
    assert t == pytest.approx(np.array([[-3], [-2], [2], [3]]) / np.sqrt(6.5), rel=1e-15)
    assert made.decode(t)[:, 0] == pytest.approx(values.to_numpy(), rel=1e-15)
    assert TargetEncoder.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    constant = TargetEncoder.fit(column([0.1] * 3), "regression")
    assert constant.encode(column([1.1])) == pytest.approx(np.array([[1.0]]))


def test_the_task_can_be_overridden() -> None:
    assert TargetEncoder.fit(column([0, 1, 2] * 5), "regression").encode(column([1])).tolist() == [[0.0]]
    assert len(TargetEncoder.fit(column(range(30)), "multiclass").classes) == 30
    with pytest.raises(TargetError, match="3 classes"):
        TargetEncoder.fit(column(["a", "b", "c"]), "binary")
    with pytest.raises(TargetError, match="row 2, column 'y' is 'b'"):
        TargetEncoder.fit(column([1, "b"]), "regression")
    with pytest.raises(OptionError, match="regression, binary, multiclass"):
        TargetEncoder.fit(column([1, 2]), "clustering")  # type: ignore[arg-type]


def test_bad_targets_are_named_by_row() -> None:
    made = TargetEncoder.fit(column(["no", "yes"]))
    with pytest.raises(TargetError, match=r"row 2, column 'y' is 'maybe'.*no, yes"):
        made.encode(column(["no", "maybe"]))
    for values in (["no", None, "yes"], [1.0, None, 2.5]):
        with pytest.raises(TargetError, match="row 2, column 'y' is empty"):
            TargetEncoder.fit(column(values))
    with pytest.raises(TargetError, match="row 1, column 'y' is 'inf'"):
        TargetEncoder.fit(column([np.inf, 1.0, 2.5]), "regression")


@pytest.mark.parametrize("values", [[[0, 1]], [0.0], [2], [-1]])
def test_decode_takes_class_numbers_only(values: Any) -> None:
    with pytest.raises(ShapeError, match="integers from 0 to 1"):
        TargetEncoder("binary", "y", ("no", "yes")).decode(values)
