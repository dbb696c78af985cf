"""Imports run one way, `demos, perf → systems → astrasim`, and a few libraries stay in their corner.

A walk over the syntax trees, so nothing is imported and an import inside a function is seen as well.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

PACKAGES = {"astrasim": "astrasim", "systems": "astrasim.systems", "demos": "astrasim.demos", "perf": "astrasim.perf"}
LAYER = {"astrasim": 0, "systems": 1, "demos": 2, "perf": 2}

# The program's entry starts what lies above it, and only when asked to: inside functions.
ENTRY = "astrasim/cli.py"

ABOVE = ("systems/", "demos/", "perf/")
OUTSIDE = ("astrasim/gateway/", "demos/", "perf/")
# library → the files (or folders) that may import it
CONFINED = {
    "pygame": ("demos/", "perf/"),
    "esper": ("astrasim/simulation.py", "astrasim/agents.py", "astrasim/membership.py", *ABOVE),
    "subprocess": OUTSIDE,
    "multiprocessing": OUTSIDE,
    "socket": OUTSIDE,
    "aiohttp": OUTSIDE,
    "httpx": OUTSIDE,
}


class Import(NamedTuple):
    file: str
    line: int
    target: str  # the module's full installed name, as far as the tree knows it
    at_load: bool  # runs when the module is loaded: not inside a function, not for type checkers only

    def broke(self, rule: str) -> str:
        return f"{self.file}:{self.line}: imports {self.target}: {rule}"


def test_the_tree_keeps_its_layers() -> None:
    found = violations(ROOT)
    assert not found, "\n".join(["", *found])


def violations(root: Path) -> list[str]:
    modules = {module_name(path): path for folder in PACKAGES for path in sorted(_python_files(root, folder))}
    imports = {name: list(_imports(root, path, name, modules)) for name, path in modules.items()}
    found = [broken for each in imports.values() for found in each for broken in _broken_rules(found)]
    return found + _circles(imports)


def module_name(path: Path | str) -> str:
    """`systems/perception.py` → `astrasim.systems.perception`."""
    folder, *rest = Path(path).with_suffix("").parts
    return ".".join([PACKAGES[folder], *(part for part in rest if part != "__init__")])


def _python_files(root: Path, folder: str) -> Iterator[Path]:
    return (path.relative_to(root) for path in (root / folder).rglob("*.py"))


def _imports(root: Path, path: Path, module: str, modules: dict[str, Path]) -> Iterator[Import]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse((root / path).read_text(encoding="utf-8"), str(path))
    for node, at_load in _statements(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            names = [f"{base}.{alias.name}" for alias in node.names]
            targets = [name if name in modules or name in PACKAGES.values() else base for name in names]
        else:
            continue
        for target in dict.fromkeys(targets):
            yield Import(path.as_posix(), node.lineno, target, at_load)


def _statements(node: ast.AST, at_load: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        yield child, at_load
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in child.body:
                yield statement, False
                yield from _statements(statement, False)
            for statement in child.orelse:
                yield statement, at_load
                yield from _statements(statement, at_load)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _statements(child, at_load and not inside)


def _broken_rules(found: Import) -> Iterator[str]:
    top = found.target.partition(".")[0]
    folder = found.file.partition("/")[0]
    if top in PACKAGES and top != "astrasim":
        yield found.broke(f"write {PACKAGES[top]}, the name under which it is installed")
    elif top == "astrasim" and (to := _folder_of(found.target)) != folder and LAYER[to] >= LAYER[folder]:
        if found.file != ENTRY:
            yield found.broke(f"{folder} may not import {to}; imports run demos, perf → systems → astrasim")
        elif found.at_load:
            yield found.broke(f"{ENTRY} may import {to} inside functions only")
    elif top in CONFINED and not found.file.startswith(CONFINED[top]):
        yield found.broke(f"{top} is allowed only in {', '.join(CONFINED[top])}")


def _folder_of(module: str) -> str:
    for folder, name in PACKAGES.items():
        if folder != "astrasim" and (module + ".").startswith(name + "."):
            return folder
    return "astrasim"


def _circles(imports: dict[str, list[Import]]) -> list[str]:
    """Each circle of imports at load within astrasim, as it was met in a depth-first walk."""
    edges = {
        name: [found for found in each if found.at_load and found.target in imports and found.target != name]
        for name, each in imports.items()
        if _folder_of(name) == "astrasim"
    }
    found: list[str] = []
    done: set[str] = set()

    def visit(name: str, trail: list[Import], names: list[str]) -> None:
        if name in names:
            steps = trail[names.index(name) :]
            way = " → ".join([name, *(step.target for step in steps)])
            places = ", ".join(f"{step.file}:{step.line}" for step in steps)
            found.append(f"{places}: a circle of imports inside astrasim: {way}")
        elif name not in done:
            for edge in edges.get(name, ()):
                visit(edge.target, [*trail, edge], [*names, name])
            done.add(name)

    for name in edges:
        visit(name, [], [])
    return found


CLEAN = {
    "astrasim/__init__.py": "from .table import Table\nfrom .gateway import client\n",
    "astrasim/table.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .agents import Agent\n",
    "astrasim/agents.py": "import esper\nfrom .table import Table\n",
    "astrasim/gateway/__init__.py": "",
    "astrasim/gateway/client.py": "import socket\nfrom ..table import Table\n",
    "astrasim/cli.py": "def demo():\n    from astrasim.demos import companions\n",
    "systems/__init__.py": "from astrasim import table\nfrom .perception import look\n",
    "systems/perception.py": "import esper\nimport astrasim.table\n",
    "demos/__init__.py": "",
    "demos/companions.py": "import pygame\nfrom astrasim.systems.perception import look\n",
    "perf/arena.py": "import subprocess\nfrom astrasim.systems import PIPELINE\n",
}


@pytest.mark.parametrize(
    ("file", "source", "said"),
    [
        ("astrasim/table.py", "import json\nimport astrasim.systems\n", ["table.py:2:", "may not import systems"]),
        ("astrasim/table.py", "def f():\n    from astrasim import perf\n", ["table.py:2:", "may not import perf"]),
        ("astrasim/table.py", "from .agents import A\n", ["table.py:1", "agents.py:2", "circle", "astrasim.agents"]),
        ("astrasim/table.py", "from astrasim import Table\n", ["circle", "astrasim → astrasim.table → astrasim"]),
        ("astrasim/table.py", "import esper\n", ["table.py:1:", "esper is allowed only in", "astrasim/agents.py"]),
        ("astrasim/table.py", "def f():\n    import socket\n", ["table.py:2:", "socket is allowed only in"]),
        ("astrasim/agents.py", "class A:\n    import httpx\n", ["agents.py:2:", "httpx is allowed only in"]),
        ("astrasim/gateway/client.py", "import pygame.draw\n", ["client.py:1:", "pygame is allowed only in"]),
        ("astrasim/cli.py", "import astrasim.demos\n", ["cli.py:1:", "inside functions only"]),
        ("systems/perception.py", "from astrasim.perf.arena import A\n", ["perception.py:1:", "may not import perf"]),
        ("systems/perception.py", "from multiprocessing import Pool\n", ["perception.py:1:", "multiprocessing"]),
        ("systems/perception.py", "import systems\n", ["perception.py:1:", "write astrasim.systems"]),
        ("demos/companions.py", "import astrasim.perf\n", ["companions.py:1:", "may not import perf"]),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, source: str, said: list[str]) -> None:
    for name, text in {**CLEAN, file: source}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = "\n".join(violations(tmp_path))
    assert all(word in found for word in said), found or "nothing was found"


def test_a_clean_tree_is_let_through(tmp_path: Path) -> None:
    for name, text in CLEAN.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert violations(tmp_path) == []
