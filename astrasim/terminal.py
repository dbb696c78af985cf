"""What the commands share: the terminal they write to, the files they are asked for, the layers they load late."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

out = Console()
err = Console(stderr=True)


def new_file(path: Path | None) -> Path | None:
    """Looked at before a run, not after it."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{path}: there is no folder {path.absolute().parent} to write it to")
    return path


JsonFile = Annotated[
    Path | None, typer.Option("--json", callback=new_file, help="Write all figures to this file, as JSON.")
]


def tell(line: str) -> None:
    err.print(line, soft_wrap=True, markup=False, highlight=False)


def load(layer: str, module: str) -> Any:
    """A module of a layer above, only when its command runs: the others must not need its packages."""
    try:
        return importlib.import_module(f"astrasim.{layer}.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("astrasim"):
            raise
        extra = "demo" if layer == "demos" else "perf"
        err.print(f"this command needs {error.name}: pip install 'astrasim[{extra}]'", markup=False)
        raise typer.Exit(2) from None
