"""Write docs/operations.md from the library itself: `python docs/make_operations.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import chainrule as cr
from chainrule import functions, primitives
from chainrule.primitive import REGISTRY, Flat, Linear, Multilinear, Primitive, Selecting, Smooth

PAGE = Path(__file__).parent / "operations.md"
HEAD = """# Operations

*Made by `python docs/make_operations.py`; a test says when it is out of date.*

All functions take tensors, arrays or numbers, and have NumPy's names, argument order and meaning (`axis`, `keepdims`,
broadcasting, dtypes). They stand in the package itself: `chainrule.exp(x)`.
"""
RULES = """
## Primitives, and their derivatives

What the functions above are made of. Each primitive states its derivative once; forward mode, reverse mode and all
higher orders follow from it. In formulas y is the output, and x, a, b are the inputs; `_mask(c, x)` is 1 where c holds,
else 0; `_share(a, b)` is 1 where a > b, 1/2 where they are equal, else 0.

- *smooth*: element-wise; the formulas are the partial derivatives, one for each input.
- *linear*: the operation is its own derivative; reverse mode uses its transpose.
- *multilinear*: linear in each input by itself, as a product is.
- *selecting*: a reduction that gives each element a weight.
- *flat*: constant wherever it has a derivative, so nothing flows back.

| primitive | kind | derivative |
|---|---|---|
"""


def page() -> str:
    """The whole text."""
    text = HEAD + "\n## Functions\n\n| function | what it gives |\n|---|---|\n"
    for name in sorted(functions.__all__):
        text += f"| `{name}` | {_cell(_summary(getattr(cr, name)))} |\n"
    return text + RULES + "".join(_row(name, REGISTRY[name]) for name in sorted(set(_stated())))


def _summary(function: object) -> str:
    """The first paragraph of the docstring, on one line."""
    return " ".join((function.__doc__ or "").split("\n\n")[0].split())


def _row(name: str, primitive: Primitive) -> str:
    rule = primitive.derivative
    kind = {Smooth: "smooth", Linear: "linear", Multilinear: "multilinear", Selecting: "selecting", Flat: "flat"}
    said = {Smooth: _formulas(name), Flat: getattr(rule, "why", "")}.get(type(rule), "")
    return f"| `{name}` | {kind.get(type(rule), 'by hand')} | {said} |\n"


def _formulas(name: str) -> str:
    """The partial derivatives as they stand in the source."""
    found = []
    for partial in _stated()[name].args[2:]:
        text = ast.unparse(partial.body if isinstance(partial, ast.Lambda) else partial)
        found.append(f"`{_cell(text)}`")
    return ", ".join(found)


def _stated() -> dict[str, ast.Call]:
    """The call that states each primitive, by its name (an `Expr` of this name is a formula)."""
    calls = (call for call in _calls() if call.args and _is_name(call.args[0]))
    return {call.args[0].value: call for call in calls if ast.unparse(call.func) != "Expr"}


def _calls() -> Iterator[ast.Call]:
    for path in sorted(Path(primitives.__path__[0]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield node


def _is_name(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Constant) and argument.value in REGISTRY


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
