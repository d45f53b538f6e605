"""A page holds all it shows, escapes what it is given, and is well-formed."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chainrule.errors import OptionError
from chainrule.report import Picture, Section, Table, page, write_page

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Reader(HTMLParser):
    """Checks that tags close in order, and keeps the text and all addresses."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.anchors: set[str] = set()
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset")]
        self.anchors |= {value or "" for name, value in attrs if name == "id"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def assert_self_contained(html: str) -> Reader:
    """Nothing on the page is fetched: addresses are data or point into the page."""
    reader = Reader(html)
    for address in reader.addresses:
        assert address.startswith("data:") or address.removeprefix("#") in reader.anchors, address[:80]
    assert not re.search(r"@import|url\((?!#)|<script|<link|<iframe", html)
    return reader


def figure() -> object:
    from matplotlib.figure import Figure

    found = Figure(figsize=(2, 1))
    found.add_subplot().plot([0, 1], [0, 1])
    return found


def test_a_page_is_well_formed_and_self_contained() -> None:
    section = Section(
        "One", "First.\n\nSecond with `x < y`.", "cr.fit(model)", [("accuracy", "0.97")],
        [Picture.of(figure(), "A line", "It rises.")], [Table(["a", "b"], [["1", "2"]])],
    )  # fmt: skip
    html = page("Title", [section, Section("Two")], "A lead.", "The end.")
    reader = assert_self_contained(html)
    words = "".join(reader.words)
    for part in ("Title", "A lead.", "First.", "x < y", "cr.fit(model)", "0.97", "A line.", "It rises.", "The end."):
        assert part in words
    assert html.count("<p>") == 2
    assert {"#section-1", "#section-2"} <= set(reader.addresses)
    assert "prefers-color-scheme: dark" in html and "width=device-width" in html


def test_a_figure_is_embedded_as_a_png() -> None:
    html = Picture.of(figure(), "A line", "").html
    found = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    assert found
    assert base64.b64decode(found[1], validate=True).startswith(b"\x89PNG")
    assert 'alt="A line"' in html


def test_text_is_escaped_everywhere() -> None:
    bad = "<script>alert(1)</script>"
    picture = Picture("<svg></svg>", bad, bad)
    html = page(bad, [Section(bad, bad, bad, [(bad, bad)], [picture], [Table([bad], [[bad]])])], bad, bad)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 10


def test_a_page_is_written_with_its_folders_and_its_path_returned(tmp_path: Path) -> None:
    path = write_page(tmp_path / "new" / "folder" / "report.html", page("Größe", []))
    assert Path(path).is_absolute()
    assert "<title>Größe</title>" in Path(path).read_text(encoding="utf-8")
    with pytest.raises(OptionError, match="it is a folder"):
        write_page(tmp_path, "")
