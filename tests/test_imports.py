"""Imports run one way, optional packages stay optional, and the walker that says so can itself fail."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "chainrule"
SOURCE = Path(__file__).resolve().parents[1] / "src" / PACKAGE

# Each row may import the rows above it, and its own row; `facade` is the package's own __init__.
LAYERS = (
    ("errors", "dtypes", "tables", "aligned", "finite"),
    ("graph", "formula"),
    ("primitive",),
    ("primitives",),
    ("evaluate", "compiler"),
    ("shaping",),
    ("dispatch", "products"),
    ("tensor",),
    ("functions",),
    ("random",),
    ("autodiff", "vectorize"),
    ("control", "verify"),
    ("compile",),
    ("losses", "nn", "optim"),
    ("data", "history", "persist", "sampling"),
    ("save", "training"),
    ("fit", "check"),
    ("inspect",),
    ("plot",),
    ("facade",),
    ("report",),
    ("cli",),
)
# What a unit sees of the package, where that is less than all rows above it.
BELOW_TENSORS = frozenset({"errors", "dtypes", "aligned", "graph", "formula", "primitive", "primitives"})
SEES_ONLY = {"evaluate": BELOW_TENSORS, "compiler": BELOW_TENSORS}
# The engines' own packages, which ordinary users of tensors do without.
ARRAYS = frozenset({"numpy", "llvmlite"})
NEVER = {"losses": ARRAYS, "nn": ARRAYS, "optim": ARRAYS}

CORE_PACKAGES = {"numpy", "safetensors", "tqdm"}
OPTIONAL_PACKAGES = {
    "IPython", "llvmlite", "matplotlib", "mpmath", "pandas", "pyarrow", "scipy", "sklearn", "typer",
}  # fmt: skip
# Optional packages at the top of a module: that module is itself imported late.
OPTIONAL_AT_TOP = {("chainrule.compiler.llvm", "llvmlite")}
# Imports of the package's own modules inside a function: (who, what).
LATE = {("chainrule", "chainrule.plot"), ("chainrule.compiler.compilation", "chainrule.compiler.llvm")}
# Core packages imported inside a function, since importing them takes long: (who, what).
LATE_PACKAGES = {("chainrule.training.progress", "tqdm")}
# Imports that only a type checker sees and that go against the rows: (who, what).
FOR_TYPES = {("chainrule.graph", "chainrule.primitive")}


@dataclass(frozen=True)
class Edge:
    """Module `importer` imports `imported`, at `line`."""

    importer: str
    imported: str
    line: int
    late: bool  # inside a function
    for_types: bool  # under `if TYPE_CHECKING:`

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def modules_in(source: Path) -> dict[str, Path]:
    """Every module of the package at `source`, by its dotted name."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return found


def edges_of(module: str, path: Path, modules: dict[str, Path]) -> Iterator[Edge]:
    """The imports of one module, wherever in it they stand."""
    stack: list[tuple[ast.AST, bool, bool]] = [(ast.parse(path.read_text(encoding="utf-8")), False, False)]
    while stack:
        node, late, for_types = stack.pop()
        for name in imported_names(node, module, path, modules):
            yield Edge(module, name, node.lineno, late, for_types)  # type: ignore[attr-defined]
        late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        guarded = set(node.body) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) else set()
        stack += [(child, late, for_types or child in guarded) for child in ast.iter_child_nodes(node)]


