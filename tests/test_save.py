"""A saved model comes back as it was, or is refused by name with nothing changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, nn, optim
from chainrule.errors import DTypeError, FileFormatError, OptionError, ShapeError
from chainrule.persist import save_arrays

X = np.random.RandomState(0).randn(20, 2)
T = X[:, :1] ** 2


def network(width: int = 4, seed: int = 0) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, width, seed=seed), nn.BatchNorm(width), nn.Linear(width, 1, seed=seed))


def test_parameters_statistics_and_state_come_back(tmp_path: Path) -> None:
    model, other = network(), network(seed=1)
    history = cr.fit(model, losses.squared, optim.Adam(0.01), X, T, epochs=3, batch_size=4, seed=2**60 + 1)
    cr.save(tmp_path / "a", model, history, metadata={"columns": ["a", "b"]})
    state = cr.load(tmp_path / "a", other)
    for path, value in model.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[path], value)
        assert other.state_dict()[path].dtype == value.dtype
    assert history.state is not None
    assert state is not None
    assert (state.step, state.seed, state.sampling, state.batch_size, state.rows) == (15, 2**60 + 1, "shuffle", 4, 20)
    assert set(state.arrays) == {
        f"{path}/{name}" for path in model.named_parameters(trainable_only=True) for name in "mv"
    }
    for name, value in history.state.arrays.items():
        np.testing.assert_array_equal(state.arrays[name], value)
    assert cr.read_metadata(tmp_path / "a") == {"columns": ["a", "b"]}


def test_the_best_of_early_stopping_is_saved_too(tmp_path: Path) -> None:
    model = network()
    history = cr.fit(model, losses.squared, optim.Adam(0.01), X, T, steps=20, record_every=5,
                     early_stopping=cr.EarlyStopping(2, monitor="train"))  # fmt: skip
    cr.save(tmp_path / "a", model, history.state)
    state = cr.load(tmp_path / "a", model)
    assert state is not None
    assert history.state is not None
    assert state.stopping == history.state.stopping
    assert set(state.best) == {*model.named_parameters(), *state.arrays}


def test_without_a_state_there_is_none(tmp_path: Path) -> None:
    cr.save(tmp_path / "a", network())
    assert cr.load(tmp_path / "a", network(seed=1)) is None
    assert cr.read_metadata(tmp_path / "a") == {}


@pytest.mark.parametrize(
    ("model", "error", "named"),
    [
        (network(width=5), ShapeError, "0.weight"),
        (network().astype("float64"), DTypeError, "0.weight"),
        (nn.Linear(2, 1), OptionError, "missing"),
    ],
)
def test_another_model_is_refused_and_not_changed(
    model: nn.Module, error: type[Exception], named: str, tmp_path: Path
) -> None:
    cr.save(tmp_path / "a", network())
    before = model.state_dict()
    with pytest.raises(error, match=named):
        cr.load(tmp_path / "a", model)
    for path, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[path])


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    model = network()
    cr.save(tmp_path / "a", model)
    whole = (tmp_path / "a").read_bytes()
    damaged = bytearray(whole)
    damaged[-3] ^= 16
    for name, content in (("flipped", bytes(damaged)), ("cut", whole[:-5]), ("text", b"not a model at all")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileFormatError, match=name):
            cr.load(tmp_path / name, model)
    save_arrays(tmp_path / "arrays", {"w": np.zeros(3)})
    with pytest.raises(FileFormatError, match="no model"):
        cr.load(tmp_path / "arrays", model)
    with pytest.raises(FileNotFoundError):
        cr.load(tmp_path / "nowhere", model)
