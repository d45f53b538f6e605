"""What all tests share: the engines, the hypothesis profiles, and where the data sets are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib: no test needs a display

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples in every run, so that a failure in CI is a failure of the change.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `engine` runs once on every engine there is."""
    if "engine" in metafunc.fixturenames:
        import chainrule

        metafunc.parametrize("engine", chainrule.ENGINES)


@pytest.fixture
def data_dir() -> Path:
    """The folder of data sets beside the project, or CHAINRULE_DATA; skips where there is none."""
    folder = Path(os.environ.get("CHAINRULE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder} (set CHAINRULE_DATA)")
    return folder
