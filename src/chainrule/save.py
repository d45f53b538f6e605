"""A model and the state of its training in one file, whole or not there, with a checksum of every tensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from chainrule.errors import FileFormatError, explain
from chainrule.history import History, TrainingState
from chainrule.nn import Module
from chainrule.persist import Arrays, Path, load_arrays, save_arrays

__all__ = ["load", "read_metadata", "save"]

FORMAT = "model"
PARTS = ("model", "optimizer", "best")  # what the names of arrays begin with


def save(
    path: Path,
    model: Module,
    state: TrainingState | History | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write the model's parameters, and the state of its training if given, to a safetensors file.

    A process killed at any moment leaves the old file or the new one. With `state` (a history, or its `state`) a run
    goes on to the bit: `fit(..., resume=load(path, model))`. `metadata` is what JSON can hold; see `read_metadata`.

    Raises DTypeError for other metadata, OSError from the disk.

    >>> import os, tempfile
    >>> from chainrule import nn
    >>> model, other = nn.Linear(2, 1, seed=0), nn.Linear(2, 1, seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     save(path, model, metadata={"columns": ["age", "height"]})
    ...     load(path, other)
    ...     read_metadata(path)
    {'columns': ['age', 'height']}
    >>> bool((model.weight == other.weight).numpy().all())
    True
    """
    arrays = {f"model/{name}": value for name, value in model.state_dict().items()}
    about: dict[str, Any] = {"format": FORMAT, "metadata": dict(metadata or {}), "state": None}
    found = state.state if isinstance(state, History) else state
    if found is not None:
        arrays |= {f"optimizer/{name}": value for name, value in found.arrays.items()}
        arrays |= {f"best/{name}": value for name, value in found.best.items()}
        plain = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        about["state"] = {name: value for name, value in plain.items() if name not in ("arrays", "best")}
        about["state"]["stopping"] = dict(found.stopping)
    save_arrays(path, arrays, about)


def load(path: Path, model: Module) -> TrainingState | None:
    """Give the model the parameters in the file; returns the state of its training, None if there is none in it.

    Everything is checked before the model is changed. Raises FileFormatError for a damaged or foreign file,
    OptionError, ShapeError or DTypeError for parameters that are not the model's, FileNotFoundError.

    >>> import os, tempfile
    >>> model, state = Module(), TrainingState(step=7, seed=0, sampling="all", batch_size=4, rows=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(os.path.join(folder, "run.safetensors"), model, state)
    ...     load(os.path.join(folder, "run.safetensors"), model) == state
    True
    """
    parts, about = _read(path)
    model.load_state_dict(parts["model"])
    state = about["state"]
    return None if state is None else TrainingState(**state, arrays=parts["optimizer"], best=parts["best"])


def read_metadata(path: Path) -> dict[str, Any]:
    """What `save` was given as `metadata`; every byte of the file is checked.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(os.path.join(folder, "model.safetensors"), Module(), metadata={"classes": ["cat", "dog"]})
    ...     read_metadata(os.path.join(folder, "model.safetensors"))
    {'classes': ['cat', 'dog']}
    """
    found: dict[str, Any] = _read(path)[1]["metadata"]
    return found


def _read(path: Path) -> tuple[dict[str, Arrays], dict[str, Any]]:
    arrays, about = load_arrays(path)
    if about.get("format") != FORMAT:
        raise FileFormatError(
            explain(
                f"load({path!r})",
                "the file holds arrays but no model",
                "it was not written by chainrule.save",
                "Read it with persist.load_arrays.",
            )
        )
    parts: dict[str, Arrays] = {part: {} for part in PARTS}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = array
    return parts, about