def imported_names(node: ast.AST, module: str, path: Path, modules: dict[str, Path]) -> list[str]:
    """The modules that one syntax node imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        here = package[: len(package) - node.level + 1] if node.level else []
        origin = ".".join([*here, *([node.module] if node.module else [])])
        inside = [f"{origin}.{alias.name}" for alias in node.names]
        return [name if name in modules else origin for name in inside]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        name = node.args[0] if node.args else None
        return [str(name.value)] if isinstance(name, ast.Constant) else ["a module named by an expression"]
    return []


def unit_of(module: str) -> str:
    """The row entry a module belongs to: `chainrule.nn.linear` to `nn`, `chainrule` to `facade`."""
    return module.split(".")[1] if "." in module else "facade"


def faults(source: Path) -> list[str]:
    """Everything that is wrong with the imports of the package at `source`."""
    modules = modules_in(source)
    row = {unit: number for number, units in enumerate(LAYERS) for unit in units}
    homeless = [f"{name} is in no layer" for name in modules if unit_of(name) not in row]
    if homeless:
        return homeless
    edges = [edge for name, path in modules.items() for edge in edges_of(name, path, modules)]
    found = [f"{edge}: {why}" for edge in edges for why in [fault_of(edge, row)] if why]
    return found or cycle_among(modules, edges)


def fault_of(edge: Edge, row: dict[str, int]) -> str:
    """What is wrong with one import; empty if nothing is."""
    if edge.imported.split(".")[0] == PACKAGE:
        return fault_inside(edge, row)
    return fault_outside(edge)


def fault_inside(edge: Edge, row: dict[str, int]) -> str:
    pair, unit, target = (edge.importer, edge.imported), unit_of(edge.importer), unit_of(edge.imported)
    if edge.late:
        return "" if pair in LATE else "an import inside a function that LATE does not list"
    if target not in row:
        return "no such module"
    if edge.for_types and pair in FOR_TYPES:
        return ""
    if target == unit:
        return ""
    if unit in SEES_ONLY and target not in SEES_ONLY[unit]:
        return f"{unit} sees only {', '.join(sorted(SEES_ONLY[unit]))}"
    return f"{target} is above {unit}" if row[target] > row[unit] else ""


def fault_outside(edge: Edge) -> str:
    top = edge.imported.split(".")[0]
    if top in NEVER.get(unit_of(edge.importer), ()):
        return f"{unit_of(edge.importer)} does without {top}"
    if top in OPTIONAL_PACKAGES:
        allowed = edge.late or edge.for_types or (edge.importer, top) in OPTIONAL_AT_TOP
        return "" if allowed else "an optional package is imported inside the function that uses it"
    if edge.late and (edge.importer, top) not in LATE_PACKAGES:
        return "an import inside a function, of a package that is always there"
    return "" if top in CORE_PACKAGES or top in sys.stdlib_module_names else "not a dependency"


def cycle_among(modules: dict[str, Path], edges: list[Edge]) -> list[str]:
    """The first cycle of imports that run when a module is loaded."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for edge in edges:
        if edge.imported in modules and not edge.late and not edge.for_types:
            graph[edge.importer].add(edge.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return ["a cycle of imports: " + " <- ".join(error.args[1])]
    return []


def test_the_package_imports_one_way() -> None:
    assert faults(SOURCE) == []


def test_the_walker_reads_the_whole_package() -> None:
    modules = modules_in(SOURCE)
    assert {"chainrule", "chainrule.errors", "chainrule.graph", "chainrule.primitives"} <= modules.keys()
    edges = edges_of("chainrule.graph", modules["chainrule.graph"], modules)
    assert {"numpy", "chainrule.dtypes"} <= {edge.imported for edge in edges}


PLANTED = {
    "upward": ("graph.py", "import chainrule.tensor", "tensor is above graph"),
    "upward by a name": ("graph.py", "from chainrule import tensor", "tensor is above graph"),
    "upward, relative": ("nn/linear.py", "from ..fit import fit", "fit is above nn"),
    "upward for types": (
        "tensor.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from chainrule.nn import linear",
        "nn is above tensor",
    ),
    "through the facade": ("fit.py", "from chainrule import grad", "facade is above fit"),
    "evaluate": ("evaluate.py", "from chainrule.compiler import x", "evaluate sees only"),
    "NumPy in a layer": ("nn/linear.py", "from numpy import zeros", "nn does without numpy"),
    "late": ("graph.py", "def f():\n    from chainrule import tensor", "LATE does not list"),
    "late in a lambda": ("graph.py", "f = lambda: __import__('chainrule.errors')", "LATE does not list"),
    "late standard library": ("graph.py", "def f():\n    import json", "always there"),
    "late by string": (
        "graph.py",
        "import importlib\ndef f(name):\n    importlib.import_module(name)",
        "an expression",
    ),
    "optional at the top": ("plot/curve.py", "import matplotlib.pyplot", "inside the function"),
    "no dependency": ("fit.py", "import torch", "not a dependency"),
    "no such module": ("fit.py", "from chainrule.errorz import ShapeError", "no such module"),
    "homeless": ("utils.py", "", "chainrule.utils is in no layer"),
    "cycle": ("losses.py", "import chainrule.nn.linear", "a cycle of imports"),
}
SOUND = {
    "__init__.py": "from chainrule.fit import fit\ndef __getattr__(name):\n    from chainrule import plot",
    "errors.py": "",
    "graph.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from chainrule.primitive import P",
    "primitive.py": "from chainrule.graph import Node",
    "tensor.py": "import numpy as np\nfrom chainrule import errors",
    "losses.py": "from . import tensor",
    "nn/__init__.py": "from chainrule.nn.linear import Linear",
    "nn/linear.py": "from chainrule import losses\nfrom chainrule.tensor import Tensor",
    "fit.py": "from collections import abc\nfrom tqdm import tqdm\nfrom chainrule.nn import Linear",
    "plot/__init__.py": "",
    "plot/curve.py": "def show():\n    import matplotlib.pyplot as plt",
}


def write_package(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return folder / PACKAGE


def test_a_sound_package_has_no_faults(tmp_path: Path) -> None:
    assert faults(write_package(tmp_path, SOUND)) == []


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_fault_is_found_and_named(plant: str, tmp_path: Path) -> None:
    name, text, expected = PLANTED[plant]
    found = faults(write_package(tmp_path, {**SOUND, name: f"{SOUND.get(name, '')}\n{text}"}))
    assert len(found) == 1, found
    assert expected in found[0]
    assert name.removesuffix(".py").replace("/", ".") in found[0]


def test_importing_the_package_loads_nothing_optional() -> None:
    """With every extra installed, `import chainrule` still loads only its core dependencies."""
    program = "import sys, chainrule; print(*{name.split('.')[0] for name in sys.modules})"
    command = [sys.executable, "-W", "error", "-c", program]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert PACKAGE in loaded
    assert loaded & (OPTIONAL_PACKAGES | {"torch", "pytest"}) == set()
