"""One HTML page that holds all it shows: no picture, style or script is fetched from anywhere."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from chainrule.errors import OptionError, explain
from chainrule.tables import html_table

__all__ = ["Picture", "Section", "Table", "check_file", "page", "write_page"]

DOTS_PER_INCH = 160  # sharp on screens of two pixels a point


@dataclass(frozen=True)
class Picture:
    """A picture with its caption.

    Attributes:
        html: the picture itself, as HTML or SVG; see `of` for figures.
        title: what it is, in a few words.
        caption: what it shows and what to look for, in plain text.
        wide: whether it takes the page's whole width.
    """

    html: str
    title: str
    caption: str
    wide: bool = False

    @classmethod
    def of(cls, figure: Any, title: str, caption: str, wide: bool = False) -> Picture:
        """The picture of a matplotlib figure (or of an axes' figure), embedded; a figure of pyplot is closed."""
        figure = getattr(figure, "figure", figure)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight", facecolor="white")
        data = base64.b64encode(file.getvalue()).decode()
        _close(figure)
        return cls(f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">', title, caption, wide)

    def to_html(self) -> str:
        """The picture above its caption."""
        kind = ' class="wide"' if self.wide else ""
        words = f"<b>{escape(self.title)}.</b> {_text(self.caption)}"
        return f'<figure{kind}><div class="picture">{self.html}</div><figcaption>{words}</figcaption></figure>'


@dataclass(frozen=True)
class Table:
    """A table: the names of its columns, and its rows of text."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_html(self) -> str:
        """The table, which scrolls by itself where it is too wide."""
        return f'<div class="table">{html_table(self.header, self.rows)}</div>'


@dataclass(frozen=True)
class Section:
    """One section of a page, from top to bottom: title, text, code, facts, pictures, tables.

    Attributes:
        title: in plain text.
        text: paragraphs of plain text, parted by empty lines; `words in backticks` are set as code.
        code: Python that does what the section shows.
        facts: (what, value) pairs to be seen at once.
        pictures: side by side where there is room.
        tables: below them.
    """

    title: str
    text: str = ""
    code: str = ""
    facts: Sequence[tuple[str, str]] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()

    def to_html(self, anchor: str) -> str:
        """The section, reached by `anchor`."""
        parts = [f"<h2>{escape(self.title)}</h2>", *_paragraphs(self.text)]
        if self.code:
            parts.append(f"<pre>{escape(self.code.strip())}</pre>")
        if self.facts:
            items = "".join(f"<li><b>{escape(value)}</b><span>{escape(what)}</span></li>" for what, value in self.facts)
            parts.append(f'<ul class="facts">{items}</ul>')
        if self.pictures:
            parts.append(f'<div class="figures">{"".join(picture.to_html() for picture in self.pictures)}</div>')
        parts += [table.to_html() for table in self.tables]
        return f'<section id="{anchor}">{"".join(parts)}</section>'


def page(title: str, sections: Sequence[Section], lead: str = "", footer: str = "") -> str:
    """A whole HTML page: title, a lead, a list of contents, the sections.

    It reads on small and large screens, in light and dark, and needs nothing besides itself.

    >>> text = page("Lines", [Section("One line", "It is `straight`.")])
    >>> "<code>straight</code>" in text
    True
    """
    anchors = [f"section-{i}" for i in range(1, len(sections) + 1)]
    pairs = list(zip(anchors, sections, strict=True))
    contents = "".join(f'<li><a href="#{anchor}">{escape(section.title)}</a></li>' for anchor, section in pairs)
    style = files("chainrule.report").joinpath("page.css").read_text(encoding="utf-8")
    body = [
        f"<header><h1>{escape(title)}</h1>",
        *(f'<p class="lead">{_text(words)}</p>' for words in [lead] if words),
        "</header>",
        f"<nav><ol>{contents}</ol></nav>" if len(pairs) > 1 else "",
        *(section.to_html(anchor) for anchor, section in pairs),
        f"<footer>{_text(footer)}</footer>" if footer else "",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def write_page(path: str | os.PathLike[str], html: str) -> str:
    """Write a page, with the folders it needs; returns its absolute path. Raises OptionError for a folder."""
    target = check_file(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "w", encoding="utf-8") as file:
        file.write(html)
    return target


def check_file(path: str | os.PathLike[str]) -> str:
    """The absolute path of a file that can be written; raises OptionError for a folder."""
    target = os.path.abspath(path)
    if os.path.isdir(target):
        raise OptionError(explain(f"writing {target!r}", "", "it is a folder", "Name a file, such as report.html."))
    return target


def _paragraphs(text: str) -> list[str]:
    return [f"<p>{_text(part)}</p>" for part in re.split(r"\n\s*\n", text.strip()) if part]


def _text(plain: str) -> str:
    """Plain text as HTML; what stands in backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(" ".join(plain.split())))


def _close(figure: Any) -> None:
    from matplotlib import pyplot

    pyplot.close(figure)
