"""The report's chapters say numbers that are true, and hold the pictures they speak of."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.report import Section, page
from chainrule.report.glass import Residual, chain_rule, splits_and_joins
from chainrule.report.story import Story

from .test_page import assert_self_contained


def said(section: Section) -> dict[str, str]:
    return dict(section.facts)


def test_the_chain_rules_numbers() -> None:
    section = chain_rule(lambda words: None)
    assert said(section) == {"df/dx": "-4", "df/dy": "-4", "df/dz": "3"}
    rows = {row[0]: row[1:] for row in section.tables[0].rows}
    assert rows == {"x → q": ("1", "-4", "-4"), "y → q": ("1", "-4", "-4"), "q → f": ("-4", "1", "-4"),
                    "z → f": ("3", "1", "3")}  # fmt: skip
    assert "1 × -4 = -4" in section.pictures[0].html


def test_a_residual_block_adds_up_both_branches() -> None:
    block = Residual(2).astype("float64").initialize(0)
    x = cr.variable(np.array([[1.0, 2.0]]))
    (slope,) = cr.gradient(block(x).sum(), [x])
    w, b = block.inner.weight.numpy(), block.inner.bias.numpy()
    on = (x.numpy() @ w + b > 0).astype(float)
    np.testing.assert_allclose(slope.numpy(), np.ones((1, 2)) + on @ w.T)


@pytest.fixture(scope="module")
def quick() -> list[Section]:
    """The story with a tenth of the steps, and its split and join."""
    quiet = lambda words: None
    return [*Story(seed=0, quick=True, say=quiet).sections(), splits_and_joins(0, quick=True, say=quiet)]


def test_the_story_has_its_pictures_and_code(quick: list[Section]) -> None:
    assert [len(section.pictures) for section in quick] == [2, 2, 3, 5, 3]
    assert all(section.code and section.text and section.facts for section in quick)
    reader = assert_self_contained(page("Story", quick))
    assert sum(address.startswith("data:image/png") for address in reader.addresses) == 14
    assert all(picture.caption.strip().endswith((".", "?")) for section in quick for picture in section.pictures)


def test_the_linear_chapters_numbers_are_good(quick: list[Section]) -> None:
    squared, hinge = said(quick[0]), said(quick[1])
    assert float(squared["rows on the right side"].rstrip("%")) > 97
    assert 1 <= float(squared["of the squared error of exact least squares"].split()[0]) <= 1.1
    assert float(hinge["rows on the right side"].rstrip("%")) > 97


def test_the_table_of_the_network_shows_all_shapes(quick: list[Section]) -> None:
    first = quick[3].tables[0].rows[0]
    assert first[:6] == ("0", "Linear", "(2000, 2)", "(2000, 5)", "weight (2, 5), bias (5,)", "(2000, 2)")


@pytest.mark.slow
def test_the_whole_story_moves_the_data_until_all_is_right() -> None:
    lines: list[str] = []
    _, _, moved, network = Story(seed=0, say=lines.append).sections()
    facts = said(moved)
    assert facts["hinge loss, sum over all rows"] == "0"
    assert facts["rows on the right side"] == "100.00%"
    announced = re.search(r"need together: ([\d,]+)", " ".join(moved.text.split()))
    assert announced
    assert announced[1] in [value for name, value in facts.items() if name.startswith("moves, in")]
    assert 70 < float(said(network)["squared loss, sum over all rows"]) < 140
    assert len(lines) == 4
