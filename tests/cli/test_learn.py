"""Learning from tables: real data are learned, what cannot be used is refused by name, before any training."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import chainrule as cr
from chainrule.cli import real
from chainrule.cli.choices import LOSSES, hidden_sizes, network, task_loss
from chainrule.cli.learn import Choices, learn
from chainrule.cli.score import classification_score, regression_score
from chainrule.data import read_table
from chainrule.errors import DataError, OptionError, TargetError

ADULT = (
    "age,workclass,fnlwgt,education,education-num,marital-status,occupation,relationship,race,sex,capital-gain,"
    "capital-loss,hours-per-week,native-country,income"
)
FAST = Choices(epochs=3)


def table(n: int = 120, seed: int = 0) -> pd.DataFrame:
    """Numbers, a category and a boolean that decide the class and the number."""
    rng = np.random.RandomState(seed)
    frame = pd.DataFrame({"size": rng.randn(n), "color": rng.choice(["red", "blue"], n), "old": rng.rand(n) > 0.5})
    score = frame["size"] + 2.0 * (frame["color"] == "red") - frame["old"]
    return frame.assign(kind=np.where(score > 0.5, "good", "bad"), price=100 + 10 * score)


def test_breast_cancer_is_learned_as_the_demo_does_it() -> None:
    outcomes = real.train(cr.datasets.breast_cancer(), seeds=5, say=lambda words: None)
    assert median(outcome.score.measures["accuracy"][0] for outcome in outcomes) >= 0.95
    assert all(outcome.score.rows == 142 for outcome in outcomes)


@pytest.mark.slow
def test_digits_are_learned_as_the_demo_does_it() -> None:
    outcomes = real.train(cr.datasets.digits(), seeds=5, say=lambda words: None)
    assert median(outcome.score.measures["accuracy"][0] for outcome in outcomes) >= 0.95
    assert {outcome.learner.target.task for outcome in outcomes} == {"multiclass"}


@pytest.mark.slow
def test_adult_is_learned_with_missing_values_filled_in(data_dir: Path) -> None:
    frame = read_table(data_dir / "adult" / "adult.data", names=ADULT.split(","))
    with pytest.raises(DataError, match="workclass 1836, occupation 1843, native-country 583"):
        learn(frame, "income")
    outcome = learn(frame, "income", Choices(missing="impute", epochs=20))
    own, trivial = outcome.score.measures["accuracy"]
    assert own >= 0.84
    assert trivial == pytest.approx(0.7592, abs=0.001)  # 24 720 of 32 561 rows earn at most 50K


def test_a_regression_is_as_good_as_scikit_learns_linear_one() -> None:
    dataset = cr.datasets.diabetes()
    ratios = []
    for seed in range(3):
        outcome = learn(real.as_table(dataset), "class", Choices(model="linear", lr=0.01, seed=seed))
        own, trivial = outcome.score.measures["root mean squared error"]
        assert outcome.learner.target.task == "regression"
        x, x_test = np.delete(dataset.x, outcome.test_rows, axis=0), dataset.x[outcome.test_rows]
        t, t_test = np.delete(dataset.t, outcome.test_rows, axis=0), dataset.t[outcome.test_rows]
        off = LinearRegression().fit(x, t).predict(x_test) - t_test
        ratios.append(own / np.sqrt((off**2).mean()))
        assert trivial == pytest.approx(np.sqrt(((t_test - t.mean()) ** 2).mean()))
    assert np.mean(ratios) <= 1.05


def test_a_seed_decides_everything() -> None:
    first, again, other = (learn(table(), "kind", Choices(epochs=3, seed=seed)) for seed in (1, 1, 2))
    for name, value in first.learner.network.state_dict().items():
        np.testing.assert_array_equal(value, again.learner.network.state_dict()[name])
    assert (first.test_rows != other.test_rows).any()


def test_held_out_rows_are_not_learned_from() -> None:
    frame = table()
    rows = learn(frame, "price", FAST).test_rows
    spoiled = frame.copy()
    spoiled.loc[rows, "size"] = 1e6
    spoiled.loc[rows, "price"] = -1e6
    first, second = (learn(f, "price", FAST).learner for f in (frame, spoiled))
    assert first.columns == second.columns
    assert first.target == second.target
    for name, value in first.network.state_dict().items():
        np.testing.assert_array_equal(value, second.network.state_dict()[name])


@pytest.mark.parametrize("task", LOSSES)
def test_every_loss_of_every_task_learns(task: str) -> None:
    target = {"regression": "price", "binary": "kind", "multiclass": "kind"}[task]
    for loss in LOSSES[task]:  # type: ignore[index]
        choices = Choices(loss=loss, task=task, epochs=60, lr=0.01)  # type: ignore[arg-type]
        own, trivial = next(iter(learn(table(400), target, choices).score.measures.values()))
        assert own < 0.5 * trivial if task == "regression" else own > 0.9, loss


def test_probabilities_are_those_of_the_formula() -> None:
    both = task_loss("binary", None)[1].probabilities
    assert both is not None
    shares = both(np.array([[0.0], [math.log(3)], [-800.0]]))
    np.testing.assert_allclose(shares, [[0.5, 0.5], [0.25, 0.75], [1, 0]], rtol=1e-12)
    several = task_loss("multiclass", None)[1].probabilities
    assert several is not None
    found = several(np.log([[1.0, 2.0, 5.0]]) + 900)
    np.testing.assert_allclose(found, [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-12)


def test_scores_are_those_of_the_definition() -> None:
    t, answers = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    score = classification_score(t, answers, np.array([1, 1, 0]), ("a", "b"))
    assert score.measures == {"accuracy": (0.75, 0.25), "balanced accuracy": (pytest.approx(5 / 6), 0.5)}
    assert score.trivial == "always 'b'"
    measured = regression_score(np.array([1.0, 3.0]), np.array([1.0, 5.0]), np.array([2.0, 4.0])).measures
    assert measured["root mean squared error"] == (pytest.approx(math.sqrt(2)), pytest.approx(math.sqrt(2)))
    assert measured["mean absolute error"] == (1.0, 1.0)
    assert measured["R²"] == (-1.0, -1.0)


def test_a_model_by_name_or_by_sizes() -> None:
    assert hidden_sizes("linear") == ()
    assert hidden_sizes("32, 16") == (32, 16)
    shapes = [value.shape for name, value in network(3, (32, 16), 2).state_dict().items() if "weight" in name]
    assert shapes == [(3, 32), (32, 16), (16, 2)]


WRONG = {
    "no such column": ("kid", FAST, DataError, "Is it 'kind'"),
    "the target dropped": ("kind", Choices(drop=["kind"]), OptionError, "this is the target"),
    "an unknown column dropped": ("kind", Choices(drop=["colour"]), DataError, "Is it 'color'"),
    "a loss of another task": ("kind", Choices(loss="huber"), OptionError, "logistic, hinge, squared"),
    "an unknown optimizer": ("kind", Choices(optimizer="adm"), OptionError, "Is it adam"),
    "an unknown model": ("kind", Choices(model="32,-1"), OptionError, "hidden layers, such as 32,16"),
    "a negative step size": ("kind", Choices(lr=-1.0), OptionError, "lr"),
    "no epochs": ("kind", Choices(epochs=0), OptionError, "--epochs 0"),
    "everything held out": ("kind", Choices(held_out=1.0), OptionError, "--held-out 1.0"),
    "text in a regression": ("kind", Choices(task="regression"), TargetError, "finite numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_done_is_refused_by_name(case: str) -> None:
    target, choices, error, words = WRONG[case]
    with pytest.raises(error, match=words):
        learn(table(), target, choices)


def test_a_category_that_only_held_out_rows_have_counts_as_none() -> None:
    frame = table()
    row = learn(frame, "kind", FAST).test_rows[0]
    frame.loc[row, "color"] = "green"
    outcome = learn(frame, "kind", FAST)
    assert len(outcome.notes) == 1
    assert "'green'" in outcome.notes[0]
