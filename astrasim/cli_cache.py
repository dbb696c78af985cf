"""``astrasim cache``: looks into the files of the plan cache, fills them and empties them."""

from __future__ import annotations

import importlib
import os
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .errors import AstraSimError, SettingsError
from .terminal import err, out

if TYPE_CHECKING:
    from .gateway.warming import Situation, Warmed
    from .settings import Settings
    from .vocabulary import Vocabulary

app = typer.Typer(no_args_is_help=True, help="The plan cache: files of plans that models made.")

CacheFile = Annotated[
    Path | None, typer.Argument(help="The cache file; default: the setting cache_file.", show_default=False)
]
Namespace = Annotated[str | None, typer.Option(help="Default: the setting cache_namespace.", show_default=False)]


def _where(file: Path | None, namespace: str | None) -> tuple[Settings, Path, str]:
    from .settings import Settings

    settings = Settings()
    chosen = file or settings.cache_file
    if chosen is None:
        raise SettingsError("which file? Name it, or set cache_file (ASTRASIM_CACHE_FILE)")
    return settings, chosen, settings.cache_namespace if namespace is None else namespace


@app.command()
def stats(file: CacheFile = None) -> None:
    """What is in it: plans, how often they were of use, how old they are, and what is wanted still."""
    from .gateway import travel

    _, file, _ = _where(file, None)
    found = travel.figures(file)
    table = Table(box=None)
    for name in ("namespace", "domain", "plans", "scopes", "uses", "oldest", "newest", "wanted"):
        table.add_column(name, justify="left" if name in ("namespace", "domain") else "right")
    for each in found:
        ages = (datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M") if at else "" for at in each[5:7])
        table.add_row(each.namespace or '""', each.domain, *map(str, each[2:5]), *ages, str(each.wanted))
    out.print(table if found else f"{file} is empty")


@app.command()
def warm(
    file: CacheFile = None,
    namespace: Namespace = None,
    domain: Annotated[
        str | None,
        typer.Option(help="MODULE:NAME of a Domain whose situations are walked; else those that runs had no plan for."),
    ] = None,
    situations: Annotated[int, typer.Option(min=1, help="How many situations at most.")] = 500,
) -> None:
    """Ask the model beforehand (ASTRASIM_MODEL says which), and keep its plans. Ctrl-C stops it; what came is kept."""
    import anyio

    from .gateway import travel, warming
    from .model_choice import choose_model

    settings, file, namespace = _where(file, namespace)
    spec, reason = choose_model(settings)
    if spec is None:
        raise SettingsError(f"no model to ask: {reason}")
    if domain is not None:
        words, wanted = _walk(domain, settings, spec.tag, situations)
    else:
        words = travel.vocabulary_of(file, namespace)
        wanted = warming.wanted_in(file, namespace, words, situations)
        others = {each.scope.model for each in wanted} - {spec.tag}
        wanted = [each for each in wanted if each.scope.model == spec.tag]
        if not wanted:
            told = f"; there are some for {', '.join(sorted(others))}" if others else ""
            raise AstraSimError(f"no run with {file} lacked a plan of {spec.tag}{told}. Name a --domain to walk it")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err) as bar:
        task = bar.add_task(f"asking {spec}", total=len(wanted))
        asked = partial(
            warming.warm, file, namespace, words, wanted, spec, at_a_time=settings.max_in_flight,
            deadline_s=settings.deadline_s, tell=lambda text: bar.update(task, description=text or f"asking {spec}"),
            progress=lambda done: bar.update(task, completed=done),
        )  # fmt: skip
        try:
            done: Warmed = anyio.run(asked)
        except KeyboardInterrupt:
            out.print("stopped; what came is kept")
            raise typer.Exit(130) from None
    failed = f", {done.failed} failed (the last: {done.why})" if done.failed else ""
    out.print(f"{done.made} plans made, {done.known} were known{failed}", markup=False)
    if done.failed and not done.made:
        raise typer.Exit(1)


def _walk(name: str, settings: Settings, model: str, most: int) -> tuple[Vocabulary, list[Situation]]:
    """A domain's vocabulary, and situations of all its roles: all that there are, or so many drawn at random."""
    from .compiled import compile_domain
    from .domain import Domain
    from .examples import with_examples
    from .gateway.warming import Situation

    module, _, path = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        domain = getattr(importlib.import_module(module), path or "domain")
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"--domain {name}: {error}; write MODULE:NAME, such as mygame:world") from error
    domain = domain() if callable(domain) and not isinstance(domain, Domain) else domain
    if not isinstance(domain, Domain):
        raise SettingsError(f"--domain {name} is a {type(domain).__name__}, not a Domain")
    compiled = compile_domain(domain)
    words = with_examples(compiled)
    scopes = [
        compiled.scope(kind, role, "", model, settings.prompt)
        for role in compiled.roles.values() for kind in role.kinds
    ]  # fmt: skip
    found: list[Situation] = []
    for at, scope in enumerate(scopes):
        share = (most - len(found)) // (len(scopes) - at)
        space = words.key_space(scope.kind)
        rng = Random(f"{scope.domain} {scope.role} {scope.kind}")
        keys = range(space) if space <= share else sorted({rng.randrange(space) for _ in range(share)})
        found += [Situation(scope, key) for key in keys]
    return words, found


@app.command("export")
def export_command(
    to: Annotated[Path, typer.Argument(help="The JSON file to write.")],
    file: CacheFile = None,
    namespace: Namespace = None,
) -> None:
    """Write the plans to a JSON file, with names instead of numbers."""
    from .gateway import travel

    _, file, namespace = _where(file, namespace)
    try:
        number = travel.export_plans(file, namespace, to)
    except OSError as error:
        raise AstraSimError(f"{to} cannot be written: {error}") from error
    out.print(f"{number} plans written to {to}", markup=False)


@app.command("import")
def import_command(
    source: Annotated[Path, typer.Argument(help="A JSON file that export wrote.")],
    file: CacheFile = None,
    namespace: Namespace = None,
) -> None:
    """Add plans from a JSON file; for a situation that has a plan already, that stays."""
    from .gateway import travel

    _, file, namespace = _where(file, namespace)
    added, wrong = travel.import_plans(file, namespace, source)
    out.print(f"{added} plans added to {file}", markup=False)
    for problem in wrong[:10]:
        err.print(problem, markup=False, style="yellow")
    if wrong:
        err.print(f"{len(wrong)} plans made no sense and were passed over")
        raise typer.Exit(1)


@app.command()
def clear(
    file: CacheFile = None,
    namespace: Namespace = None,
    everything: Annotated[bool, typer.Option("--all", help="All namespaces.")] = False,
) -> None:
    """Forget the plans of a namespace."""
    from .gateway import travel

    _, file, namespace = _where(file, namespace)
    number = travel.clear(file, None if everything else namespace)
    out.print(f"{number} plans forgotten", markup=False)
