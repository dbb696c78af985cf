"""Nothing is unpickled, nothing that came as text is run, TLS is not switched off: a walk over the syntax trees.

What is let through stands here, with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("astrasim", "systems", "demos", "perf")

MODULES = ("pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle", "yaml", "code")
"""They run what they read, or may."""
CALLS = ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "logging.config.dictConfig",
         "numpy.fromfile", "pandas.read_pickle", "ssl._create_unverified_context")  # fmt: skip
KEYWORDS = {("allow_pickle", True), ("shell", True), ("verify", False), ("follow_redirects", True),
            ("trust_remote_code", True), ("ssl", False), ("verify_ssl", False), ("check_hostname", False),
            ("allow_redirects", True)}  # fmt: skip
PLACES = ("0.0.0.0", "::")
"""A socket there listens to the network."""

ALLOWED = {
    ("astrasim/gateway/download.py", "follow_redirects=True"): "no key is sent; what comes is checked by its SHA-256",
}


def spelt_out(node: ast.expr, spelt: dict[str, str]) -> str:
    first, dot, rest = ast.unparse(node).partition(".")
    return spelt.get(first, first) + dot + rest


def unsafe(source: str) -> Iterator[tuple[int, str]]:
    """(line, what) of all that this file should not do."""
    tree = ast.parse(source)
    spelt: dict[str, str] = {}  # names as they were imported: np.load is numpy.load
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            spelt |= {each.asname or each.name: each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            spelt |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names if each.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES and not node.level:
            yield node.lineno, str(node.module)
        elif isinstance(node, ast.Call):
            name = spelt_out(node.func, spelt)
            if name in CALLS:
                yield node.lineno, name
            given = {each.arg: each.value for each in node.keywords}
            yield from (
                (node.lineno, f"{arg}={value.value!r}") for arg, value in given.items()
                if isinstance(value, ast.Constant) and (arg, value.value) in KEYWORDS
            )  # fmt: skip
            # aiohttp follows redirects unless it is told not to.
            session = name.rpartition(".")[0].endswith("session")
            if session and ast.unparse(given.get("allow_redirects", node)) != "False":
                yield node.lineno, f"{name} follows redirects"
            if name == "numpy.load" and ast.unparse(given.get("allow_pickle", node)) != "False":
                yield node.lineno, "numpy.load"
        elif isinstance(node, ast.Assign) and ast.unparse(node.value) == "False":
            yield from (
                (node.lineno, f"{target.attr}=False") for target in node.targets
                if isinstance(target, ast.Attribute) and (target.attr, False) in KEYWORDS
            )  # fmt: skip
        elif isinstance(node, ast.Attribute | ast.Name) and spelt_out(node, spelt).endswith("CERT_NONE"):
            yield node.lineno, "CERT_NONE"
        elif isinstance(node, ast.Constant) and node.value in PLACES:
            yield node.lineno, repr(node.value)


def test_nothing_that_came_from_elsewhere_is_run() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), what): line
        for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
        for line, what in unsafe(path.read_text(encoding="utf-8"))
    }  # fmt: skip
    assert found.keys() == ALLOWED.keys(), found


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import pickle", "pickle"),
        ("def f():\n    from marshal import loads", "marshal"),
        ("import yaml.cyaml", "yaml"),
        ("eval('1')", "eval"),
        ("exec(text)", "exec"),
        ("import numpy as np\nnp.load(file)", "numpy.load"),
        ("from numpy import load\nload(file, allow_pickle=True)", "numpy.load"),
        ("import torch\ntorch.load(file)", "torch.load"),
        ("import os\nos.system('ls')", "os.system"),
        ("subprocess.run('ls', shell=True)", "shell=True"),
        ("httpx.Client(verify=False)", "verify=False"),
        ("client.get(url, follow_redirects=True)", "follow_redirects=True"),
        ("aiohttp.TCPConnector(ssl=False)", "ssl=False"),
        ("session.get(url, allow_redirects=False, ssl=False)", "ssl=False"),
        ("self._session.request(method, url)", "follows redirects"),
        ("await session.post(url, allow_redirects=follow)", "follows redirects"),
        ("context.check_hostname = False", "check_hostname=False"),
        ("import ssl\ncontext.verify_mode = ssl.CERT_NONE", "CERT_NONE"),
        ("from ssl import CERT_NONE as none\ncontext.verify_mode = none", "CERT_NONE"),
        ("server.bind(('0.0.0.0', 0))", "0.0.0.0"),
    ],
)
def test_a_planted_line_is_found(source: str, said: str) -> None:
    assert any(said in what for _, what in unsafe(source))


def test_harmless_lines_are_let_through() -> None:
    harmless = "import re, numpy\nre.compile('x')\nmodel.eval()\nnumpy.load(f, allow_pickle=False)\nget(verify=c)"
    harmless += "\nsession.get(url, allow_redirects=False, ssl=context)\ncontext.check_hostname = True"
    assert list(unsafe(harmless)) == []
